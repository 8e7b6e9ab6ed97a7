"""How long a thread may wait for a lock, so that one transaction that hangs does not take all threads of a process.

Theory of operation. Threads are scarce: a server has a few in each process, and a request that waits for a lock holds
one. The lock time limit alone is no help against that: whoever holds a lock for minutes would meet a thread in each of
these minutes again, until all of them wait. So the limit is the whole one for the first `PATIENT` threads, and
`BRIEF_SECONDS` for those that come while these wait. Locks are held for milliseconds: where many write the same list,
each gets its turn within that. Once a thread has waited longer, the lock is held by a transaction that hangs, or that
does a lot, and other requests for the same lists fail at once.

    PUT /buckets/b/collections/c/records/1   waits 10 s (storage_lock_timeout), then 503
    PUT /buckets/b/collections/c/records/2   waits 10 s, then 503
    PUT /buckets/b/collections/c/records/3   waits 5 s, then 503
    PUT /buckets/b/collections/c/records/4   five seconds later: 503 at once
    PUT /buckets/b/collections/d/records/1   locked at once, as ever
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from backends import Busy
from backends.forks import renew_in_children

LIMIT: Final = "lock_timeout_seconds"
"""The option of an engine that has the limit of its transactions."""
WAIT: Final = "lock_wait_seconds"
"""The option of an execution that has the limit of its statement and of those that follow."""
PATIENT: Final = 2
"""How many threads of a process may wait for the whole limit."""
BRIEF_SECONDS: Final = 5.0
"""How long the others may wait, and after which time a thread that waits is overdue."""
_OVERDUE_SHARE: Final = 0.1
"""The part of `BRIEF_SECONDS` that is left to others while as many are overdue as may wait: nobody knows for what."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A thread that waits for the locks of some lists, since a time of the clock in seconds."""

    names: frozenset[str]
    since: float


class Waits:
    """The threads of this process that wait for locks, each at most *limit_seconds*."""

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_seconds = limit_seconds
        self._clock = clock
        self.renew()
        renew_in_children(self, Waits.renew)

    def renew(self) -> None:
        """Forget the threads of the parent process, which were not copied into a child."""
        self._guard = threading.Lock()
        self._waiting: set[_Waiter] = set()

    @contextmanager
    def begin(self, names: Collection[str]) -> Iterator[float]:
        """Count this thread as waiting for the lists *names* until the block ends; yield the seconds it may wait.

        Raises Busy where another thread has waited too long for one of them.
        """
        waiter = _Waiter(frozenset(names), self._clock())
        with self._guard:
            seconds = self._limit_of(waiter)
            self._waiting.add(waiter)
        try:
            yield seconds
        finally:
            with self._guard:
                self._waiting.discard(waiter)

    def _limit_of(self, waiter: _Waiter) -> float:
        overdue = [other for other in self._waiting if waiter.since - other.since > BRIEF_SECONDS]
        if any(waiter.names & other.names for other in overdue):
            raise Busy("Another request waits for the same lock and has not got it for a while")
        if len(self._waiting) < PATIENT:
            return self.limit_seconds
        brief = BRIEF_SECONDS * _OVERDUE_SHARE if len(overdue) >= PATIENT else BRIEF_SECONDS
        return min(self.limit_seconds, brief)
