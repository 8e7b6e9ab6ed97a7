"""The values that describe a read: objects, a page of a list, permissions on objects anywhere."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from backends import Json
from backends.storage.objects import LIVING, User


class Missing:
    """The value of a field that an object does not have: greater than every JSON value (C-LIST-35)."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


OPERATORS: Final = ("eq", "not", "gt", "min", "lt", "max", "in", "exclude", "like", "has", "contains", "contains_any")

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "gt": operator.gt,
    "min": operator.ge,
    "lt": operator.lt,
    "max": operator.le,
}
"""The operators that compare by order, as functions of the field and the value; of SQL they make conditions."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field: `operator` is one of `OPERATORS`, `path` the names of members from the outside in.

    The paths ("id",) and ("last_modified",) mean the key and the timestamp of the object. The value of `in` and
    `exclude` is a tuple of JSON values, of `contains` and `contains_any` a list, of `has` a bool, of `like` a pattern
    in which only `*` is special and which must match the whole field.
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


WORDS: Final = -1
"""The number of the condition on the words of a page, among the numbers of its filters."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list: which objects, in which order, and how many.

    - `words`: only objects that have all of them in one of the `texts`, each the fields of an index by texts. The
      storage fills in the `texts`, by the indexes that the list has; without any, words are ignored.
    - `after` holds the sort values of the last object of the page before (`MISSING` for a field that it lacks) and, as
      its last item, the URI of that object.
    - `tombstones`: read them too.
    - `count_only`: count the objects that match and return no rows.
    - `unrestricted`: the readers may read the whole list whatever is granted. Otherwise the statement decides: the
      whole list for readers that hold one of `list_permissions` on an ancestor, else the objects on which they hold one
      of `object_permissions` (None: any permission).
    - `private` names the fields that must not leave the storage.
    - No rows are returned when the timestamp of the list equals `unless_timestamp`.
    - `without_documents`: the texts of the rows are `{}`.
    - `max_bytes`: the page ends with the object that reaches this size, or with the second one. The snapshot tells
      whether others were left out (`is_cut`).
    - `explain`: the snapshot has `explanation`, which may cost one more statement.
    """

    list: str
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = NEWEST_FIRST
    after: tuple[Json, ...] | None = None
    limit: int = 0
    tombstones: bool = False
    count_only: bool = False
    unrestricted: bool = False
    list_permissions: tuple[str, ...] = ("read", "write")
    object_permissions: tuple[str, ...] | None = None
    private: tuple[str, ...] = ()
    without_documents: bool = False
    unless_timestamp: int | None = None
    explain: bool = False
    words: tuple[str, ...] = ()
    texts: tuple[tuple[tuple[str, ...], ...], ...] = ()
    max_bytes: int = LIVING


@dataclass(frozen=True, slots=True)
class Selection:
    """The facts that one statement reads from one bucket.

    - `targets`: objects, with all their grants. With `limited_grants`, with the grants that the readers hold, and with
      all grants where they hold `write`.
    - `ancestors`: objects, with the grants that the readers hold on them, with `ancestor_grants` all grants. Without
      `ancestor_documents` only their existence is read, not their documents.
    - `clocks`: lists whose clocks are read.
    - `readers`: the principals of the client; the groups of these principals are read too.
    - `private`: the fields of the targets that must not leave the storage.
    - `users`: the objects of users, each in a bucket of its own. A remembered login is valid only while its user is
      unchanged.
    - `groups`: groups whose living members are read.
    - `cascade_roots`: objects below which all clocks and indexes are read.
    - `indexes`: lists whose indexes are read. A page reads those of its list by itself where it may use one.
    """

    bucket: str
    targets: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    ancestor_documents: bool = True
    ancestor_grants: bool = False
    limited_grants: bool = False
    page: Page | None = None
    users: tuple[User, ...] = ()
    groups: tuple[str, ...] = ()
    cascade_roots: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KindRange:
    """A range of URIs of one kind, from `first` up to `end` (exclusive).

    `lists` are the names of the lists of the kind from the outside in, ("buckets", "collections"); `permissions` are
    those that can be granted on it. With `all_objects` all living objects of the range count, otherwise those on which
    a reader holds a permission.
    """

    kind: str
    lists: tuple[str, ...]
    permissions: tuple[str, ...]
    first: str
    end: str
    all_objects: bool = False


@dataclass(frozen=True, slots=True)
class IdField:
    """A field of the entries of `GET /permissions` that holds an id of the URI: `collection_id`.

    `position` is the number of the id in the URI from the outside in (2); `kinds` are the kinds that have the field.
    """

    name: str
    position: int
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class AccessSelection:
    """A page of the objects anywhere on which the readers hold a permission (C-UTIL-27).

    `readers` are the principals of the client; their groups count too. The page is filtered and sorted by the fields
    `uri`, `resource_name` (the kind), `id` (the last segment of the URI), and `id_fields`. `users` as in `Selection`.
    """

    readers: tuple[str, ...]
    ranges: tuple[KindRange, ...]
    page: Page
    id_fields: tuple[IdField, ...] = ()
    users: tuple[User, ...] = ()
