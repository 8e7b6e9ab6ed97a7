"""What is written: clocks locked and moved, then objects, grants and memberships, each as one multi-row statement.

Theory of operation, on the rules of docs/architecture.md ("What a transaction refuses"):

- The row of a list's clock is its lock. `Writer.lock` locks the clocks of a bucket by one statement in the order of
  their names, buckets in sorted order, the lists at the top last (`_in_order`), so that two transactions that lock at
  their start never wait for each other in a circle. A statement that waited returns the newest values of the rows that
  were there when it began; a list that was made meanwhile is not among them. `Writer.read` comes later and sees it.
  Which lists a plural DELETE of buckets empties is known under the lock of their list alone: where that makes a circle,
  PostgreSQL ends one of the two transactions and it is tried again.
- A list that the transaction did not lock and did not start is never written or emptied: `Unlocked` names it, and the
  next try locks it from the start.
- `Writer.write` moves the clocks first and writes objects and grants after it. The upsert of the clocks returns what it
  has stored; a list that starts later than expected had a clock that nobody read.
- Grants and memberships begin and end in `backends/storage/intervals.py` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    delete,
)

from backends.storage import (
    Change,
    Clock,
    Holdings,
    Move,
    Principals,
    Selection,
    Snapshot,
    Unlocked,
    UserHoldings,
    bucket_of,
    is_inside,
    list_of,
    read_bucket,
    write_buckets,
)
from backends.storage.dialect import Dialect
from backends.storage.intervals import GRANT, MEMBERSHIP, OBJECT
from backends.storage.reads import Reads
from backends.storage.tables import documents, grants, members
from backends.storage.waits import WAIT, Waits
from backends.storage.write_statements import Writes, below, held_inside

_AT_ONCE = 200
"""How many deleted objects one statement empties: SQLite bounds the depth of an expression."""


class Writer:
    """One writing transaction on a connection. See `backends.storage.Transaction` for what its methods promise.

    It knows which lists it holds: those whose clocks it has locked, and those that it has started. It refuses to write
    or to empty any other list (`Unlocked`), so that another try, which locks that list too, takes the place of a fault.
    """

    def __init__(self, connection: Connection, dialect: Dialect, reads: Reads, writes: Writes, waits: Waits) -> None:
        self._connection = connection
        self._dialect = dialect
        self._reads = reads
        self._writes = writes
        self._waits = waits
        self._held: set[str] = set()
        self._emptied: set[str] = set()

    def lock(self, lists: Iterable[str], below: Iterable[str] = ()) -> dict[str, Clock]:
        """Lock one bucket after the other, the lists at the top last."""
        named: dict[str, list[str]] = {}
        for name in sorted(lists):
            named.setdefault(bucket_of(name), []).append(name)
        inside: dict[str, list[str]] = {}
        for uri in sorted(below):
            inside.setdefault(bucket_of(uri), []).append(uri)
        locked: dict[str, Clock] = {}
        for bucket in sorted(named.keys() | inside, key=_in_order):
            uris = inside.get(bucket, [])
            for start in range(0, max(len(uris), 1), _AT_ONCE):
                some = uris[start : start + _AT_ONCE]
                parameters: dict[str, Any] = {"of_bucket": bucket, "lists": named.get(bucket, []) if not start else []}
                for number, uri in enumerate(some):
                    parameters |= {f"above_{number}": f"{uri}/", f"below_{number}": f"{uri}0"}
                with self._waits.register((*parameters["lists"], *some)) as seconds:
                    options = {WAIT: seconds}
                    rows = self._connection.execute(self._writes.lock(len(some)), parameters, execution_options=options)
                locked |= {name: Clock(last_modified, count) for name, last_modified, count in rows}
        self._held |= locked.keys()
        return locked

    def lock_last(self, name: str) -> dict[str, Clock]:
        """Lock one more list, unless that would be against the order in which all lock."""
        place = *_in_order(bucket_of(name)), name
        if name in self._held or all((*_in_order(bucket_of(held)), held) < place for held in self._held):
            return self.lock((name,))
        if self.read(Selection(bucket_of(name), clocks=(name,))).clocks:
            raise Unlocked((name,))
        return {}

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that the transaction neither locked nor started."""
        missing = set(lists) - self._held
        if missing:
            raise Unlocked(missing)

    def read(self, wanted: Selection) -> Snapshot:
        """Read one bucket inside the transaction; what is to be emptied must hold no list that is not locked."""
        seen = self._reads.run(self._connection, wanted)
        if wanted.cascade_roots:
            self.expect_locked(name for name in seen.clocks if is_inside(name, wanted.cascade_roots))
            self._emptied |= set(wanted.cascade_roots)
        return seen

    def timestamp_conflicts(self, wished: Iterable[tuple[str, int]]) -> set[str]:
        """Return the objects that have one of the timestamps in one of the lists."""
        by_bucket: dict[str, list[tuple[str, int]]] = {}
        for uri, timestamp in wished:
            by_bucket.setdefault(read_bucket(uri), []).append((list_of(uri), timestamp))
        found: set[str] = set()
        for bucket, rows in sorted(by_bucket.items()):
            parameters = self._dialect.bind_rows("asked", ("list", "last_modified"), rows)
            found |= set(self._connection.execute(self._writes.taken, {"of_bucket": bucket, **parameters}).scalars())
        return found

    def write(self, changes: Sequence[Change], moves: Sequence[Move]) -> None:
        """Write what the decisions changed."""
        started = {move.list for move in moves if move.starts}
        self.expect_locked({change.list for change in changes} - started)
        self.expect_locked({move.list for move in moves} - started)
        self._move(moves)
        self._put_documents(changes)
        self._end_grants(changes)
        self._begin_grants(changes)

    def _move(self, moves: Sequence[Move]) -> None:
        """Set locked clocks to what was used, and start those of new lists.

        A list that had a clock of a former life that was not read starts later than expected: then somebody else made
        it meanwhile, or nobody knew of it. Another try locks it.
        """
        ordered = sorted(moves, key=lambda move: (*_in_order(bucket_of(move.list)), move.list))
        rows = [
            {
                "bucket": bucket_of(move.list),
                "list": move.list,
                "last_modified": move.last_modified,
                "floor": move.last_modified if move.starts else 0,
                "count": move.count,
            }
            for move in ordered
        ]
        expected = {move.list: move.last_modified for move in moves}
        moved: dict[str, int] = dict(self._writes.clocks.execute(self._connection, rows))
        later = {name for name, timestamp in moved.items() if timestamp != expected[name]}
        if later:
            raise Unlocked(later)
        self._held |= expected.keys()

    def _put_documents(self, changes: Sequence[Change]) -> None:
        """Write objects under every key they live at; a tombstone only where its list is read."""
        rows = [
            {
                "bucket": bucket,
                "uri": change.stored.uri,
                "list": change.list,
                "born": change.stored.born,
                "last_modified": change.stored.timestamp,
                "deleted": change.stored.deleted,
                "data": change.stored.text,
            }
            for change in changes
            for bucket in ((change.read_bucket,) if change.stored.deleted else change.write_buckets)
        ]
        self._writes.documents.execute(self._connection, rows)

    def _end_grants(self, changes: Sequence[Change]) -> None:
        """End all grants of deleted objects, and those of others that were withdrawn."""
        gone = [
            (bucket, change.stored.uri, change.stamp)
            for change in changes
            if change.stored.deleted
            for bucket in change.write_buckets
        ]
        ended = [
            (bucket, change.stored.uri, *pair, change.stamp)
            for change in changes
            if not change.stored.deleted
            for bucket in change.write_buckets
            for pair in sorted(change.revoked)
        ]
        self._writes.intervals.end(self._connection, grants, OBJECT, gone)
        self._writes.intervals.end(self._connection, grants, GRANT, ended)

    def _begin_grants(self, changes: Sequence[Change]) -> None:
        rows = [
            {
                "bucket": bucket,
                "uri": change.stored.uri,
                "list": change.list,
                "permission": permission,
                "principal": principal,
                "since": change.stamp,
            }
            for change in changes
            for bucket in change.write_buckets
            for permission, principal in sorted(change.granted)
        ]
        self._writes.intervals.begin(self._connection, grants, rows)

    def holdings_of(self, principals: Principals) -> Holdings:
        """Return the living grants to principals, the memberships of users and those in groups."""
        named = sorted(principals.users | principals.groups)
        found = Holdings()
        if named:
            parameters = self._dialect.bind_rows("named", ("value",), [(name,) for name in named])
            found |= _held(self._connection.execute(self._writes.held_by_name, parameters))
        inside = sorted(principals.inside)
        for start in range(0, len(inside), _AT_ONCE):
            some = inside[start : start + _AT_ONCE]
            found |= _held(self._connection.execute(held_inside(some)))
        return found

    def end_holdings(self, held: Holdings, stamp: Callable[[str], int]) -> None:
        """End grants and memberships, each at the timestamp that *stamp* gives its list."""
        self.expect_locked(held.lists())
        stamps = {name: stamp(name) for name in held.lists()}
        ended = [
            (bucket, uri, permission, principal, stamps[list_of(uri)])
            for uri, permission, principal in sorted(held.grants)
            for bucket in write_buckets(uri)
        ]
        left = [(user, group, stamps[list_of(group)]) for user, group in sorted(held.memberships | held.members)]
        self._writes.intervals.end(self._connection, grants, GRANT, ended)
        self._writes.intervals.end(self._connection, members, MEMBERSHIP, left)

    def begin_memberships(self, memberships: Iterable[tuple[str, str]], stamp: Callable[[str], int]) -> None:
        """Begin memberships: pairs of a user and a group."""
        joined = sorted(memberships)
        self.expect_locked({list_of(group) for _, group in joined})
        rows = [{"user_id": user, "principal": group, "since": stamp(list_of(group))} for user, group in joined]
        self._writes.intervals.begin(self._connection, members, rows)

    def delete_below(self, uris: Sequence[str], *, copies: bool = True) -> None:
        """Delete all that lies below deleted objects, and the *copies* of those at the top in their own buckets."""
        unknown = {uri for uri in uris if uri not in self._emptied and not is_inside(uri, self._emptied)}
        if unknown:
            raise Unlocked(unknown)
        for start in range(0, len(uris), _AT_ONCE):
            some = uris[start : start + _AT_ONCE]
            self._connection.execute(delete(documents).where(below(documents, some, copies)))
            self._connection.execute(delete(grants).where(below(grants, some, copies)))

    def delete_copies(self, uris: Sequence[str]) -> None:
        """Delete the copies of deleted objects at the top, in which nothing can be, in their own buckets."""
        for start in range(0, len(uris), _AT_ONCE):
            some = uris[start : start + _AT_ONCE]
            for table in (documents, grants):
                # By both columns: what has just been deleted in the bucket would be passed by one after the other.
                copies = table.c.bucket.in_(some), table.c.uri.in_(some)
                self._connection.execute(delete(table).where(*copies))

    def start_clocks(self, lists: Collection[str], now: int) -> None:
        """Make the clocks of lists that have none."""
        rows = [
            {"bucket": bucket_of(name), "list": name, "last_modified": now, "floor": now, "count": 0}
            for name in sorted(lists)
        ]
        self._writes.starts.execute(self._connection, rows)
        self._held |= set(lists)

    def user_holdings(self, principal: str) -> UserHoldings:
        """Return what a principal has by itself."""
        found: dict[str, set[str]] = {"granted": set(), "sole": set(), "groups": set()}
        named = self._dialect.bind_rows("holder", ("value",), [(principal,)])
        for source, uri in self._connection.execute(self._writes.holdings, named):
            found[source].add(uri)
        return UserHoldings(**{source: frozenset(uris) for source, uris in found.items()})

    @property
    def connection(self) -> Connection:
        """Return the connection, for statements that are no writes of the rules."""
        return self._connection

    def rollback(self) -> None:
        """Forget all that was done."""
        self._connection.rollback()


def _in_order(bucket: str) -> tuple[bool, str]:
    """Return the place of a bucket in the order of locks: lists at the top come last.

    So a request that deletes a bucket empties it before it locks the list that all buckets are in.
    """
    return bucket.count("/") == 1, bucket


def _held(rows: Iterable[Any]) -> Holdings:
    found: tuple[set[Any], set[Any], set[Any]] = (set(), set(), set())
    for source, first, second, third in rows:
        found[source].add((first, second, third) if source == 0 else (first, second))
    return Holdings(*map(frozenset, found))
