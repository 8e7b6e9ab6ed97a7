"""The base of work beside requests: it reads without locks and writes in small transactions of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from backends.storage.sessions import Session
from backends.storage.writes import Writer


class Maintenance:
    """Work beside requests: *read_session* yields a session, *transaction* opens a writing transaction."""

    def __init__(
        self,
        read_session: Callable[[], AbstractContextManager[Session]],
        transaction: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._read_session = read_session
        self._transaction = transaction
