"""Gather what threads hand over, to deal with many at once."""

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
"""How long what was handed over waits for more at most."""


class Soon(Generic[Item]):
    """Gives *deal* what was handed over: as soon as there are *many*, or after `DELAY_SECONDS`.

    Who hands over the last of many deals with them, in its own thread. For what is left there is another, which starts
    with the first item: in the process that uses it, whoever made it before a fork. Where a server lets no threads run,
    what is left waits for more. Nothing is left behind when the process ends.
    """

    def __init__(self, deal: Callable[[Iterator[Item]], None], many: int) -> None:
        self._deal = deal
        self._many = many
        self._closed = False
        self.begin()
        _all.add(self)

    def begin(self) -> None:
        """Start with nothing that waits, and no thread."""
        self._waiting: deque[Item] = deque()
        self._due = threading.Event()
        self._starting = threading.Lock()
        self._awake = False
        self._thread: threading.Thread | None = None

    def hand_over(self, item: Item) -> None:
        """Add an item."""
        self._waiting.append(item)
        if len(self._waiting) >= self._many:
            self.flush()
        elif not self._awake:
            self._wake()

    def _wake(self) -> None:
        self._awake = True
        self._due.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._due,), name="soon", daemon=True)
                self._thread.start()

    def _run(self, due: threading.Event) -> None:
        while not self._closed:
            due.wait()
            time.sleep(DELAY_SECONDS)
            # First: who hands over something from now on wakes it again.
            due.clear()
            self._awake = False
            self.flush()

    def flush(self) -> None:
        """Deal with all that waits; other threads may be doing so. What came after the end is forgotten."""
        if self._closed:
            self._waiting.clear()
        elif self._waiting:
            self._deal(self._taken())

    def _taken(self) -> Iterator[Item]:
        while True:
            try:
                yield self._waiting.popleft()
            except IndexError:
                return

    def close(self) -> None:
        """Deal with all that waits, for the last time; the thread ends."""
        self.flush()
        self._closed = True
        self._due.set()


_all: Final[WeakSet[Soon[Any]]] = WeakSet()


def flush_all() -> None:
    """Deal with all that waits in this process."""
    for each in _all:
        each.flush()


def _begin_all() -> None:
    """Leave to a parent process what waits there."""
    for each in _all:
        each.begin()


atexit.register(flush_all)
os.register_at_fork(after_in_child=_begin_all)
