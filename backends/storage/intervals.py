"""Begin and end grants and memberships, which are stored as intervals from `since` until `until`.

Both are timestamps of a list: of the list that contains the object of the grant, or the group of the membership. A row
that has not ended has `until` = `LIVING`. `since` is part of the primary key, so that an interval can end at any
timestamp; an interval that begins again at the timestamp at which it ended continues the row that is there.

To end intervals, the statement looks up each row by itself (`Dialect.look_up`) and writes the rows anew by their keys.
With an `UPDATE ... FROM unnest(...)` a database whose statistics are missing or old may compare each row of the bucket
with each row to end.

    INSERT INTO grants (bucket, uri, ..., until) SELECT each.bucket, each.uri, ..., each.until
    FROM unnest(...) AS ended(bucket, uri, list, permission, principal, until) JOIN LATERAL (SELECT ..., ended.until
    FROM grants WHERE grants.bucket IN (...) AND grants.until = 9223372036854775807 AND grants.bucket = ended.bucket
    AND ... OFFSET 0) AS each ON true
    ON CONFLICT (bucket, uri, permission, principal, since) DO UPDATE SET until = excluded.until
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Table, Text, bindparam, literal_column, select

from backends.storage import LIVING
from backends.storage.dialect import Dialect
from backends.storage.inserts import Inserts
from backends.storage.sessions import Session
from backends.storage.statements import Statement
from backends.storage.tables import grants, members

GRANT: Final = ("bucket", "uri", "list", "permission", "principal")
"""The list is redundant, but with it either index of the table finds a grant without passing over others."""
OBJECT: Final = ("bucket", "uri")
MEMBERSHIP: Final = ("user_id", "principal")

_MAX_ROWS: Final = 10_000
"""The greatest number of rows that one statement ends."""


class Intervals:
    """The statements that begin and end intervals of `grants` and `members`, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._ending = lru_cache(maxsize=8)(self._build_ending)
        self._beginning = {table.name: self._build_beginning(table) for table in (grants, members)}

    def begin(self, session: Session, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        """Begin intervals; each of *rows* has the columns of the table in their order, without `until` at the end."""
        self._beginning[table.name].later(session, [(*row, LIVING) for row in rows])

    def end(self, session: Session, table: Table, keys: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """End living rows; each of *rows* has the values of the columns *keys*, then the timestamp of the end."""
        names = (*keys, "until")
        for start in range(0, len(rows), _MAX_ROWS):
            batch = rows[start : start + _MAX_ROWS]
            buckets = sorted({row[0] for row in batch}) if "bucket" in keys else []
            values = {f"in_bucket_{number}": bucket for number, bucket in enumerate(buckets)}
            values |= self._dialect.bind_rows("ended", names, batch)
            self._ending(table, tuple(keys), len(buckets)).later(session, values)

    def _build_ending(self, table: Table, keys: tuple[str, ...], bucket_count: int) -> Statement:
        ends = self._dialect.bound_rows("ended", [*((key, Text()) for key in keys), ("until", BigInteger())])
        columns = [ends.c.until if column.name == "until" else column for column in table.c]
        living = select(*columns).where(table.c.until == literal_column(str(LIVING), BigInteger))
        if bucket_count:
            # A literal condition on the bucket, by which a cluster finds the machine.
            buckets = [bindparam(f"in_bucket_{number}", type_=Text) for number in range(bucket_count)]
            living = living.where(self._dialect.without_index(table.c.bucket).in_(buckets))
        rows = self._dialect.look_up(living, ends, *(table.c[key] == ends.c[key] for key in keys))
        rewrite = self._dialect.insert(table).from_select(list(table.c.keys()), rows)
        return Statement(self._replace_until(rewrite, table))

    def _build_beginning(self, table: Table) -> Inserts:
        return Inserts(self._replace_until(self._dialect.insert(table), table), [column.name for column in table.c])

    @staticmethod
    def _replace_until(statement: Any, table: Table) -> Any:
        """Return an INSERT that only replaces `until` of rows that exist already."""
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={"until": statement.excluded.until}
        )
