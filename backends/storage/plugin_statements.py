"""The statements of plugins on their own tables, compiled once for each shape and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Executable, Insert

from backends.storage import Values
from backends.storage.compiled import Sql, compile_expanding
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
        self._expanding = lru_cache(maxsize=_MOST)(_compile_expanding)

    def rows(self, session: Session, statement: Executable, values: Values) -> Sequence[Row]:
        """Execute a statement and return its rows; all rows of an INSERT are one statement on the wire."""
        session.has_executed = True
        if isinstance(statement, Insert):
            rows = [values] if isinstance(values, Mapping) else values
            return self._inserts(statement, tuple(rows[0])).rows(session, rows) if rows else NO_ROWS
        if not isinstance(values, Mapping):
            raise TypeError("Only an INSERT has several rows of values.")
        lengths = tuple((name, len(value)) for name, value in values.items() if isinstance(value, list | tuple))
        if not lengths:
            return self._statements(statement).rows(session, values)
        named = {f"{name}_{number}": item for name, _ in lengths for number, item in enumerate(values[name], 1)}
        return session.rows(self._expanding(statement, session.dialect, lengths), {**values, **named})


def _compile_expanding(statement: Executable, dialect: Any, lengths: Sequence[tuple[str, int]]) -> Sql:
    return compile_expanding(statement, dialect, dict(lengths))
