"""Limit the time of statements: libpq itself waits for an answer for ever, even if the server is gone or frozen.

A statement of a cache has a time limit of its own. All statements that a request sends to the storage have one
deadline, that of their thread (`set_deadline`); commands have none.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

import psycopg2
import psycopg2.extensions

from backends.breaker import LIMIT_SECONDS

CONNECT_TIMEOUT_SECONDS: Final = 2
"""The smallest value that libpq accepts."""

_CHECKS_PER_SECOND: Final = 4
_limit_seconds: Final[ContextVar[float]] = ContextVar("limit_seconds", default=LIMIT_SECONDS)
_deadline: Final[ContextVar[float]] = ContextVar("deadline", default=math.inf)
"""In seconds of the monotonic clock."""


@contextmanager
def set_deadline(seconds: float) -> Iterator[None]:
    """Let the statements of the block end in *seconds* at most, all together, and not after an outer deadline."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def has_passed() -> bool:
    """Return whether the deadline of this thread has passed."""
    return time.monotonic() >= _deadline.get()


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Set the time limit of the statements of the block."""
    token = _limit_seconds.set(seconds)
    try:
        yield
    finally:
        _limit_seconds.reset(token)


class LimitedCursor(psycopg2.extensions.cursor):
    """A cursor whose statements have a time limit: at the limit the connection is shut down, as if the server had died.

    Statements that a connection pool sends by itself are limited too.
    """

    def execute(self, query: Any, variables: Any = None) -> None:
        """Execute a statement. Raises OperationalError at the time limit."""
        descriptor: int = self.connection.fileno()
        _watchdog.watch(descriptor, time.monotonic() + _limit_seconds.get())
        try:
            super().execute(query, variables)
        finally:
            _watchdog.forget(descriptor)


class DeadlineCursor(psycopg2.extensions.cursor):
    """A cursor whose statements end at the deadline of the thread: then the connection is shut down."""

    def execute(self, query: Any, variables: Any = None) -> None:
        """Execute a statement. Raises OperationalError at the deadline."""
        deadline = _deadline.get()
        if deadline == math.inf:
            super().execute(query, variables)
            return
        if time.monotonic() >= deadline:
            raise psycopg2.OperationalError("The request has taken too long")
        descriptor: int = self.connection.fileno()
        _watchdog.watch(descriptor, deadline)
        try:
            super().execute(query, variables)
        finally:
            _watchdog.forget(descriptor)


class _Watchdog:
    """One thread that shuts down connections whose statement is overdue; it ends when there is none left to watch."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all connections: those of a parent process are not watched in its child."""
        self._lock = threading.Lock()
        self._deadlines: dict[int, float] = {}
        self._thread: threading.Thread | None = None

    def watch(self, descriptor: int, deadline: float) -> None:
        """Shut down the connection of a file *descriptor* at the deadline, unless `forget` is called before."""
        with self._lock:
            self._deadlines[descriptor] = deadline
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                thread.start()
                self._thread = thread

    def forget(self, descriptor: int) -> None:
        """Do not shut down the connection any more; it may be shut down already."""
        with self._lock:
            self._deadlines.pop(descriptor, None)

    def _run(self) -> None:
        while True:
            time.sleep(1 / _CHECKS_PER_SECOND)
            with self._lock:
                now = time.monotonic()
                for descriptor in [each for each, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[descriptor]
                    _shut_down(descriptor)
                if not self._deadlines:
                    self._thread = None
                    return


def _shut_down(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        connection.shutdown(socket.SHUT_RDWR)


_watchdog: Final = _Watchdog()
os.register_at_fork(after_in_child=_watchdog.reset)
