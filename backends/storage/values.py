"""The total order of JSON values and what filters ask of them, in Python: the meaning that every database must give.

null < text < number < boolean < array < object < missing (C-LIST-35), text by code point (C-LIST-37), numbers by
value, arrays and objects as PostgreSQL's jsonb orders them (C-LIST-39).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from backends import Json
from backends.storage import MISSING, Missing

_COMPLEMENT: Final = bytes(range(255, -1, -1))


def value_at(document: Json, path: Sequence[str]) -> Json | Missing:
    """Return the member of members that *path* names, MISSING where it runs into what is no object (C-LIST-21)."""
    value = document
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def ordered(value: Json | Missing) -> bytes:
    """Return bytes that compare as the values do: the same for equal values, and none the beginning of another."""
    return _ENCODERS[type(value)](value)


def reversed_order(key: bytes) -> bytes:
    """Return bytes that compare the other way round."""
    return key.translate(_COMPLEMENT)


def likes(value: Json | Missing, pattern: str) -> bool:
    """Say whether a value is text that *pattern* covers, whatever the case; `*` is any run of characters (C-LIST-16).

    Not by a regular expression: with many `*` those take time that grows as a power of the length.
    """
    if not isinstance(value, str):
        return False
    text = value.lower()
    first, *rest = pattern.lower().split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    for part in rest[:-1]:
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(text) - position >= len(rest[-1]) and text.endswith(rest[-1])


def encoded(values: Iterable[Json]) -> frozenset[bytes]:
    """Return the values as `contains` wants them."""
    return frozenset(map(ordered, values))


def contains(value: Json | Missing, wanted: frozenset[bytes], every: bool) -> bool:
    """Say whether a value is an array that holds every one, or any one, of *wanted* (C-LIST-18, C-LIST-19)."""
    if not isinstance(value, list):
        return False
    held = encoded(value)
    return wanted <= held if every else not wanted.isdisjoint(held)


def _text(value: str) -> bytes:
    # The end is a zero byte, so a zero byte inside is followed by one that is greater than what follows an end.
    return value.encode().replace(b"\0", b"\0\xff") + b"\0"


def _number(value: int | float) -> bytes:
    """Encode sign, power of ten and digits. Floats count as the decimal number that JSON writes, as in PostgreSQL."""
    if not value:
        return b"\x31"
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int), "JSON has no infinite numbers"
    significant = bytes(digits).rstrip(b"\0").translate(_DIGITS)
    size = (len(digits) + exponent + 2**31).to_bytes(4, "big") + significant + b"\0"
    return b"\x30" + reversed_order(size) if sign else b"\x32" + size


_DIGITS: Final = bytes(range(1, 256)) + b"\0"
"""Shifts digits up by one, so that a zero byte is less than all of them."""


def _array(value: list[Json]) -> bytes:
    return b"\x50" + len(value).to_bytes(4, "big") + b"".join(map(ordered, value))


def _object(value: dict[str, Json]) -> bytes:
    # jsonb keeps the members by length of name, then by name, and compares them in this order.
    members = sorted((len(name.encode()), name, member) for name, member in value.items())
    return (
        b"\x60" + len(value).to_bytes(4, "big") + b"".join(_text(name) + ordered(member) for _, name, member in members)
    )


_ENCODERS: Final[Mapping[type, Callable[[Json], bytes]]] = {
    type(None): lambda value: b"\x10",
    str: lambda value: b"\x20" + _text(value),
    int: _number,
    float: _number,
    bool: lambda value: b"\x41" if value else b"\x40",
    list: _array,
    dict: _object,
    Missing: lambda value: b"\x70",
}
