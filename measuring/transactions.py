"""Time a writing transaction of the storage from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from app.observations import BackendCalls, Observer
from backends.metrics import calls
from backends.metrics.calls import Call
from backends.storage import (
    NO_VALUES,
    NOTHING_APPENDED,
    NOTHING_DECLARED,
    Append,
    Appends,
    Change,
    Clock,
    Declared,
    Executable,
    Filter,
    Holdings,
    Move,
    PluginTables,
    Principals,
    Row,
    Selection,
    Snapshot,
    Stored,
    Transaction,
    UserHoldings,
    Values,
    list_of,
)
from measuring.durations import time_calls, time_read


def _calls_of_append(append: Append) -> Sequence[Call]:
    return (calls.CREATE, calls.GRANT) if append.granted else (calls.CREATE,)


class WriteTimer:
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

    def __init__(self, transaction: Transaction, observe: Observer, writes: WriteTimer) -> None:
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
        with time_calls(self._observe, calls.TIMESTAMP):
            return self._transaction.lock_last(name)

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that are not locked."""
        self._transaction.expect_locked(lists)

    def read(self, selection: Selection) -> Snapshot:
        """Read, timed."""
        locks, self._locks_with_read = self._locks_with_read, False
        snapshot = time_read(self._transaction.read, selection, self._observe, locks=locks)
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
        all_appends = chain.from_iterable(appends.values())
        backend_calls |= dict.fromkeys(call for append in all_appends for call in _calls_of_append(append))
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
        with time_calls(self._observe, calls.REVOKE_PRINCIPAL):
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
        with time_calls(self._observe, calls.ACCESSIBLE, calls.PRINCIPALS):
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
