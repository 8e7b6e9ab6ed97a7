"""The tokens of pages: base64 of JSON with the sort values and the URI of the last object (C-LIST-50 to C-LIST-54).

    {"after": [["apple"], [], [1700000000000]], "uri": "/buckets/b/collections/c/records/r", "nonce": "..."}

Each value stands in a list, which is empty where the object lacks the field.

Values can be longer than a URL may be. Between the last object of a page and the next one any bound is as good as the
values themselves, so a long text is cut where its beginning tells the two apart: `separate`. Where it does not (the two
begin alike, or hold long arrays), the token names some objects around the boundary, each with a digest of its values:

    {"anchors": [["next", "9f86d081884c7d65"], ["last", "..."], ["last but one", "..."]]}

The next page starts at the first of them whose values are still the same. The objects between it and the boundary have
changed or gone, so of those that have not, none is left out and none comes twice.
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
from backends.storage.values import ordered

MAX_BYTES: Final = 1_024
"""How long the JSON of sort values may be before it is shortened."""
MAX_ANCHORS: Final = 4

_COLUMNS: Final = (("id",), ("last_modified",))
_CUT: Final = 128
_GREATEST: Final = "\U0010ffff"
_DIGEST_CHARACTERS: Final = 32

Values = tuple[Json, ...]
"""The sort values of one object; `MISSING` for a field that it lacks."""


@dataclass(frozen=True, slots=True)
class Token:
    """Where a page begins: `after` holds the sort values of the last object before, and its URI.

    Without it there are `anchors`.
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
    """Return the token of what follows the object *uri* with these sort values."""
    return _to_text({"after": _after(values), "uri": uri}, nonce)


def _after(values: Sequence[Json | Missing]) -> Json:
    return [[] if value is MISSING else [value] for value in values]


def _to_text(content: dict[str, Json], nonce: str | None) -> str:
    content |= {} if nonce is None else {"nonce": nonce}
    return base64.urlsafe_b64encode(dumps(content).encode()).decode()


def encode_anchors(anchors: Sequence[Anchor], nonce: str | None = None) -> str:
    """Return the token of a page that starts at the first of some objects that has not changed."""
    content: dict[str, Json] = {"anchors": [[anchor.id, anchor.digest] for anchor in anchors]}
    return _to_text(content, nonce)


def digest(order: Sequence[Order], values: Values) -> str:
    """Return the digest of an object's values in this sort."""
    keys = [[key.path, key.descending] for key in order]
    return hashlib.sha256(dumps([keys, _after(values)]).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def fits(values: Values) -> bool:
    """Say whether a token can hold the values as they are."""
    return len(dumps(_after(values)).encode()) <= MAX_BYTES


def separate(order: Sequence[Order], last: Values, following: Values) -> Values | None:
    """Return short values between those of two neighbours, None where there are none.

    The first key in which the two differ decides: a text is cut there, and what comes after does not matter.
    """
    differs = next(
        (index for index in range(len(order)) if ordered(last[index]) != ordered(following[index])), len(order) - 1
    )
    bound = _between(order[differs], last[differs], following[differs])
    rest = [value if key.path in _COLUMNS else MISSING for key, value in zip(order, last, strict=True)]
    values = (*last[:differs], bound, *rest[differs + 1 :])
    return values if fits(values) else None


def _between(key: Order, value: Json, other: Json) -> Json:
    """Return a beginning of a long text that is on the same side of *other*; anything else as it is."""
    if not isinstance(value, str) or len(value) <= _CUT or key.path in _COLUMNS:
        return value
    beginning = value[:_CUT]
    if isinstance(other, str) and other.startswith(beginning):
        return value
    if key.descending:
        return beginning
    return value if value[_CUT] == _GREATEST else beginning + _GREATEST


def just_before(uri: str, *, descending: bool) -> str:
    """Return a text that comes before *uri* and after every other URI before it."""
    return uri + _GREATEST if descending else f"{uri[:-1]}{chr(ord(uri[-1]) - 1)}{_GREATEST}"


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
    if not isinstance(nonce, str | None):
        raise ValueError("a nonce that is none")
    if list is not None and "anchors" in content:
        return Token(None, nonce, _anchors(content["anchors"]))
    if not isinstance(uri, str):
        raise ValueError("no URI")
    values = _values(content.get("after"), len(order))
    if list is not None:
        if "/" not in uri or list_of(uri) != list:
            raise ValueError("of another list")
        for key, value in zip(order, values, strict=True):
            _expect_possible(key, value)
    return Token((*values, uri), nonce)


def _anchors(anchors: Json) -> tuple[Anchor, ...]:
    if not isinstance(anchors, list) or not 0 < len(anchors) <= MAX_ANCHORS:
        raise ValueError("no anchors, or too many")
    for anchor in anchors:
        if not isinstance(anchor, list) or len(anchor) != 2 or not all(isinstance(text, str) for text in anchor):
            raise ValueError("no anchor")
        if not 0 < len(anchor[0]) <= MAX_ID_CHARACTERS or "/" in anchor[0]:
            raise ValueError("no id")
    return tuple(Anchor(*anchor) for anchor in anchors)


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
