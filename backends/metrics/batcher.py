"""Collect items of all threads and send them in batches."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

Item = TypeVar("Item")

DELAY_SECONDS: Final = 0.1
"""The longest time that an item waits for others."""
_LAST_SECONDS: Final = 1.0
"""The longest wait for items that the thread is sending when a batcher is closed or the process ends."""


class Batcher(Generic[Item]):
    """Queue items and pass them to *send* in batches: after *size* items or `DELAY_SECONDS`, whichever comes first.

    The thread that adds the last item of a batch sends it. Smaller batches are sent by a thread of this class, which
    starts with the first item, so in the process that uses it, even if the object was created before a fork. If a
    server runs no threads, items wait for a full batch. All items are sent when the process ends.
    """

    def __init__(self, send: Callable[[Iterator[Item]], None], size: int) -> None:
        self._send = send
        self._size = size
        self._closed = False
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Start with an empty queue and without a thread."""
        self._queue: deque[Item] = deque()
        self._due = threading.Event()
        self._starting = threading.Lock()
        self._sending = threading.Lock()
        self._awake = False
        self._thread: threading.Thread | None = None

    def add(self, item: Item) -> None:
        """Add an item."""
        self._queue.append(item)
        if len(self._queue) >= self._size:
            self.flush()
        elif not self._awake:
            self._wake()

    def _wake(self) -> None:
        self._awake = True
        self._due.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._due,), name="batcher", daemon=True)
                self._thread.start()

    def _run(self, due: threading.Event) -> None:
        while not self._closed:
            due.wait()
            time.sleep(DELAY_SECONDS)
            # Before the flush: an item that is added from now on wakes the thread again.
            due.clear()
            self._awake = False
            with self._sending:
                self.flush()

    def flush(self) -> None:
        """Send all queued items; other threads may do so too. Items that are added after `close` are dropped."""
        if self._closed:
            self._queue.clear()
        elif self._queue:
            self._send(self._take_items())

    def _take_items(self) -> Iterator[Item]:
        while True:
            try:
                yield self._queue.popleft()
            except IndexError:
                return

    def finish(self) -> None:
        """Send all queued items, and wait for those that the thread has taken from the queue."""
        self.flush()
        if self._sending.acquire(timeout=_LAST_SECONDS):
            self._sending.release()

    def close(self) -> None:
        """Send all queued items and end the thread."""
        self.finish()
        self._closed = True
        self._due.set()


_all: Final[WeakSet[Batcher[Any]]] = WeakSet()


def flush_all() -> None:
    """Send all queued items of this process."""
    for batcher in _all:
        batcher.finish()


def _reset_all() -> None:
    """Drop the items in a child process: its parent sends them."""
    for batcher in _all:
        batcher.reset()


atexit.register(flush_all)
os.register_at_fork(after_in_child=_reset_all)
