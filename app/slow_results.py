"""Computations that take long: each is done between two tries of a transaction, so that no lock is held meanwhile.

A decision asks for a result (`Lengthy.result`). Where it is not there yet, the try is given up when all operations are
decided: its locks are released, what admitted operations asked for is computed, and everything is decided anew. An
operation that is refused asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

PLACEHOLDER: Final = ""
"""What stands for a result that is not computed yet; it must not be written."""


class ResultsMissing(Exception):
    """A decision needs results that are not computed yet."""


class SlowResults:
    """The results of one request, by their keys."""

    def __init__(self) -> None:
        self._results: dict[Hashable, str] = {}
        self._owed: dict[Hashable, Callable[[], str]] = {}

    def get(self, key: Hashable, compute: Callable[[], str]) -> str:
        """Return a result, `PENDING` until it is computed."""
        if key not in self._results:
            self._owed[key] = compute
        return self._results.get(key, PLACEHOLDER)

    def expect_computed(self) -> None:
        """Raise Owed when a decision got no result."""
        if self._owed:
            raise ResultsMissing

    def compute_missing(self) -> None:
        """Compute what is owed."""
        self._results |= {key: compute() for key, compute in self._owed.items()}
        self._owed.clear()
