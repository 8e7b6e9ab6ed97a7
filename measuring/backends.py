"""Time a storage, its transactions and a cache from outside: none of them knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from backends import Json
from backends.cache import Cache
from backends.metrics import calls
from backends.metrics.calls import Call
from backends.metrics.observations import BackendCalls, CacheLookup, Observer
from backends.storage import (
    AccessSelection,
    Change,
    Clock,
    Holdings,
    Move,
    Principals,
    Selection,
    Snapshot,
    Storage,
    Stored,
    Transaction,
    UserHoldings,
    list_of,
)


@contextmanager
def _timed(observe: Observer, *done: Call) -> Iterator[None]:
    """Observe how long a block took, however it ended."""
    start = time.perf_counter()
    try:
        yield
    finally:
        observe(BackendCalls(done, time.perf_counter() - start))


def _read(read: Callable[[Selection], Snapshot], wanted: Selection, observe: Observer) -> Snapshot:
    """Read, and observe it as the calls that Kinto would have made (operations contract, 5.1)."""
    start, seen = time.perf_counter(), None
    try:
        seen = read(wanted)
        return seen
    finally:
        seconds, page = time.perf_counter() - start, wanted.page
        jobs = _jobs(
            bool(wanted.targets),
            bool(wanted.ancestors),
            page is not None,
            page is not None and page.counting,
            page is not None and not page.whole and not (seen and seen.full),
            bool(wanted.clocks),
            any(not reader.startswith("system.") for reader in wanted.readers),
        )
        observe(BackendCalls(jobs, seconds))


@cache
def _jobs(
    targets: bool, ancestors: bool, page: bool, counting: bool, partial: bool, clocks: bool, groups: bool
) -> tuple[Call, ...]:
    return (
        *((calls.GET, calls.GRANTS) if targets else ()),
        *((calls.COUNT_ALL if counting else calls.GET_ALL,) if page else ()),
        *((calls.ACCESSIBLE,) if partial else ()),
        *((calls.CHECK,) if targets or ancestors or page else ()),
        *((calls.TIMESTAMP,) if clocks or page else ()),
        *((calls.PRINCIPALS,) if groups else ()),
    )


class TimedStorage:
    """A storage whose statements are timed."""

    def __init__(self, storage: Storage, observe: Observer) -> None:
        self.embedded = storage.embedded
        self._storage = storage
        self._observe = observe

    def read(self, wanted: Selection) -> Snapshot:
        """Read, timed."""
        return _read(self._storage.read, wanted, self._observe)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a writing transaction whose statements are timed."""
        with self._storage.transaction() as transaction:
            yield TimedTransaction(transaction, self._observe)

    def accessible(self, wanted: AccessSelection) -> Snapshot:
        """Read what somebody holds, timed."""
        with _timed(self._observe, calls.ACCESSIBLE, calls.PRINCIPALS):
            return self._storage.accessible(wanted)

    def migrate(self, dry_run: bool, report: Callable[[str], None]) -> None:
        """Create or upgrade the tables."""
        self._storage.migrate(dry_run, report)

    def start(self, lists: Sequence[str]) -> None:
        """Make the clocks of the lists at the top."""
        self._storage.start(lists)

    def purge(self, lists: Sequence[str], keep: int | None, before: int | None = None) -> int:
        """Remove what has ended, timed."""
        with _timed(self._observe, calls.PURGE):
            return self._storage.purge(lists, keep, before)

    def check(self, now: int, latest: int, repair: bool, report: Callable[[str], None]) -> int:
        """Report lists that are wrong, and mend them."""
        return self._storage.check(now, latest, repair, report)

    def flush(self, lists: Sequence[str] = ()) -> None:
        """Remove everything, timed."""
        with _timed(self._observe, calls.FLUSH):
            self._storage.flush(lists)

    def ping(self, write: bool) -> None:
        """Ask whether the database answers, timed."""
        with _timed(self._observe, calls.PING):
            self._storage.ping(write)

    def close(self) -> None:
        """Give back the connections."""
        self._storage.close()


