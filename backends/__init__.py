"""Hold the places where data lives: a folder each, whose `__init__` is the interface, every other module one choice."""

from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value: null, a boolean, a number, a text, a list or a mapping."""


class BackendError(Exception):
    """Say that a backend failed: the client gets a 503 and may try again. `original` is the error of the driver."""

    def __init__(self, message: str, original: BaseException | None = None) -> None:
        super().__init__(message)
        self.original = original


class IntegrityError(BackendError):
    """Say that the database refused a row that contradicts another one."""
