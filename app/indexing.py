"""Build the indexes of large lists in a thread of this process, as soon as a request meets one that is wanted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Final

from backends.storage import Index, Storage
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.indexes")

_PAUSE_SECONDS: Final = 0.01
"""How long the builder pauses between two steps, so that requests get locks and time of the processor."""


class Indexing:
    """The index builder of one process. Without *builds* nothing is built here (setting `index_builder`)."""

    def __init__(self, storage: Storage, *, builds: bool) -> None:
        self._storage = storage
        self._builds = builds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def notice(self, indexes: Iterable[Index]) -> None:
        """Start the builder if one of the *indexes* that a request has read is wanted."""
        if any(index.is_wanted for index in indexes):
            self.start()

    def start(self) -> None:
        """Start the builder unless it runs. A thread does not survive a fork, so a worker starts its own."""
        if not self._builds:
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._build, name="index-builder", daemon=True)
                self._thread.start()

    def join(self) -> None:
        """Wait until the builder has built all indexes."""
        if self._thread is not None:
            self._thread.join()

    def _build(self) -> None:
        with tolerate(log, "Unable to build an index"):
            self._storage.build_indexes(lambda line: log.info("%s", line), _PAUSE_SECONDS)
