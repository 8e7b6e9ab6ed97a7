"""The backends: one folder each, whose `__init__` is the interface; every other module there is one implementation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value: null, a boolean, a number, a string, an array or an object."""


class BackendError(Exception):
    """A backend failed: the client gets a 503 and may retry. `original` is the error of the driver."""

    def __init__(self, message: str, original: BaseException | None = None) -> None:
        super().__init__(message)
        self.original = original


class Busy(BackendError):
    """A lock was not available within the time limit: nothing was written, and a later try may succeed."""


class IntegrityError(BackendError):
    """The database rejected a row that violates a constraint."""


@contextmanager
def translate_errors(*failures: type[Exception]) -> Iterator[None]:
    """Raise BackendError in place of *failures*, the exceptions of a driver."""
    try:
        yield
    except failures as error:
        raise BackendError(f"{type(error).__name__}: {error}", error) from error


@dataclass(frozen=True, slots=True)
class Pool:
    """The settings of a connection pool (operations.md 1.5); the defaults are those of PostgreSQL.

    `max_backlog` is the number of threads that may wait for a connection: one more fails at once. -1: no limit.
    `echo` logs every statement, without bound values. `lock_timeout_seconds` limits how long a statement of the storage
    waits for a lock. `prepare` allows prepared statements, which belong to a session that no pooler shares.
    """

    size: int = 25
    max_overflow: int = 5
    timeout_seconds: float = 30.0
    recycle_seconds: int = -1
    max_backlog: int = -1
    pre_ping: bool = True
    echo: bool = False
    lock_timeout_seconds: float = 10.0
    prepare: bool = True


REDIS_POOL = Pool(size=50, timeout_seconds=20.0)
"""The defaults of Redis (operations.md 4.3)."""
