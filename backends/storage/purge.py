"""Remove ended rows of lists: tombstones, and grants and memberships that ended.

Theory of operation:

- Each list has two limits, both timestamps: tombstones up to `tombstones` are removed, grants and memberships that
  ended up to `intervals`, which is never the lower one. A limit is the newest timestamp that is too old, or beyond a
  number: the newest tombstone beyond the first *keep*, and for `intervals` also the newest end of grants, or of
  memberships, beyond the first *keep* ends. Ends up to `floor` are removed in any case: a run that was killed has
  removed the tombstones by which it knew its limit, and has raised `floor`.
- A batch of at most 1,000 rows is read without a lock. A transaction for each batch locks the clock of the list, raises
  its `floor` to the newest timestamp of the batch, and deletes the rows by their keys. The DELETE checks again that
  they have ended: an object may have been created again meanwhile. So the command can be killed at any moment: a client
  that would miss a row polls from below `floor`, and another run of the command continues.
- The end of a grant in a list that did not move then (its user was deleted) is one above the clock. The clock is raised
  with `floor`, which is never above it, since otherwise a client that reads the list anew would be below `floor` too.
- The clock of a list is removed last, once the list no longer exists (`backends.storage.dead_clocks`).

Every statement has its bucket as a condition, except the one that reads all clocks.

    DELETE FROM grants USING unnest(...) AS gone(bucket, uri, permission, principal, since)
    WHERE grants.bucket = gone.bucket AND ... AND grants.bucket IN (...) AND grants.until <= 1750000000000
"""

from __future__ import annotations

import time
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
from backends.storage.dead_clocks import MIN_AGE_MS, DeadClocks
from backends.storage.dialect import Dialect
from backends.storage.maintenance import Maintenance
from backends.storage.sessions import Session
from backends.storage.tables import clocks, documents, grants, members
from backends.storage.writes import Writer

_MAX_ROWS: Final = 1_000
"""The greatest number of rows that a transaction removes, and of clocks that a statement reads."""

_BUCKET: Final = bindparam("of_bucket", type_=Text)
_LIST: Final = bindparam("of_list", type_=Text)
_NEW_FLOOR: Final = bindparam("passed", type_=BigInteger)
_LIMIT: Final = bindparam("through", type_=BigInteger)
_LIVING: Final = literal_column(str(LIVING), BigInteger)


@dataclass(frozen=True, slots=True)
class _EndedRows:
    """The ended rows of a table: the column with their end, the key of a row, and the order of an index of them."""

    table: Table
    stamp: Column[Any]
    keys: tuple[str, ...]
    order: tuple[Column[Any], ...]

    def in_list(self, name: Any) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions that rows of the bucket belong to a list and have ended."""
        columns = self.table.c
        if self.table is members:
            group_id = func.substr(columns.principal, func.length(name) + literal_column("2"), type_=Text)
            yield columns.principal > name.concat(literal_column("'/'", Text))
            yield columns.principal < name.concat(literal_column("'0'", Text))
            yield group_id.not_like(literal_column("'%/%'", Text))
        else:
            yield columns.list == name
        yield columns.deleted if self.table is documents else self.stamp < _LIVING

    def in_bucket(self) -> Iterator[ColumnElement[bool]]:
        """Yield the condition on the bucket, where the table has one."""
        if self.table is not members:
            yield self.table.c.bucket == _BUCKET

    def bind_first(self, name: str) -> BindParameter[Any]:
        """Return a bound value to compare with the first column of `order`."""
        return bindparam(name, type_=Text() if self.table is members else BigInteger())


_TOMBSTONES: Final = _EndedRows(
    documents, documents.c.last_modified, ("bucket", "uri"), (documents.c.last_modified, documents.c.uri)
)
_GRANTS: Final = _EndedRows(
    grants,
    grants.c.until,
    ("bucket", "uri", "permission", "principal", "since"),
    (grants.c.until, grants.c.uri),
)
_MEMBERSHIPS: Final = _EndedRows(
    members,
    members.c.until,
    ("user_id", "principal", "since"),
    (members.c.principal, members.c.until, members.c.user_id, members.c.since),
)
_ALL: Final = (_TOMBSTONES, _GRANTS, _MEMBERSHIPS)


@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits of a list: ended rows up to these timestamps are removed; -1 where none are."""

    bucket: str
    list: str
    tombstones: int
    intervals: int


