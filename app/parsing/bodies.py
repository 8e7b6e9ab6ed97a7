"""Decode JSON: the one place where a body becomes a value, with the limits that hold for every value.

orjson does the work. It turns integers beyond 64 bits into floating point numbers, so a text with a long run of
digits goes through the standard library, which keeps them (`docs/contract/DECISIONS.md`), and obeys the same rules.
"""

from __future__ import annotations

import encodings
import json
import math
import re
from collections.abc import Iterable, Iterator
from encodings.aliases import aliases
from itertools import islice
from pkgutil import iter_modules
from typing import Final, Never

import orjson

from app.errors import MAX_PROBLEMS, Invalid, Problem, count_unlisted, shorten
from backends import Json

MAX_DEPTH: Final = 100
"""How many lists and mappings of a body may lie in one another: orjson encodes 254, and answers wrap what is stored."""

_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_NUL: Final = b"\\u0000"
_Place = tuple["_Place", str | int] | None
"""Where a value is: the place of its container and its key or index there, None for the whole body."""

_TOO_DEEP: Final = Problem("body", "", f"JSON is nested more than {MAX_DEPTH} levels deep")

_UTF_8: Final = "utf_8"
# Python also calls encodings of host names and of its own source text charsets; decoding the former is quadratic.
_CODECS: Final = frozenset(module.name for module in iter_modules(encodings.__path__)) - {
    "idna",
    "punycode",
    "raw_unicode_escape",
    "undefined",
    "unicode_escape",
}


def is_charset(charset: str) -> bool:
    """Say whether *charset* names an encoding of text.

    Unknown names are not handed to Python, which remembers every name that it was asked for.
    """
    codec = _codec(charset)
    if codec not in _CODECS:
        return False
    try:
        b"x".decode(codec, "ignore")  # nothing is looked up for no bytes
    except LookupError:  # an encoding of bytes, as base64 and zlib are
        return False
    return True


def _codec(charset: str) -> str:
    """Return the name of Python's module for a charset."""
    name = encodings.normalize_encoding(charset[:40]).lower()
    return aliases.get(name, name)


def decode(raw: bytes, charset: str = "utf-8") -> Json:
    """Return the value of a JSON text in a charset that `is_charset`; of duplicate keys the last wins (C-ERR-24).

    Raises Invalid for what is not JSON (C-ERR-17, C-ERR-23), nested too deeply, or holds U+0000 (C-ERR-25). Where a
    body is expected, the caller adds "Required" to the problems of the first.
    """
    codec = _codec(charset)
    try:
        if codec != _UTF_8:
            raw = raw.decode(codec).encode()
        value = _decode_exactly(raw) if _LONG_NUMBER.search(raw) else orjson.loads(raw)
    except RecursionError as error:
        raise Invalid(_TOO_DEEP) from error
    except ValueError as error:
        raise Invalid(Problem("body", "", f"Invalid JSON: {error}")) from error
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise Invalid(_TOO_DEEP)
    if _NUL in raw:
        _refuse_nul(value)
    return value


def same(one: Json, other: Json) -> bool:
    """Say whether two values are the same JSON, whatever the order of keys; `true` is not `1`."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(member, other[key]) for key, member in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def deeper_than(value: Json, limit: int) -> bool:
    """Say whether more than *limit* lists and mappings lie in one another."""
    level = _containers([value])
    for _ in range(limit):
        if not level:
            return False
        level = [inner for outer in level for inner in _containers(_members(outer))]
    return bool(level)


def not_a_mapping(name: str, value: Json) -> Problem:
    """Say that a mapping is expected (C-ERR-20)."""
    return Problem("body", name, f'"{value}" is not a mapping type: Does not implement dict-like functionality.')


def not_iterable(name: str, value: Json) -> Problem:
    """Say that a list is expected."""
    return Problem("body", name, f'"{value}" is not iterable')


def _members(container: Json) -> Iterable[Json]:
    return container.values() if isinstance(container, dict) else container


def _containers(values: Iterable[Json]) -> list[Json]:
    return [value for value in values if isinstance(value, dict | list)]


def _decode_exactly(raw: bytes) -> Json:
    """Decode with integers of any size, and refuse what orjson refuses."""
    value = json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    if _SURROGATE.search(raw):
        # The standard library lets a lone surrogate through; it has no encoding.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is out of range")
    return number


def _refuse_nul(value: Json) -> None:
    # Only the problems that are listed get a name: with a long key, the names of all would fill memory.
    places = _places_with_nul(value)
    listed = [Problem("body", _dotted(place), "Invalid character 0x00") for place in islice(places, MAX_PROBLEMS)]
    if listed:
        raise Invalid(*listed, *count_unlisted("body", sum(1 for _ in places)))


def _places_with_nul(value: Json) -> Iterator[_Place]:
    """Yield the place of every text with U+0000 in it; of a key, the place of the mapping that has it."""
    remaining: list[Iterator[tuple[_Place, Json]]] = [iter([(None, value)])]
    while remaining:
        for place, inner in remaining[-1]:
            if isinstance(inner, str):
                if "\0" in inner:
                    yield place
            elif isinstance(inner, dict | list):
                remaining.append(_placed(place, inner))
                break
        else:
            remaining.pop()


def _placed(place: _Place, container: Json) -> Iterator[tuple[_Place, Json]]:
    """Yield the members of a container with their places; of a member whose key has a U+0000 only the key."""
    for key, member in container.items() if isinstance(container, dict) else enumerate(container):
        yield (place, key) if isinstance(key, str) and "\0" in key else ((place, key), member)


def _dotted(place: _Place) -> str:
    names = []
    while place is not None:
        place, key = place
        names.append(shorten(str(key)))
    return ".".join(reversed(names))
