"""Let the writers of an embedded database wait in line: threads at a lock, processes at a locked file.

SQLite's own lock has no line: a writer sleeps and asks again, and may find it taken each time. flock(2) has one, and no
time limit: where another process has the lock, a thread waits for it in the place of the writer, who can give up. The
next writer goes on with that thread.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backends import Busy, translate_errors
from backends.forks import renew_in_children

_NOT_OPEN = -1
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MODE = 0o660
"""Other users of the machine must not be able to open the file: all writers would wait for whoever locks it."""


class _Wait:
    """A thread that waits for the lock of an open *file*. Where nobody wants the lock when it comes, it is given up."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.ended = False
        self._wanted = self._taken = False
        self._change = threading.Condition()
        threading.Thread(target=self._run, name="turn", daemon=True).start()

    def take(self, seconds: float) -> bool:
        """Wait until the file is locked; return whether it is after some *seconds*. Then it belongs to the caller."""
        with self._change:
            self._wanted = True
            self._change.wait_for(lambda: self.ended, seconds)
            self._wanted = False
            return self._taken

    def _run(self) -> None:
        locked = False
        with suppress(OSError):
            fcntl.flock(self.file, fcntl.LOCK_EX)
            locked = True
        with self._change:
            self.ended, self._taken = True, locked and self._wanted
            if not self._taken:
                _release(self.file)
            self._change.notify_all()


def _release(file: int) -> None:
    """Unlock and close a file: copies of it, which forked children have, would keep the lock."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


class Turn:
    """One writer at a time among all that name the same *path*: `with turn(seconds): ...`. Not reentrant.

    The file stays open, so that a turn costs two system calls; it holds nothing and is never removed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file = _NOT_OPEN
        self._wait: _Wait | None = None
        renew_in_children(self, Turn.renew)

    @contextmanager
    def __call__(self, seconds: float) -> Iterator[None]:
        """Wait for the turn, some *seconds* at most, and hold it until the block ends.

        Raises Busy when others have it for longer, and BackendError when the file cannot be locked.
        """
        deadline = time.monotonic() + seconds
        threads = self._threads
        if not threads.acquire(timeout=seconds):
            raise Busy("Another thread writes to the database")
        try:
            with translate_errors(OSError):
                file = self._lock(deadline)
            try:
                yield
            finally:
                self._unlock(file)
        finally:
            threads.release()

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
        if self._wait is not None:
            os.close(self._wait.file)
            self._wait = None

    def _lock(self, deadline: float) -> int:
        """Return a file once it is locked; raise Busy at the deadline."""
        while True:
            if self._wait is None or self._wait.ended:
                self._wait = None
                file = self._opened()
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return file
                self._wait = _Wait(self._open())
            wait = self._wait
            if wait.take(max(deadline - time.monotonic(), 0.0)):
                self._wait = None
                return wait.file
            if time.monotonic() >= deadline:
                raise Busy("Another process writes to the database")

    def _unlock(self, file: int) -> None:
        """Let the next writer in. The transaction is committed: if that fails, closing the file has the same effect."""
        if file != self._file:
            _release(file)
            return
        try:
            fcntl.flock(file, fcntl.LOCK_UN)
        except OSError:
            with suppress(OSError):
                self.close()

    def _opened(self) -> int:
        """Open the file that stays open, once."""
        if self._file == _NOT_OPEN:
            self._file = self._open()
        return self._file

    def _open(self) -> int:
        """Open the file.

        In a folder of all users (/tmp) somebody may have put something else there: raises OSError for a symbolic link,
        and for whatever is not an ordinary file.
        """
        file = os.open(self._path, _OPEN, _MODE)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(f"{self._path} is not an ordinary file")
        return file
