"""INSERTs of many rows as one statement on the wire.

A driver sends `executemany` row by row. Here the group of values in the text that SQLAlchemy compiled is repeated, so
that the database gets one statement whatever the number of rows. A cluster routes such rows, unlike those of a
`SELECT FROM unnest(...)`, to the machines that keep them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

_ROWS: Final = 1_000
"""How many rows one statement has at most: SQLite binds 32,766 values."""

_VALUES: Final = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")
_NAME: Final = re.compile(r"%\((\w+)\)s")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The text of an INSERT of one row, cut around its values; `order` names them where they are bound by position."""

    head: str
    group: str
    tail: str
    order: tuple[str, ...]


class Inserts:
    """One INSERT of one database dialect; *columns* are those that every row has."""

    def __init__(self, statement: Any, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = tuple(columns)
        self._compiled = lru_cache(maxsize=1)(self._compile)
        self._text = lru_cache(maxsize=64)(self._repeat)

    def execute(self, connection: Connection, rows: Sequence[Row]) -> list[Any]:
        """Insert the rows and return what the statement returns; nothing is sent for no rows."""
        returned: list[Any] = []
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            order = self._compiled(connection.dialect).order
            values: Any = (
                tuple(row[name] for row in some for name in order)
                if order
                else {f"{name}_{number}": row[name] for number, row in enumerate(some) for name in self._columns}
            )
            result = connection.exec_driver_sql(self._text(connection.dialect, len(some)), values)
            if result.returns_rows:
                returned += result
        return returned

    def _compile(self, dialect: Any) -> _Compiled:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        text = str(compiled)
        group = _VALUES.search(text)
        assert group is not None, "an INSERT has values"
        return _Compiled(text[: group.start(1)], group[1], text[group.end(1) :], tuple(compiled.positiontup or ()))

    def _repeat(self, dialect: Any, count: int) -> str:
        compiled = self._compiled(dialect)
        groups = (_NAME.sub(rf"%(\1_{number})s", compiled.group) for number in range(count))
        return f"{compiled.head}{', '.join(groups)}{compiled.tail}"
