"""What is written: clocks locked and moved, then objects, grants and memberships, each as one multi-row statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    CompoundSelect,
    Connection,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    literal,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import (
    LIVING,
    Change,
    Holdings,
    Membership,
    Move,
    Snapshot,
    Wanted,
    Withdrawal,
    at_top,
    bucket_of,
    home,
    homes,
    list_of,
)
from backends.storage.dialect import Dialect
from backends.storage.reads import Reads
from backends.storage.tables import clocks, documents, grants, members

_AT_ONCE = 200
"""How many deleted objects one statement empties: SQLite bounds the depth of an expression."""

_ROWS_AT_ONCE = 4_000
"""How many grants or memberships one statement ends: each binds two or three values, and SQLite takes 32,766."""

_bucket = bindparam("of_bucket", type_=Text)

_lock_lists = (
    select(clocks.c.list)
    .where(clocks.c.bucket == _bucket, clocks.c.list.in_(bindparam("lists", expanding=True, type_=Text)))
    .order_by(clocks.c.list)
    .with_for_update(key_share=True)
)
_lock_below = (
    select(clocks.c.list).where(clocks.c.bucket == _bucket).order_by(clocks.c.list).with_for_update(key_share=True)
)


def _build_holdings() -> CompoundSelect[Any]:
    """Make the statement of what a principal has; whoever holds `write` beside it makes an object not only its own."""
    holder, other = bindparam("holder", type_=Text), grants.alias("other")
    held = and_(grants.c.principal == holder, grants.c.until == LIVING)
    beside = exists().where(
        other.c.bucket == grants.c.bucket,
        other.c.uri == grants.c.uri,
        other.c.permission == "write",
        other.c.until == LIVING,
        other.c.principal != holder,
    )
    return union_all(
        select(literal("granted"), grants.c.uri).where(held),
        select(literal("sole"), grants.c.uri).where(held, grants.c.permission == "write", ~beside),
        select(literal("groups"), members.c.principal).where(members.c.user_id == holder, members.c.until == LIVING),
    )


_holdings = _build_holdings()


class Writer:
    """One writing transaction on a connection. See `backends.storage.Transaction` for what its methods promise."""

    def __init__(self, connection: Connection, dialect: Dialect, reads: Reads) -> None:
        self._connection = connection
        self._dialect = dialect
        self._reads = reads

    def lock(self, lists: Iterable[str], below: Iterable[str] = ()) -> set[str]:
        """Lock one bucket after the other, in their order; all of a bucket twice.

        The statement that waited does not see a list that was born meanwhile, the second one does.
        """
        named: dict[str, list[str]] = {}
        for list in sorted(lists):
            named.setdefault(bucket_of(list), []).append(list)
        whole = {bucket_of(uri) for uri in below}
        found: set[str] = set()
        for bucket in sorted(named.keys() | whole):
            if bucket in whole:
                for _ in range(2):
                    found |= set(self._connection.execute(_lock_below, {"of_bucket": bucket}).scalars())
            else:
                wanted = {"of_bucket": bucket, "lists": named[bucket]}
                found |= set(self._connection.execute(_lock_lists, wanted).scalars())
        return found

    def read(self, wanted: Wanted) -> Snapshot:
        """Read one bucket inside the transaction."""
        return self._reads.run(self._connection, wanted)

    def taken(self, wished: Iterable[tuple[str, int]]) -> set[str]:
        """Return the objects that have one of the timestamps in one of the lists."""
        pairs = [(home(uri), list_of(uri), timestamp) for uri, timestamp in wished]
        having = tuple_(documents.c.bucket, documents.c.list, documents.c.last_modified).in_(pairs)
        buckets = documents.c.bucket.in_({bucket for bucket, _, _ in pairs})
        return set(self._connection.execute(select(documents.c.uri).where(buckets, having)).scalars())

    def write(self, changes: Sequence[Change], moves: Sequence[Move]) -> None:
        """Write what the decisions changed."""
        self._move(moves)
        self._put_documents(changes)
        self._end_grants([change for change in changes if change.stamp == change.stored.timestamp])
        for stamp, aside in groupby(
            sorted((change for change in changes if change.stamp != change.stored.timestamp), key=_stamp), key=_stamp
        ):
            self._end_grants(list(aside), stamp)
        self._begin_grants(changes)

    def _move(self, moves: Sequence[Move]) -> None:
        """Set locked clocks to what was used, and start those of new lists.

        A row with a floor starts a list: where it existed in a former life, above what it was then.
        """
        rows = [
            {
                "bucket": bucket_of(move.list),
                "list": move.list,
                "last_modified": move.last_modified,
                "floor": move.last_modified if move.starts else 0,
                "count": move.count,
            }
            for move in sorted(moves, key=lambda move: (bucket_of(move.list), move.list))
        ]
        if not rows:
            return
        statement = self._dialect.insert(clocks)
        new = statement.excluded
        # A clock at the end of the range has no next value: the list starts at what is given.
        above = self._dialect.greatest(clocks.c.last_modified + 1, new.last_modified)
        started = case((clocks.c.last_modified < LIVING - 1, above), else_=new.last_modified)
        starts = new.floor > 0
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[clocks.c.bucket, clocks.c.list],
                set_={
                    "last_modified": case((starts, started), else_=new.last_modified),
                    "floor": case((starts, started), else_=clocks.c.floor),
                    "count": case((starts, new.count), else_=clocks.c.count + new.count),
                },
            ),
            rows,
        )

    def _put_documents(self, changes: Sequence[Change]) -> None:
        """Write objects under every key they live at; a tombstone only where its list is read."""
        rows = [
            {
                "bucket": bucket,
                "uri": change.stored.uri,
                "list": list_of(change.stored.uri),
                "born": change.stored.born,
                "last_modified": change.stored.timestamp,
                "deleted": change.stored.deleted,
                "data": change.stored.text,
            }
            for change in changes
            for bucket in ((home(change.stored.uri),) if change.stored.deleted else homes(change.stored.uri))
        ]
        if not rows:
            return
        statement = self._dialect.insert(documents)
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[documents.c.bucket, documents.c.uri],
                set_={name: statement.excluded[name] for name in ("last_modified", "deleted", "data")},
            ),
            rows,
        )

    def _end_grants(self, changes: Sequence[Change], stamp: int | None = None) -> None:
        """End grants at the timestamp of their object, which was just written; or, where that is older, at *stamp*."""
        gone = [change.stored.uri for change in changes if change.stored.deleted]
        ended = [(change.stored.uri, *pair) for change in changes if not change.stored.deleted for pair in change.ended]
        if not gone and not ended:
            return
        buckets = sorted({bucket for change in changes for bucket in homes(change.stored.uri)})
        for start in range(0, max(len(ended), 1), _ROWS_AT_ONCE):
            named = []
            if gone and not start:
                named.append(grants.c.uri.in_(gone))
            if ended:
                some = ended[start : start + _ROWS_AT_ONCE]
                named.append(tuple_(grants.c.uri, grants.c.permission, grants.c.principal).in_(some))
            self._end_grants_where(and_(grants.c.bucket.in_(buckets), or_(*named)), stamp)

    def _end_grants_where(self, where: ColumnElement[bool], stamp: int | None) -> None:
        until: Any = (
            select(documents.c.last_modified)
            .where(documents.c.bucket == grants.c.bucket, documents.c.uri == grants.c.uri)
            .scalar_subquery()
        )
        if stamp is not None:
            until = stamp
            self._connection.execute(delete(grants).where(where, grants.c.until == stamp))
        self._connection.execute(update(grants).where(where, grants.c.until == LIVING).values(until=until))

    def _begin_grants(self, changes: Sequence[Change]) -> None:
        rows = [
            {
                "bucket": bucket,
                "uri": change.stored.uri,
                "list": list_of(change.stored.uri),
                "permission": permission,
                "principal": principal,
                "since": change.stamp,
                "until": LIVING,
            }
            for change in changes
            for bucket in homes(change.stored.uri)
            for permission, principal in sorted(change.begun)
        ]
        if rows:
            self._connection.execute(self._dialect.insert(grants).on_conflict_do_nothing(), rows)

    def regroup(self, memberships: Sequence[Membership], dissolved: Withdrawal) -> None:
        """End memberships, then begin others."""
        self._end(members, members.c.principal, dissolved)
        left = [(user, each.group) for each in memberships for user in sorted(each.left)]
        stamp = max((each.stamp for each in memberships), default=0)
        for start in range(0, len(left), _ROWS_AT_ONCE):
            some = left[start : start + _ROWS_AT_ONCE]
            self._end_rows(members, tuple_(members.c.user_id, members.c.principal).in_(some), stamp)
        rows = [
            {"user_id": user, "principal": each.group, "since": each.stamp, "until": LIVING}
            for each in memberships
            for user in sorted(each.joined)
        ]
        if rows:
            self._connection.execute(self._dialect.insert(members).on_conflict_do_nothing(), rows)

    def empty(self, uris: Sequence[str]) -> None:
        """Delete all that lies below deleted objects."""
        for start in range(0, len(uris), _AT_ONCE):
            some = uris[start : start + _AT_ONCE]
            self._connection.execute(delete(documents).where(_below(documents, some)))
            self._connection.execute(delete(grants).where(_below(grants, some)))

    def holdings(self, principal: str) -> Holdings:
        """Return what a principal has by itself."""
        found: dict[str, set[str]] = {"granted": set(), "sole": set(), "groups": set()}
        for source, uri in self._connection.execute(_holdings, {"holder": principal}):
            found[source].add(uri)
        return Holdings(**{source: frozenset(uris) for source, uris in found.items()})

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """End grants to principals, and memberships of users: groups are members of none."""
        self._end(grants, grants.c.principal, withdrawal)
        self._end(members, members.c.user_id, Withdrawal(withdrawal.stamp, withdrawal.users))

    def _end(self, table: Table, principal: Column[Any], withdrawal: Withdrawal) -> None:
        """End the rows of a table with the principals of *withdrawal* in a column: one statement for all names."""
        named, inside = sorted(withdrawal.users | withdrawal.groups), sorted(withdrawal.inside)
        if named:
            self._end_rows(table, principal.in_(named), withdrawal.stamp)
        for start in range(0, len(inside), _AT_ONCE):
            some = inside[start : start + _AT_ONCE]
            self._end_rows(table, or_(*(_inside(principal, uri) for uri in some)), withdrawal.stamp)

    def _end_rows(self, table: Table, condition: ColumnElement[bool], stamp: int) -> None:
        """End rows that still hold: at *stamp*, or just after they began where that was later by another clock."""
        since, last = table.c.since, LIVING - 1
        until = case((since >= last, last), (since >= stamp, since + 1), else_=literal(stamp, BigInteger))
        self._connection.execute(update(table).where(condition, table.c.until == LIVING).values(until=until))

    def rollback(self) -> None:
        """Forget all that was done."""
        self._connection.rollback()


def _stamp(change: Change) -> int:
    return change.stamp


def _inside(column: Any, uri: str) -> Any:
    """Say that a URI lies below another: a range, since `_` and `%` in ids are no wildcards (C-OBJ-60)."""
    return and_(column > f"{uri}/", column < f"{uri}0")


def _below(table: Any, uris: Sequence[str]) -> Any:
    """Say that a row lies below one of the objects: all of its bucket, or a range of URIs in it."""
    tops = [uri for uri in uris if at_top(uri)]
    ranges = [and_(table.c.bucket == bucket_of(uri), _inside(table.c.uri, uri)) for uri in uris if not at_top(uri)]
    return or_(table.c.bucket.in_(tops), *ranges) if tops else or_(*ranges)
