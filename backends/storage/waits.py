"""Limit the time that a thread waits for a lock, so that one transaction that hangs does not block every thread.

Theory of operation. Threads are scarce: a server process has a few, and a request that waits for a lock occupies one.
A lock timeout alone does not help: while a transaction holds a lock for minutes, each new request for it occupies
another thread, until all threads wait. So the first `PATIENT` threads may wait for the whole limit, and threads that
come while these wait may wait for `BRIEF_SECONDS`. A lock is normally held for milliseconds: where many requests write
to the same list, each gets the lock within the brief limit. When a thread has waited for longer than that, the
transaction that holds the lock hangs or does much work, and further requests for the same lists fail at once. A thread
whose transaction is refused (Unlocked) has had the lock and asks for it again: the one that hung is done by then, so
the others count as if they had just come. They may have the lock too, and not be back from the database yet.

    PUT /buckets/b/collections/c/records/1   waits 10 s (storage_lock_timeout), then 503
    PUT /buckets/b/collections/c/records/2   waits 10 s, then 503
    PUT /buckets/b/collections/c/records/3   waits 5 s, then 503
    PUT /buckets/b/collections/c/records/4   five seconds later: 503 at once
    PUT /buckets/b/collections/d/records/1   gets its lock at once: another list
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Final

from backends import Busy
from backends.forks import renew_in_children
from backends.storage.errors import Unlocked

LIMIT: Final = "lock_timeout_seconds"
"""The execution option of an engine: the lock timeout of its transactions."""
PATIENT: Final = 2
"""How many threads of a process may wait for the whole limit."""
BRIEF_SECONDS: Final = 5.0
"""How long other threads may wait, and after how long a waiting thread is overdue."""
_OVERDUE_SHARE: Final = 0.1
"""The part of `BRIEF_SECONDS` for a new thread while `PATIENT` threads are overdue: these may wait for any lock."""


class _Waiter:
    """A thread that waits for the locks of some lists, during a `with` block that gets its limit in seconds.

    `since` is the start of the block, or a later one (`Waits.restart`), in seconds of the monotonic clock.
    """

    __slots__ = ("_waits", "names", "since")

    def __init__(self, waits: Waits, names: frozenset[str]) -> None:
        self._waits = waits
        self.names = names
        self.since = 0.0

    def __enter__(self) -> float:
        return self._waits.begin(self)

    def __exit__(self, _kind: object, error: object, _traceback: object) -> None:
        self._waits.end(self)
        if isinstance(error, Unlocked):
            self._waits.restart(self.names)


class Waits:
    """The threads of this process that wait for locks, each for *limit_seconds* at most."""

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_seconds = limit_seconds
        self._clock = clock
        self.renew()
        renew_in_children(self, Waits.renew)

    def renew(self) -> None:
        """Forget all threads: in a child process those of the parent do not exist."""
        self._guard = threading.Lock()
        self._waiting: set[_Waiter] = set()

    def register(self, names: Collection[str]) -> AbstractContextManager[float]:
        """Register this thread as waiting for the lists *names* until the block ends; return its limit in seconds.

        The block raises Busy when another thread is overdue that waits for one of these lists.
        """
        return _Waiter(self, frozenset(names))

    def begin(self, waiter: _Waiter) -> float:
        """Note a thread that waits and return its limit in seconds. Raises Busy."""
        waiter.since = self._clock()
        with self._guard:
            seconds = self._limit_of(waiter) if self._waiting else self.limit_seconds
            self._waiting.add(waiter)
        return seconds

    def end(self, waiter: _Waiter) -> None:
        """Forget a thread that waits no longer."""
        with self._guard:
            self._waiting.discard(waiter)

    def restart(self, names: frozenset[str]) -> None:
        """Count the threads that wait for these lists as if they had just come."""
        with self._guard:
            for waiter in self._waiting:
                if waiter.names & names:
                    waiter.since = self._clock()

    def _limit_of(self, waiter: _Waiter) -> float:
        overdue = [other for other in self._waiting if waiter.since - other.since > BRIEF_SECONDS]
        if any(waiter.names & other.names for other in overdue):
            raise Busy("Another request waits for the same lock and has not got it for a while")
        if len(self._waiting) < PATIENT:
            return self.limit_seconds
        brief = BRIEF_SECONDS * _OVERDUE_SHARE if len(overdue) >= PATIENT else BRIEF_SECONDS
        return min(self.limit_seconds, brief)
