"""The total order of JSON values, and the filters on them, in Python: the reference for every database.

null < text < number < boolean < array < object < missing (C-LIST-35), text by code point (C-LIST-37), numbers by
value, arrays and objects as PostgreSQL's jsonb orders them (C-LIST-39). So a field that is an empty array comes first
of all; inside an array or object it is an array like others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from backends import Json
from backends.storage import MISSING, Missing

_COMPLEMENT: Final = bytes(range(255, -1, -1))
_EMPTY_ARRAY: Final = b"\x08"


def value_at(document: Json, path: Sequence[str]) -> Json | Missing:
    """Return the value at *path*, names from the outside in; MISSING where one is not found (C-LIST-21)."""
    value = document
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def order_key(value: Json | Missing) -> bytes:
    """Return bytes that compare as the values do: equal for equal values, and no key is a prefix of another."""
    return _EMPTY_ARRAY if value == [] else _encode(value)


def _encode(value: Json | Missing) -> bytes:
    return _ENCODERS[type(value)](value)


def reverse_key(key: bytes) -> bytes:
    """Return bytes that compare in the opposite order."""
    return key.translate(_COMPLEMENT)


def matches_pattern(value: Json | Missing, pattern: str) -> bool:
    """Return whether a value is a string that matches *pattern* as a whole, ignoring case (C-LIST-16).

    `*` matches any run of characters. A regular expression is not used: with many `*` its time grows as a power of the
    length.
    """
    if not isinstance(value, str):
        return False
    text = value.lower()
    first, *parts = pattern.lower().split("*")
    if not parts:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    for part in parts[:-1]:
        start = text.find(part, position)
        if start < 0:
            return False
        position = start + len(part)
    return len(text) - position >= len(parts[-1]) and text.endswith(parts[-1])


def order_keys(values: Iterable[Json]) -> frozenset[bytes]:
    """Return the order keys of values, as `contains` takes them."""
    return frozenset(map(order_key, values))


def contains(value: Json | Missing, keys: frozenset[bytes], *, every: bool) -> bool:
    """Return whether a value is an array with *every* one, else any one, of some values (C-LIST-18, C-LIST-19).

    *keys* are the order keys of these values.
    """
    if not isinstance(value, list):
        return False
    elements = order_keys(value)
    return keys <= elements if every else not keys.isdisjoint(elements)


def _text(value: str) -> bytes:
    # A zero byte ends the string; one inside it is written as 1 1, and a one as 1 2.
    return value.encode().replace(b"\1", b"\1\2").replace(b"\0", b"\1\1") + b"\0"


def _number(value: int | float) -> bytes:
    """Encode sign, power of ten and digits. A float counts as the decimal number that JSON writes, as in PostgreSQL."""
    if not value:
        return b"\x31"
    digits, size = _digits(value)
    key = (size + 2**31).to_bytes(4, "big") + digits.rstrip("0").encode() + b"\0"
    return b"\x30" + reverse_key(key) if value < 0 else b"\x32" + key


def _digits(value: int | float) -> tuple[str, int]:
    """Return the digits of a number from the first one that is not zero, and how many are before the point."""
    text = repr(abs(value))
    whole, _, fraction = text.partition(".")
    if whole != "0" and "e" not in text:
        return whole + fraction, len(whole)
    _, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int), "JSON has no infinite numbers"
    return "".join(map(str, digits)), len(digits) + exponent


def _array(value: list[Json]) -> bytes:
    return b"\x50" + len(value).to_bytes(4, "big") + b"".join(map(_encode, value))


def _object(value: dict[str, Json]) -> bytes:
    # jsonb stores the members by the length of their names, then by name, and compares them in this order.
    members = sorted((len(name.encode()), name, member) for name, member in value.items())
    return (
        b"\x60" + len(value).to_bytes(4, "big") + b"".join(_text(name) + _encode(member) for _, name, member in members)
    )


_ENCODERS: Final[Mapping[type, Callable[[Json], bytes]]] = {
    type(None): lambda _: b"\x10",
    str: lambda value: b"\x20" + _text(value),
    int: _number,
    float: _number,
    bool: lambda value: b"\x41" if value else b"\x40",
    list: _array,
    dict: _object,
    Missing: lambda _: b"\x70",
}
