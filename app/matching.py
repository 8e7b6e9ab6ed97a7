"""Filter, sort and page documents that are not stored (the entries of `/permissions`) as the storage does objects."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.parsing.queries import Query
from backends import Json
from backends.storage import MISSING, Filter, Missing, Order
from backends.storage.selections import COMPARISONS
from backends.storage.values import contains, matches_pattern, order_key, order_keys, reverse_key, value_at

Document = Mapping[str, Json]
Test = tuple[tuple[str, ...], Callable[[Json | Missing], bool]]
"""The path of a field, and a predicate on its value."""


@dataclass(frozen=True, slots=True)
class MatchingPage:
    """The documents of a page, the number of matching documents on all pages, and whether another page follows."""

    documents: tuple[Document, ...]
    total: int
    more: bool


def paginate(documents: Iterable[Document], query: Query) -> MatchingPage:
    """Return the page of a query. The order of the query must end in a unique field."""
    tests = build_tests(query.filters)
    matching = [document for document in documents if matches(document, tests)]
    by_key = sorted(((sort_key(document, query.order), document) for document in matching), key=lambda pair: pair[0])
    start = b"" if query.after is None else _join_keys(query.after[: len(query.order)], query.order)
    following = tuple(document for key, document in by_key if key > start)
    return MatchingPage(following[: query.limit], len(matching), len(following) > query.limit)


def build_tests(filters: Sequence[Filter]) -> list[Test]:
    """Return the tests of filters, with their values encoded once for all documents."""
    return [(condition.path, _TESTS[condition.operator](condition.value)) for condition in filters]


def matches(document: Document, tests: Sequence[Test]) -> bool:
    """Return whether a document passes all tests."""
    return all(passes(value_at(document, path)) for path, passes in tests)


def sort_key(document: Document, order: Sequence[Order]) -> bytes:
    """Return bytes that sort documents by *order*."""
    return _join_keys([value_at(document, key.path) for key in order], order)


def _join_keys(values: Sequence[Json | Missing], order: Sequence[Order]) -> bytes:
    keys = zip(order, map(order_key, values), strict=True)
    return b"".join(reverse_key(bound) if key.descending else bound for key, bound in keys)


def _compare(compare: Callable[[bytes, bytes], bool]) -> Callable[[Json], Callable[[Json | Missing], bool]]:
    def make(operand: Json) -> Callable[[Json | Missing], bool]:
        bound = order_key(operand)
        return lambda value: compare(order_key(value), bound)

    return make


def _one_of(operands: Json) -> Callable[[Json | Missing], bool]:
    bounds = order_keys(operands)
    return lambda value: order_key(value) in bounds


def _none_of(operands: Json) -> Callable[[Json | Missing], bool]:
    bounds = order_keys(operands)
    return lambda value: order_key(value) not in bounds


def _contain(*, every: bool) -> Callable[[Json], Callable[[Json | Missing], bool]]:
    def make(operands: Json) -> Callable[[Json | Missing], bool]:
        bounds = order_keys(operands)
        return lambda value: contains(value, bounds, every=every)

    return make


_TESTS: Final[Mapping[str, Callable[[Json], Callable[[Json | Missing], bool]]]] = {
    "eq": _compare(operator.eq),
    "not": _compare(operator.ne),
    **{name: _compare(function) for name, function in COMPARISONS.items()},
    "in": _one_of,
    "exclude": _none_of,
    "like": lambda pattern: lambda value: matches_pattern(value, pattern),
    "has": lambda expected: lambda value: (value is not MISSING) == expected,
    "contains": _contain(every=True),
    "contains_any": _contain(every=False),
}
