"""Send an INSERT of many rows as one statement on the wire.

A driver sends `executemany` row by row. Here the group of values in the SQL that SQLAlchemy compiled is repeated for
each row, so that the database gets one statement whatever the number of rows. A cluster routes the rows of a `VALUES`
list to the machines that keep them, unlike the rows of a `SELECT FROM unnest(...)`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection

from backends.storage.statements import PREPARABLE, Sql, compile_sql, send

_MAX_ROWS: Final = 1_000
"""The greatest number of rows of one statement: SQLite binds 32,766 values at most."""

_VALUES: Final = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")
_NAME: Final = re.compile(r"%\((\w+)\)s")

Row = Mapping[str, Any]


class Inserts:
    """One INSERT statement in one database dialect; every row has all *columns*."""

    def __init__(self, statement: Any, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = tuple(columns)
        self._sql = lru_cache(maxsize=64)(self._compile)

    def execute(self, connection: Connection, rows: Sequence[Row]) -> list[Any]:
        """Insert the rows and return the rows of the RETURNING clause; without rows nothing is sent."""
        returned: list[Any] = []
        for start in range(0, len(rows), _MAX_ROWS):
            batch = rows[start : start + _MAX_ROWS]
            sql = self._sql(connection.dialect, len(batch))
            parameters: Any = (
                {f"{name}_{number}": row[name] for number, row in enumerate(batch) for name in self._columns}
                if sql.order is None
                else tuple(chain.from_iterable(map(itemgetter(*sql.order), batch)))
            )
            # The most frequent number of rows; a name for each number would fill the memory of the session.
            options = {PREPARABLE: sql} if len(batch) == 1 else None
            returned += send(connection, sql, parameters, options)
        return returned

    def _compile(self, dialect: Any, count: int) -> Sql:
        """Return the INSERT of *count* rows.

        Its values are named `<column>_<number of the row>`; `order` has the columns of one row.
        """
        one = compile_sql(self._statement, dialect, self._columns)
        group = _VALUES.search(one.text)
        assert group is not None, "an INSERT has values"
        groups = (_NAME.sub(rf"%(\1_{number})s", group[1]) for number in range(count))
        text = f"{one.text[: group.start(1)]}{', '.join(groups)}{one.text[group.end(1) :]}"
        types = (
            {f"{name}_0": kind for name, kind in one.types.items()} if count == 1 else {}
        )  # only one row is prepared
        return Sql(text, one.order, {}, types)
