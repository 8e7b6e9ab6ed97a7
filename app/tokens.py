"""The tokens of pages: base64 of JSON with the sort values and the URI of the last object (C-LIST-50 to C-LIST-54).

    {"after": [["apple"], [], [1700000000000]], "uri": "/buckets/b/collections/c/records/r", "nonce": "..."}

Each value stands in a list, which is empty where the object lacks the field.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from app.parameters import TIMESTAMP_LIMIT, read_json, texts_of
from backends import Json
from backends.codec import dumps
from backends.storage import MISSING, Missing, Order, list_of


@dataclass(frozen=True, slots=True)
class Token:
    """Where a page begins: `after` holds the sort values of the last object before, and its URI."""

    after: tuple[Json, ...]
    nonce: str | None = None


def encode(values: Sequence[Json | Missing], uri: str, nonce: str | None = None) -> str:
    """Return the token of what follows the object *uri* with these sort values."""
    after = [[] if value is MISSING else [value] for value in values]
    content = {"after": after, "uri": uri} | ({} if nonce is None else {"nonce": nonce})
    return base64.urlsafe_b64encode(dumps(content).encode()).decode()


def decode(text: str, order: Sequence[Order], list: str | None) -> Token:
    """Return what a token says of a page that is sorted by *order*, of the list *list* where its objects are stored.

    Raises ValueError for what cannot be a token of this list and order (C-LIST-51).
    """
    try:
        content = read_json(base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict) or any("\0" in each for each in texts_of(content)):
        raise ValueError("no mapping")
    uri, nonce = content.get("uri"), content.get("nonce")
    if not isinstance(uri, str) or not isinstance(nonce, str | None):
        raise ValueError("no URI, or a nonce that is none")
    values = _values(content.get("after"), len(order))
    if list is not None:
        if "/" not in uri or list_of(uri) != list:
            raise ValueError("of another list")
        for key, value in zip(order, values, strict=True):
            _expect_possible(key, value)
    return Token((*values, uri), nonce)


def _values(after: Json, count: int) -> tuple[Json, ...]:
    if not isinstance(after, list) or len(after) != count:
        raise ValueError("of another sort")
    if not all(isinstance(held, list) and len(held) < 2 for held in after):
        raise ValueError("no values")
    return tuple(held[0] if held else MISSING for held in after)


def _expect_possible(key: Order, value: Json) -> None:
    """Refuse an id that is no text and a timestamp that is none: the storage compares them as such."""
    if key.path == ("id",) and not isinstance(value, str):
        raise ValueError("no id")
    if key.path == ("last_modified",) and not (type(value) is int and 0 <= value < TIMESTAMP_LIMIT):
        raise ValueError("no timestamp")
