"""Why a transaction failed, and whether another try may help."""

from __future__ import annotations

from collections.abc import Iterable

from backends import BackendError


class Conflict(BackendError):
    """The database asks for another try of the transaction: a deadlock, a serialization failure, a dead connection."""


class Unlocked(Conflict):
    """The transaction would write or empty *lists* that it neither locked nor started: another try locks them first."""

    def __init__(self, lists: Iterable[str]) -> None:
        self.lists = frozenset(lists)
        super().__init__(f"Not locked: {', '.join(sorted(self.lists))}")


class Disconnected(Conflict):
    """The connection died before anything was committed: another try gets a new one, where the database still lives."""


class Uncertain(BackendError):
    """The connection died during the COMMIT: whether the transaction was done is unknown, so it is not tried again."""
