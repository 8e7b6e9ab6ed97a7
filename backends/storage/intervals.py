"""Begin and end intervals: who could do what, and who was in which group, since when and until when.

Rows of `grants` and `members` are intervals in timestamps of their list: of the list that the object, or the group, is
in. A row that has not ended has `until` = `LIVING`. A row is known by what it says and when it began, so that it can
end at any timestamp, and what begins again when it ended, at the same timestamp, goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Table, Text, Update, bindparam, update

from backends.storage import LIVING
from backends.storage.dialect import Dialect
from backends.storage.inserts import Inserts
from backends.storage.tables import grants, members

GRANT: Final = ("bucket", "uri", "permission", "principal")
OBJECT: Final = ("bucket", "uri")
MEMBERSHIP: Final = ("user_id", "principal")

_ROWS: Final = 10_000
"""How many rows one statement ends."""


class Intervals:
    """Begins and ends the rows of `grants` and `members` in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._ending = lru_cache(maxsize=8)(self._build_ending)
        self._beginning = {table.name: self._build_beginning(table) for table in (grants, members)}

    def begin(self, connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Begin intervals; *rows* have all columns of the table but `until`."""
        self._beginning[table.name].execute(connection, [{**row, "until": LIVING} for row in rows])

    def end(self, connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """End living rows; each of *rows* has the values of the columns *keys* and the timestamp of the end."""
        names = (*keys, "until")
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            parameters = dict(self._dialect.bind_rows("ended", names, some))
            if "bucket" in keys:
                parameters["buckets"] = sorted({row[0] for row in some})
            connection.execute(self._ending(table, tuple(keys)), parameters)

    def _build_ending(self, table: Table, keys: tuple[str, ...]) -> Update:
        ended = self._dialect.rows("ended", [*((key, Text()) for key in keys), ("until", BigInteger())])
        found = [table.c[key] == ended.c[key] for key in keys]
        if "bucket" in keys:
            # The literal condition by which a cluster finds the machine.
            found.append(self._dialect.beside(table.c.bucket).in_(bindparam("buckets", expanding=True, type_=Text)))
        # Not `=`: of what has not ended PostgreSQL would expect one row, and compare each row with each that ends.
        return update(table).values(until=ended.c.until).where(*found, table.c.until >= LIVING)

    def _build_beginning(self, table: Table) -> Inserts:
        statement = self._dialect.insert(table)
        again = statement.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={"until": statement.excluded.until}
        )
        return Inserts(again, [column.name for column in table.c])
