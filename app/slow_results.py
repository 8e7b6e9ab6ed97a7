"""Computations that take long: each is done between two tries of a transaction, while no lock is held.

A decision asks for a result (`SlowResults.get`). If it is not computed yet, the decision goes on with a placeholder.
When all operations are decided, the try ends and its locks are released; the results that admitted operations asked for
are computed, and everything is decided again. A rejected operation never asks for a result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

PLACEHOLDER: Final = ""
"""The value of a result that is not computed yet; it must not be written."""


class ResultsMissing(Exception):
    """A decision needs results that are not computed yet."""


class SlowResults:
    """The results of one request, by key."""

    def __init__(self) -> None:
        self._results: dict[Hashable, str] = {}
        self._missing: dict[Hashable, Callable[[], str]] = {}

    def get(self, key: Hashable, compute: Callable[[], str]) -> str:
        """Return a result, or `PLACEHOLDER` until it is computed."""
        if key not in self._results:
            self._missing[key] = compute
        return self._results.get(key, PLACEHOLDER)

    def expect_computed(self) -> None:
        """Raise ResultsMissing if a decision got a placeholder."""
        if self._missing:
            raise ResultsMissing

    def compute_missing(self) -> None:
        """Compute the results that decisions have asked for."""
        self._results |= {key: compute() for key, compute in self._missing.items()}
        self._missing.clear()
