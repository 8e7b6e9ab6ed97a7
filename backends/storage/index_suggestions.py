"""Suggest the index that would serve a page, and decide which pages of large lists want an automatic one.

Page(filters=(status = "active", kind = 5, count >= 5), order=(-count, -last_modified)):
{"fields": ["kind", "status", "-count"]}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from backends.storage.index_plans import MAX_RANGES, may_use_index
from backends.storage.indexes import (
    AUTOMATIC,
    CONTAINS,
    FIELDS,
    KEY_SLOTS,
    READY,
    TERM_SLOTS,
    Index,
    IndexDefinition,
    read_definition,
)
from backends.storage.plans import choose
from backends.storage.selections import NEWEST_FIRST, Order, Page
from backends.storage.snapshots import Snapshot

MIN_OBJECTS: Final = 5_000
"""Lists of up to this number of living objects get no automatic index."""

MAX_AUTOMATIC: Final = 2
"""The most automatic indexes of a list."""

_MAX_FIELDS: Final = 4
_MAX_NAME: Final = 255
_RANGES: Final = ("gt", "min", "lt", "max")
_TIMESTAMP: Final = ("last_modified",)
_PREFIX: Final = b"\x01"

Path = tuple[str, ...]


def missing_index(page: Page, snapshot: Snapshot) -> IndexDefinition | None:
    """Return the index that a page of a whole list wants, None if it needs none or the list has no room for it.

    Indexes that are being built count as built. A page that the client has already reads no objects.
    """
    clock = snapshot.clocks.get(page.list)
    if clock is None or not snapshot.full or clock.count <= MIN_OBJECTS:
        return None
    if not page.limit or page.unless_timestamp == clock.last_modified or _is_poll(page):
        return None
    indexes = [index for index in snapshot.indexes if index.list == page.list]
    existing = [replace(index, state=READY) if index.is_building else index for index in indexes]
    if choose(page, existing) is not None:
        return None
    definition = suggest(page)
    return definition if definition is not None and has_room(definition, clock.count, existing) else None


def _is_poll(page: Page) -> bool:
    """Return whether only objects after a timestamp are asked for, which are few and found without an index."""
    return any(each.path == _TIMESTAMP and each.operator in ("gt", "min") for each in page.filters)


def has_room(definition: IndexDefinition, objects: int, existing: Collection[Index]) -> bool:
    """Return whether a list of a number of living *objects* gets an automatic index beside those that it has."""
    return (
        objects > MIN_OBJECTS
        and sum(index.definition.is_keyed for index in existing) < len(KEY_SLOTS)
        and sum(index.origin == AUTOMATIC for index in existing) < MAX_AUTOMATIC
        and all(index.definition != definition for index in existing)
    )


def automatic_index_of(page: Page, snapshot: Snapshot) -> Index | None:
    """Return the automatic index that a page of a whole list is read by, None if it is read by no such index."""
    indexes = [index for index in snapshot.indexes if index.list == page.list]
    if not snapshot.full or all(index.origin != AUTOMATIC for index in indexes):
        return None
    plan = choose(page, indexes)
    return plan.index if plan is not None and plan.index.origin == AUTOMATIC else None


def suggest(page: Page) -> IndexDefinition | None:
    """Return the definition of an index that would serve a page, None if there is none.

    Its fields are those with equalities by their names, then one with `in`, then those of the sort in their directions.
    A count whose sort would narrow nothing has a field with a range instead of the sort.
    """
    if not may_use_index(page):
        return None
    for fields in _candidates(page):
        definition = IndexDefinition(FIELDS, fields)
        if _is_valid(definition) and choose(page, [Index(page.list, 1, _PREFIX, definition)]) is not None:
            return definition
    return None


def suggest_elements(page: Page) -> IndexDefinition | None:
    """Return the definition of an index by elements that would serve a page, None if there is none."""
    for path in [*_paths(page, "contains"), *_paths(page, "contains_any")]:
        definition = IndexDefinition(CONTAINS, (Order(path),))
        if _is_valid(definition) and choose(page, [Index(page.list, TERM_SLOTS[0], _PREFIX, definition)]) is not None:
            return definition
    return None


def _candidates(page: Page) -> Iterator[tuple[Order, ...]]:
    """Yield the fields of indexes that might serve a page, the best first."""
    equal, ranges = _paths(page, "eq"), _paths(page, *_RANGES)
    in_paths = [path for path in _paths(page, "in") if path not in equal]
    for constant in ([*equal, *in_paths[:1]], equal):
        sort = [each for each in page.order if each.path not in constant]
        if tuple(sort[-1:]) == NEWEST_FIRST:
            sort.pop()
        yield (*map(Order, constant[: max(0, _MAX_FIELDS - len(sort))]), *sort)
    if page.count_only:
        yield tuple(map(Order, [*equal[: _MAX_FIELDS - 1], *[path for path in ranges if path not in equal][:1]]))


def _paths(page: Page, *operators: str) -> list[Path]:
    """Return the fields with one of the operators by their names, but not the timestamp."""
    return sorted(
        {
            each.path
            for each in page.filters
            if each.operator in operators
            and each.path != _TIMESTAMP
            and (each.operator != "in" or len(each.value) <= MAX_RANGES)
        }
    )


def _is_valid(definition: IndexDefinition) -> bool:
    """Return whether a client could declare a definition."""
    names = definition.names()
    return (
        1 <= len(names) <= _MAX_FIELDS
        and max(map(len, names)) <= _MAX_NAME
        and read_definition(definition.text()) == definition
    )