class Purge(Maintenance):
    """The purge of one storage."""

    def __init__(
        self,
        dialect: Dialect,
        read_session: Callable[[], AbstractContextManager[Session]],
        transaction: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        super().__init__(read_session, transaction)
        self._dialect = dialect
        self._dead_clocks = DeadClocks(read_session, transaction)
        self._select_batch = lru_cache(_build_select_batch)
        self._delete_batch = lru_cache(self._build_delete_batch)
        floor, last_modified = (
            dialect.greatest(column, _NEW_FLOOR) for column in (clocks.c.floor, clocks.c.last_modified)
        )
        self._raise_floor = (
            update(clocks)
            .where(clocks.c.bucket == _BUCKET, clocks.c.list == _LIST)
            .values(floor=floor, last_modified=last_modified)
        )

    def run(self, patterns: Sequence[str], keep: int | None, before: int | None) -> int:
        """Remove ended rows from the lists that match LIKE patterns; return the number of tombstones removed."""
        count = 0
        old = time.time_ns() // 1_000_000 - MIN_AGE_MS
        statement = _build_limits(counted=keep is not None, dated=before is not None)
        for bucket, lists in self._lists(patterns):
            for limits in self._limits(statement, bucket, lists, keep, before):
                count += self._remove(_TOMBSTONES, limits, limits.tombstones)
                for intervals in (_GRANTS, _MEMBERSHIPS):
                    self._remove(intervals, limits, limits.intervals)
            self._remove_lists(bucket, lists, old if before is None else min(old, before))
        return count

    def _remove_lists(self, bucket: str, lists: Sequence[str], limit: int) -> None:
        """Remove the clocks below *limit* of lists that no longer exist, and the memberships that ended in them."""
        dead = self._dead_clocks.find(bucket, lists, limit)
        for name in dead:
            self._remove(_MEMBERSHIPS, _Limits(bucket, name, -1, limit), limit)
        if dead:
            self._dead_clocks.remove(bucket, dead, limit)

    def _limits(
        self, statement: Select[Any], bucket: str, lists: Sequence[str], keep: int | None, before: int | None
    ) -> Iterator[_Limits]:
        """Yield the limits of each list of a bucket from which rows are to be removed."""
        parameters = {"of_bucket": bucket, "lists": lists, "keep": keep, "before": before}
        with self._read_session() as session:
            rows = session.connection.execute(statement, parameters).all()
        for name, *newest in rows:
            ends = [-1 if end is None else end for end in newest]
            if max(ends) >= 0:
                yield _Limits(bucket, name, max(ends[: (keep is not None) + (before is not None)]), max(ends))

    def _lists(self, patterns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield the lists that match by bucket, those of a large bucket in several parts."""
        statement = _build_lists(patterns)
        bucket = name = ""
        while True:
            with self._read_session() as session:
                rows = session.connection.execute(statement, {"after_bucket": bucket, "after_list": name}).all()
            for group_bucket, group in groupby(rows, key=lambda row: str(row[0])):
                yield group_bucket, [row[1] for row in group]
            if len(rows) < _MAX_ROWS:
                return
            bucket, name = rows[-1]

    def _remove(self, target: _EndedRows, limits: _Limits, limit: int) -> int:
        """Remove rows that ended up to the timestamp *limit*, batch by batch; return their number."""
        count, start = 0, f"{limits.list}/" if target is _MEMBERSHIPS else 0
        where = {"of_bucket": limits.bucket, "of_list": limits.list}
        size = _MAX_ROWS if limit >= 0 else 0
        while size == _MAX_ROWS:
            with self._read_session() as session:
                parameters = {**where, "start": start, "through": limit}
                rows = session.connection.execute(self._select_batch(target), parameters).all()
            size = len(rows)
            if rows:
                start = rows[-1].start
                count += self._remove_batch(target, where, rows)
        return count

    def _remove_batch(self, target: _EndedRows, where: dict[str, str], rows: Sequence[Any]) -> int:
        """Remove rows in a transaction of its own; none for a list whose clock is gone (a flush deleted all rows)."""
        newest = max(row.stamp for row in rows)
        keys = [tuple(row[: len(target.keys)]) for row in rows]
        if target is _GRANTS:
            # Grants of an object at the top are stored in two buckets.
            keys = [(bucket, uri, *columns) for _, uri, *columns in keys for bucket in write_buckets(uri)]
        parameters = {
            **self._dialect.bind_rows("gone", target.keys, keys),
            "of_list": where["of_list"],
            "start": rows[0].start,
            "end": rows[-1].start,
            "through": newest,
        }
        if target is not _MEMBERSHIPS:
            parameters["buckets"] = sorted({bucket for bucket, *_ in keys})
        with self._transaction() as writer:
            if not writer.lock([where["of_list"]]):
                return 0
            writer.connection.execute(self._raise_floor, {**where, "passed": newest})
            count: int = writer.connection.execute(self._delete_batch(target), parameters).rowcount
            return count

    def _build_delete_batch(self, target: _EndedRows) -> Delete:
        table = target.table
        keys = self._dialect.bound_rows(
            "gone", [(key, BigInteger() if key == "since" else Text()) for key in target.keys]
        )
        conditions = [self._dialect.row_in([table.c[key] for key in target.keys], keys)]
        if "bucket" in target.keys:
            # A literal condition on the bucket, by which a cluster finds the machine.
            buckets = bindparam("buckets", expanding=True, type_=Text)
            conditions.append(self._dialect.without_index(table.c.bucket).in_(buckets))
        # Only rows between the first and the last, so that the plan reads no others, whichever index it chooses.
        conditions += [
            *target.in_list(_LIST),
            target.order[0].between(target.bind_first("start"), target.bind_first("end")),
        ]
        return delete(table).where(*conditions, target.stamp <= _LIMIT)


def _build_lists(patterns: Sequence[str]) -> Select[Any]:
    after = tuple_(bindparam("after_bucket", type_=Text), bindparam("after_list", type_=Text))
    matching = or_(*(clocks.c.list.like(pattern, escape="\\") for pattern in patterns))
    return (
        select(clocks.c.bucket, clocks.c.list)
        .where(tuple_(clocks.c.bucket, clocks.c.list) > after, matching)
        .order_by(clocks.c.bucket, clocks.c.list)
        .limit(_MAX_ROWS)
    )


def _build_limits(*, counted: bool, dated: bool) -> Select[Any]:
    """Return the statement of the newest rows to remove from each table: *counted* by number, *dated* by age.

    Those of tombstones come first; of the others, those up to `floor` come last.
    """

    def newest(target: _EndedRows, *conditions: ColumnElement[bool], beyond: Any = None) -> ScalarSelect[Any]:
        # Several grants that end at the same timestamp count as one end. GROUP BY and not DISTINCT: in a subquery that
        # runs for several lists, SQLite 3.40 drops a first row that equals the last row of the list before.
        ends = (
            select(target.stamp)
            .where(*target.in_bucket(), *target.in_list(clocks.c.list), *conditions)
            .group_by(target.stamp)
        )
        return ends.order_by(target.stamp.desc()).limit(literal_column("1")).offset(beyond).scalar_subquery()

    columns: list[ScalarSelect[Any]] = []
    for target in _ALL:
        if counted:
            columns.append(newest(target, beyond=bindparam("keep", type_=BigInteger)))
        if dated:
            columns.append(newest(target, target.stamp < bindparam("before", type_=BigInteger)))
        if target is not _TOMBSTONES:
            columns.append(newest(target, target.stamp <= clocks.c.floor))
    lists = bindparam("lists", expanding=True, type_=Text)
    return select(clocks.c.list, *columns).where(clocks.c.bucket == _BUCKET, clocks.c.list.in_(lists))


def _build_select_batch(target: _EndedRows) -> Select[Any]:
    """Return the statement of a batch of rows to remove, which continues where the last batch ended."""
    first = target.order[0]
    return (
        select(*(target.table.c[key] for key in target.keys), target.stamp.label("stamp"), first.label("start"))
        .where(
            *target.in_bucket(),
            *target.in_list(_LIST),
            first >= target.bind_first("start"),
            target.stamp <= _LIMIT,
        )
        .order_by(*target.order)
        .limit(_MAX_ROWS)
    )
