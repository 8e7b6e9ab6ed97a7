"""The size of an object: the length of its JSON without blanks, characters beyond ASCII escaped, in bytes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Final

from blueprints.plugins import Json, Stored

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def size_of(stored: Stored | None) -> int:
    """Return the size of an object, 0 for none and for a tombstone."""
    return 0 if stored is None or stored.deleted else size_of_document(stored.data())


def size_of_document(document: Json) -> int:
    """Return the size of a document: the same before it is written as after it is read from any database.

    PostgreSQL stores numbers without exponent, and no negative zero.
    """
    text = _encode(document)
    if "e+" in text or "-0.0" in text:
        text = _encode(json.loads(text, parse_float=_as_stored))
    return len(text)


def _as_stored(number: str) -> float:
    return int(Decimal(number)) if "e+" in number else float(number) + 0.0
