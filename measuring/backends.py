"""Time a storage, its transactions and a cache from outside: they contain no code for that."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import NamedTuple

from app.observations import BackendCalls, CacheLookup, Observer
from backends import Json
from backends.cache import Cache
from backends.metrics import calls
from backends.metrics.calls import Call
from backends.storage import (
    NO_VALUES,
    NOTHING_APPENDED,
    NOTHING_DECLARED,
    AccessSelection,
    Append,
    Appends,
    Change,
    CheckScope,
    Clock,
    Counts,
    Declared,
    Executable,
    Filter,
    Holdings,
    Index,
    IndexDefinition,
    Move,
    PluginTables,
    Principals,
    Row,
    Selection,
    Snapshot,
    Storage,
    Stored,
    Takeover,
    Transaction,
    UserHoldings,
    Values,
    list_of,
)


@contextmanager
def _time_calls(observe: Observer, *backend_calls: Call) -> Iterator[None]:
    """Observe the duration of a block as the duration of some calls, also if the block raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        observe(BackendCalls(backend_calls, time.perf_counter() - start))


def _read(
    read: Callable[[Selection], Snapshot], selection: Selection, observe: Observer, *, locks: bool = False
) -> Snapshot:
    """Read a selection, and observe the read as the calls that Kinto would make (operations contract, 5.1).

    With *locks* it was sent with a lock.
    """
    start, snapshot = time.perf_counter(), None
    try:
        snapshot = read(selection)
        return snapshot
    finally:
        seconds, page = time.perf_counter() - start, selection.page
        shape = _ReadShape(
            targets=bool(selection.targets),
            ancestors=bool(selection.ancestors),
            page=page is not None,
            counting=page is not None and page.count_only,
            partial=page is not None and not page.unrestricted and not (snapshot and snapshot.full),
            clocks=locks or bool(selection.clocks),
            groups=any(not reader.startswith("system.") for reader in selection.readers),
        )
        observe(BackendCalls(_calls_of_read(shape), seconds))


class _ReadShape(NamedTuple):
    """The parts of a selection on which Kinto's calls depend."""

    targets: bool
    ancestors: bool
    page: bool
    counting: bool
    partial: bool
    clocks: bool
    groups: bool


@cache
def _calls_of_read(shape: _ReadShape) -> tuple[Call, ...]:
    return (
        *((calls.GET, calls.GRANTS) if shape.targets else ()),
        *((calls.COUNT_ALL if shape.counting else calls.GET_ALL,) if shape.page else ()),
        *((calls.ACCESSIBLE,) if shape.partial else ()),
        *((calls.CHECK,) if shape.targets or shape.ancestors or shape.page else ()),
        *((calls.TIMESTAMP,) if shape.clocks or shape.page else ()),
        *((calls.PRINCIPALS,) if shape.groups else ()),
    )


