"""Encode and decode page tokens: base64 of JSON with the sort values and URI of an object (C-LIST-50 to C-LIST-54).

    {"after": [["apple"], [], [1700000000000]], "uri": "/buckets/b/collections/c/records/r", "nonce": "..."}

Each value is wrapped in a list, which is empty if the object lacks the field.

Values can be longer than a URL may be. Any bound between the last object of a page and the next one serves as well as
the values themselves, so `separate` cuts a long text if its first characters distinguish the two. If they do not (both
texts have the same beginning, or the values are long arrays), the token names some objects around the boundary, each
with a digest of its values:

    {"anchors": [["next", "9f86d081884c7d65"], ["last", "..."], ["last but one", "..."]]}

The next page starts at the first of them whose values are unchanged. All objects between it and the boundary have been
changed or deleted, so no unchanged object is skipped or repeated.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.parsing.ids import MAX_ID_CHARACTERS
from app.parsing.parameters import TIMESTAMP_LIMIT, read_json, texts_of
from backends import Json
from backends.codec import dumps
from backends.storage import MISSING, Missing, Order, list_of
from backends.storage.values import order_key

MAX_BYTES: Final = 1_024
"""The longest JSON of sort values in a token; longer values are shortened."""
MAX_ANCHORS: Final = 4

_COLUMNS: Final = (("id",), ("last_modified",))
_PREFIX_CHARACTERS: Final = 128
_GREATEST: Final = "\U0010ffff"
_DIGEST_CHARACTERS: Final = 32

Values = tuple[Json, ...]
"""The sort values of one object; `MISSING` for a field that the object lacks."""


@dataclass(frozen=True, slots=True)
class Token:
    """The start of a page: `after` has the sort values and the URI of the last object of the page before.

    `after` is None in a token with `anchors`.
    """

    after: Values | None
    nonce: str | None = None
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Anchor:
    """An object near the end of a page, and the digest of its sort values."""

    id: str
    digest: str


def encode(values: Sequence[Json | Missing], uri: str, nonce: str | None = None) -> str:
    """Return the token of the page after the object *uri* with these sort values."""
    return _to_text({"after": _after(values), "uri": uri}, nonce)


def _after(values: Sequence[Json | Missing]) -> Json:
    return [[] if value is MISSING else [value] for value in values]


def _to_text(content: dict[str, Json], nonce: str | None) -> str:
    content |= {} if nonce is None else {"nonce": nonce}
    return base64.urlsafe_b64encode(dumps(content).encode()).decode()


def encode_anchors(anchors: Sequence[Anchor], nonce: str | None = None) -> str:
    """Return the token of a page that starts at the first unchanged object of the anchors."""
    content: dict[str, Json] = {"anchors": [[anchor.id, anchor.digest] for anchor in anchors]}
    return _to_text(content, nonce)


def digest(order: Sequence[Order], values: Values) -> str:
    """Return the digest of an object's sort values, in hexadecimal."""
    keys = [[key.path, key.descending] for key in order]
    return hashlib.sha256(dumps([keys, _after(values)]).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def fits(values: Values) -> bool:
    """Return whether values are short enough for a token."""
    return len(dumps(_after(values)).encode()) <= MAX_BYTES


def separate(order: Sequence[Order], last: Values, following: Values) -> Values | None:
    """Return short values between those of two neighbours, None if there are none.

    The first key in which the two differ decides: its text is cut, and the values of later keys do not matter.
    """
    differs = next(
        (index for index in range(len(order)) if order_key(last[index]) != order_key(following[index])), len(order) - 1
    )
    bound = _between(order[differs], last[differs], following[differs])
    remaining = [value if key.path in _COLUMNS else MISSING for key, value in zip(order, last, strict=True)]
    values = (*last[:differs], bound, *remaining[differs + 1 :])
    return values if fits(values) else None


def _between(key: Order, value: Json, other: Json) -> Json:
    """Return a prefix of a long text that sorts on the same side of *other*; return other values unchanged."""
    if not isinstance(value, str) or len(value) <= _PREFIX_CHARACTERS or key.path in _COLUMNS:
        return value
    prefix = value[:_PREFIX_CHARACTERS]
    if isinstance(other, str) and other.startswith(prefix):
        return value
    if key.descending:
        return prefix
    return value if value[_PREFIX_CHARACTERS] == _GREATEST else prefix + _GREATEST


def just_before(uri: str, *, descending: bool) -> str:
    """Return a text that sorts directly before *uri*, after every other URI before it."""
    return uri + _GREATEST if descending else f"{uri[:-1]}{chr(ord(uri[-1]) - 1)}{_GREATEST}"


def decode(text: str, order: Sequence[Order], list_uri: str | None) -> Token:
    """Decode the token of a page in this order; *list_uri* is the list of stored objects, None for other pages.

    Raises ValueError if it cannot be a token of this list and order (C-LIST-51).
    """
    try:
        content = read_json(base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict) or any("\0" in inner for inner in texts_of(content)):
        raise ValueError("not a mapping")
    uri, nonce = content.get("uri"), content.get("nonce")
    if not isinstance(nonce, str | None):
        raise ValueError("the nonce is not a string")
    if list_uri is not None and "anchors" in content:
        return Token(None, nonce, _anchors(content["anchors"]))
    if not isinstance(uri, str):
        raise ValueError("no URI")
    values = _values(content.get("after"), len(order))
    if list_uri is not None:
        if "/" not in uri or list_of(uri) != list_uri:
            raise ValueError("the token of another list")
        for key, value in zip(order, values, strict=True):
            _expect_possible(key, value)
    return Token((*values, uri), nonce)


def _anchors(anchors: Json) -> tuple[Anchor, ...]:
    if not isinstance(anchors, list) or not 0 < len(anchors) <= MAX_ANCHORS:
        raise ValueError("not a list of 1 to 4 anchors")
    for anchor in anchors:
        if not isinstance(anchor, list) or len(anchor) != 2 or not all(isinstance(text, str) for text in anchor):
            raise ValueError("not an anchor")
        if not 0 < len(anchor[0]) <= MAX_ID_CHARACTERS or "/" in anchor[0]:
            raise ValueError("not an id")
    return tuple(Anchor(*anchor) for anchor in anchors)


def _values(after: Json, count: int) -> tuple[Json, ...]:
    if not isinstance(after, list) or len(after) != count:
        raise ValueError("the token of another order")
    if not all(isinstance(item, list) and len(item) < 2 for item in after):
        raise ValueError("not a list of values")
    return tuple(item[0] if item else MISSING for item in after)


def _expect_possible(key: Order, value: Json) -> None:
    """Raise ValueError for an id that is not a string or an invalid timestamp: the storage compares typed columns."""
    if key.path == ("id",) and not isinstance(value, str):
        raise ValueError("not an id")
    if key.path == ("last_modified",) and not (type(value) is int and 0 <= value < TIMESTAMP_LIMIT):
        raise ValueError("not a timestamp")
