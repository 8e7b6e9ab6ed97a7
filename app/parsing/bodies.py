"""Decode JSON: the only place where a body becomes a value, with the limits of every value.

orjson decodes most texts. It turns integers beyond 64 bits into floating point numbers, so a text with a long run of
digits is decoded by the standard library, which keeps them exact (`docs/contract/DECISIONS.md`), under the same rules.
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
from backends.codec import has_long_number

MAX_DEPTH: Final = 100
"""The deepest nesting of lists and mappings in a body: orjson encodes 254 levels, and replies wrap stored objects."""

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_NUL: Final = b"\\u0000"
_Place = tuple["_Place", str | int] | None
"""The place of a value: the place of its container and its key or index in there; None for the whole body."""


def _too_deep(max_depth: int) -> Problem:
    return Problem("body", "", f"JSON is nested more than {max_depth} levels deep")


_UTF_8: Final = "utf_8"
# Python has codecs for host names and for its own source text too; decoding host names takes quadratic time.
_CODECS: Final = frozenset(module.name for module in iter_modules(encodings.__path__)) - {
    "idna",
    "punycode",
    "raw_unicode_escape",
    "undefined",
    "unicode_escape",
}


def is_charset(charset: str) -> bool:
    """Return whether *charset* names an encoding of text.

    Unknown names are not passed to Python, which caches every name that it looks up.
    """
    codec = _codec(charset)
    if codec not in _CODECS:
        return False
    try:
        b"x".decode(codec, "ignore")  # an empty text would skip the lookup
    except LookupError:  # a codec from bytes to bytes, such as base64 or zlib
        return False
    return True


def _codec(charset: str) -> str:
    """Return the name of the Python module that implements a charset."""
    name = encodings.normalize_encoding(charset[:40]).lower()
    return aliases.get(name, name)


def decode(raw: bytes, charset: str = "utf-8", max_depth: int = MAX_DEPTH) -> Json:
    """Return the value of a JSON text; the last of duplicate keys wins (C-ERR-24).

    *charset* must have passed `is_charset`. Raises Invalid if the text is not JSON (C-ERR-17, C-ERR-23), is nested too
    deeply, or contains U+0000 (C-ERR-25). Where a body is required, the caller adds "Required" to the problems of a
    text that is not JSON.
    """
    codec = _codec(charset)
    try:
        if codec != _UTF_8:
            raw = raw.decode(codec).encode()
        value = _decode_exactly(raw) if has_long_number(raw) else orjson.loads(raw)
    except RecursionError as error:
        raise Invalid(_too_deep(max_depth)) from error
    except ValueError as error:
        raise Invalid(Problem("body", "", f"Invalid JSON: {error}")) from error
    if raw.count(b"[") + raw.count(b"{") > max_depth and is_deeper_than(value, max_depth):
        raise Invalid(_too_deep(max_depth))
    if _NUL in raw:
        _refuse_nul(value)
    return value


def is_same(one: Json, other: Json) -> bool:
    """Return whether two values are the same JSON, in any order of keys; `true` is not `1`."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(member, other[key]) for key, member in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(is_same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def is_deeper_than(value: Json, limit: int) -> bool:
    """Return whether lists and mappings are nested more than *limit* levels deep."""
    level = _containers([value])
    for _ in range(limit):
        if not level:
            return False
        level = [inner for outer in level for inner in _containers(_members(outer))]
    return bool(level)


def not_a_mapping(name: str, value: Json) -> Problem:
    """Return the problem of a value that should be a mapping (C-ERR-20)."""
    return Problem("body", name, f'"{value}" is not a mapping type: Does not implement dict-like functionality.')


def not_iterable(name: str, value: Json) -> Problem:
    """Return the problem of a value that should be a list."""
    return Problem("body", name, f'"{value}" is not iterable')


def _members(container: Json) -> Iterable[Json]:
    return container.values() if isinstance(container, dict) else container


def _containers(values: Iterable[Json]) -> list[Json]:
    return [value for value in values if isinstance(value, dict | list)]


def _decode_exactly(raw: bytes) -> Json:
    """Decode with integers of any size; reject the same texts as orjson."""
    value = json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite_float)
    if _SURROGATE.search(raw):
        # The standard library accepts a lone surrogate, which cannot be encoded.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is out of range")
    return number


def _refuse_nul(value: Json) -> None:
    # Only the listed problems get a name: if a key is long, the names of all problems would fill memory.
    places = _places_with_nul(value)
    problems = [Problem("body", _name_of(place), "Invalid character 0x00") for place in islice(places, MAX_PROBLEMS)]
    if problems:
        raise Invalid(*problems, *count_unlisted("body", sum(1 for _ in places)))


def _places_with_nul(value: Json) -> Iterator[_Place]:
    """Yield the place of every text that contains U+0000; for a key, the place of its mapping."""
    remaining: list[Iterator[tuple[_Place, Json]]] = [iter([(None, value)])]
    while remaining:
        for place, inner in remaining[-1]:
            if isinstance(inner, str):
                if "\0" in inner:
                    yield place
            elif isinstance(inner, dict | list):
                remaining.append(_members_with_places(place, inner))
                break
        else:
            remaining.pop()


def _members_with_places(place: _Place, container: Json) -> Iterator[tuple[_Place, Json]]:
    """Yield the members of a container with their places; instead of a member whose key contains U+0000, its key."""
    for key, member in container.items() if isinstance(container, dict) else enumerate(container):
        yield (place, key) if isinstance(key, str) and "\0" in key else ((place, key), member)


def _name_of(place: _Place) -> str:
    names = []
    while place is not None:
        place, key = place
        names.append(shorten(str(key)))
    return ".".join(reversed(names))
