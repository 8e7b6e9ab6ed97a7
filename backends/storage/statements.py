"""Statements whose SQL is made once by SQLAlchemy's compiler and then sent as text by a `Session`.

Building and compiling costs many times what sending costs, so nothing builds SQL per request for what has a shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable

from backends.storage.compiled import Sql, compile_sql
from backends.storage.sessions import Row, Session


class Statement:
    """One statement: its SQL is compiled at its first use and kept."""

    def __init__(self, query: Executable | Sql) -> None:
        self._statement = query

    def rows(self, session: Session, values: Mapping[str, Any]) -> Sequence[Row]:
        """Execute the statement with *values* by name and return its rows."""
        return session.rows(self.sql(session), values)

    def later(self, session: Session, values: Mapping[str, Any]) -> None:
        """Execute the statement, which returns no rows that anybody needs, with the next one that does."""
        session.later(self.sql(session), values)

    def sql(self, session: Session) -> Sql:
        """Return the SQL for the driver of a session."""
        statement = self._statement
        if not isinstance(statement, Sql):
            # From here on only the text is kept: the expressions take many times its memory.
            statement = self._statement = compile_sql(statement, session.dialect)
        return statement
