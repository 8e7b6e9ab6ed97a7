"""Hold the places where data lives: a folder each, whose `__init__` is the interface, every other module one choice."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value: null, a boolean, a number, a text, a list or a mapping."""


class BackendError(Exception):
    """Say that a backend failed: the client gets a 503 and may try again. `original` is the error of the driver."""

    def __init__(self, message: str, original: BaseException | None = None) -> None:
        super().__init__(message)
        self.original = original


class Busy(BackendError):
    """Say that a lock was not available within the time limit: nothing was written, and a later try may succeed."""


class IntegrityError(BackendError):
    """Say that the database refused a row that contradicts another one."""


@contextmanager
def translated(*failures: type[Exception]) -> Iterator[None]:
    """Turn *failures*, the errors of a driver, into BackendError."""
    try:
        yield
    except failures as error:
        raise BackendError(f"{type(error).__name__}: {error}", error) from error


@dataclass(frozen=True, slots=True)
class Pool:
    """The connections that a backend keeps (operations.md 1.5); the defaults are those of PostgreSQL.

    `max_backlog` is how many threads may wait for one: the next fails at once. -1: any number.
    `echo` logs every statement, without what is bound to it. `lock_timeout_seconds` is how long a statement of the
    storage may wait for a lock.
    """

    size: int = 25
    max_overflow: int = 5
    timeout_seconds: float = 30.0
    recycle_seconds: int = -1
    max_backlog: int = -1
    pre_ping: bool = True
    echo: bool = False
    lock_timeout_seconds: float = 10.0


REDIS_POOL = Pool(size=50, timeout_seconds=20.0)
"""The defaults of Redis (operations.md 4.3)."""
