"""What somebody may do, as the entries of `GET /permissions` (core contract, 2.7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from app.decisions.permissions import Configured, implied_permissions
from app.kinds import Data, Kind, Kinds, Route
from app.matching import build_tests, matches
from app.parsing.queries import Query
from backends import Json
from backends.storage import AccessSelection, Filter, KindRange, Order, Page, like_pattern
from backends.storage.values import ordered

Held = Mapping[str, set[str]]

_KIND: Final = ("resource_name",)
_URI: Final = ("uri",)
_MOST_RANGES: Final = 100
"""How many ranges of URIs one kind is looked for in; more values of a filter are asked of every object."""


def known_fields(kinds: Kinds) -> frozenset[str]:
    """Return the fields of entries by which they can be filtered and sorted (C-UTIL-31): not `permissions`."""
    return frozenset(("uri", "resource_name", "id", *(f"{kind.name}_id" for kind in kinds)))


def permissions_by_settings(kinds: Kinds, configured: Configured, principals: Collection[str]) -> dict[str, set[str]]:
    """Return the permissions that the settings give *principals* on every object of a kind, by its name (C-UTIL-29).

    Permission to create is one on the parents. This is said of what contains objects or makes groups, not of the
    single objects in it: there may be too many.
    """
    given: dict[str, set[str]] = {}
    for kind in kinds:
        if not kind.object_methods or not (kind.membership or _creatable(kinds, kind)):
            continue
        names = {name: (kind.name, name) for name in ("read", "write")}
        names |= {child.creation: (child.name, "create") for child in _creatable(kinds, kind)}
        found = {name for name, setting in names.items() if not configured(*setting).isdisjoint(principals)}
        if found:
            given[kind.name] = found
    return given


def list_patterns(kinds: Kinds, wanted: Iterable[Kind]) -> list[str]:
    """Return LIKE patterns, escaped by backslash, of all lists of some kinds."""
    return [like_pattern([each.plural for each in kinds.lineage(kind)]) for kind in wanted]


def select_accessible(
    kinds: Kinds, query: Query, readers: Sequence[str], given: Collection[str], *, counting: bool
) -> AccessSelection:
    """Return what to read for a page of the entries; *given* are the kinds of which every object has one.

    What can be said by ranges of URIs is: kinds, ids from the outside in, bounds of the URI, and in the order of the
    URIs the end of the page before. The other filters are left to the storage.
    """
    after = query.after if query.after and not counting else ()
    ranges: list[KindRange] = []
    left: list[Filter] = []
    for kind in kinds:
        if not kind.object_methods:
            continue
        lineage = kinds.lineage(kind)
        found, remaining = _ranges(lineage, query, after)
        names = tuple(each.plural for each in lineage)
        ranges += [KindRange(kind.name, names, kind.permissions, *pair, kind.name in given) for pair in found]
        left += remaining if found else []
    in_order = all(key.path in (_KIND, _URI) for key in query.order)
    page = Page(
        "",
        filters=tuple(each for each in query.filters if each in left),
        order=query.order,
        after=None if in_order else after or None,
        limit=query.limit + 1,
        counting=counting,
    )
    return AccessSelection(tuple(readers), tuple(ranges), page, tuple(_ids(kinds)))


def _ids(kinds: Kinds) -> Iterator[tuple[str, int, frozenset[str]]]:
    """Yield the fields that are ids of objects around, or of the object: name, place, and the kinds that have it."""
    for kind in kinds:
        below = frozenset(each.name for each in kinds if kind in kinds.lineage(each))
        yield f"{kind.name}_id", len(kinds.lineage(kind)), below


def _ranges(lineage: Sequence[Kind], query: Query, after: Sequence[Json]) -> tuple[list[tuple[str, str]], list[Filter]]:
    """Return the ranges in which the entries of a kind are that a page may show, and the filters that these leave.

    A range is the first URI and the end, which is not in it.
    """
    fields = {"uri", "id", *(f"{kind.name}_id" for kind in lineage)}
    constant = [each for each in query.filters if each.path[0] not in fields]
    if not matches({"resource_name": lineage[-1].name}, build_tests(constant)):
        return [], []
    left = [each for each in query.filters if each not in constant]
    ranges, left = _by_ids(lineage, left)
    ranges, left = _by_uri(ranges, left)
    beyond = (_beyond(*pair, lineage[-1].name, query.order, after) for pair in ranges)
    return [(first, end) for first, end in beyond if first < end], left


def _by_ids(lineage: Sequence[Kind], filters: Sequence[Filter]) -> tuple[list[tuple[str, str]], list[Filter]]:
    """Return the ranges of the URIs with the ids that filters name, as far as these are known from the outside in."""
    around, left = [""], list(filters)
    for kind in lineage:
        paths = [(f"{kind.name}_id",), *([("id",)] if kind is lineage[-1] else [])]
        around = [f"{uri}/{kind.plural}" for uri in around]
        ids, others = _named(left, paths)
        if ids is None or len(ids) * len(around) > _MOST_RANGES:
            return [(f"{uri}/", f"{uri}0") for uri in around], left
        around, left = [f"{uri}/{id}" for uri in around for id in ids], others
    return [_only(uri) for uri in around], left


def _by_uri(ranges: Sequence[tuple[str, str]], filters: Sequence[Filter]) -> tuple[list[tuple[str, str]], list[Filter]]:
    """Return the parts of ranges that filters on the URI leave."""
    low, high, left = "", None, []
    for each in filters:
        text = each.value
        if each.path != _URI or each.operator not in ("gt", "min", "lt", "max") or not isinstance(text, str):
            left.append(each)
        elif each.operator in ("gt", "min"):
            low = max(low, text if each.operator == "min" else _only(text)[1])
        else:
            end = text if each.operator == "lt" else _only(text)[1]
            high = end if high is None else min(high, end)
    bounded = [(max(first, low), end if high is None else min(end, high)) for first, end in ranges]
    uris, others = _named(left, [_URI])
    if uris is None or len(uris) > _MOST_RANGES:
        return bounded, left
    return [_only(uri) for uri in uris if any(first <= uri < end for first, end in bounded)], others


def _named(filters: Sequence[Filter], paths: Sequence[tuple[str, ...]]) -> tuple[list[str] | None, list[Filter]]:
    """Return the texts that filters allow a field to have, None where they name none, and the other filters."""
    naming = [each for each in filters if each.path in paths and each.operator in ("eq", "in")]
    allowed: set[str] | None = None
    for each in naming:
        values = each.value if each.operator == "in" else (each.value,)
        texts = {value for value in values if isinstance(value, str)}
        allowed = texts if allowed is None else allowed & texts
    return None if allowed is None else sorted(allowed), [each for each in filters if each not in naming]


def _beyond(first: str, end: str, kind: str, order: Sequence[Order], after: Sequence[Json]) -> tuple[str, str]:
    """Return what of a range comes after the last entry of the page before, as far as kind and URI decide it."""
    for key, value in zip(order, after, strict=False):
        if key.path == _KIND and ordered(kind) == ordered(value):
            continue
        if key.path == _URI and isinstance(value, str):
            return (first, min(end, value)) if key.descending else (max(first, _only(value)[1]), end)
        if key.path in (_KIND, _URI):
            follows = (ordered(kind if key.path == _KIND else first) > ordered(value)) != key.descending
            return (first, end) if follows else (end, end)
        break
    return first, end


def _only(uri: str) -> tuple[str, str]:
    """Return the range of one URI: no other begins before its end, since U+0000 is in none."""
    return uri, f"{uri}\x01"


def build_entries(kinds: Kinds, held: Held, given: Held) -> list[Data]:
    """Return one entry for each object that exists as an endpoint (C-UTIL-25 to C-UTIL-28).

    *held* are the permissions on objects by URI, *given* those by settings from `by_settings`.
    """
    found = []
    for uri, names in held.items():
        route = kinds.match(uri)
        if route is None or route.on_list or not route.kind.object_methods:
            continue
        permissions = (names | given.get(route.kind.name, set())) & set(route.kind.permissions)
        if permissions:
            found.append(_entry(kinds, route, permissions))
    return found


def root_entries(kinds: Kinds, configured: Configured, principals: Collection[str]) -> list[Data]:
    """Return the entry of what may be created at the top, none when it is nothing (C-UTIL-28)."""
    allowed = [kind.creation for kind in kinds.at_top() if not configured(kind.name, "create").isdisjoint(principals)]
    return [{"uri": "/", "resource_name": "root", "permissions": allowed}] if allowed else []


def _entry(kinds: Kinds, route: Route, permissions: set[str]) -> Data:
    return {
        "uri": route.uri,
        "resource_name": route.kind.name,
        "permissions": implied_permissions(_creatable(kinds, route.kind), permissions),
        "id": route.id,
        **route.matchdict(),
    }


def _creatable(kinds: Kinds, kind: Kind) -> list[Kind]:
    """Return the kinds whose objects somebody may be allowed to create in an object of *kind*."""
    return [child for child in kinds.children(kind) if child.creation in kind.permissions]
