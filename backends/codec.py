"""Encode and decode JSON as it is stored and served: compact text, integers of any size kept exactly."""

from __future__ import annotations

import json
import re

import orjson

from backends import Json

_LONG_INTEGER = re.compile(r"\d{19}")


def loads(text: str) -> Json:
    """Decode stored text.

    orjson turns integers beyond 64 bits into floats, so text that may hold one is decoded by the standard library.
    """
    return json.loads(text) if _LONG_INTEGER.search(text) else orjson.loads(text)


def dumps(value: Json) -> str:
    """Encode a value as compact text; characters beyond ASCII are not escaped."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, which orjson refuses
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
