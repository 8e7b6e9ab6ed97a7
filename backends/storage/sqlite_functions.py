"""The functions in Python that statements of SQLite call, where SQLite has none that are exact.

A call for each row costs several times as much as a function of SQLite, and threads wait for each other in each call.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Final

import orjson

from backends import Json
from backends.codec import dumps, loads
from backends.storage import Missing
from backends.storage.values import contains, matches_pattern, order_key, order_keys, value_at
from backends.storage.words import words_at

MODES: Final = ("contains", "contains_any")
"""The operators of `document_contains`, which gets their number."""

LIMIT_OF_INTEGERS: Final = 2**63
"""From this integer on SQLite rounds integers, from its double on orjson does."""

# A statement reads several fields of each row, and the same paths and values in all rows.
_constant: Final = lru_cache(maxsize=256)(loads)
_order_keys: Final = lru_cache(maxsize=256)(lambda text: order_keys(loads(text)))


def register(connection: sqlite3.Connection) -> None:
    """Register with a new connection the functions that the statements of `SqliteDialect` call."""
    for name, arguments, function in (
        ("document_key", 2, _key),
        ("document_like", 3, _like),
        ("document_contains", 4, _contains),
        ("document_has_words", -1, _has_words),
        ("document_strings", 2, _strings),
        ("text_like", 2, matches_pattern),
        ("segment", 2, _segment),
        ("from_hex", 1, _from_hex),
    ):
        connection.create_function(name, arguments, function, deterministic=True)


@lru_cache(maxsize=4)
def _document(text: str) -> Json:
    """Return a document whose integers of 64 bits and more may be rounded to floats."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # It refuses integers beyond the greatest float.
        return loads(text)


def _value(document: str, path: str) -> Json | Missing:
    """Return the field of a document. `loads`, which keeps integers of any size, takes twice as long as orjson."""
    value = value_at(_document(document), _constant(path))
    return value_at(loads(document), _constant(path)) if _may_be_rounded(value) else value


def _may_be_rounded(value: Json | Missing) -> bool:
    """Return whether a value may have an integer that orjson has made a float."""
    if isinstance(value, list | dict):
        return any(map(_may_be_rounded, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and abs(value) >= LIMIT_OF_INTEGERS


@lru_cache(maxsize=4)
def _key(document: str, path: str) -> bytes:
    return order_key(_value(document, path))


def _like(document: str, path: str, pattern: str) -> bool:
    return matches_pattern(_value(document, path), pattern)


def _contains(document: str, path: str, values: str, mode: int) -> bool:
    return contains(_value(document, path), _order_keys(values), every=MODES[mode] == "contains")


def _strings(document: str, name: str) -> str:
    array = _document(document).get(name)
    return dumps([element for element in array if isinstance(element, str)] if isinstance(array, list) else [])


def _has_words(document: str, words: str, *paths: str) -> bool:
    return words_at(_document(document), map(_constant, paths)).issuperset(_constant(words))


def _segment(path: str, number: int) -> str:
    parts = path.split("/", number + 1)
    return parts[number] if number < len(parts) else ""


def _from_hex(digits: str | None) -> bytes | None:
    """Return the bytes of hexadecimal digits: SQLite has `unhex` from 3.41 on only."""
    return None if digits is None else bytes.fromhex(digits)
