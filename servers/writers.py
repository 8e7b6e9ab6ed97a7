"""Bound how many requests that write are answered at the same time, so that threads are left to all others.

A request that writes may wait for a lock, for as long as a transaction that hangs holds it. Those that read, and the
pages by which load balancers find out that a server lives, wait for no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_KEPT_THREADS = 2

Request = TypeVar("Request")


class Writers(Generic[Request]):
    """The requests that write: as many as there may be are started, the others wait in line without a thread."""

    def __init__(self, threads: int, start: Callable[[Request], None]) -> None:
        self._most = threads - min(_KEPT_THREADS, threads - 1)
        self._start = start
        self._running = 0
        self._queue: deque[Request] = deque()

    def begin(self, request: Request) -> None:
        """Start a request, or queue it."""
        if self._running >= self._most:
            self._queue.append(request)
            return
        self._running += 1
        self._start(request)

    def end(self) -> None:
        """Start the next request in the place of one that is answered."""
        self._running -= 1
        if self._queue:
            self.begin(self._queue.popleft())
