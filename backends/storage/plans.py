"""Choose how a page is read: by the keys of an index, by terms, or without an index."""

from __future__ import annotations

from collections.abc import Collection

from backends.storage.index_plans import IndexPlan, may_use_index, plan_keys
from backends.storage.indexes import UNIQUE, Index
from backends.storage.selections import Page
from backends.storage.term_plans import TermPlan, plan_terms

Plan = IndexPlan | TermPlan


def choose(page: Page, indexes: Collection[Index]) -> Plan | None:
    """Return the plan of a page, None if no index serves it.

    Terms are preferred to keys, except those of a unique index: a word, or an element of an array, is in few objects.
    """
    if not may_use_index(page):
        return None
    keys = plan_keys(page, indexes)
    if keys is not None and keys.index.definition.kind == UNIQUE:
        return keys
    return plan_terms(page, indexes, keys) or keys
