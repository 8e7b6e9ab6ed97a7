"""Explain how a page was read: by which index, or why by none (docs/queries.md)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from backends.storage.index_plans import IndexPlan, choose, may_use_index
from backends.storage.index_suggestions import suggest
from backends.storage.indexes import LONG, READY, REFUSED, Index
from backends.storage.selections import Page
from backends.storage.snapshots import Explanation

MAX_COUNTED: Final = 10_000
"""The most keys of an index that are counted for an explanation."""

MISSING_INDEX: Final = "missing"
"""The reason if an index would serve the page."""


def explain(
    page: Page, plan: IndexPlan | None, indexes: Collection[Index], objects: int, milliseconds: float
) -> Explanation:
    """Return how a page was read: *objects* is the number in the ranges of the plan, or in the list without a plan."""
    reason = None if plan else _reason_without_index(page, indexes)
    suggestion = suggest(page) if reason == MISSING_INDEX else None
    if _is_limited(page, plan):
        objects = min(objects, page.limit * (len(plan.ranges) if plan else 1))
    index = plan.index if plan else None
    return Explanation(index, reason, suggestion, objects, milliseconds, tuple(indexes))


def counting(page: Page, plan: IndexPlan) -> tuple[Page, IndexPlan]:
    """Return the page and the plan that count the keys in the ranges of a plan."""
    filters = tuple(page.filters[number] for number in sorted(plan.covered))
    counted = replace(
        page, filters=filters, after=None, limit=MAX_COUNTED, count_only=True, unless_timestamp=None, explain=False
    )
    return counted, replace(plan, covered=frozenset(range(len(filters))))


def _reason_without_index(page: Page, indexes: Collection[Index]) -> str:
    """Return why no index of a list serves a page."""
    if page.tombstones:
        return "tombstones"
    if not may_use_index(page):
        return "timestamp"
    would_serve = [index for index in indexes if choose(page, [replace(index, state=READY)]) is not None]
    if any(index.is_wanted for index in would_serve):
        return "building"
    for state in (LONG, REFUSED):
        if any(index.state == state for index in would_serve):
            return state
    return MISSING_INDEX if suggest(page) else "unsuited"


def _is_limited(page: Page, plan: IndexPlan | None) -> bool:
    """Return whether a page is the first objects in the order of an index, so that no others are looked at."""
    if plan is None:
        return not page.filters and not may_use_index(page)
    return plan.is_sorted and len(plan.covered) == len(page.filters)
