"""Limit the number of writing requests that run at the same time, so that threads remain for other requests.

A request that writes may wait for a lock as long as another transaction holds it. Requests that read, and the pages by
which load balancers check a server, wait for no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_RESERVED_THREADS = 2

Request = TypeVar("Request")


class Writers(Generic[Request]):
    """The requests that write: some are running, up to a limit, the others wait in a queue without a thread."""

    def __init__(self, threads: int, start: Callable[[Request], None]) -> None:
        self._limit = threads - min(_RESERVED_THREADS, threads - 1)
        self._start = start
        self._running = 0
        self._queue: deque[Request] = deque()

    def begin(self, request: Request) -> None:
        """Start a request, or queue it if the limit is reached."""
        if self._running >= self._limit:
            self._queue.append(request)
            return
        self._running += 1
        self._start(request)

    def end(self) -> None:
        """Count a request as answered, and start the next one."""
        self._running -= 1
        if self._queue:
            self.begin(self._queue.popleft())
