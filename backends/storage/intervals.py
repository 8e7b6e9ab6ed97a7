"""Begin and end intervals: who could do what, and who was in which group, since when and until when.

Rows of `grants` and `members` are intervals in timestamps of their list: of the list that the object, or the group, is
in. A row that has not ended has `until` = `LIVING`. A row is known by what it says and when it began, so that it can
end at any timestamp, and what begins again when it ended, at the same timestamp, goes on.

What ends is looked up first, each row by itself (`Dialect.look_up`), and the rows that were found are written anew by
their keys. With an `UPDATE ... FROM unnest(...)` a database without statistics, or with old ones, may compare each row
of the bucket with each that ends.

    INSERT INTO grants (bucket, uri, ..., until) SELECT each.bucket, each.uri, ..., each.until
    FROM unnest(...) AS ended(bucket, uri, permission, principal, until) JOIN LATERAL (SELECT ..., ended.until
    FROM grants WHERE grants.bucket IN (...) AND grants.until = 9223372036854775807 AND grants.bucket = ended.bucket
    AND ... OFFSET 0) AS each ON true
    ON CONFLICT (bucket, uri, permission, principal, since) DO UPDATE SET until = excluded.until
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Insert, Table, Text, bindparam, select

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

    def _build_ending(self, table: Table, keys: tuple[str, ...]) -> Insert:
        ended = self._dialect.rows("ended", [*((key, Text()) for key in keys), ("until", BigInteger())])
        columns = [ended.c.until if column.name == "until" else column for column in table.c]
        found = select(*columns).where(table.c.until == LIVING)
        if "bucket" in keys:
            # The literal condition by which a cluster finds the machine.
            buckets = bindparam("buckets", expanding=True, type_=Text)
            found = found.where(self._dialect.beside(table.c.bucket).in_(buckets))
        looked_up = self._dialect.look_up(found, ended, *(table.c[key] == ended.c[key] for key in keys))
        written = self._dialect.insert(table).from_select(list(table.c.keys()), looked_up)
        ending: Insert = self._until_of_new(written, table)
        return ending

    def _build_beginning(self, table: Table) -> Inserts:
        return Inserts(self._until_of_new(self._dialect.insert(table), table), [column.name for column in table.c])

    @staticmethod
    def _until_of_new(statement: Any, table: Table) -> Any:
        """Return an INSERT that sets only the end of rows that are there."""
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={"until": statement.excluded.until}
        )
