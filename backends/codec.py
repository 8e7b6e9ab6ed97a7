"""Encode and decode JSON as it is stored and served: compact text, integers of any size kept exactly."""

from __future__ import annotations

import json
from typing import Final

import orjson

from backends import Json

_AS_ZEROS: Final = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
"""The table of `bytes.translate` that makes a zero of each digit and a blank of each other byte."""

_LONG_INTEGER: Final = b"0" * 19


def has_long_number(text: bytes) -> bool:
    """Return whether JSON text has 19 digits in a row. A regular expression takes three times as long or more."""
    return _LONG_INTEGER in text.translate(_AS_ZEROS)


def loads(text: str) -> Json:
    """Decode stored text.

    orjson turns integers beyond 64 bits into floats, so text that may hold one is decoded by the standard library.
    """
    return json.loads(text) if has_long_number(text.encode()) else orjson.loads(text)


def dumps(value: Json) -> str:
    """Encode a value as compact text; characters beyond ASCII are not escaped, a `datetime` is its `isoformat`."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, which orjson refuses
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_decode_embedded)


def embed(text: str) -> Json:
    """Return JSON text as a value that `dumps` copies into the text of a larger value."""
    return orjson.Fragment(text)


def _decode_embedded(value: object) -> Json:
    """Return the value of embedded text, which the standard library cannot copy. Raises TypeError for other objects."""
    return loads(orjson.dumps(value).decode())
