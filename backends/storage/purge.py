"""Remove what has ended in a list: tombstones, and grants and memberships that were withdrawn.

Theory of operation:

- Each list has two limits, both timestamps: tombstones up to `tombstones` go, grants and memberships up to `intervals`,
  which is never the lower one. A limit is the newest of what is too old, or too much: the newest tombstone beyond the
  first *keep*, and for the other limit also the newest end of grants, or of memberships, beyond the first *keep* ends.
- Rows are found by a read without a lock, 1,000 at most. One transaction for each such batch locks the clock of the
  list, raises its `floor` to the newest timestamp of the batch, and deletes the rows by their keys. The DELETE asks
  again whether they have ended: an object may have been created again meanwhile. So whatever the moment at which the
  command is killed, a client that would miss something polls from below `floor`; starting it again goes on.
- An end in a list that did not move then (a user was deleted) is one above the clock. The clock follows: it is never
  below `floor`, or whoever reads the list anew would be below it as well.
- Clocks are never removed: a list that starts again must not give out timestamps of its former life.

Every statement names its bucket, but the one that walks through the clocks.

    DELETE FROM grants USING unnest(...) AS gone(bucket, uri, permission, principal, since)
    WHERE grants.bucket = gone.bucket AND ... AND grants.bucket IN (...) AND grants.until <= 1750000000000
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Connection,
    Delete,
    ScalarSelect,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING, write_buckets
from backends.storage.dialect import Dialect
from backends.storage.tables import clocks, documents, grants, members
from backends.storage.writes import Writer

_ROWS: Final = 1_000
"""How many rows a transaction removes, and how many clocks a statement reads."""

_BUCKET: Final = bindparam("of_bucket", type_=Text)
_LIST: Final = bindparam("of_list", type_=Text)
_PASSED: Final = bindparam("passed", type_=BigInteger)
_THROUGH: Final = bindparam("through", type_=BigInteger)
_LIVES: Final = literal_column(str(LIVING), BigInteger)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The rows of a table that have ended: when, what identifies a row, and in which order an index has them."""

    table: Table
    stamp: Column[Any]
    keys: tuple[str, ...]
    order: tuple[Column[Any], ...]

    def within(self, name: Any) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions that rows of the bucket are of a list and have ended."""
        columns = self.table.c
        if self.table is members:
            inside = func.substr(columns.principal, func.length(name) + literal_column("2"), type_=Text)
            yield columns.principal > name.concat(literal_column("'/'", Text))
            yield columns.principal < name.concat(literal_column("'0'", Text))
            yield inside.not_like(literal_column("'%/%'", Text))
        else:
            yield columns.list == name
        yield columns.deleted if self.table is documents else self.stamp < _LIVES

    def in_bucket(self) -> Iterator[ColumnElement[bool]]:
        """Yield the condition on the bucket, where the table has one."""
        if self.table is not members:
            yield self.table.c.bucket == _BUCKET

    def bound(self, name: str) -> BindParameter[Any]:
        """Return a bound value that is compared with the first column of the order."""
        return bindparam(name, type_=Text() if self.table is members else BigInteger())


_TOMBSTONES: Final = _Ended(
    documents, documents.c.last_modified, ("bucket", "uri"), (documents.c.last_modified, documents.c.uri)
)
_GRANTS: Final = _Ended(
    grants,
    grants.c.until,
    ("bucket", "uri", "permission", "principal", "since"),
    (grants.c.until, grants.c.uri),
)
_MEMBERSHIPS: Final = _Ended(
    members,
    members.c.until,
    ("user_id", "principal", "since"),
    (members.c.principal, members.c.until, members.c.user_id, members.c.since),
)
_ALL: Final = (_TOMBSTONES, _GRANTS, _MEMBERSHIPS)


@dataclass(frozen=True, slots=True)
class _Limits:
    """Up to which timestamps what has ended in a list goes; -1 where nothing does."""

    bucket: str
    list: str
    tombstones: int
    intervals: int


class Purge:
    """Removes what has ended, on one storage: *reading* gives a connection, *transaction* opens a writing one."""

    def __init__(
        self,
        dialect: Dialect,
        reading: Callable[[], AbstractContextManager[Connection]],
        transaction: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._dialect = dialect
        self._reading = reading
        self._transaction = transaction
        self._finding = lru_cache(_build_finding)
        self._removing = lru_cache(self._build_removing)
        floor, clock = (dialect.greatest(column, _PASSED) for column in (clocks.c.floor, clocks.c.last_modified))
        self._passing = (
            update(clocks)
            .where(clocks.c.bucket == _BUCKET, clocks.c.list == _LIST)
            .values(floor=floor, last_modified=clock)
        )

    def run(self, patterns: Sequence[str], keep: int | None, before: int | None) -> int:
        """Remove what has ended in the lists that match LIKE patterns; return how many tombstones there were."""
        removed = 0
        for limits in self._limits(patterns, keep, before):
            removed += self._remove(_TOMBSTONES, limits, limits.tombstones)
            for intervals in (_GRANTS, _MEMBERSHIPS):
                self._remove(intervals, limits, limits.intervals)
        return removed

    def _limits(self, patterns: Sequence[str], keep: int | None, before: int | None) -> Iterator[_Limits]:
        """Yield the limits of the lists in which something goes."""
        statement = _build_limits(counted=keep is not None, dated=before is not None)
        for bucket, lists in self._lists(patterns):
            parameters = {"of_bucket": bucket, "lists": lists, "keep": keep, "before": before}
            with self._reading() as connection:
                rows = connection.execute(statement, parameters).all()
            for name, *newest in rows:
                ends = [-1 if end is None else end for end in newest]
                third = len(ends) // len(_ALL)
                if max(ends) >= 0:
                    yield _Limits(bucket, name, max(ends[:third]), max(ends))

    def _lists(self, patterns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield all lists that match, by bucket: each bucket's at once, or in parts where there are very many."""
        statement = _build_lists(patterns)
        bucket = name = ""
        while True:
            with self._reading() as connection:
                rows = connection.execute(statement, {"after_bucket": bucket, "after_list": name}).all()
            for each, some in groupby(rows, key=lambda row: str(row[0])):
                yield each, [row[1] for row in some]
            if len(rows) < _ROWS:
                return
            bucket, name = rows[-1]

    def _remove(self, ended: _Ended, limits: _Limits, through: int) -> int:
        """Remove rows that ended up to a timestamp, batch by batch; return how many."""
        removed, start = 0, f"{limits.list}/" if ended is _MEMBERSHIPS else 0
        where = {"of_bucket": limits.bucket, "of_list": limits.list}
        size = _ROWS if through >= 0 else 0
        while size == _ROWS:
            with self._reading() as connection:
                parameters = {**where, "start": start, "through": through}
                rows = connection.execute(self._finding(ended), parameters).all()
            size = len(rows)
            if rows:
                start = rows[-1].start
                removed += self._remove_batch(ended, where, rows)
        return removed

    def _remove_batch(self, ended: _Ended, where: dict[str, str], rows: Sequence[Any]) -> int:
        """Remove rows in a transaction of its own. A list whose clock is gone (a flush) has nothing any more."""
        newest = max(row.stamp for row in rows)
        keys = [tuple(row[: len(ended.keys)]) for row in rows]
        if ended is _GRANTS:
            # Those of an object at the top stand in two buckets.
            keys = [(bucket, uri, *others) for _, uri, *others in keys for bucket in write_buckets(uri)]
        parameters = {
            **self._dialect.bind_rows("gone", ended.keys, keys),
            "of_list": where["of_list"],
            "start": rows[0].start,
            "end": rows[-1].start,
            "through": newest,
        }
        if ended is not _MEMBERSHIPS:
            parameters["buckets"] = sorted({bucket for bucket, *_ in keys})
        with self._transaction() as writer:
            if not writer.lock([where["of_list"]]):
                return 0
            writer.connection.execute(self._passing, {**where, "passed": newest})
            removed: int = writer.connection.execute(self._removing(ended), parameters).rowcount
            return removed

    def _build_removing(self, ended: _Ended) -> Delete:
        table = ended.table
        gone = self._dialect.bound_rows(
            "gone", [(key, BigInteger() if key == "since" else Text()) for key in ended.keys]
        )
        found = [self._dialect.row_in([table.c[key] for key in ended.keys], gone)]
        if "bucket" in ended.keys:
            # The literal condition by which a cluster finds the machine.
            found.append(self._dialect.unindexed(table.c.bucket).in_(bindparam("buckets", expanding=True, type_=Text)))
        # The rows between the first and the last: so the plan looks at no others, whichever index it takes.
        found += [*ended.within(_LIST), ended.order[0].between(ended.bound("start"), ended.bound("end"))]
        return delete(table).where(*found, ended.stamp <= _THROUGH)


