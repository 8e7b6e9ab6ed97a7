"""Parse the query string of a list: filters, order, page, fields (core contract, section 6).

`parse` raises nothing: a Query carries its errors, which are raised at their step (C-URL-28).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from app.errors import Problem
from app.parsing import tokens
from app.parsing.bodies import MAX_DEPTH
from app.parsing.filters import MAX_FILTERS, MAX_VALUES, read_filters, too_many_filters
from app.parsing.parameters import (
    ANY_FIELDS,
    Fields,
    InvalidParameter,
    only_number,
    only_text,
    read_number,
    value_error,
)
from backends import Json
from backends.codec import loads
from backends.storage import LIVING, NEWEST_FIRST, Clock, Filter, Order, Stored
from backends.storage.values import value_at
from backends.storage.words import words_of

Pairs = Iterable[tuple[str, str]]
Paths = tuple[tuple[str, ...], ...]

MAX_KEYS: Final = 20
"""The most fields that one query may sort by."""

MAX_FIELDS: Final = 100
"""The most fields that one query may select: each is looked up in every object of the page."""

SEARCH: Final = "_search"
"""The parameter with the words that objects must have."""

MAX_WORDS: Final = 20
"""The most words that one query may search."""

_OF_TOMBSTONES: Final = (("id",), ("last_modified",), ("deleted",))
_FIRST_PAGE: Final = tokens.Token(None)
_INVALID_TOKEN: Final = "_token has invalid content"
_URI_LAST: Final = (Order(("uri",), descending=True),)
_DAY_MS: Final = 24 * 60 * 60 * 1000
_SORT_KEY: Final = re.compile(r"([+-]?)([\w.]+)")


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of page sizes: `paginate_by` is the default and the maximum, `max_fetch_size` bounds both.

    `max_fetch_bytes` limits the size of the objects in a page.
    """

    paginate_by: int | None
    max_fetch_size: int
    max_fetch_bytes: int = LIVING

    def page_size(self, requested: int | None) -> int:
        """Return the number of objects in a page (C-LIST-45, C-LIST-49)."""
        return min(size for size in (requested, self.paginate_by, self.max_fetch_size) if size)


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a list. `limit` is the effective size of a page, `requested_limit` the value of `_limit`.

    `problems` belong to step 11 of C-URL-28, `refusal` to step 14. `fields` are paths, None for whole objects.
    `future_timestamp` is set if the only reason of the refusal is this timestamp, more than a day ahead.
    `token_nonce` is from the token of a DELETE, `anchors` are from the token of long sort values: `resume` turns them
    into `after`. `deprecated_to`: the query uses `_to` (C-LIST-26). `explain`: the answer tells how the page was read.
    `words` are those of `_search`, which only lists with an index by texts know. `max_bytes` limits the size of the
    objects in a page.
    """

    limit: int
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = NEWEST_FIRST
    after: tuple[Json, ...] | None = None
    requested_limit: int | None = None
    tombstones: bool = False
    fields: Paths | None = None
    problems: tuple[Problem, ...] = ()
    refusal: Problem | None = None
    deprecated_to: bool = False
    token_nonce: str | None = None
    anchors: tuple[tokens.Anchor, ...] = ()
    future_timestamp: int | None = None
    explain: bool = False
    words: tuple[str, ...] = ()
    max_bytes: int = LIVING

    def refusal_for(self, latest: int) -> Problem | None:
        """Return the refusal of the query on a list whose highest timestamp was *latest*, else None (C-LIST-28).

        A timestamp that was the `ETag` of the list is always accepted, however far ahead.
        """
        return None if self.future_timestamp is not None and self.future_timestamp <= latest else self.refusal

    def from_beginning(self, clock: Clock | None) -> Query:
        """Return a query of the whole list if its `_since` is older than the last time the clock was set back."""
        if clock is None or not clock.former:
            return self
        filters = tuple(
            condition
            for condition in self.filters
            if (condition.path, condition.operator) != (("last_modified",), "gt") or not clock.outdates(condition.value)
        )
        return self if filters == self.filters else replace(self, filters=filters)


def parse(pairs: Pairs, list_uri: str, limits: Limits, now_ms: int, fields: Fields = ANY_FIELDS) -> Query:
    """Return the query of *pairs*, the decoded names and values of a query string, for the list with this URI."""
    parameters: dict[str, MutableSequence[str]] = {}
    for name, value in pairs:
        parameters.setdefault(name.strip(), []).append(value)
    filters, future_timestamps, requested_limit, errors = _read_numbers_and_filters(
        parameters, fields, now_ms + _DAY_MS
    )
    if not fields.have_timestamps:
        filters = tuple(condition for condition in filters if condition.path != ("last_modified",))
    paths: Paths | None = None
    order: tuple[Order, ...] = NEWEST_FIRST
    token = _FIRST_PAGE
    try:
        paths = _read_paths(_parts(parameters.get("_fields", ())))
        order = _read_order(_parts(parameters.get("_sort", ())), fields)
        token_text = only_text("_token", parameters.get("_token", [""]))
        token = _read_token(token_text, order, list_uri if fields.have_timestamps else None)
        _expect_fields(paths, fields)
    except InvalidParameter as error:
        errors.append(error)
    latest, refusal = None, next((error.problem for error in errors if not error.malformed), None)
    if refusal is None and future_timestamps:
        latest, refusal = max(future_timestamps, key=lambda pair: pair[0])
    return Query(
        limits.page_size(requested_limit),
        filters,
        order,
        token.after,
        requested_limit,
        tombstones=_match_tombstones(filters),
        fields=paths,
        problems=tuple(error.problem for error in errors if error.malformed),
        refusal=refusal,
        deprecated_to="_to" in parameters,
        token_nonce=token.nonce,
        anchors=token.anchors,
        future_timestamp=latest,
        explain=parameters.get("_explain") == ["true"],
        words=words_of(" ".join(parameters.get(SEARCH, ()))),
        max_bytes=limits.max_fetch_bytes,
    )


def _match_tombstones(filters: Sequence[Filter]) -> bool:
    """Return whether a list is read with its tombstones: with a timestamp, unless they lack a field (C-LIST-32)."""
    return any(condition.path == ("last_modified",) for condition in filters) and all(
        condition.operator not in ("eq", "in") or condition.path in _OF_TOMBSTONES for condition in filters
    )


def too_many_words() -> Problem:
    """Return the problem of a query that searches more than `MAX_WORDS` words."""
    return InvalidParameter(SEARCH, f"More than {MAX_WORDS} words").problem


def token(query: Query, page: Sequence[Stored], following: Stored, nonce: str | None = None) -> str:
    """Return the token of the page that starts with *following*; a token with a nonce can be used once (C-OBJ-53)."""
    last = page[-1]
    values = _sort_values(query.order, last)
    if tokens.fits(values):
        return tokens.encode(values, last.uri, nonce)
    bound = tokens.separate(query.order, values, _sort_values(query.order, following))
    if bound is not None:
        return tokens.encode(bound, last.uri, nonce)
    neighbours = [following, *reversed(page)][: tokens.MAX_ANCHORS]
    return tokens.encode_anchors([_anchor(query.order, stored) for stored in neighbours], nonce)


def _sort_values(order: Sequence[Order], stored: Stored) -> tokens.Values:
    columns = {("id",): stored.id, ("last_modified",): stored.timestamp}
    document = None if all(key.path in columns for key in order) else loads(stored.text)
    return tuple(columns[key.path] if key.path in columns else value_at(document, key.path) for key in order)


def _anchor(order: Sequence[Order], stored: Stored) -> tokens.Anchor:
    return tokens.Anchor(stored.id, tokens.digest(order, _sort_values(order, stored)))


def resume(query: Query, objects: Iterable[Stored]) -> Query:
    """Return the query with `after` set from the anchors of its token; *objects* are these objects as stored now.

    If all of them have changed, a DELETE starts at the beginning, as the objects that it deleted no longer exist; any
    other request is refused.
    """
    current = {_anchor(query.order, stored): stored for stored in objects}
    for number, anchor in enumerate(query.anchors):
        stored = current.get(anchor)
        if stored is not None:
            uri = stored.uri if number else tokens.just_before(stored.uri, descending=query.order[-1].descending)
            return replace(query, after=(*_sort_values(query.order, stored), uri), anchors=())
    refusal = None if query.token_nonce is not None else InvalidParameter(None, _INVALID_TOKEN).problem
    return replace(query, anchors=(), refusal=query.refusal or refusal)


def token_after(query: Query, document: Mapping[str, Json]) -> str:
    """Return the token of the page after an entry of `/permissions`, which has a `uri` but is not a stored object."""
    return tokens.encode([value_at(document, key.path) for key in query.order], document["uri"])


def next_query(pairs: Pairs, limit: int, token: str) -> str:
    """Return the query string of the next page: the same parameters, the last of repeated ones (C-LIST-47)."""
    return urlencode({name.strip(): value for name, value in pairs} | {"_limit": str(limit), "_token": token})


def project(document: Mapping[str, Json], fields: Paths) -> dict[str, Json]:
    """Return the document with these fields, id and timestamp only (C-LIST-56 to C-LIST-58)."""
    projection: dict[str, Json] = {}
    for path in (*fields, ("id",), ("last_modified",)):
        _copy(document, projection, path)
    return projection


def _copy(source: Mapping[str, Json], target: dict[str, Json], path: tuple[str, ...]) -> None:
    """Copy one field and create the mappings that contain it."""
    *containers, name = path
    for outer in containers:
        if outer not in source:
            return
        if not isinstance(source[outer], dict):
            target[outer] = source[outer]
            return
        source, target = source[outer], target.setdefault(outer, {})
    if name in source:
        target[name] = source[name]


def _read_numbers_and_filters(
    parameters: Mapping[str, Sequence[str]], fields: Fields, latest: int
) -> tuple[tuple[Filter, ...], tuple[tuple[int, Problem], ...], int | None, list[InvalidParameter]]:
    """Return filters, timestamps after *latest*, `_limit` and errors, in the order of the query string."""
    filters: list[Filter] = []
    future_timestamps: list[tuple[int, Problem]] = []
    values_left = MAX_VALUES
    limit: int | None = None
    errors: list[InvalidParameter] = []
    for name, values in parameters.items():
        try:
            if name == "_limit":
                limit = read_number(name, only_number(name, values)) or None
            conditions = read_filters(name, values, fields)
            values_left -= sum(len(condition.value) for condition in conditions if isinstance(condition.value, tuple))
            if values_left < 0:
                raise value_error(name)
            if len(filters) + len(conditions) > MAX_FILTERS:
                raise too_many_filters(name)
            filters += conditions
            timestamps = [
                condition.value
                for condition in conditions
                if condition.path == ("last_modified",) and type(condition.value) is int
            ]
            future_timestamps += [(value, value_error(name).problem) for value in timestamps if value > latest]
        except InvalidParameter as error:
            # Only the first error that is not malformed is reported.
            if error.malformed or all(former.malformed for former in errors):
                errors.append(error)
    return tuple(filters), tuple(future_timestamps), limit, errors


def _parts(texts: Sequence[str]) -> Sequence[str]:
    """Return the comma-separated parts of a parameter; if it is repeated, each occurrence is one part."""
    return texts if len(texts) != 1 else texts[0].split(",")


def _read_order(texts: Sequence[str], fields: Fields) -> tuple[Order, ...]:
    """Read `_sort`; malformed keys are ignored, and the last key makes the order total (C-LIST-40 to C-LIST-44)."""
    parts = [_SORT_KEY.fullmatch(text.strip()) for text in texts]
    keys: dict[str, bool] = {}
    for part in filter(None, parts):
        keys.setdefault(part[2], part[1] == "-")
    names = [name for name in keys if fields.have_timestamps or name != "last_modified"]
    for name in names:
        fields.expect_sort(name)
    if len(names) > MAX_KEYS:
        raise value_error("_sort")
    order = tuple(Order(tuple(name.split(".")[: MAX_DEPTH + 1]), keys[name]) for name in names)
    last = NEWEST_FIRST if fields.have_timestamps else _URI_LAST
    return order if last[0].path in (key.path for key in order) else order + last


def _read_token(text: str, order: Sequence[Order], list_uri: str | None) -> tokens.Token:
    """Read `_token`, the start of a page."""
    if text in ("", "null"):
        return _FIRST_PAGE
    try:
        return tokens.decode(text, order, list_uri)
    except ValueError as error:
        raise InvalidParameter(None, _INVALID_TOKEN) from error


def _read_paths(texts: Sequence[str]) -> Paths | None:
    names = dict.fromkeys(text.strip() for text in texts if text.strip())
    if len(names) > MAX_FIELDS:
        raise value_error("_fields")
    return tuple(tuple(name.split(".")[: MAX_DEPTH + 1]) for name in names) or None


def _expect_fields(paths: Paths | None, fields: Fields) -> None:
    unknown = fields.unknown(".".join(path) for path in paths or ())
    if unknown:
        description = f"Fields {','.join(unknown)} do not exist"
        raise InvalidParameter("Invalid _fields parameter", description, location="body")
