"""The errors of a transaction; each tells whether another try can succeed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backends import BackendError


class Conflict(BackendError):
    """The transaction must be tried again: a deadlock, a serialization failure, a dead connection."""


class Unlocked(Conflict):
    """The transaction would write or empty *lists* that it neither locked nor started: another try locks them first.

    *contended* are derived lists to one of which another transaction may have appended since their clocks were read.
    The storage remembers them, so that another try locks them when it appends.
    """

    def __init__(self, lists: Iterable[str], contended: Iterable[str] = ()) -> None:
        self.lists = frozenset(lists)
        self.contended = frozenset(contended)
        super().__init__(f"Not locked: {', '.join(sorted(self.lists | self.contended))}")


class Disconnected(Conflict):
    """The connection died before the COMMIT, or is read-only; nothing was written. Another try gets a new one."""


class Uncertain(BackendError):
    """The connection died during the COMMIT: the outcome is unknown. Do not retry, the write might be applied twice."""


class NotUnique(Exception):
    """Two objects of a list would have the same values in a unique index.

    `fields` are the names of its fields, `existing` is the URI of the object that has the values.
    """

    def __init__(self, fields: Sequence[str], existing: str) -> None:
        super().__init__(f"{', '.join(fields)}: {existing}")
        self.fields = fields
        self.existing = existing
