"""Filter, sort and page what is no stored object (the entries of `/permissions`) as the storage does with objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.queries import Query
from backends import Json
from backends.storage import MISSING, Filter, Missing, Order
from backends.storage.values import contains, likes, ordered, reversed_order, value_at

Document = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Choice:
    """The documents of a page, how many match on all pages, and whether more follow."""

    documents: tuple[Document, ...]
    total: int
    more: bool


def choose(documents: Iterable[Document], query: Query) -> Choice:
    """Return the page that *query* asks for. The order must end in a field that is unique."""
    matching = [document for document in documents if matches(document, query.filters)]
    keyed = sorted(((sort_key(document, query.order), document) for document in matching), key=lambda pair: pair[0])
    start = b"" if query.after is None else _joined(query.after[: len(query.order)], query.order)
    following = tuple(document for key, document in keyed if key > start)
    return Choice(following[: query.limit], len(matching), len(following) > query.limit)


def matches(document: Document, filters: Sequence[Filter]) -> bool:
    """Say whether all filters hold."""
    return all(_HOLDS[each.operator](value_at(document, each.path), each.value) for each in filters)


def sort_key(document: Document, order: Sequence[Order]) -> bytes:
    """Return bytes that sort documents by *order*."""
    return _joined([value_at(document, key.path) for key in order], order)


def _joined(values: Sequence[Json | Missing], order: Sequence[Order]) -> bytes:
    keys = zip(order, map(ordered, values), strict=True)
    return b"".join(reversed_order(bound) if key.descending else bound for key, bound in keys)


_HOLDS: Final[Mapping[str, Callable[[Json, Json], bool]]] = {
    "eq": lambda value, wanted: ordered(value) == ordered(wanted),
    "not": lambda value, wanted: ordered(value) != ordered(wanted),
    "gt": lambda value, wanted: ordered(value) > ordered(wanted),
    "min": lambda value, wanted: ordered(value) >= ordered(wanted),
    "lt": lambda value, wanted: ordered(value) < ordered(wanted),
    "max": lambda value, wanted: ordered(value) <= ordered(wanted),
    "in": lambda value, wanted: ordered(value) in map(ordered, wanted),
    "exclude": lambda value, wanted: ordered(value) not in map(ordered, wanted),
    "like": likes,
    "has": lambda value, wanted: (value is not MISSING) == wanted,
    "contains": lambda value, wanted: contains(value, wanted, every=True),
    "contains_any": lambda value, wanted: contains(value, wanted, every=False),
}
