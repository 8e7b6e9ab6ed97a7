"""Send an INSERT of many rows as one statement on the wire.

A driver sends `executemany` row by row. Here the group of values in the SQL that SQLAlchemy compiled is repeated for
each row, so that the database gets one statement whatever the number of rows. A cluster routes the rows of a `VALUES`
list to the machines that keep them, unlike the rows of a `SELECT FROM unnest(...)`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

_MAX_ROWS: Final = 1_000
"""The greatest number of rows of one statement: SQLite binds 32,766 values at most."""

_VALUES: Final = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")
_NAME: Final = re.compile(r"%\((\w+)\)s")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _CompiledInsert:
    """The SQL of an INSERT of one row, split around the group of its values.

    `order` has the names of the values in the order of their placeholders where the driver binds by position, else
    nothing.
    """

    head: str
    group: str
    tail: str
    order: tuple[str, ...]


class Inserts:
    """One INSERT statement in one database dialect; every row has all *columns*."""

    def __init__(self, statement: Any, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = tuple(columns)
        self._compiled = lru_cache(maxsize=1)(self._compile)
        self._text = lru_cache(maxsize=64)(self._repeat)

    def execute(self, connection: Connection, rows: Sequence[Row]) -> list[Any]:
        """Insert the rows and return the rows of the RETURNING clause; without rows nothing is sent."""
        returned: list[Any] = []
        for start in range(0, len(rows), _MAX_ROWS):
            batch = rows[start : start + _MAX_ROWS]
            order = self._compiled(connection.dialect).order
            values: Any = (
                tuple(row[name] for row in batch for name in order)
                if order
                else {f"{name}_{number}": row[name] for number, row in enumerate(batch) for name in self._columns}
            )
            result = connection.exec_driver_sql(self._text(connection.dialect, len(batch)), values)
            if result.returns_rows:
                returned += result
        return returned

    def _compile(self, dialect: Any) -> _CompiledInsert:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        text = str(compiled)
        group = _VALUES.search(text)
        assert group is not None, "an INSERT has values"
        return _CompiledInsert(
            text[: group.start(1)], group[1], text[group.end(1) :], tuple(compiled.positiontup or ())
        )

    def _repeat(self, dialect: Any, count: int) -> str:
        """Return the SQL of an INSERT of *count* rows."""
        compiled = self._compiled(dialect)
        groups = (_NAME.sub(rf"%(\1_{number})s", compiled.group) for number in range(count))
        return f"{compiled.head}{', '.join(groups)}{compiled.tail}"
