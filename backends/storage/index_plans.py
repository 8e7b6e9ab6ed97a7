"""Choose the index for a page: which ranges of its keys hold the objects of the page, in which order.

The choice is made here and not by the database, whose statistics know nothing of single lists. An index serves a page
whose equalities are on its first fields, if the page sorts by the fields that follow, in the same directions, then by
the timestamp, newest first. On the first field without an equality one range (`gt_`, `min_`, `lt_`, `max_`), or the
values of one `in_`, narrow it further; if there is none, a range of timestamps does. All other filters are applied to
the objects that the index gives. A count needs no order.

    Page(filters=(status = "active", count >= 5, like_title=...), order=(-count, -last_modified)), index status, -count:
    k2 >= prefix || "active"  AND  k2 < end_of(prefix || "active" || reversed(5))      and the filter on the title
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeGuard

from backends.storage.index_keys import end_of, field_key, timestamp_key
from backends.storage.indexes import LONG, UNIQUE, Index
from backends.storage.selections import Order, Page

MAX_RANGES: Final = 10
"""The most values of `in_` that an index looks up."""

_NEWEST_FIRST: Final = Order(("last_modified",), descending=True)
_LIMIT: Final = 2**63

Range = tuple[bytes, bytes]
"""The first key of a range, and the first key after it."""


class IndexShape(NamedTuple):
    """The parts of a plan that the SQL of a page depends on.

    `covered` are the numbers of the filters that the ranges fulfil. `is_sorted`: the keys are in the order of the page.
    """

    slot: int
    ranges: int
    covered: frozenset[int]
    is_sorted: bool


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """An index with the ranges of keys to read. `narrowing_fields` is the number of fields that the ranges narrow."""

    index: Index
    ranges: tuple[Range, ...]
    covered: frozenset[int]
    is_sorted: bool
    narrowing_fields: int

    @property
    def indexes(self) -> tuple[Index, ...]:
        """Return the indexes that are used."""
        return (self.index,)

    @property
    def shape(self) -> IndexShape:
        """Return what the SQL depends on."""
        return IndexShape(self.index.slot, len(self.ranges), self.covered, self.is_sorted)

    def values(self) -> dict[str, bytes]:
        """Return the bound values `low_0`, `high_0`, ..."""
        return {
            f"{name}_{number}": key
            for number, pair in enumerate(self.ranges)
            for name, key in zip(("low", "high"), pair, strict=True)
        }


def may_use_index(page: Page) -> bool:
    """Return whether an index could serve a page. Tombstones have no keys; the timestamp has an index of its own."""
    return not page.tombstones and bool(page.filters or page.words or page.order[0].path != ("last_modified",))


def plan_keys(page: Page, indexes: Iterable[Index]) -> IndexPlan | None:
    """Return the plan that narrows a page most, None if no index with keys serves it."""
    plans = [
        plan
        for index in indexes
        if index.definition.is_keyed and index.is_built and (plan := _plan(page, index)) is not None
    ]
    return max(plans, key=_preference, default=None)


def _preference(plan: IndexPlan) -> tuple[bool, int, int, int]:
    return plan.index.definition.kind == UNIQUE, plan.narrowing_fields, -len(plan.ranges), -plan.index.slot


def _plan(page: Page, index: Index) -> IndexPlan | None:
    """Return the plan of a page by an index, None if the index does not serve the page."""
    fields, is_unique = index.definition.fields, index.definition.kind == UNIQUE
    equal = {each.path: number for number, each in reversed([*enumerate(page.filters)]) if each.operator == "eq"}
    beginning, place = index.prefix, 0
    while place < len(fields) and fields[place].path in equal:
        beginning += field_key(index.definition, place, page.filters[equal[fields[place].path]].value)[0]
        place += 1
    covered = {equal[field.path] for field in fields[:place]}
    constant, ranges, narrowing_fields = set(equal), [(beginning, end_of(beginning))], place
    in_filter = _in_filter_of(page, fields[place].path) if place < len(fields) else None
    if in_filter is not None:
        beginnings = (
            beginning + field_key(index.definition, place, value)[0] for value in page.filters[in_filter].value
        )
        ranges = [(each, end_of(each)) for each in dict.fromkeys(beginnings)]
        covered.add(in_filter)
        constant.add(fields[place].path)
        place = narrowing_fields = place + 1
    elif not is_unique:
        numbers, ranges[0] = _narrow(page, index, place, beginning)
        covered |= numbers
        narrowing_fields += bool(numbers)
    if is_unique:
        is_served = place == len(fields) and not any(_has_null(page, number) for number in covered)
        if not is_served:
            return None
        return IndexPlan(index, tuple(ranges), frozenset(covered), is_sorted=False, narrowing_fields=place)
    rest = [field for field in fields[place:] if field.path not in constant]
    is_sorted = _serves(page, rest, constant) and not (index.state == LONG and rest)
    if not (narrowing_fields if page.count_only else is_sorted and not _timestamp_bounds(page) - covered):
        return None
    if page.after is not None and is_sorted and in_filter is None:
        ranges = [(max(low, _first_after(page, index, place, beginning)), high) for low, high in ranges]
    return IndexPlan(index, tuple(ranges), frozenset(covered), is_sorted, narrowing_fields)


def _in_filter_of(page: Page, path: tuple[str, ...]) -> int | None:
    """Return the number of the filter `in_` on a field if it has few values, None without one."""
    return next(
        (
            number
            for number, each in enumerate(page.filters)
            if (each.path, each.operator) == (path, "in") and 0 < len(each.value) <= MAX_RANGES
        ),
        None,
    )


def _has_null(page: Page, number: int) -> bool:
    """Return whether a filter accepts null, which a unique index does not have."""
    each = page.filters[number]
    return None in each.value if each.operator == "in" else each.value is None


def _narrow(page: Page, index: Index, place: int, beginning: bytes) -> tuple[set[int], Range]:
    """Return the numbers of the filters that bound the field number *place*, and the range of keys within them.

    The timestamp follows the last field. A bound that would be cut is no bound: cut keys are not in the order of the
    values.
    """
    fields = index.definition.fields
    field = fields[place] if place < len(fields) else _NEWEST_FIRST
    low, high, numbers = beginning, end_of(beginning), set[int]()
    for number, each in enumerate(page.filters):
        if each.path != field.path or each.operator not in _BOUNDS:
            continue
        if place < len(fields):
            part, is_cut = field_key(index.definition, place, each.value)
        elif _is_timestamp(each.value):
            part, is_cut = timestamp_key(each.value), False
        else:
            continue
        if is_cut:
            continue
        is_lower, with_value = _BOUNDS[each.operator]
        key = beginning + part
        if is_lower != field.descending:
            low = max(low, key if with_value else end_of(key))
        else:
            high = min(high, end_of(key) if with_value else key)
        numbers.add(number)
    return numbers, (low, high)


_BOUNDS: Final = {"gt": (True, False), "min": (True, True), "lt": (False, False), "max": (False, True)}
"""Whether an operator bounds values from below, and whether the bound itself matches."""


def _serves(page: Page, rest: Sequence[Order], constant: Collection[tuple[str, ...]]) -> bool:
    """Return whether keys of the fields *rest*, then of the timestamp, are in the order of a page.

    Fields with a *constant* value do not matter.
    """
    order = [each for each in page.order if each.path not in constant]
    ends_in_timestamp = bool(rest) and rest[-1].path == _NEWEST_FIRST.path
    return order == (list(rest) if ends_in_timestamp and order == rest else [*rest, _NEWEST_FIRST])


def _first_after(page: Page, index: Index, place: int, beginning: bytes) -> bytes:
    """Return a key that is at or before those of all objects after the last page, for the fields from *place* on.

    The statement also compares the exact position.
    """
    assert page.after is not None, "there is a last page"
    after = {each.path: value for each, value in zip(page.order, page.after, strict=False)}
    for number in range(place, len(index.definition.fields)):
        path = index.definition.fields[number].path
        part, is_cut = field_key(index.definition, number, after[path]) if path in after else (b"", True)
        if is_cut:
            return beginning
        beginning += part
    timestamp = after[_NEWEST_FIRST.path]
    return beginning + (timestamp_key(timestamp) if _is_timestamp(timestamp) else b"")


def _is_timestamp(value: object) -> TypeGuard[int]:
    """Return whether keys have a part for a value as a timestamp."""
    return type(value) is int and 0 <= value < _LIMIT


def _timestamp_bounds(page: Page) -> set[int]:
    """Return the numbers of the filters that bound the timestamp.

    Where the keys of an index are not within them, the index of the list in the order of timestamps reads less.
    """
    return {
        number
        for number, each in enumerate(page.filters)
        if each.path == _NEWEST_FIRST.path and each.operator in _BOUNDS
    }
