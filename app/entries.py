"""The entries of `GET /permissions`: the permissions of an identity, object by object (core contract, 2.7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from app.decisions.permissions import PrincipalsFor, implied_permissions
from app.kinds import Data, Kind, Kinds, Route
from app.matching import build_tests, matches
from app.parsing.queries import Query
from backends import Json
from backends.storage import AccessSelection, Filter, IdField, KindRange, Order, Page, like_pattern
from backends.storage.values import order_key

Permissions = Mapping[str, set[str]]
"""Permissions by URI, or by the name of a kind."""

_KIND: Final = ("resource_name",)
_URI: Final = ("uri",)
_MOST_RANGES: Final = 100
"""The most ranges of URIs for one kind; a filter with more values is tested on every object."""


def known_fields(kinds: Kinds) -> frozenset[str]:
    """Return the fields by which entries can be filtered and sorted: all but `permissions` (C-UTIL-31)."""
    return frozenset(("uri", "resource_name", "id", *(f"{kind.name}_id" for kind in kinds)))


def permissions_by_settings(
    kinds: Kinds, principals_for: PrincipalsFor, principals: Collection[str]
) -> dict[str, set[str]]:
    """Return the permissions that the settings give *principals* on every object of a kind, by its name (C-UTIL-29).

    A permission to create objects belongs to their parents. Only kinds that contain objects or are groups are named,
    not those of the objects inside: there may be too many of these.
    """
    permissions: dict[str, set[str]] = {}
    for kind in kinds:
        if not kind.object_methods or not (kind.membership or _creatable(kinds, kind)):
            continue
        settings = {name: (kind.name, name) for name in ("read", "write")}
        settings |= {child.creation: (child.name, "create") for child in _creatable(kinds, kind)}
        names = {name for name, setting in settings.items() if not principals_for(*setting).isdisjoint(principals)}
        if names:
            permissions[kind.name] = names
    return permissions


def list_patterns(kinds: Kinds, subset: Iterable[Kind]) -> list[str]:
    """Return the LIKE patterns, escaped by backslash, of all lists of the kinds in *subset*."""
    return [like_pattern([ancestor.plural for ancestor in kinds.lineage(kind)]) for kind in subset]


def select_accessible(
    kinds: Kinds, query: Query, readers: Sequence[str], whole_kinds: Collection[str], *, counting: bool
) -> AccessSelection:
    """Return the selection for a page of entries; *whole_kinds* are kinds of which every object has an entry.

    Filters become ranges of URIs where possible: on the kind, on the ids from the outermost one, on bounds of the URI,
    and in the order of URIs on the end of the previous page. The storage tests the other filters.
    """
    after = query.after if query.after and not counting else ()
    ranges: list[KindRange] = []
    remaining: list[Filter] = []
    for kind in kinds:
        if not kind.object_methods:
            continue
        lineage = kinds.lineage(kind)
        bounds, others = _ranges(lineage, query, after)
        names = tuple(ancestor.plural for ancestor in lineage)
        everything = kind.name in whole_kinds
        ranges += [KindRange(kind.name, names, kind.permissions, *pair, all_objects=everything) for pair in bounds]
        remaining += others if bounds else []
    in_order = all(key.path in (_KIND, _URI) for key in query.order)
    page = Page(
        "",
        filters=tuple(condition for condition in query.filters if condition in remaining),
        order=query.order,
        after=None if in_order else after or None,
        limit=query.limit + 1,
        count_only=counting,
    )
    return AccessSelection(tuple(readers), tuple(ranges), page, tuple(_id_fields(kinds)))


def _id_fields(kinds: Kinds) -> Iterator[IdField]:
    """Yield the fields that hold the id of an ancestor or of the object."""
    for kind in kinds:
        descendants = frozenset(other.name for other in kinds if kind in kinds.lineage(other))
        yield IdField(f"{kind.name}_id", len(kinds.lineage(kind)), descendants)


def _ranges(lineage: Sequence[Kind], query: Query, after: Sequence[Json]) -> tuple[list[tuple[str, str]], list[Filter]]:
    """Return the ranges of URIs of a kind's entries that a page may show, and the filters that are still to be tested.

    A range is its first URI and its end, which is excluded. Filters on fields that do not depend on the URI match all
    entries of the kind or none.
    """
    fields = {"uri", "id", *(f"{kind.name}_id" for kind in lineage)}
    constant = [condition for condition in query.filters if condition.path[0] not in fields]
    if not matches({"resource_name": lineage[-1].name}, build_tests(constant)):
        return [], []
    remaining = [condition for condition in query.filters if condition not in constant]
    ranges, remaining = _ranges_by_ids(lineage, remaining)
    ranges, remaining = _narrow_by_uri(ranges, remaining)
    following = (_skip_previous_page(*pair, lineage[-1].name, query.order, after) for pair in ranges)
    return [(first, end) for first, end in following if first < end], remaining


def _ranges_by_ids(lineage: Sequence[Kind], filters: Sequence[Filter]) -> tuple[list[tuple[str, str]], list[Filter]]:
    """Return the ranges of URIs with the ids that filters name, up to the first kind whose ids are not named."""
    uris, remaining = [""], list(filters)
    for kind in lineage:
        paths = [(f"{kind.name}_id",), *([("id",)] if kind is lineage[-1] else [])]
        uris = [f"{uri}/{kind.plural}" for uri in uris]
        ids, others = _allowed_texts(remaining, paths)
        if ids is None or len(ids) * len(uris) > _MOST_RANGES:
            return [(f"{uri}/", f"{uri}0") for uri in uris], remaining
        uris, remaining = [f"{uri}/{object_id}" for uri in uris for object_id in ids], others
    return [_range_of(uri) for uri in uris], remaining


def _narrow_by_uri(
    ranges: Sequence[tuple[str, str]], filters: Sequence[Filter]
) -> tuple[list[tuple[str, str]], list[Filter]]:
    """Return the parts of ranges that match the filters on the URI, and the other filters."""
    low, high, remaining = "", None, []
    for condition in filters:
        text, operator = condition.value, condition.operator
        if condition.path != _URI or operator not in ("gt", "min", "lt", "max") or not isinstance(text, str):
            remaining.append(condition)
        elif operator in ("gt", "min"):
            low = max(low, text if operator == "min" else _range_of(text)[1])
        else:
            end = text if operator == "lt" else _range_of(text)[1]
            high = end if high is None else min(high, end)
    bounded = [(max(first, low), end if high is None else min(end, high)) for first, end in ranges]
    uris, others = _allowed_texts(remaining, [_URI])
    if uris is None or len(uris) > _MOST_RANGES:
        return bounded, remaining
    return [_range_of(uri) for uri in uris if any(first <= uri < end for first, end in bounded)], others


def _allowed_texts(
    filters: Sequence[Filter], paths: Sequence[tuple[str, ...]]
) -> tuple[list[str] | None, list[Filter]]:
    """Return the texts that filters allow for a field, None if no filter limits them, and the other filters."""
    limiting = [condition for condition in filters if condition.path in paths and condition.operator in ("eq", "in")]
    intersection: set[str] | None = None
    for condition in limiting:
        values = condition.value if condition.operator == "in" else (condition.value,)
        texts = {value for value in values if isinstance(value, str)}
        intersection = texts if intersection is None else intersection & texts
    others = [condition for condition in filters if condition not in limiting]
    return None if intersection is None else sorted(intersection), others


def _skip_previous_page(
    first: str, end: str, kind: str, order: Sequence[Order], after: Sequence[Json]
) -> tuple[str, str]:
    """Return the part of a range that follows the last entry of the previous page, if kind and URI determine it."""
    for key, value in zip(order, after, strict=False):
        if key.path == _KIND and order_key(kind) == order_key(value):
            continue
        if key.path == _URI and isinstance(value, str):
            return (first, min(end, value)) if key.descending else (max(first, _range_of(value)[1]), end)
        if key.path in (_KIND, _URI):
            follows = (order_key(kind if key.path == _KIND else first) > order_key(value)) != key.descending
            return (first, end) if follows else (end, end)
        break
    return first, end


def _range_of(uri: str) -> tuple[str, str]:
    """Return the range of one URI: no other URI sorts before its end, since no URI contains U+0000."""
    return uri, f"{uri}\x01"


def build_entries(kinds: Kinds, object_permissions: Permissions, kind_permissions: Permissions) -> list[Data]:
    """Return one entry for each object that exists as an endpoint (C-UTIL-25 to C-UTIL-28).

    *object_permissions* are names by URI, *kind_permissions* those of `permissions_by_settings` by kind.
    """
    entries = []
    for uri, names in object_permissions.items():
        route = kinds.match(uri)
        if route is None or route.on_list or not route.kind.object_methods:
            continue
        permissions = (names | kind_permissions.get(route.kind.name, set())) & set(route.kind.permissions)
        if permissions:
            entries.append(_entry(kinds, route, permissions))
    return entries


def root_entries(kinds: Kinds, principals_for: PrincipalsFor, principals: Collection[str]) -> list[Data]:
    """Return the entry of the kinds that may be created at the top, no entry if there is none (C-UTIL-28)."""
    creators = ((kind, principals_for(kind.name, "create")) for kind in kinds.at_top())
    permissions = [kind.creation for kind, allowed in creators if not allowed.isdisjoint(principals)]
    return [{"uri": "/", "resource_name": "root", "permissions": permissions}] if permissions else []


def _entry(kinds: Kinds, route: Route, permissions: set[str]) -> Data:
    return {
        "uri": route.uri,
        "resource_name": route.kind.name,
        "permissions": implied_permissions(_creatable(kinds, route.kind), permissions),
        "id": route.id,
        **route.matchdict(),
    }


def _creatable(kinds: Kinds, kind: Kind) -> list[Kind]:
    """Return the kinds of objects for whose creation an object of *kind* has a permission."""
    return [child for child in kinds.children(kind) if child.creation in kind.permissions]
