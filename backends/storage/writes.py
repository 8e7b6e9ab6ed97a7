"""One writing transaction: lock clocks, read, move clocks, write objects, grants and memberships.

Theory of operation, on the rules of docs/architecture.md ("What a transaction refuses"):

- **Locks.** The row of a list's clock is the lock of the list; no other row is locked before it is written. `lock`
  sends one statement for each bucket, buckets in ascending order, the lists of a bucket in the order of their names,
  then the lists at the top (`/accounts`, `/buckets`), and derived lists last (`_place`). So a request that deletes a
  bucket empties it before it locks the list that all buckets share, and two transactions that lock at their start never
  wait for each other in a circle. One circle is left: the lists that a DELETE of all buckets empties are known only
  under the lock of their list. PostgreSQL then ends one of the two transactions as a deadlock.
- **Derived lists** get an object for each change of other lists of their bucket (a history). Nothing locks them before
  the upsert that moves the clocks, which moves theirs in its last rows. So writers of different lists of a bucket wait
  for each other from there to the COMMIT only. The read has their clocks, not locked, and the upsert moves one only if
  it is still as it was read: all writes are one message with the COMMIT. If another transaction was faster: Unlocked,
  and for the next seconds (`backends.storage.derived`) the upsert is a message of its own, which returns the
  timestamps that it gave out. A list below a cascade root may be derived: its rows are deleted before it is locked too,
  and once more afterwards.
- **Visibility.** The level is READ COMMITTED: a statement sees the rows that were committed before it began, and the
  transaction's own. A `lock` that waited returns the newest values of the rows that existed when it began; a list that
  was created meanwhile is missing. `read` is a later statement and sees it. On SQLite a transaction begins with the
  write lock of the database, and `lock` is a plain SELECT.
- **Messages.** Statements that write wait and are sent with the COMMIT or the next read (`backends.storage.sessions`).
  The lock of lists in one bucket waits for the read of that bucket, which tells which of them are locked.
- **Own lists.** A `Writer` knows the lists that it has locked or started, and raises Unlocked instead of writing or
  emptying any other list. The next try locks it from the start.
- **Order of writes.** Clocks; documents; ends of grants; begins of grants; rows below deleted objects; memberships
  last, because all operations of a batch see the groups of its start. Many rows are one statement
  (`backends.storage.inserts`).
- **What would break.** `read` before `lock`: decisions on values that another transaction is changing, so the same
  timestamp twice. Documents before clocks: a list that starts has no row to lock, the upsert of its clock is what makes
  a second transaction wait; it fails for a clock that nobody read (Unlocked). Begins before ends: the end of all grants
  of an object would end those that have just begun. `delete_below` before a read of the clocks below: a list that was
  created meanwhile would stay without its parent.
- **Errors.** `app.transactions.write_transaction` tries again on Conflict (deadlock, serialization failure),
  Disconnected (the connection died before COMMIT) and Unlocked. It does not on Uncertain (the connection died during
  COMMIT: the write may have been applied) and Busy (a lock timeout): the client gets a 503.

A PUT that creates a record which eve may write, shortened:

    SELECT ... FROM unnest(:ranges_first, :ranges_last) AS ranges(first, last) JOIN LATERAL (SELECT list, last_modified,
        count FROM clocks WHERE bucket = '/buckets/b' AND list >= first AND list <= last
        ORDER BY list OFFSET 0 FOR NO KEY UPDATE) AS each ON true
    WITH joined AS ... SELECT ... UNION ALL ...                                     (see backends.storage.reads)
    INSERT INTO clocks (bucket, list, last_modified, floor, count)
        VALUES ('/buckets/b', '/buckets/b/collections/c/records', 1750000000002, 0, 1)
        ON CONFLICT (bucket, list) DO UPDATE SET ...
    INSERT INTO documents (bucket, uri, list, born, last_modified, deleted, data) VALUES (...), (...)
        ON CONFLICT (bucket, uri) DO UPDATE SET last_modified = excluded.last_modified, deleted = ..., data = ...
    INSERT INTO grants (bucket, uri, list, permission, principal, since, until) VALUES (...) ON CONFLICT ...

    Move("/buckets/b/collections/c/records", last_modified=1750000000002, count=1)
    Change(Stored("/buckets/b/collections/c/records/r", 1750000000002, deleted=False, born=1750000000002, text='{...}'),
           stamp=1750000000002, granted=frozenset({("write", "account:eve")}))
    Holdings(grants=frozenset({("/buckets/b", "read", "account:eve")}),
             memberships=frozenset({("account:eve", "/buckets/b/groups/g")}))
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Final

from sqlalchemy import Connection, Executable

from backends.storage import (
    NO_VALUES,
    NOTHING_APPENDED,
    NOTHING_DECLARED,
    Append,
    Appended,
    Appends,
    Change,
    Clock,
    Declared,
    Filter,
    Holdings,
    Index,
    Move,
    PluginTables,
    Principals,
    Selection,
    Snapshot,
    Unlocked,
    UserHoldings,
    Values,
    bucket_of,
    is_inside,
    list_of,
    read_bucket,
    write_buckets,
)
from backends.storage.compiled import compile_sql
from backends.storage.derived import DerivedLists
from backends.storage.index_writes import IndexWrites
from backends.storage.intervals import GRANT, MEMBERSHIP, OBJECT
from backends.storage.reads import Reads
from backends.storage.sessions import Row, Session
from backends.storage.tables import documents, grants, members
from backends.storage.waits import Waits
from backends.storage.write_statements import (
    GRANTS,
    WriteStatements,
    delete_below,
    delete_copies,
    delete_rows,
    holdings_inside,
)

_IN_BUCKET, _AT_TOP, _DERIVED = range(3)
"""The groups of lists in the order of locks."""

_Place = tuple[int, str]

_ClockRow = tuple[str, str, int, int, int]
"""A row of the upsert of clocks (`backends.storage.write_statements`): bucket, list, last_modified, floor, count."""

_NO_CLOCK: Final = Clock(0, 0)

_MAX_ROOTS: Final = 200
"""The greatest number of objects in one statement on the rows below them: SQLite limits the depth of an expression."""


class Writer:
    """One writing transaction on a connection. See `backends.storage.Transaction` for what its methods promise."""

    def __init__(
        self,
        session: Session,
        reads: Reads,
        statements: WriteStatements,
        waits: Waits,
        derived: DerivedLists,
    ) -> None:
        self.derived = derived
        self._session = session
        self._dialect = statements.dialect
        self._reads = reads
        self._statements = statements
        self._waits = waits
        self.indexes = IndexWrites(session, statements.dialect, statements.indexes, self.expect_locked)
        self._own_lists: set[str] = set()
        self._lists_to_lock: list[str] = []
        self._cascade_roots: set[str] = set()
        self._derived_below: set[str] = set()
        self._unlocked_clocks: dict[str, Clock] = {}
        self._counts: dict[str, int] = {}

    def lock(
        self, lists: Iterable[str], cascade_roots: Iterable[str] = (), read_bucket: str | None = None
    ) -> dict[str, Clock]:
        """Lock in the order of `_place`; lists of *read_bucket* alone are locked with the read.

        Where no list at the top comes between, one statement locks the other lists of a bucket and the derived ones.
        """
        places = {name: self._place(name) for name in sorted(lists)}
        has_top = any(group == _AT_TOP for group, _ in places.values())
        lists_by_place: dict[_Place, list[str]] = {}
        for name, (group, bucket) in places.items():
            lists_by_place.setdefault((group if has_top else _IN_BUCKET, bucket), []).append(name)
        roots_by_place: dict[_Place, list[str]] = {}
        for uri in sorted(cascade_roots):
            roots_by_place.setdefault((_IN_BUCKET, bucket_of(uri)), []).append(uri)
        if not roots_by_place and [bucket for _, bucket in lists_by_place] == [read_bucket]:
            [self._lists_to_lock] = lists_by_place.values()
            return {}
        locked: dict[str, Clock] = {}
        for place in sorted(lists_by_place.keys() | roots_by_place):
            locked |= self._lock_bucket(place[1], lists_by_place.get(place, []), roots_by_place.get(place, []))
        self._own_lists |= locked.keys()
        return locked

    def _place(self, name: str) -> _Place:
        """Return the place of a list in the order of locks: its group, then its bucket. Names are third."""
        bucket = bucket_of(name)
        if bucket == name:
            return _AT_TOP, bucket
        return (_DERIVED if name in self.derived else _IN_BUCKET), bucket

    def _lock_bucket(self, bucket: str, lists: list[str], roots: list[str]) -> dict[str, Clock]:
        if self._own_lists:
            self._session.send_waiting()  # which may take long, and does not wait for these lists
        with self._waits.register((*lists, *roots)) as seconds:
            self._session.limit_lock_waits(seconds)
            rows = self._statements.lock_clocks.rows(self._session, self._bind_lock(bucket, lists, roots))
        return {name: Clock(last_modified, count) for name, last_modified, count in rows}

    def _bind_lock(self, bucket: str, lists: Iterable[str], roots: Iterable[str] = ()) -> dict[str, Any]:
        # The statement locks in the order of the ranges, whose ends are excluded.
        ranges = sorted(
            [*map(_range_of, lists), *(part for uri in roots for part in self._ranges_below(uri))],
            key=lambda part: (part[0] in self.derived, part),
        )
        return {"of_bucket": bucket, **self._dialect.bind_rows("ranges", ("first", "end"), ranges)}

    def _ranges_below(self, uri: str) -> Iterator[tuple[str, str]]:
        """Yield the ranges of the lists below an object, without the derived ones."""
        first = f"{uri}/"
        for name in self.derived.inside(uri):
            hole, end = _range_of(name)
            yield first, hole
            first = end
        yield first, f"{uri}0"

    def _lock_and_read(self, selection: Selection) -> Snapshot:
        """Send the lock that was left to this read, and the read, which has these clocks, as one message.

        Each statement of a message has a snapshot of its own, so the read sees what was committed before the lock was
        granted. The lock returns no rows: the read tells which clocks it has locked.
        """
        lists, self._lists_to_lock = self._lists_to_lock, []
        with self._waits.register(lists) as seconds:
            self._session.limit_lock_waits(seconds)
            self._statements.lock_clocks.later(self._session, self._bind_lock(selection.bucket, lists))
            snapshot = self._reads.run(self._session, selection, with_lock=True)
        self._own_lists |= snapshot.locked.intersection(lists)
        return snapshot

    def lock_last(self, name: str) -> dict[str, Clock]:
        """Lock one more list, if it follows all own lists in the lock order."""
        place = self._place(name), name
        if name in self._own_lists or all((self._place(own), own) < place for own in self._own_lists):
            return self.lock((name,))
        if self.read(Selection(bucket_of(name), clocks=(name,))).clocks:
            raise Unlocked((name,))
        return {}

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that the transaction neither locked nor started."""
        missing = set(lists) - self._own_lists
        if missing:
            raise Unlocked(missing)

    def read(self, selection: Selection) -> Snapshot:
        """Read from one bucket; raise Unlocked when a list below a cascade root is neither locked nor derived."""
        own_lists = self._own_lists.union(self._lists_to_lock)
        lists = [name for name in own_lists if not is_inside(name, selection.cascade_roots)]
        written = (selection.page.list,) if selection.page else lists
        derived = [
            name for name in self.derived.inside(selection.bucket) if not is_inside(name, selection.cascade_roots)
        ]
        unknown = self.indexes.unknown((*written, *derived), selection.bucket)
        unlocked = [name for name in derived if name not in {*own_lists, *written, *selection.clocks}]
        clocks = tuple(dict.fromkeys((*selection.clocks, *self._lists_to_lock, *unlocked)))
        selection = replace(selection, indexes=unknown, clocks=clocks)
        snapshot = self._lock_and_read(selection) if self._lists_to_lock else self._reads.run(self._session, selection)
        if selection.cascade_roots:
            below = {name for name in snapshot.clocks if is_inside(name, selection.cascade_roots)}
            derived_below = {name for name in below if name in self.derived}
            self.expect_locked(below - derived_below)
            self._derived_below |= derived_below
            self._cascade_roots |= set(selection.cascade_roots)
        self._note_indexes(unknown, snapshot.indexes, selection.bucket)
        self._unlocked_clocks |= {name: snapshot.clocks.pop(name, _NO_CLOCK) for name in unlocked}
        return snapshot

    def _note_indexes(self, unknown: Iterable[str], indexes: Iterable[Index], bucket: str) -> None:
        """Note the indexes of locked lists, and of derived lists before their lock if another one of the bucket is."""
        known = self._own_lists
        if any(bucket_of(name) == bucket for name in known):
            early = {name for name in unknown if name in self.derived} - known
            self.indexes.read_early |= early
            known = known | early
        self.indexes.add((name for name in unknown if name in known), (each for each in indexes if each.list in known))

    def timestamp_conflicts(self, requested: Iterable[tuple[str, int]]) -> set[str]:
        """Return the URIs of objects that use one of the timestamps in the same list."""
        rows_by_bucket: dict[str, list[tuple[str, int]]] = {}
        for uri, timestamp in requested:
            rows_by_bucket.setdefault(read_bucket(uri), []).append((list_of(uri), timestamp))
        uris: set[str] = set()
        for bucket, rows in sorted(rows_by_bucket.items()):
            parameters = {"of_bucket": bucket, **self._dialect.bind_rows("requested", ("list", "last_modified"), rows)}
            uris.update(uri for (uri,) in self._statements.timestamp_conflicts.rows(self._session, parameters))
        return uris

    def write(
        self,
        changes: Sequence[Change],
        moves: Sequence[Move],
        declared: Declared = NOTHING_DECLARED,
        appends: Appends = NOTHING_APPENDED,
    ) -> bool:
        """Move clocks, then declare indexes and write documents, then end and begin grants."""
        started = {move.list for move in moves if move.starts}
        self.expect_locked({change.list for change in changes} - started)
        self.expect_locked(({move.list for move in moves} | declared.keys()) - started)
        written: list[Change | Appended] = [*changes, *self._move_clocks(moves, appends)]
        self.indexes.start(started)
        for name, definitions in sorted(declared.items()):
            self.indexes.declare(name, definitions, starts=name in started)
        self._put_documents(written)
        self._end_grants(changes)
        self._begin_grants(written)
        return self.indexes.wants_builder(declared)

    def _move_clocks(self, moves: Sequence[Move], appends: Appends) -> list[Appended]:
        """Set locked clocks to their new timestamps, start the clocks of new lists, and return what is appended.

        If a list that starts has a later clock, which this transaction has not read, another one has created the list
        meanwhile. Then the statement fails when it is sent: Unlocked, so that the next try locks the list.

        The clocks of derived lists are locked by this statement, unless they were before. It fails in the same way if
        one is no longer as it was read.
        """
        moves = [_with_appended(move, len(appends.get(move.list, ()))) for move in moves]
        clocks = {move.list: move.last_modified for move in moves}
        rows = [
            (bucket_of(move.list), move.list, move.last_modified, move.last_modified if move.starts else 0, move.count)
            for move in sorted(moves, key=lambda move: (self._place(move.list), move.list))
        ]
        self._session.starting |= {move.list for move in moves if move.starts}
        derived = [name for name in sorted(appends) if name not in clocks]
        if all(map(self._may_compare, derived)):
            rows += [_derived_row(name, appends[name], self._unlocked_clocks[name]) for name in derived]
            moves_of_derived = self._compare_and_move(rows, derived)
        else:
            rows += [_derived_row(name, appends[name]) for name in derived]
            moves_of_derived = self._lock_and_move(rows, derived)
        for name, last_modified, count in moves_of_derived:
            clocks[name], self._counts[name] = last_modified, count
        self._own_lists |= clocks.keys()
        return [each for name, in_list in appends.items() for each in _with_timestamps(name, in_list, clocks[name])]

    def _may_compare(self, name: str) -> bool:
        """Return whether the clock of a derived list was read and is probably still as it was."""
        return name in self._unlocked_clocks and name not in self._own_lists and name not in self.derived.contended

    def _compare_and_move(self, rows: Sequence[_ClockRow], derived: Collection[str]) -> Sequence[Row]:
        """Move clocks with the next message, if those of *derived* lists are still as they were read; return these."""
        if derived:
            self._session.compared |= set(derived)
            self._session.expect_lock_wait(self._waits.register(derived))
        self._statements.move_clocks.later(self._session, rows)
        return [
            (name, last_modified, self._unlocked_clocks[name].count + number)
            for _, name, last_modified, _, number in rows
            if name in derived
        ]

    def _lock_and_move(self, rows: Sequence[_ClockRow], derived: Collection[str]) -> Sequence[Row]:
        """Move clocks in a message of its own, and return them; it locks the *derived* lists."""
        with self._waits.register(derived) as seconds:
            self._session.limit_lock_waits(seconds)
            return self._statements.lock_and_move_clocks.rows(self._session, rows)

    def _put_documents(self, changes: Sequence[Change | Appended]) -> None:
        """Write objects under all their buckets, a tombstone only under the bucket of its list."""
        columns, entries = self.indexes.entries(changes)
        rows: list[tuple[Any, ...]] = []
        for change in changes:
            uri, timestamp, deleted, born, text = change.stored
            values = entries[uri].values() if columns else ()
            for bucket in change.write_buckets[:1] if deleted else change.write_buckets:
                rows.append((bucket, uri, change.list, born, timestamp, deleted, text, *values))
        self._statements.put_documents[columns].later(self._session, rows)

    def _end_grants(self, changes: Sequence[Change]) -> None:
        """End all grants of deleted objects, and the revoked grants of others."""
        deleted = [
            (bucket, change.stored.uri, change.stamp)
            for change in changes
            if change.stored.deleted
            for bucket in change.write_buckets
        ]
        revoked = [
            (bucket, change.stored.uri, list_of(change.stored.uri), *pair, change.stamp)
            for change in changes
            if not change.stored.deleted
            for bucket in change.write_buckets
            for pair in sorted(change.revoked)
        ]
        self._statements.intervals.end(self._session, grants, OBJECT, deleted)
        self._statements.intervals.end(self._session, grants, GRANT, revoked)

    def _begin_grants(self, changes: Iterable[Change | Appended]) -> None:
        rows = [
            (bucket, change.stored.uri, change.list, *pair, change.stamp)
            for change in changes
            if change.granted
            for bucket in change.write_buckets
            for pair in sorted(change.granted)
        ]
        self._statements.intervals.begin(self._session, grants, rows)

    def holdings_of(self, principals: Principals) -> Holdings:
        """Return the living grants to principals, the memberships of users, and those in groups."""
        names = sorted(principals.users | principals.groups)
        holdings = Holdings()
        if names:
            parameters = self._dialect.bind_rows("named", ("value",), [(name,) for name in names])
            holdings |= _collect_holdings(self._statements.holdings_by_name.rows(self._session, parameters))
        roots = sorted(principals.cascade_roots)
        for start in range(0, len(roots), _MAX_ROOTS):
            batch = roots[start : start + _MAX_ROOTS]
            holdings |= _collect_holdings(self._rows_once(holdings_inside(batch)))
        return holdings

    def end_holdings(self, holdings: Holdings, timestamp_of: Callable[[str], int]) -> None:
        """End grants and memberships, each at the timestamp of its list."""
        self.expect_locked(holdings.lists())
        timestamps = {name: timestamp_of(name) for name in holdings.lists()}
        grant_ends = [
            (bucket, uri, list_of(uri), permission, principal, timestamps[list_of(uri)])
            for uri, permission, principal in sorted(holdings.grants)
            for bucket in write_buckets(uri)
        ]
        membership_ends = [
            (user, group, timestamps[list_of(group)]) for user, group in sorted(holdings.memberships | holdings.members)
        ]
        self._statements.intervals.end(self._session, grants, GRANT, grant_ends)
        self._statements.intervals.end(self._session, members, MEMBERSHIP, membership_ends)

    def begin_memberships(self, memberships: Iterable[tuple[str, str]], timestamp_of: Callable[[str], int]) -> None:
        """Begin memberships, pairs of a user and a group."""
        pairs = sorted(memberships)
        self.expect_locked({list_of(group) for _, group in pairs})
        rows = [(user, group, timestamp_of(list_of(group))) for user, group in pairs]
        self._statements.intervals.begin(self._session, members, rows)

    def delete_below(self, uris: Sequence[str], *, copies: bool = True) -> None:
        """Delete the rows below deleted objects, and the *copies* of those at the top in their own buckets."""
        unread = {uri for uri in uris if uri not in self._cascade_roots and not is_inside(uri, self._cascade_roots)}
        if unread:
            raise Unlocked(unread)
        if copies:
            self.expect_locked(name for name in self._derived_below if is_inside(name, uris))
        for start in range(0, len(uris), _MAX_ROOTS):
            batch = uris[start : start + _MAX_ROOTS]
            for table in (documents, grants):
                self._send_once(delete_below(table, batch, copies=copies))
        self.indexes.delete_below(uris)

    def delete_copies(self, uris: Sequence[str]) -> None:
        """Delete the copies of deleted objects at the top in their own buckets, which hold no lists."""
        for start in range(0, len(uris), _MAX_ROOTS):
            batch = uris[start : start + _MAX_ROOTS]
            for table in (documents, grants):
                self._send_once(delete_copies(table, batch))

    def delete_rows(self, plugins: Iterable[PluginTables], uris: Iterable[str]) -> None:
        """Delete the rows of deleted objects in tables of plugins, and those of all objects below."""
        uris_by_bucket: dict[str, list[str]] = {}
        for uri in sorted(uris):
            uris_by_bucket.setdefault(bucket_of(uri), []).append(uri)
        tables = [table for plugin in plugins for table in plugin.tables]
        for (bucket, in_bucket), table in product(uris_by_bucket.items(), tables):
            for start in range(0, len(in_bucket), _MAX_ROOTS):
                self._send_once(delete_rows(table, bucket, in_bucket[start : start + _MAX_ROOTS]))

    def start_clocks(self, lists: Collection[str], now: int) -> None:
        """Create the clocks of lists that have none."""
        rows = [(bucket_of(name), name, now, now, 0) for name in sorted(lists)]
        self._statements.start_clocks.later(self._session, rows)
        self._own_lists |= set(lists)

    def user_holdings(self, principal: str) -> UserHoldings:
        """Return the objects and groups of one principal."""
        uris: dict[str, set[str]] = {"granted": set(), "sole": set(), "groups": set()}
        parameters = self._dialect.bind_rows("holder", ("value",), [(principal,)])
        for source, uri in self._statements.user_holdings.rows(self._session, parameters):
            uris[source].add(uri)
        return UserHoldings(frozenset(uris["granted"]), frozenset(uris["sole"]), frozenset(uris["groups"]))

    def trim(self, name: str, filters: Sequence[Filter], keep: int, threshold: int) -> int:
        """Delete the oldest matching objects of a list, unless the whole list is short enough."""
        self.expect_locked((name,))
        if self._counts.get(name, keep + threshold + 1) <= keep + threshold:
            return 0
        return self._statements.trimming.run(self._session, name, filters, keep, threshold)

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement on the tables of a plugin."""
        return self._statements.of_plugins.execute(self._session, statement, values)

    @property
    def has_executed(self) -> bool:
        """Return whether the transaction has executed a statement of a plugin."""
        return self._session.has_executed

    def send(self) -> None:
        """Send the writes that wait."""
        self._session.send_waiting()

    def rollback(self) -> None:
        """Undo all writes."""
        self._session.rollback()

    @property
    def connection(self) -> Connection:
        """Return the connection of the transaction, for statements of SQLAlchemy."""
        return self._session.connection

    def _rows_once(self, query: Executable) -> Sequence[Row]:
        """Execute a statement that is not kept, and return its rows."""
        return self._session.rows(compile_sql(query, self._session.dialect, repeats=False), {})

    def _send_once(self, query: Executable) -> None:
        """Send a statement that is not kept, with the next one that returns rows."""
        self._session.later(compile_sql(query, self._session.dialect, repeats=False), {})


def _range_of(name: str) -> tuple[str, str]:
    """Return the range of the name of one list: no other sorts before its end, since no URI contains U+0001."""
    return name, f"{name}\x01"


def _with_appended(move: Move, number: int) -> Move:
    """Return the move of a locked list that also gets a *number* of appended objects."""
    return replace(move, last_modified=move.last_modified + number, count=move.count + number) if number else move


def _with_timestamps(name: str, appends: Sequence[Append], newest: int) -> Iterator[Appended]:
    """Yield the new objects of a list with their timestamps, the last one with the *newest*."""
    bucket = bucket_of(name)
    for timestamp, append in enumerate(appends, newest - len(appends) + 1):
        yield append.at(timestamp, name, bucket)


def _derived_row(name: str, appends: Sequence[Append], clock: Clock = _NO_CLOCK) -> _ClockRow:
    """Return the row of a derived list with this *clock*, whose first new object has at least the `earliest` timestamp.

    Its floor is what the clock is compared with, and where a list without a clock starts.
    """
    before, number = appends[0].earliest - 1, len(appends)
    return (
        bucket_of(name),
        name,
        max(before, clock.last_modified) + number,
        clock.last_modified or before,
        number,
    )


def _collect_holdings(rows: Iterable[Any]) -> Holdings:
    collected: tuple[set[Any], set[Any], set[Any]] = (set(), set(), set())
    for source, first, second, third in rows:
        collected[source].add((first, second, third) if source == GRANTS else (first, second))
    return Holdings(*map(frozenset, collected))
