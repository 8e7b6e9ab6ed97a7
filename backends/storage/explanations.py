"""Explain how a page was read: by which index, or why by none (docs/queries.md)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from backends.storage.index_plans import IndexPlan, may_use_index
from backends.storage.index_suggestions import suggest, suggest_elements
from backends.storage.indexes import LONG, READY, REFUSED, Index
from backends.storage.plans import Plan, choose
from backends.storage.selections import WORDS, Page
from backends.storage.snapshots import Explanation
from backends.storage.term_plans import MAX_OBJECTS, TermPlan

MAX_COUNTED: Final = 10_000
"""The most objects of an index that are counted for an explanation."""

MISSING_INDEX: Final = "missing"
"""The reason if an index would serve the page."""


def explain(
    page: Page, plan: Plan | None, indexes: Collection[Index], objects: int, milliseconds: float
) -> Explanation:
    """Return how a page was read: *objects* is the number that the plan gives, or in the list without a plan."""
    reason = None if plan else _reason_without_index(page, indexes)
    if isinstance(plan, TermPlan) and plan.bounded and objects > MAX_OBJECTS:
        plan, reason = plan.otherwise, "frequent"
    suggestion = suggest_elements(page) or suggest(page) if reason == MISSING_INDEX else None
    if _is_limited(page, plan):
        objects = min(objects, page.limit * (len(plan.ranges) if isinstance(plan, IndexPlan) else 1))
    index = plan.index if plan else None
    return Explanation(index, reason, suggestion, objects, milliseconds, tuple(indexes))


def counting(page: Page, plan: Plan) -> tuple[Page, Plan]:
    """Return the page and the plan that count the objects that a plan gives."""
    filters = tuple(page.filters[number] for number in sorted(plan.covered - {WORDS}))
    counting_page = replace(
        page,
        filters=filters,
        words=(),
        after=None,
        limit=MAX_COUNTED,
        count_only=True,
        unless_timestamp=None,
        explain=False,
    )
    if isinstance(plan, TermPlan):
        plan = replace(plan, bounded=False, otherwise=None)
    return counting_page, replace(plan, covered=frozenset(range(len(filters))))


def _reason_without_index(page: Page, indexes: Collection[Index]) -> str:
    """Return why no index of a list serves a page."""
    if page.tombstones:
        return "tombstones"
    if not may_use_index(page):
        return "timestamp"
    would_serve = [index for index in indexes if choose(page, [replace(index, state=READY)]) is not None]
    if any(index.is_building for index in would_serve):
        return "building"
    for state in (LONG, REFUSED):
        if any(index.state == state for index in would_serve):
            return state
    return MISSING_INDEX if suggest_elements(page) or suggest(page) else "unsuited"


def _is_limited(page: Page, plan: Plan | None) -> bool:
    """Return whether a page is the first objects in the order of an index, so that no others are looked at."""
    if plan is None:
        return not page.filters and not may_use_index(page)
    return plan.is_sorted and len(plan.covered) == len(page.filters)
