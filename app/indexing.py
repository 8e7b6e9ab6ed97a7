"""Build the indexes of large lists in a thread of this process, and find those that pages need and no client declared.

Requests only read and count (`IndexDemand`). What is to be written is left to the thread, which starts as soon as there
is work: an unfinished index, a page that came often enough, an automatic index whose use was not noted for a day.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from typing import Final

from app.index_demand import IndexDemand
from backends.storage import Index, IndexDefinition, Page, Snapshot, Storage
from backends.storage.index_suggestions import automatic_index_of, missing_index
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.indexes")

_PAUSE_SECONDS: Final = 0.01
"""How long the builder pauses between two steps, so that requests get locks and time of the processor."""

_DAY_SECONDS: Final = 24 * 3600
_MAX_WAITING: Final = 1_000
"""The most indexes to create, and to note as used, that wait for the builder; others are noticed again."""


class Indexing:
    """The index builder of one process. Without *builds* nothing is built here (setting `index_builder`).

    With *automatic* it also creates indexes for pages that are read often, and drops those that are not used any more
    (setting `automatic_indexes`). *derived* has the derived lists (`app.kinds.Kinds`), also those that plugins add.
    """

    def __init__(
        self, storage: Storage, derived: Collection[tuple[str, str]] = (), *, builds: bool, automatic: bool
    ) -> None:
        self._storage = storage
        self._derived = derived
        self._builds = builds
        self._automatic = automatic and builds
        self._demand = IndexDemand()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._missing: set[tuple[str, IndexDefinition]] = set()
        self._in_use: dict[bytes, Index] = {}
        self._has_work = False
        self._looked_at = time.monotonic()

    def notice(self, page: Page, snapshot: Snapshot) -> None:
        """Start the builder if a page that was read has work for it."""
        has_work = any(index.is_building for index in snapshot.indexes)
        if self._automatic:
            has_work |= self._notice_automatic(page, snapshot) or time.monotonic() > self._looked_at + _DAY_SECONDS
        if has_work:
            self.start()

    def _notice_automatic(self, page: Page, snapshot: Snapshot) -> bool:
        """Return whether a page needs an index to be created, or used one whose last noted use is a day ago."""
        index = automatic_index_of(page, snapshot)
        if index is not None and index.since < _now_ms() - _DAY_SECONDS * 1000:
            with self._lock:
                if len(self._in_use) < _MAX_WAITING:
                    self._in_use[index.prefix] = index
            return True
        definition = missing_index(page, snapshot)
        if definition is None or not self._demand.count((page.list, definition), time.monotonic()):
            return False
        with self._lock:
            if len(self._missing) < _MAX_WAITING:
                self._missing.add((page.list, definition))
        return True

    def start(self) -> None:
        """Have the builder look for work. A thread does not survive a fork, so a worker starts its own.

        If none can be started, the next call tries again.
        """
        if not self._builds:
            return
        # Called after a commit and by reads: a system without another thread fails no request.
        with tolerate(log, "Unable to start the index builder"), self._lock:
            self._has_work = True
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="index-builder", daemon=True)
                thread.start()
                self._thread = thread

    def join(self) -> None:
        """Wait until the builder has built all indexes."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (work := self._take_work()) is not None:
            with tolerate(log, "Unable to build an index"):
                if self._automatic:
                    self._storage.change_automatic_indexes(*work, _now_ms(), self._derived)
                self._storage.build_indexes(lambda line: log.info("%s", line), _PAUSE_SECONDS)

    def _take_work(self) -> tuple[Collection[tuple[str, IndexDefinition]], Collection[Index]] | None:
        """Return the automatic indexes to create and those in use; None ends the thread, as nothing came meanwhile."""
        with self._lock:
            if not self._has_work:
                self._thread = None
                return None
            missing, in_use = self._missing, self._in_use
            self._has_work, self._missing, self._in_use = False, set(), {}
            self._looked_at = time.monotonic()
        return missing, in_use.values()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
