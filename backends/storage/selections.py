"""What one statement is asked to read: objects, a page of a list, permissions anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backends import Json
from backends.storage.objects import User


class Missing:
    """The value of a field that an object does not have: greater than every JSON value (C-LIST-35)."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()

OPERATORS: Final = ("eq", "not", "gt", "min", "lt", "max", "in", "exclude", "like", "has", "contains", "contains_any")


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field: `operator` is one of `OPERATORS`, `path` the names from the outside in.

    The paths ("id",) and ("last_modified",) mean the object's own key and timestamp. The value of `in` and `exclude`
    is a tuple of JSON values, of `contains` and `contains_any` a list, of `has` a bool, of `like` a text in which only
    `*` is special and which covers the whole field.
    """

    path: tuple[str, ...]
    operator: str
    value: Json


@dataclass(frozen=True, slots=True)
class Order:
    """One key of a sort."""

    path: tuple[str, ...]
    descending: bool = False


NEWEST_FIRST: Final = (Order(("last_modified",), descending=True),)


@dataclass(frozen=True, slots=True)
class Page:
    """Which objects of a list are wanted, in which order, and how many.

    `after` holds the sort values of the last object of the page before (`MISSING` for a field it lacks) and, last, its
    URI. `whole` says that the reader may see the whole list whatever is granted; otherwise the statement decides by
    the permissions `above` on the ancestors ("full") or `own` on the objects themselves ("shared"). No rows are
    fetched when the list's clock says `unless`.
    """

    list: str
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = NEWEST_FIRST
    after: tuple[Json, ...] | None = None
    limit: int = 0
    tombstones: bool = False
    counting: bool = False
    whole: bool = False
    above: tuple[str, ...] = ("read", "write")
    own: tuple[str, ...] | None = None
    private: tuple[str, ...] = ()
    unless: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What one statement reads from one bucket.

    `targets` are objects with all their grants; when `sparing` with those that a reader holds, and with all where a
    reader holds `write`. `ancestors` are objects with those grants that a reader holds; `clocks` lists; `readers` the
    principals of whoever asks, whose groups are read too. `private` names fields of the targets that must not leave the
    storage. Without `bodies` the documents of the ancestors are not fetched, only whether they are there. `users` are
    looked up in buckets of their own: a remembered login holds only while its user is as before. `groups` are read with
    their living members; `cascade_roots` are objects below which all clocks are read.
    """

    bucket: str
    targets: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    bodies: bool = True
    sparing: bool = False
    page: Page | None = None
    users: tuple[User, ...] = ()
    groups: tuple[str, ...] = ()
    cascade_roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KindRange:
    """URIs of one kind of objects, from `first` up to but without `end`.

    `lists` are the names of its lists from the outside in, ("buckets", "collections"), and `permissions` what can be
    granted on it. `everything`: all living objects in the range count, not only those on which something is granted.
    """

    kind: str
    lists: tuple[str, ...]
    permissions: tuple[str, ...]
    first: str
    end: str
    everything: bool = False


@dataclass(frozen=True, slots=True)
class AccessSelection:
    """What one statement reads of the objects anywhere on which somebody holds a permission (C-UTIL-27).

    `readers` are the principals of whoever asks; their groups count too. Filters and order of the page are on the
    fields `uri`, `resource_name` (the kind), `id` (the last segment of the URI), and on `ids`. Each of these is a field
    (`collection_id`), the number of the id in the URI from the outside in (2), and the kinds that have the field.
    `users` are explained in `Selection`.
    """

    readers: tuple[str, ...]
    ranges: tuple[KindRange, ...]
    page: Page
    ids: tuple[tuple[str, int, frozenset[str]], ...] = ()
    users: tuple[User, ...] = ()