def _build_lists(patterns: Sequence[str]) -> Select[Any]:
    after = tuple_(bindparam("after_bucket", type_=Text), bindparam("after_list", type_=Text))
    matching = or_(*(clocks.c.list.like(pattern, escape="\\") for pattern in patterns))
    return (
        select(clocks.c.bucket, clocks.c.list)
        .where(tuple_(clocks.c.bucket, clocks.c.list) > after, matching)
        .order_by(clocks.c.bucket, clocks.c.list)
        .limit(_ROWS)
    )


def _build_limits(counted: bool, dated: bool) -> Select[Any]:
    """Make the statement of the newest rows that go: for each table by their number, by their age, or by both."""

    def newest(ended: _Ended, *conditions: ColumnElement[bool], beyond: Any = None) -> ScalarSelect[Any]:
        # Several grants that end at one moment are one end. In a subquery that runs for several lists SQLite 3.40 takes
        # the first row for a repetition of the last list's where it is asked for DISTINCT.
        ends = (
            select(ended.stamp)
            .where(*ended.in_bucket(), *ended.within(clocks.c.list), *conditions)
            .group_by(ended.stamp)
        )
        return ends.order_by(ended.stamp.desc()).limit(literal_column("1")).offset(beyond).scalar_subquery()

    columns: list[ScalarSelect[Any]] = []
    for ended in _ALL:
        if counted:
            columns.append(newest(ended, beyond=bindparam("keep", type_=BigInteger)))
        if dated:
            columns.append(newest(ended, ended.stamp < bindparam("before", type_=BigInteger)))
    lists = bindparam("lists", expanding=True, type_=Text)
    return select(clocks.c.list, *columns).where(clocks.c.bucket == _BUCKET, clocks.c.list.in_(lists))


def _build_finding(ended: _Ended) -> Select[Any]:
    """Make the statement of a batch of rows to remove, which goes on where the last one ended."""
    first = ended.order[0]
    return (
        select(*(ended.table.c[key] for key in ended.keys), ended.stamp.label("stamp"), first.label("start"))
        .where(
            *ended.in_bucket(),
            *ended.within(_LIST),
            first >= ended.bound("start"),
            ended.stamp <= _THROUGH,
        )
        .order_by(*ended.order)
        .limit(_ROWS)
    )
