"""Choose the terms by which the objects of a page are found (`backends.storage.index_terms`).

A page with words is served if all indexes by texts of the list are built: an object matches by any of them, and has
all terms of one group, which has those of the words in one index. Terms of elements (`contains_`) are added to each
group, or are the only one. Without either, the objects have any of the terms of one `contains_any_`.

    Page(words=("red", "fox"), filters=(tags contains ["x"],)), indexes by texts A and B, by elements C:
    terms @> {A red, A fox, C x}  OR  terms @> {B red, B fox, C x}

Terms give the objects in no order, so that all of them are read. That is wrong for a frequent term where the first
objects of the list, or of an index with keys, soon fill the page. Such a page is *bounded*: its statement reads
`MAX_OBJECTS` objects by their terms at most, and if there are more it reads the page as if there were no terms.

The condition on elements stays behind that: it is cheap, and exact whatever the hashes are. The words of many objects
are not cheap to compare, so that the terms alone decide on words: a false match of a 64-bit hash, whose key nobody
knows, would take more objects than there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, NamedTuple

from backends.storage.index_plans import IndexPlan, IndexShape
from backends.storage.index_terms import element_terms, word_terms
from backends.storage.indexes import CONTAINS, TEXT, Index
from backends.storage.selections import WORDS, Filter, Page

_MAX_TERMS: Final = 100
"""The most terms of elements that objects must have all of; the condition compares the others."""

MAX_OBJECTS: Final = 1_000
"""The most objects that are read by their terms for a bounded page."""


class TermShape(NamedTuple):
    """The parts of a plan that the SQL of a page depends on.

    `groups` is the number of groups of terms; objects have *every* term of one group, or any. `covered` are the numbers
    of the conditions that the terms fulfil. `otherwise` as in `TermPlan`.
    """

    groups: int
    every: bool
    covered: frozenset[int]
    bounded: bool
    otherwise: IndexShape | None


@dataclass(frozen=True, slots=True)
class TermPlan:
    """The terms by which objects are found, and the indexes that they are of.

    A `bounded` page with too many objects is read by the plan `otherwise`, or if that is None in the order of the list.
    """

    term_indexes: tuple[Index, ...]
    groups: tuple[tuple[int, ...], ...]
    every: bool
    covered: frozenset[int]
    bounded: bool = False
    otherwise: IndexPlan | None = None

    is_sorted: ClassVar[bool] = False

    @property
    def index(self) -> Index:
        """Return the index that an explanation names."""
        return self.term_indexes[0]

    @property
    def indexes(self) -> tuple[Index, ...]:
        """Return the indexes that are used."""
        return (*self.term_indexes, *(self.otherwise.indexes if self.otherwise else ()))

    @property
    def shape(self) -> TermShape:
        """Return what the SQL depends on."""
        otherwise = self.otherwise.shape if self.otherwise else None
        return TermShape(len(self.groups), self.every, self.covered, self.bounded, otherwise)


def plan_terms(page: Page, indexes: Collection[Index], keys: IndexPlan | None) -> TermPlan | None:
    """Return the plan of a page by terms, None if no index by texts or elements serves it.

    *keys* is the plan without terms.
    """
    texts = [index for index in indexes if index.definition.kind == TEXT] if page.words else []
    if not all(index.is_built for index in texts):
        texts = []
    elements = [index for index in indexes if index.definition.kind == CONTAINS and index.is_built]
    every = list(_lookups(page, "contains", elements))
    common_terms = sorted({term for _, terms in every for term in terms})[:_MAX_TERMS]
    used_indexes = tuple(dict.fromkeys((*texts, *(index for index, _ in every))))
    if texts:
        groups = tuple(tuple(sorted({*word_terms(index, page.words), *common_terms})) for index in texts)
        plan = TermPlan(used_indexes, groups, every=True, covered=frozenset({WORDS}))
    elif common_terms:
        plan = TermPlan(used_indexes, (tuple(common_terms),), every=True, covered=frozenset())
    else:
        either = next(_lookups(page, "contains_any", elements), None)
        if either is None:
            return None
        plan = TermPlan((either[0],), (tuple(sorted(either[1])),), every=False, covered=frozenset())
    if page.count_only or not (keys or page.order[0].path == ("last_modified",)):
        return plan
    return replace(plan, bounded=True, otherwise=keys)


def _lookups(page: Page, operator: str, elements: Sequence[Index]) -> Iterator[tuple[Index, set[int]]]:
    """Yield the index and the terms for each filter with an operator that an index by elements serves."""
    for each in page.filters:
        match = _find_index(each, elements) if each.operator == operator and each.value else None
        if match is not None:
            index, place = match
            yield index, element_terms(index, place, each.value)


def _find_index(condition: Filter, elements: Sequence[Index]) -> tuple[Index, int] | None:
    """Return the first index by elements that has the field of a filter, and the number of the field in it."""
    for index in elements:
        for place, field in enumerate(index.definition.fields):
            if field.path == condition.path:
                return index, place
    return None
