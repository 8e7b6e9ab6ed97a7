"""What somebody may do, as the entries of `GET /permissions` (core contract, 2.7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from app.kinds import Data, Kind, Kinds, Route
from app.permissions import Configured, implied

Held = Mapping[str, set[str]]


def known_fields(kinds: Kinds) -> frozenset[str]:
    """Return the fields of entries by which they can be filtered and sorted (C-UTIL-31): not `permissions`."""
    return frozenset(("uri", "resource_name", "id", *(f"{kind.name}_id" for kind in kinds)))


def by_settings(kinds: Kinds, configured: Configured, principals: Collection[str]) -> dict[str, set[str]]:
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
    return [_pattern(kinds.lineage(kind)) for kind in wanted]


def _pattern(lineage: Sequence[Kind]) -> str:
    plurals = (kind.plural.replace("\\", r"\\").replace("_", r"\_").replace("%", r"\%") for kind in lineage)
    return "/" + "/%/".join(plurals)


def entries(kinds: Kinds, held: Held, given: Held) -> list[Data]:
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


def root(kinds: Kinds, configured: Configured, principals: Collection[str]) -> list[Data]:
    """Return the entry of what may be created at the top, none when it is nothing (C-UTIL-28)."""
    allowed = [kind.creation for kind in kinds.at_top() if not configured(kind.name, "create").isdisjoint(principals)]
    return [{"uri": "/", "resource_name": "root", "permissions": allowed}] if allowed else []


def _entry(kinds: Kinds, route: Route, permissions: set[str]) -> Data:
    return {
        "uri": route.uri,
        "resource_name": route.kind.name,
        "permissions": implied(route.kind, _creatable(kinds, route.kind), permissions),
        "id": route.id,
        **route.matchdict(),
    }


def _creatable(kinds: Kinds, kind: Kind) -> list[Kind]:
    """Return the kinds whose objects somebody may be allowed to create in an object of *kind*."""
    return [child for child in kinds.children(kind) if child.creation in kind.permissions]
