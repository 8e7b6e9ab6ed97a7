"""Parse what the query string of a list asks for: filters, sorting, paging, fields (core contract, section 6).

Nothing is raised here: what is wrong is carried along and told at its step (C-URL-28).
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
from app.parsing.parameters import Fields, Wrong, only_number, only_text, read_number, value_error
from backends import Json
from backends.codec import loads
from backends.storage import NEWEST_FIRST, Clock, Filter, Order, Stored
from backends.storage.values import value_at

Pairs = Iterable[tuple[str, str]]
Paths = tuple[tuple[str, ...], ...]

MAX_KEYS: Final = 20
"""How many fields one query may sort by."""

MAX_FIELDS: Final = 100
"""How many fields one query may choose: every object of the page is searched for each."""

_INVALID_TOKEN: Final = "_token has invalid content"
_URI_LAST: Final = (Order(("uri",), descending=True),)
_DAY_MS: Final = 24 * 60 * 60 * 1000
_SORT_KEY: Final = re.compile(r"([+-]?)([\w.]+)")


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of pages by the settings: `paginate_by` is the default and the maximum, `max_fetch_size` bounds both."""

    paginate_by: int | None
    max_fetch_size: int

    def effective(self, asked: int | None) -> int:
        """Return how many objects a page holds (C-LIST-45, C-LIST-49)."""
        return min(size for size in (asked, self.paginate_by, self.max_fetch_size) if size)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a list. `limit` is the effective size of a page, `asked_limit` what the client wanted.

    `problems` belong to step 11 of C-URL-28, `refusal` to step 14. `fields` are paths, None for whole objects.
    `ahead` is the timestamp that alone is the reason of the refusal: it is more than a day ahead.
    `token_nonce` came with the token of a DELETE, `anchors` with one of long sort values: `resume` turns them into
    `after`. `deprecated_to`: `_to` was used (C-LIST-26).
    """

    limit: int
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = NEWEST_FIRST
    after: tuple[Json, ...] | None = None
    asked_limit: int | None = None
    tombstones: bool = False
    fields: Paths | None = None
    problems: tuple[Problem, ...] = ()
    refusal: Problem | None = None
    deprecated_to: bool = False
    token_nonce: str | None = None
    anchors: tuple[tokens.Anchor, ...] = ()
    ahead: int | None = None

    def refused(self, latest: int) -> Problem | None:
        """Return why the query is refused on a list whose highest timestamp was *latest* (C-LIST-28).

        What was the `ETag` of the list is always accepted back, however far ahead it is.
        """
        return None if self.ahead is not None and self.ahead <= latest else self.refusal

    def from_beginning(self, clock: Clock | None) -> Query:
        """Return a query for all of the list where `_since` is of a time before its clock was set back."""
        if clock is None or not clock.former:
            return self
        kept = tuple(
            each
            for each in self.filters
            if (each.path, each.operator) != (("last_modified",), "gt") or not clock.outdates(each.value)
        )
        return self if kept == self.filters else replace(self, filters=kept)


def parse(
    pairs: Pairs,
    list: str,
    limits: Limits,
    now_ms: int,
    known: frozenset[str] | None = None,
    refused: frozenset[str] = frozenset(),
    texts: frozenset[str] = frozenset(),
) -> Query:
    """Return what *pairs*, decoded names and values, ask of the list with the URI *list*.

    `known`, `refused` and `texts` are explained in `app.parsing.parameters.Fields`.
    """
    fields = Fields(known, refused, texts | {"id"})
    given: dict[str, MutableSequence[str]] = {}
    for name, value in pairs:
        given.setdefault(name.strip(), []).append(value)
    filters, ahead, asked, wrongs = _read_numbers_and_filters(given, fields, now_ms + _DAY_MS)
    if not fields.timed:
        filters = tuple(each for each in filters if each.path != ("last_modified",))
    query = Query(
        limits.effective(asked),
        filters,
        asked_limit=asked,
        tombstones=any(each.path == ("last_modified",) for each in filters),
        deprecated_to="_to" in given,
    )
    try:
        query = replace(query, fields=_paths(_parts(given.get("_fields", ()))))
        query = replace(query, order=_order(_parts(given.get("_sort", ())), fields))
        token = only_text("_token", given.get("_token", [""]))
        query = _continued(query, token, list if fields.timed else None)
        _expect_known(query.fields, fields)
    except Wrong as wrong:
        wrongs.append(wrong)
    malformed = tuple(wrong.problem for wrong in wrongs if wrong.malformed)
    refusal = next((wrong.problem for wrong in wrongs if not wrong.malformed), None)
    if refusal is None and ahead:
        latest, refusal = max(ahead, key=lambda pair: pair[0])
        query = replace(query, ahead=latest)
    return replace(query, problems=malformed, refusal=refusal)


def token(query: Query, page: Sequence[Stored], following: Stored, nonce: str | None = None) -> str:
    """Return the token of the page that starts with *following*; one with a nonce can be used once (C-OBJ-53)."""
    last = page[-1]
    values = _sort_values(query.order, last)
    if tokens.fits(values):
        return tokens.encode(values, last.uri, nonce)
    bound = tokens.separate(query.order, values, _sort_values(query.order, following))
    if bound is not None:
        return tokens.encode(bound, last.uri, nonce)
    near = [following, *reversed(page)][: tokens.MAX_ANCHORS]
    return tokens.encode_anchors([_anchor(query.order, stored) for stored in near], nonce)


def _sort_values(order: Sequence[Order], stored: Stored) -> tokens.Values:
    columns = {("id",): stored.id, ("last_modified",): stored.timestamp}
    document = None if all(key.path in columns for key in order) else loads(stored.text)
    return tuple(columns[key.path] if key.path in columns else value_at(document, key.path) for key in order)


def _anchor(order: Sequence[Order], stored: Stored) -> tokens.Anchor:
    return tokens.Anchor(stored.id, tokens.digest(order, _sort_values(order, stored)))


def resume(query: Query, objects: Iterable[Stored]) -> Query:
    """Return the query with the end of the page before, from the objects that its token names, as they are now.

    If none has its values any more, a DELETE starts anew, as all that it deleted is gone; other requests are refused.
    """
    current = {_anchor(query.order, stored): stored for stored in objects}
    for number, anchor in enumerate(query.anchors):
        stored = current.get(anchor)
        if stored is not None:
            uri = stored.uri if number else tokens.just_before(stored.uri, descending=query.order[-1].descending)
            return replace(query, after=(*_sort_values(query.order, stored), uri), anchors=())
    refusal = None if query.token_nonce is not None else Wrong(None, _INVALID_TOKEN).problem
    return replace(query, anchors=(), refusal=query.refusal or refusal)


def token_after(query: Query, document: Mapping[str, Json]) -> str:
    """Return the token of the page after what is no stored object but has a `uri` (`/permissions`)."""
    return tokens.encode([value_at(document, key.path) for key in query.order], document["uri"])


def next_query(pairs: Pairs, limit: int, token: str) -> str:
    """Return the query string of the next page: as asked, of repeated parameters the last (C-LIST-47)."""
    return urlencode({name.strip(): value for name, value in pairs} | {"_limit": str(limit), "_token": token})


def project(document: Mapping[str, Json], fields: Paths) -> dict[str, Json]:
    """Return the document reduced to some fields, with id and timestamp (C-LIST-56 to C-LIST-58)."""
    reduced: dict[str, Json] = {}
    for path in (*fields, ("id",), ("last_modified",)):
        _copy(document, reduced, path)
    return reduced


def _copy(source: Mapping[str, Json], target: dict[str, Json], path: tuple[str, ...]) -> None:
    """Copy one field with the objects around it, which are made as they are needed."""
    *around, name = path
    for outer in around:
        if outer not in source:
            return
        if not isinstance(source[outer], dict):
            target[outer] = source[outer]
            return
        source, target = source[outer], target.setdefault(outer, {})
    if name in source:
        target[name] = source[name]


def _read_numbers_and_filters(
    given: Mapping[str, Sequence[str]], fields: Fields, latest: int
) -> tuple[tuple[Filter, ...], tuple[tuple[int, Problem], ...], int | None, list[Wrong]]:
    """Return filters, timestamps after *latest*, `_limit` and what is wrong, in the order of the query string."""
    filters: list[Filter] = []
    ahead: list[tuple[int, Problem]] = []
    values_left = MAX_VALUES
    limit: int | None = None
    wrongs: list[Wrong] = []
    for name, values in given.items():
        try:
            if name == "_limit":
                limit = read_number(name, only_number(name, values)) or None
            read = read_filters(name, values, fields)
            values_left -= sum(len(each.value) for each in read if isinstance(each.value, tuple))
            if values_left < 0:
                raise value_error(name)
            if len(filters) + len(read) > MAX_FILTERS:
                raise too_many_filters(name)
            filters += read
            timestamps = [each.value for each in read if each.path == ("last_modified",) and type(each.value) is int]
            ahead += [(value, value_error(name).problem) for value in timestamps if value > latest]
        except Wrong as wrong:
            # Of those that are not malformed only the first is reported.
            if wrong.malformed or all(each.malformed for each in wrongs):
                wrongs.append(wrong)
    return tuple(filters), tuple(ahead), limit, wrongs


def _parts(texts: Sequence[str]) -> Sequence[str]:
    """Return the parts of a parameter that commas separate; given several times, each time is one part."""
    return texts if len(texts) != 1 else texts[0].split(",")


def _order(texts: Sequence[str], fields: Fields) -> tuple[Order, ...]:
    """Read `_sort`; what is no key is ignored, and the last key makes the order total (C-LIST-40 to C-LIST-44)."""
    parts = [_SORT_KEY.fullmatch(text.strip()) for text in texts]
    keys: dict[str, bool] = {}
    for part in filter(None, parts):
        keys.setdefault(part[2], part[1] == "-")
    names = [name for name in keys if fields.timed or name != "last_modified"]
    for name in names:
        fields.expect_sort(name)
    if len(names) > MAX_KEYS:
        raise value_error("_sort")
    order = tuple(Order(tuple(name.split(".")[: MAX_DEPTH + 1]), keys[name]) for name in names)
    last = NEWEST_FIRST if fields.timed else _URI_LAST
    return order if last[0].path in (key.path for key in order) else order + last


def _continued(query: Query, text: str, list: str | None) -> Query:
    """Begin the page where the token says."""
    if text in ("", "null"):
        return query
    try:
        token = tokens.decode(text, query.order, list)
    except ValueError as error:
        raise Wrong(None, _INVALID_TOKEN) from error
    return replace(query, after=token.after, token_nonce=token.nonce, anchors=token.anchors)


def _paths(texts: Sequence[str]) -> Paths | None:
    names = dict.fromkeys(text.strip() for text in texts if text.strip())
    if len(names) > MAX_FIELDS:
        raise value_error("_fields")
    return tuple(tuple(name.split(".")[: MAX_DEPTH + 1]) for name in names) or None


def _expect_known(paths: Paths | None, fields: Fields) -> None:
    unknown = fields.unknown(".".join(path) for path in paths or ())
    if unknown:
        description = f"Fields {','.join(unknown)} do not exist"
        raise Wrong("Invalid _fields parameter", description, location="body")
