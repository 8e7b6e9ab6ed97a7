"""The size of an object: the length of its JSON without blanks, characters beyond ASCII escaped, in bytes.

Most texts are stored in that form or encoded to it by `dumps`, which is fast; the standard library encodes the others.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final

from blueprints.plugins import Json, Stored, dumps

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_EXPONENT: Final = re.compile("e(?<=[0-9]e)")
"""Finds an `e` after a digit. Unlike `[0-9]e` it begins with one character, so that `re` skips other text quickly."""


def size_of(stored: Stored | None) -> int:
    """Return the size of an object, 0 for none and for a tombstone."""
    if stored is None or stored.deleted:
        return 0
    return len(stored.text) if _is_measurable(stored.text) else size_of_document(stored.data())


def size_of_document(document: Json) -> int:
    """Return the size of a document: the same before it is written as after it is read from any database.

    PostgreSQL stores numbers without exponent, and no negative zero.
    """
    text = dumps(document)
    if _is_measurable(text):
        return len(text)
    text = _encode(document)
    if "e+" in text or "-0.0" in text:
        text = _encode(json.loads(text, parse_float=_as_stored))
    return len(text)


def _is_measurable(text: str) -> bool:
    """Return whether the length of stored or dumped text is the size.

    Not that of text with blanks after colons, which PostgreSQL returns, with U+007F, which is escaped, or with numbers
    that the standard library writes in another way: those with exponents, negative zero, and less than 0.0001.
    """
    if '": ' in text or "\x7f" in text or not text.isascii():
        return False
    # Most texts have neither number, and are searched once.
    has_other_numbers = "0.0" in text and ("-0.0" in text or "0.0000" in text)
    return not has_other_numbers and not _EXPONENT.search(text)


def _as_stored(number: str) -> float:
    return int(Decimal(number)) if "e+" in number else float(number) + 0.0
