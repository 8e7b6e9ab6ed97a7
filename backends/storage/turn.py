"""Let the writers of an embedded database wait in line: threads at a lock, processes at a locked file.

SQLite's own lock has no line: a writer sleeps and asks again, and may find it taken each time.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from backends import translated

_NOT_OPEN = -1


class Turn:
    """One writer at a time among all that name the same *path*: `with turn(): ...`. Not reentrant.

    The file stays open, so that a turn costs two system calls; it holds nothing and is never removed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file = _NOT_OPEN
        _renew_after_fork(self)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Wait for the turn and hold it until the block ends. Raises BackendError when the file cannot be locked."""
        with self._threads:
            with translated(OSError):
                file = self._opened()
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; the next turn opens it again."""
        file, self._file = self._file, _NOT_OPEN
        if file != _NOT_OPEN:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def renew(self) -> None:
        """Forget what a child process inherited.

        Its copy of the file is locked whenever its parent's is, and the lock of the threads may be held by one that
        was not copied. Closing the copy leaves the parent's lock alone.
        """
        self._threads = threading.Lock()
        self.close()

    def _opened(self) -> int:
        if self._file == _NOT_OPEN:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._file


def _renew_after_fork(turn: Turn) -> None:
    known = weakref.ref(turn)

    def renew() -> None:
        inherited = known()
        if inherited is not None:
            inherited.renew()

    os.register_at_fork(after_in_child=renew)
