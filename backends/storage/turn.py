"""Queue the writers of an embedded database: threads at a lock, processes at a locked file.

The *turn* is the right to write. SQLite's own lock has no queue: a writer sleeps and tries again, and may find the lock
taken each time. flock(2) has a queue but no time limit. So while another process has the file locked, a separate thread
waits for it, and the writer waits for that thread and can give up. The next writer reuses the thread.
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
"""Other users of the machine must not be able to open the file, or they could lock it and block all writers."""


class _FileWait:
    """A thread that waits for the lock of an open *file*; it releases the lock if no writer waits for it by then."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.ended = False
        self._has_waiter = self._is_taken = False
        self._change = threading.Condition()
        threading.Thread(target=self._run, name="turn", daemon=True).start()

    def take(self, seconds: float) -> bool:
        """Wait until the file is locked, for *seconds* at most; return whether the caller has the lock now."""
        with self._change:
            self._has_waiter = True
            self._change.wait_for(lambda: self.ended, seconds)
            self._has_waiter = False
            return self._is_taken

    def _run(self) -> None:
        locked = False
        with suppress(OSError):
            fcntl.flock(self.file, fcntl.LOCK_EX)
            locked = True
        with self._change:
            self.ended, self._is_taken = True, locked and self._has_waiter
            if not self._is_taken:
                _release(self.file)
            self._change.notify_all()


def _release(file: int) -> None:
    """Unlock a file before closing it: otherwise copies of it in forked children would keep the lock."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


class Turn:
    """The turn of all writers with the same *path*, which one has at a time: `with turn(seconds): ...`. Not reentrant.

    The file stays open, so that a turn costs two system calls; it is empty and never removed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file = _NOT_OPEN
        self._wait: _FileWait | None = None
        renew_in_children(self, Turn.renew)

    @contextmanager
    def __call__(self, seconds: float) -> Iterator[None]:
        """Wait for the turn, for *seconds* at most, and hold it until the block ends.

        Raises Busy when others hold it for longer, and BackendError when the file cannot be locked.
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
        """Forget the inherited lock and file in a child process.

        The child's copy of the file is locked whenever the parent's is, and the lock of the threads may be held by a
        thread that does not exist in the child. Closing the copy does not release the parent's lock.
        """
        self._threads = threading.Lock()
        self.close()
        if self._wait is not None:
            os.close(self._wait.file)
            self._wait = None

    def _lock(self, deadline: float) -> int:
        """Return a locked file; raise Busy at the deadline."""
        while True:
            if self._wait is None or self._wait.ended:
                self._wait = None
                file = self._shared_file()
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return file
                self._wait = _FileWait(self._open())
            wait = self._wait
            if wait.take(max(deadline - time.monotonic(), 0.0)):
                self._wait = None
                return wait.file
            if time.monotonic() >= deadline:
                raise Busy("Another process writes to the database")

    def _unlock(self, file: int) -> None:
        """Pass the turn to the next writer.

        The transaction is committed, so an error must not fail it: closing the file unlocks it too.
        """
        if file != self._file:
            _release(file)
            return
        try:
            fcntl.flock(file, fcntl.LOCK_UN)
        except OSError:
            with suppress(OSError):
                self.close()

    def _shared_file(self) -> int:
        """Return the file that stays open; the first call opens it."""
        if self._file == _NOT_OPEN:
            self._file = self._open()
        return self._file

    def _open(self) -> int:
        """Open the file.

        In a folder that all users share (/tmp), another user may have created something else under its name: raises
        OSError for a symbolic link, and for anything that is not an ordinary file.
        """
        file = os.open(self._path, _OPEN, _MODE)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(f"{self._path} is not an ordinary file")
        return file
