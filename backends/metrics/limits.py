"""Limit the names and label values that clients can create: metrics backends store each until the process ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

OTHER: Final = "other"
"""The value in labels and names for all values beyond a limit."""

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def method_name(method: str) -> str:
    """Return an HTTP method of the service, OTHER for any other: clients can send any text."""
    return method if method in _METHODS else OTHER


class LabelLimit:
    """Limit the number of distinct label values.

    Values are paths: `("blog", "articles", "42")`. The first *maximum* paths of each depth are unchanged; in any other
    path the last value is OTHER, so a new record of a known collection is `("blog", "articles", "other")`.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._paths: dict[int, set[tuple[str, ...]]] = {}

    def __call__(self, values: Sequence[str]) -> tuple[str, ...]:
        """Return the values for labels; empty values are unchanged."""
        path: tuple[str, ...] = ()
        for depth, value in enumerate(values):
            path = (*path, value)
            paths = self._paths.setdefault(depth, set())
            if value and path not in paths:
                if len(paths) < self._maximum:
                    paths.add(path)
                else:
                    path = (*path[:-1], OTHER)
        return path
