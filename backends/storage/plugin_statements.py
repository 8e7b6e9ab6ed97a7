"""The statements of plugins on their own tables, compiled once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from sqlalchemy import Executable, Insert

from backends.storage import Values
from backends.storage.inserts import Inserts
from backends.storage.sessions import NO_ROWS, Row, Session
from backends.storage.statements import Statement

_MOST: Final = 256
"""The most statements that are kept."""


class PluginStatements:
    """The statements of plugins in one database dialect."""

    def __init__(self) -> None:
        self._statements = lru_cache(maxsize=_MOST)(Statement)
        self._inserts = lru_cache(maxsize=_MOST)(Inserts)

    def rows(self, session: Session, statement: Executable, values: Values) -> Sequence[Row]:
        """Execute a statement and return its rows; all rows of an INSERT are one statement on the wire."""
        session.has_executed = True
        if isinstance(statement, Insert):
            rows = [values] if isinstance(values, Mapping) else values
            return self._inserts(statement, tuple(rows[0])).rows(session, rows) if rows else NO_ROWS
        if not isinstance(values, Mapping):
            raise TypeError("Only an INSERT has several rows of values.")
        return self._statements(statement).rows(session, values)