class TimedStorage:
    """A storage whose statements are timed."""

    def __init__(self, storage: Storage, observe: Observer) -> None:
        self.embedded = storage.embedded
        self._storage = storage
        self._observe = observe

    def read(self, selection: Selection) -> Snapshot:
        """Read, timed."""
        return _read(self._storage.read, selection, self._observe)

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement of a plugin."""
        return self._storage.execute(statement, values)

    @contextmanager
    def transaction(self, derived: Collection[tuple[str, str]] = ()) -> Iterator[Transaction]:
        """Open a writing transaction whose statements are timed."""
        writes = _Writes()
        try:
            with self._storage.transaction(derived) as transaction:
                yield TimedTransaction(transaction, self._observe, writes)
                writes.begin_commit()
        finally:
            writes.observe(self._observe)

    def read_accessible(self, selection: AccessSelection) -> Snapshot:
        """Read a page of `GET /permissions`, timed."""
        with _time_calls(self._observe, calls.ACCESSIBLE, calls.PRINCIPALS):
            return self._storage.read_accessible(selection)

    def migrate(
        self,
        report: Callable[[str], None],
        plugins: Sequence[PluginTables] = (),
        *,
        dry_run: bool,
        takeover: Takeover | None = None,
    ) -> None:
        """Create or upgrade the tables, and take over the data of Kinto."""
        self._storage.migrate(report, plugins, dry_run=dry_run, takeover=takeover)

    def expect_complete(self) -> None:
        """Raise BackendError if no server may use the database."""
        self._storage.expect_complete()

    def start_clocks(self, lists: Sequence[str]) -> None:
        """Create the clocks of the lists at the top."""
        self._storage.start_clocks(lists)

    def purge(
        self, lists: Sequence[str], keep: int | None, before: int | None = None, plugins: Sequence[PluginTables] = ()
    ) -> int:
        """Remove tombstones, and grants and memberships that ended, timed."""
        with _time_calls(self._observe, calls.PURGE):
            return self._storage.purge(lists, keep, before, plugins)

    def build_indexes(self, report: Callable[[str], None], pause_seconds: float = 0, *, retry: bool = False) -> None:
        """Build all unfinished indexes."""
        self._storage.build_indexes(report, pause_seconds, retry=retry)

    def change_automatic_indexes(
        self,
        wanted: Iterable[tuple[str, IndexDefinition]],
        used: Iterable[Index],
        now: int,
        derived: Collection[tuple[str, str]] = (),
    ) -> None:
        """Create, touch and drop automatic indexes."""
        self._storage.change_automatic_indexes(wanted, used, now, derived)

    def check(
        self,
        scope: CheckScope,
        report: Callable[[str], None],
        advance: Callable[[int], None],
        *,
        repair: bool,
    ) -> int:
        """Report rows that are wrong, and repair them."""
        return self._storage.check(scope, report, advance, repair=repair)

    def count(self, depth: int) -> Counts:
        """Count all objects and tombstones, timed."""
        with _time_calls(self._observe, calls.COUNT_ALL):
            return self._storage.count(depth)

    def flush(self, lists: Sequence[str] = (), plugins: Sequence[PluginTables] = ()) -> None:
        """Remove everything, timed."""
        with _time_calls(self._observe, calls.FLUSH):
            self._storage.flush(lists, plugins)

    def ping(self, *, write: bool) -> None:
        """Check that the database answers, timed."""
        with _time_calls(self._observe, calls.PING):
            self._storage.ping(write=write)

    def close(self) -> None:
        """Close the connections."""
        self._storage.close()


def _calls_of_append(append: Append) -> Sequence[Call]:
    return (calls.CREATE, calls.GRANT) if append.granted else (calls.CREATE,)


class _Writes:
    """The writes of a transaction, and their duration."""

    def __init__(self) -> None:
        self._calls: dict[Call, None] = {}
        self._seconds = 0.0
        self._commit_started: float | None = None

    @contextmanager
    def time(self, *backend_calls: Call) -> Iterator[None]:
        """Add some calls, and the duration of a block."""
        self._calls |= dict.fromkeys(backend_calls)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - start

    def begin_commit(self) -> None:
        """Note that the transaction is about to be committed."""
        self._commit_started = time.perf_counter()

    def observe(self, observe: Observer) -> None:
        """Observe the calls with their duration and that of the commit."""
        if self._calls:
            commit = 0.0 if self._commit_started is None else time.perf_counter() - self._commit_started
            observe(BackendCalls(tuple(self._calls), self._seconds + commit))


class TimedTransaction:
    """A writing transaction whose statements are timed.

    Writes are observed when the transaction has ended: the database may get their statements with the COMMIT only. The
    objects and pages that it has read decide whether a write is a creation or an update, and whether a deletion is
    that of an object or of a list.
    """

    def __init__(self, transaction: Transaction, observe: Observer, writes: _Writes) -> None:
        self._transaction = transaction
        self._observe = observe
        self._living: set[str] = set()
        self._emptied_lists: set[str] = set()
        self._locks_with_read = False
        self._writes = writes

    def lock(self, lists: Iterable[str], below: Iterable[str] = (), read_bucket: str | None = None) -> dict[str, Clock]:
        """Lock clocks, timed as a read of their timestamps, or with the next read."""
        start = time.perf_counter()
        clocks = self._transaction.lock(lists, below, read_bucket)
        self._locks_with_read = read_bucket is not None and not clocks
        if not self._locks_with_read:
            self._observe(BackendCalls((calls.TIMESTAMP,), time.perf_counter() - start))
        return clocks

    def lock_last(self, name: str) -> dict[str, Clock]:
        """Lock one more clock, timed as a read of its timestamp."""
        with _time_calls(self._observe, calls.TIMESTAMP):
            return self._transaction.lock_last(name)

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that are not locked."""
        self._transaction.expect_locked(lists)

    def read(self, selection: Selection) -> Snapshot:
        """Read, timed."""
        locks, self._locks_with_read = self._locks_with_read, False
        snapshot = _read(self._transaction.read, selection, self._observe, locks=locks)
        self._living.update(uri for uri, stored in snapshot.objects.items() if not stored.deleted)
        if selection.page and selection.page.object_permissions is not None:
            self._emptied_lists.add(selection.page.list)
        return snapshot

    def timestamp_conflicts(self, timestamps: Iterable[tuple[str, int]]) -> set[str]:
        """Return the URIs of objects that already use one of the requested timestamps in the same list."""
        return self._transaction.timestamp_conflicts(timestamps)

    def write(
        self,
        changes: Sequence[Change],
        moves: Sequence[Move],
        declared: Declared = NOTHING_DECLARED,
        appends: Appends = NOTHING_APPENDED,
    ) -> bool:
        """Write, timed as each of Kinto's calls that the changes would need."""
        backend_calls = dict.fromkeys(call for change in changes for call in self._calls_of_change(change))
        appended = chain.from_iterable(appends.values())
        backend_calls |= dict.fromkeys(call for append in appended for call in _calls_of_append(append))
        with self._writes.time(*backend_calls):
            wants_builder = self._transaction.write(changes, moves, declared, appends)
        self._living.update(change.stored.uri for change in changes)
        self._living.difference_update([change.stored.uri for change in changes if change.stored.deleted])
        return wants_builder

    def _calls_of_change(self, change: Change) -> Iterator[Call]:
        yield self._call_of_object(change.stored)
        if change.granted:
            yield calls.GRANT
        if change.stored.deleted:
            yield calls.REVOKE_OBJECT
        elif change.revoked:
            yield calls.REVOKE

    def _call_of_object(self, stored: Stored) -> Call:
        if stored.deleted:
            return calls.DELETE_ALL if list_of(stored.uri) in self._emptied_lists else calls.DELETE
        return calls.UPDATE if stored.uri in self._living else calls.CREATE

    def holdings_of(self, principals: Principals) -> Holdings:
        """Return the grants and memberships of principals that are deleted, timed as their revocation."""
        with _time_calls(self._observe, calls.REVOKE_PRINCIPAL):
            return self._transaction.holdings_of(principals)

    def end_holdings(self, holdings: Holdings, stamp: Callable[[str], int]) -> None:
        """End grants and memberships, timed."""
        with self._writes.time(*[calls.LEAVE] * bool(holdings.memberships or holdings.members)):
            self._transaction.end_holdings(holdings, stamp)

    def begin_memberships(self, memberships: Iterable[tuple[str, str]], stamp: Callable[[str], int]) -> None:
        """Begin memberships, timed."""
        distinct = set(memberships)
        with self._writes.time(*[calls.JOIN] * bool(distinct)):
            self._transaction.begin_memberships(distinct, stamp)

    def delete_below(self, uris: Sequence[str], *, copies: bool = True) -> None:
        """Delete everything below objects, timed."""
        with self._writes.time(calls.DELETE_ALL, calls.REVOKE_OBJECT):
            self._transaction.delete_below(uris, copies=copies)

    def user_holdings(self, principal: str) -> UserHoldings:
        """Return the holdings of a principal, timed."""
        with _time_calls(self._observe, calls.ACCESSIBLE, calls.PRINCIPALS):
            return self._transaction.user_holdings(principal)

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement of a plugin."""
        return self._transaction.execute(statement, values)

    @property
    def has_executed(self) -> bool:
        """Return whether the transaction has executed a statement of a plugin."""
        return self._transaction.has_executed

    def send(self) -> None:
        """Send the writes that wait, timed."""
        with self._writes.time():
            self._transaction.send()

    def trim(self, name: str, filters: Sequence[Filter], keep: int, threshold: int) -> int:
        """Delete the oldest objects of a list, timed."""
        with self._writes.time(calls.DELETE_ALL, calls.REVOKE_OBJECT):
            return self._transaction.trim(name, filters, keep, threshold)

    def delete_copies(self, uris: Sequence[str]) -> None:
        """Delete copies of objects at the top, timed."""
        with self._writes.time(calls.DELETE_ALL, calls.REVOKE_OBJECT):
            self._transaction.delete_copies(uris)

    def delete_rows(self, plugins: Sequence[PluginTables], uris: Iterable[str]) -> None:
        """Delete the rows of objects in tables of plugins."""
        self._transaction.delete_rows(plugins, uris)

    def start_clocks(self, lists: Collection[str], now: int) -> None:
        """Create the clocks of lists."""
        self._transaction.start_clocks(lists, now)

    def rollback(self) -> None:
        """Roll back all writes."""
        self._transaction.rollback()


class TimedCache:
    """A cache whose methods are timed."""

    def __init__(self, cache: Cache, observe: Observer) -> None:
        self._cache = cache
        self._observe = observe

    def get(self, key: str) -> Json | None:
        """Return a value, timed, and observe the hit or miss."""
        with _time_calls(self._observe, calls.CACHE_GET):
            value = self._cache.get(key)
        self._observe(CacheLookup(value is not None))
        return value

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        """Store a value, timed."""
        with _time_calls(self._observe, calls.CACHE_SET):
            self._cache.set(key, value, ttl_seconds)

    def delete(self, key: str) -> Json | None:
        """Remove a value, timed."""
        with _time_calls(self._observe, calls.CACHE_DELETE):
            return self._cache.delete(key)

    def expire(self, key: str, ttl_seconds: float) -> None:
        """Change the TTL of a key, timed."""
        with _time_calls(self._observe, calls.CACHE_EXPIRE):
            self._cache.expire(key, ttl_seconds)

    def ttl(self, key: str) -> float:
        """Return the remaining TTL of a key, timed."""
        with _time_calls(self._observe, calls.CACHE_TTL):
            return self._cache.ttl(key)

    def flush(self) -> None:
        """Remove every key, timed."""
        with _time_calls(self._observe, calls.CACHE_FLUSH):
            self._cache.flush()

    def ping(self) -> bool:
        """Return whether the cache answers, timed."""
        with _time_calls(self._observe, calls.CACHE_PING):
            return self._cache.ping()

    def is_initialized(self) -> bool:
        """Return whether everything that the cache needs exists."""
        return self._cache.is_initialized()

    def initialize(self) -> None:
        """Create everything that the cache needs and that does not exist."""
        self._cache.initialize()

    def script(self) -> str:
        """Return the script that an administrator can run instead of `initialize`."""
        return self._cache.script()

    def close(self) -> None:
        """Close all connections."""
        self._cache.close()
