"""A circuit breaker: a server that does not answer costs one request a second, and not every request of a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from backends import BackendError, translated

LIMIT_SECONDS: Final = 1.0
"""How long a call to a cache or a listener's server may take. Clients get it as their timeout."""
SLOW_SECONDS: Final = LIMIT_SECONDS / 2
"""A call that failed faster, a refused connection for instance, costs little, so the next request tries again."""
REST_SECONDS: Final = 5.0
"""How long no call is made after one that failed slowly."""


class Breaker:
    """Turns the errors of one server's driver into BackendError; after a call that failed slowly it refuses others.

    After `REST_SECONDS` one call tries again, while the others are still refused until it has succeeded. Threads share
    a breaker without a lock: in a race one call too many is made.
    """

    def __init__(self, *failures: type[Exception], clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._clock = clock
        self._opened = False
        self._next_try = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Run a block that calls the server once. Raises BackendError."""
        start = self._clock()
        if self._opened:
            if start < self._next_try:
                raise BackendError("No answer lately: the next call is made in some seconds")
            self._next_try = start + REST_SECONDS
        try:
            with translated(*self._failures):
                yield
        except BackendError:
            end = self._clock()
            self._opened = end - start >= SLOW_SECONDS
            self._next_try = end + REST_SECONDS
            raise
        self._opened = False
