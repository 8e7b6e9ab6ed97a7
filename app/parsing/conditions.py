"""Parse preconditions, `If-Match` and `If-None-Match`, and check them (core contract, 5.4-5.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, overload

from app.errors import Problem

ANY: Final = "*"
Condition = int | Literal["*"] | None

_ETAG = re.compile(r'"([0-9]{1,25})"')


class Headers(Protocol):
    """The headers of a request; names are case-insensitive."""

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str, /) -> str: ...

    def items(self) -> Iterable[tuple[str, str]]:
        """Return the names and values of all headers."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of a request: a timestamp in ms, `ANY`, or None if the header is absent."""

    match: Condition = None
    none_match: Condition = None

    def is_fresh(self, timestamp: int) -> bool:
        """Return whether the client's copy is current (RFC 9110, section 13.1.2; C-PRE-22)."""
        return self.none_match == timestamp

    def fail_for(self, timestamp: int | None) -> bool:
        """Return whether the conditions fail for an object or list with this timestamp, None if there is no object.

        RFC 9110, section 13.1.1 and 13.1.2; C-PRE-25 to C-PRE-32.
        """
        if timestamp is None:
            return self.match is not None
        if self.none_match == ANY:
            return True
        return self.match not in (None, ANY, timestamp)


NONE: Final = Conditions()


def parse(headers: Headers) -> tuple[Conditions, tuple[Problem, ...]]:
    """Return the conditions in both headers, and the problems of malformed headers (C-PRE-16 to C-PRE-20)."""
    texts = {name: headers.get(name, "") for name in ("If-Match", "If-None-Match")}
    if not any(texts.values()):
        return NONE, ()
    values = {name: _parse_condition(text) for name, text in texts.items() if text}
    problems = tuple(
        Problem("header", name, "The value should be integer between double quotes.")
        for name, value in values.items()
        if value is None
    )
    return Conditions(values.get("If-Match"), values.get("If-None-Match")), problems


def _parse_condition(text: str) -> Condition:
    if text == ANY:
        return ANY
    etag = _ETAG.fullmatch(text)
    return int(etag[1]) if etag else None
