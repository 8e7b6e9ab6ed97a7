"""A circuit breaker: while a server does not answer, only one request every few seconds waits for it, not all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from backends import BackendError, translate_errors

LIMIT_SECONDS: Final = 1.0
"""The time limit of a call to the server of a cache or a listener; the driver gets it as its timeout."""
SLOW_SECONDS: Final = LIMIT_SECONDS / 2
"""A call that fails faster, for instance by a refused connection, is cheap, so the next request tries again."""
REST_SECONDS: Final = 5.0
"""After a call that failed slowly, no call is made for this time."""


class Breaker:
    """The circuit breaker of one server. Errors of its driver become BackendError.

    After a call that failed slowly, calls fail at once. After `REST_SECONDS` one call tries again, and others still
    fail until that one has succeeded. Threads share a breaker without a lock: a race lets one call too many through.
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
            with translate_errors(*self._failures):
                yield
        except BackendError:
            end = self._clock()
            self._opened = end - start >= SLOW_SECONDS
            self._next_try = end + REST_SECONDS
            raise
        self._opened = False
