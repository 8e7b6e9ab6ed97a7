"""Time limits for psycopg2: libpq waits for the answer to a statement without end, whatever became of the server."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

import psycopg2.extensions

from backends.breaker import LIMIT_SECONDS

CONNECT_TIMEOUT_SECONDS: Final = 2
"""The least that libpq knows."""

_CHECKS_A_SECOND: Final = 4
_limit_seconds: Final[ContextVar[float]] = ContextVar("limit_seconds", default=LIMIT_SECONDS)


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Let statements of the block take longer, or less long."""
    known = _limit_seconds.set(seconds)
    try:
        yield
    finally:
        _limit_seconds.reset(known)


class LimitedCursor(psycopg2.extensions.cursor):
    """A cursor whose statements fail at their time limit: their connection is shut down, as if the server had died.

    Those that a connection pool sends by itself are limited too.
    """

    def execute(self, query: Any, variables: Any = None) -> None:
        """Execute a statement. Raises OperationalError at the limit."""
        with _watch.connection(self.connection.fileno(), _limit_seconds.get()):
            super().execute(query, variables)


class _Watch:
    """Shuts down connections whose statement is overdue, from one thread, which ends when nothing is left to watch."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start with nothing to watch: in a child process, what its parent watches is forgotten."""
        self._lock = threading.Lock()
        self._deadlines: dict[int, float] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def connection(self, file: int, seconds: float) -> Iterator[None]:
        """Watch the connection with the descriptor *file* during the block."""
        with self._lock:
            self._deadlines[file] = time.monotonic() + seconds
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(file, None)

    def _run(self) -> None:
        while True:
            time.sleep(1 / _CHECKS_A_SECOND)
            with self._lock:
                now = time.monotonic()
                for file in [file for file, deadline in self._deadlines.items() if deadline <= now]:
                    del self._deadlines[file]
                    _shut_down(file)
                if not self._deadlines:
                    self._thread = None
                    return


def _shut_down(file: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(file)) as connection:
        connection.shutdown(socket.SHUT_RDWR)


_watch: Final = _Watch()
os.register_at_fork(after_in_child=_watch.begin)