class TimedTransaction:
    """A writing transaction whose statements are timed.

    What was read before tells apart what is new from what is changed, and the deletion of a list from that of objects.
    """

    def __init__(self, transaction: Transaction, observe: Observer) -> None:
        self._transaction = transaction
        self._observe = observe
        self._living: set[str] = set()
        self._emptied: set[str] = set()

    def lock(self, lists: Iterable[str], below: Iterable[str] = ()) -> dict[str, Clock]:
        """Lock clocks, timed as the question for their timestamps."""
        with _timed(self._observe, calls.TIMESTAMP):
            return self._transaction.lock(lists, below)

    def lock_last(self, name: str) -> dict[str, Clock]:
        """Lock one more clock, timed as the question for its timestamp."""
        with _timed(self._observe, calls.TIMESTAMP):
            return self._transaction.lock_last(name)

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that are not held."""
        self._transaction.expect_locked(lists)

    def read(self, wanted: Selection) -> Snapshot:
        """Read, timed."""
        seen = _read(self._transaction.read, wanted, self._observe)
        self._living.update(uri for uri, stored in seen.objects.items() if not stored.deleted)
        if wanted.page and wanted.page.own is not None:
            self._emptied.add(wanted.page.list)
        return seen

    def timestamp_conflicts(self, wished: Iterable[tuple[str, int]]) -> set[str]:
        """Return whose timestamps are taken."""
        return self._transaction.timestamp_conflicts(wished)

    def write(self, changes: Sequence[Change], moves: Sequence[Move]) -> None:
        """Write, timed as each of the jobs that it does."""
        jobs = dict.fromkeys(job for change in changes for job in self._jobs(change))
        with _timed(self._observe, *jobs):
            self._transaction.write(changes, moves)
        self._living.update(change.stored.uri for change in changes)
        self._living.difference_update([change.stored.uri for change in changes if change.stored.deleted])

    def _jobs(self, change: Change) -> Iterator[Call]:
        yield self._job(change.stored)
        if change.granted:
            yield calls.GRANT
        if change.stored.deleted:
            yield calls.REVOKE_OBJECT
        elif change.revoked:
            yield calls.REVOKE

    def _job(self, stored: Stored) -> Call:
        if stored.deleted:
            return calls.DELETE_ALL if list_of(stored.uri) in self._emptied else calls.DELETE
        return calls.UPDATE if stored.uri in self._living else calls.CREATE

    def holdings_of(self, principals: Principals) -> Holdings:
        """Return what principals hold that end, timed as its withdrawal."""
        with _timed(self._observe, calls.REVOKE_PRINCIPAL):
            return self._transaction.holdings_of(principals)

    def end(self, held: Holdings, stamp: Callable[[str], int]) -> None:
        """End grants and memberships, timed."""
        with _timed(self._observe, *[calls.LEAVE] * bool(held.memberships or held.members)):
            self._transaction.end(held, stamp)

    def join(self, memberships: Iterable[tuple[str, str]], stamp: Callable[[str], int]) -> None:
        """Begin memberships, timed."""
        joined = set(memberships)
        with _timed(self._observe, *[calls.JOIN] * bool(joined)):
            self._transaction.join(joined, stamp)

    def delete_below(self, uris: Sequence[str], *, copies: bool = True) -> None:
        """Delete what lies below objects, timed."""
        with _timed(self._observe, calls.DELETE_ALL, calls.REVOKE_OBJECT):
            self._transaction.delete_below(uris, copies=copies)

    def user_holdings(self, principal: str) -> UserHoldings:
        """Return what a principal has, timed."""
        with _timed(self._observe, calls.ACCESSIBLE, calls.PRINCIPALS):
            return self._transaction.user_holdings(principal)

    def remove_copies(self, uris: Sequence[str]) -> None:
        """Delete copies of objects at the top, timed."""
        with _timed(self._observe, calls.DELETE_ALL, calls.REVOKE_OBJECT):
            self._transaction.remove_copies(uris)

    def start(self, lists: Collection[str], now: int) -> None:
        """Make the clocks of lists."""
        self._transaction.start(lists, now)

    def rollback(self) -> None:
        """Forget all that was done."""
        self._transaction.rollback()


class TimedCache:
    """A cache whose methods are timed."""

    def __init__(self, cache: Cache, observe: Observer) -> None:
        self._cache = cache
        self._observe = observe

    def get(self, key: str) -> Json | None:
        """Return a value, timed, and observe whether there was one."""
        with _timed(self._observe, calls.CACHE_GET):
            value = self._cache.get(key)
        self._observe(CacheLookup(value is not None))
        return value

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        """Keep a value, timed."""
        with _timed(self._observe, calls.CACHE_SET):
            self._cache.set(key, value, ttl_seconds)

    def delete(self, key: str) -> Json | None:
        """Remove a value, timed."""
        with _timed(self._observe, calls.CACHE_DELETE):
            return self._cache.delete(key)

    def expire(self, key: str, ttl_seconds: float) -> None:
        """Give a key another life, timed."""
        with _timed(self._observe, calls.CACHE_EXPIRE):
            self._cache.expire(key, ttl_seconds)

    def ttl(self, key: str) -> float:
        """Return the life that a key has left, timed."""
        with _timed(self._observe, calls.CACHE_TTL):
            return self._cache.ttl(key)

    def flush(self) -> None:
        """Remove every key, timed."""
        with _timed(self._observe, calls.CACHE_FLUSH):
            self._cache.flush()

    def ping(self) -> bool:
        """Tell whether the cache answers, timed."""
        with _timed(self._observe, calls.CACHE_PING):
            return self._cache.ping()

    def initialized(self) -> bool:
        """Tell whether there is nothing left to make."""
        return self._cache.initialized()

    def initialize(self) -> None:
        """Make what is missing."""
        self._cache.initialize()

    def script(self) -> str:
        """Return what an administrator can run instead of `initialize`."""
        return self._cache.script()

    def close(self) -> None:
        """Close all connections."""
        self._cache.close()
