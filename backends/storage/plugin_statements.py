"""The statements of plugins on their own tables, compiled once for each shape and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Executable, Insert, UpdateBase

from backends.storage import Values
from backends.storage.compiled import compile_expanding
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
        self._returns_rows = lru_cache(maxsize=_MOST)(_returns_rows)

    def execute(self, session: Session, statement: Executable, values: Values) -> Sequence[Row]:
        """Execute a statement and return its rows; all rows of an INSERT are one statement on the wire.

        A statement that returns no rows waits for the next message of the session.
        """
        if not values and not isinstance(values, Mapping):
            return NO_ROWS
        session.has_executed = True
        kept_statement, arguments = self._keep(statement, values, session)
        if self._returns_rows(statement):
            return kept_statement.rows(session, arguments)
        kept_statement.later(session, arguments)
        return NO_ROWS

    def _keep(self, statement: Executable, values: Values, session: Session) -> tuple[Statement | Inserts, Any]:
        """Return a statement as it is kept, and the values that it takes."""
        if isinstance(statement, Insert):
            rows = [values] if isinstance(values, Mapping) else values
            columns = tuple(column.name for column in statement.table.columns if column.name in rows[0])
            return self._inserts(statement, columns), [[row[name] for name in columns] for row in rows]
        if not isinstance(values, Mapping):
            raise TypeError("Only an INSERT has several rows of values.")
        lengths = tuple((name, len(value)) for name, value in values.items() if isinstance(value, list | tuple))
        if not lengths:
            return self._statements(statement), values
        named = {f"{name}_{number}": item for name, _ in lengths for number, item in enumerate(values[name], 1)}
        return self._expanding(statement, session.dialect, lengths), {**values, **named}


def _compile_expanding(statement: Executable, dialect: Any, lengths: Sequence[tuple[str, int]]) -> Statement:
    return Statement(compile_expanding(statement, dialect, dict(lengths)))


def _returns_rows(statement: Executable) -> bool:
    """Return whether a statement is a query, or has RETURNING."""
    return not isinstance(statement, UpdateBase) or bool(statement.exported_columns)
