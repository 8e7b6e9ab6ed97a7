"""Let the writers of an embedded database wait in line: threads at a lock, processes at a locked file.

SQLite's own lock has no line: a writer sleeps and asks again, and may find it taken each time.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backends import translated
from backends.forks import renew_in_children

_NOT_OPEN = -1
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MODE = 0o660
"""Other users of the machine must not be able to open the file: all writers would wait for whoever locks it."""


class Turn:
    """One writer at a time among all that name the same *path*: `with turn(): ...`. Not reentrant.

    The file stays open, so that a turn costs two system calls; it holds nothing and is never removed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file = _NOT_OPEN
        renew_in_children(self, Turn.renew)

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
                self._unlock(file)

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

    def _unlock(self, file: int) -> None:
        """Let the next writer in. The transaction is committed: if that fails, closing the file has the same effect."""
        try:
            fcntl.flock(file, fcntl.LOCK_UN)
        except OSError:
            with suppress(OSError):
                self.close()

    def _opened(self) -> int:
        """Open the file, once.

        In a folder of all users (/tmp) somebody may have put something else there: raises OSError for a symbolic link,
        and for whatever is not an ordinary file.
        """
        if self._file == _NOT_OPEN:
            file = os.open(self._path, _OPEN, _MODE)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise OSError(f"{self._path} is not an ordinary file")
            self._file = file
        return self._file
