"""Time a storage and a cache from outside: they contain no code for that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from app.observations import CacheLookup, Observer
from backends import Json
from backends.cache import Cache
from backends.metrics import calls
from backends.storage import (
    NO_VALUES,
    AccessSelection,
    CheckScope,
    Counts,
    Executable,
    Index,
    IndexDefinition,
    PluginTables,
    Row,
    Selection,
    Snapshot,
    Storage,
    Takeover,
    Transaction,
    Values,
)
from measuring.durations import time_calls, time_read
from measuring.transactions import TimedTransaction, WriteTimer


class TimedStorage:
    """A storage whose statements are timed."""

    def __init__(self, storage: Storage, observe: Observer) -> None:
        self.embedded = storage.embedded
        self._storage = storage
        self._observe = observe

    def read(self, selection: Selection) -> Snapshot:
        """Read, timed."""
        return time_read(self._storage.read, selection, self._observe)

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement of a plugin."""
        return self._storage.execute(statement, values)

    @contextmanager
    def transaction(self, derived: Collection[tuple[str, str]] = ()) -> Iterator[Transaction]:
        """Open a writing transaction whose statements are timed."""
        writes = WriteTimer()
        try:
            with self._storage.transaction(derived) as transaction:
                yield TimedTransaction(transaction, self._observe, writes)
                writes.begin_commit()
        finally:
            writes.observe(self._observe)

    def read_accessible(self, selection: AccessSelection) -> Snapshot:
        """Read a page of `GET /permissions`, timed."""
        with time_calls(self._observe, calls.ACCESSIBLE, calls.PRINCIPALS):
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
        with time_calls(self._observe, calls.PURGE):
            return self._storage.purge(lists, keep, before, plugins)

    def build_indexes(self, report: Callable[[str], None], pause_seconds: float = 0, *, retry: bool = False) -> None:
        """Build all unfinished indexes."""
        self._storage.build_indexes(report, pause_seconds, retry=retry)

    def change_automatic_indexes(
        self,
        missing: Iterable[tuple[str, IndexDefinition]],
        in_use: Iterable[Index],
        now: int,
        derived: Collection[tuple[str, str]] = (),
    ) -> None:
        """Create, touch and drop automatic indexes."""
        self._storage.change_automatic_indexes(missing, in_use, now, derived)

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
        with time_calls(self._observe, calls.COUNT_ALL):
            return self._storage.count(depth)

    def flush(self, lists: Sequence[str] = (), plugins: Sequence[PluginTables] = ()) -> None:
        """Remove everything, timed."""
        with time_calls(self._observe, calls.FLUSH):
            self._storage.flush(lists, plugins)

    def ping(self, plugins: Sequence[PluginTables] = (), *, write: bool) -> None:
        """Check that the database answers, timed."""
        with time_calls(self._observe, calls.PING):
            self._storage.ping(plugins, write=write)

    def close(self) -> None:
        """Close the connections."""
        self._storage.close()


class TimedCache:
    """A cache whose methods are timed."""

    def __init__(self, cache: Cache, observe: Observer) -> None:
        self._cache = cache
        self._observe = observe

    def get(self, key: str) -> Json | None:
        """Return a value, timed, and observe the hit or miss."""
        with time_calls(self._observe, calls.CACHE_GET):
            value = self._cache.get(key)
        self._observe(CacheLookup(value is not None))
        return value

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        """Store a value, timed."""
        with time_calls(self._observe, calls.CACHE_SET):
            self._cache.set(key, value, ttl_seconds)

    def delete(self, key: str) -> Json | None:
        """Remove a value, timed."""
        with time_calls(self._observe, calls.CACHE_DELETE):
            return self._cache.delete(key)

    def expire(self, key: str, ttl_seconds: float) -> None:
        """Change the TTL of a key, timed."""
        with time_calls(self._observe, calls.CACHE_EXPIRE):
            self._cache.expire(key, ttl_seconds)

    def ttl(self, key: str) -> float:
        """Return the remaining TTL of a key, timed."""
        with time_calls(self._observe, calls.CACHE_TTL):
            return self._cache.ttl(key)

    def flush(self) -> None:
        """Remove every key, timed."""
        with time_calls(self._observe, calls.CACHE_FLUSH):
            self._cache.flush()

    def ping(self) -> bool:
        """Return whether the cache answers, timed."""
        with time_calls(self._observe, calls.CACHE_PING):
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
