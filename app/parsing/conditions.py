"""Preconditions: `If-Match` and `If-None-Match` against the timestamp of an object or list (core contract, 5.4-5.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, overload

from app.errors import Problem

ANY: Final = "*"
Expected = int | Literal["*"] | None

_ETAG = re.compile(r'"([0-9]{1,25})"')


class Headers(Protocol):
    """The headers of a request, found by their names in any case."""

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request expects: a timestamp in ms, `ANY`, or None where it did not say."""

    match: Expected = None
    none_match: Expected = None

    def fresh(self, timestamp: int) -> bool:
        """Say whether the client's copy is the current one (RFC 9110, section 13.1.2; C-PRE-22)."""
        return self.none_match == timestamp

    def broken_by(self, timestamp: int | None) -> bool:
        """Say whether the current state fails the conditions; *timestamp* is None when there is no object.

        RFC 9110, section 13.1.1 and 13.1.2; C-PRE-25 to C-PRE-32.
        """
        if timestamp is None:
            return self.match is not None
        if self.none_match == ANY:
            return True
        return self.match not in (None, ANY, timestamp)


NONE: Final = Conditions()


def parse(headers: Headers) -> tuple[Conditions, tuple[Problem, ...]]:
    """Read both headers, and say what is wrong with them (C-PRE-16 to C-PRE-20)."""
    given = {name: headers.get(name, "") for name in ("If-Match", "If-None-Match")}
    if not any(given.values()):
        return NONE, ()
    values = {name: _expected(text) for name, text in given.items() if text}
    problems = tuple(
        Problem("header", name, "The value should be integer between double quotes.")
        for name, value in values.items()
        if value is None
    )
    return Conditions(values.get("If-Match"), values.get("If-None-Match")), problems


def _expected(text: str) -> Expected:
    if text == ANY:
        return ANY
    etag = _ETAG.fullmatch(text)
    return int(etag[1]) if etag else None
