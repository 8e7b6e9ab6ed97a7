"""The values that a transaction writes: changes of objects, moves of clocks, grants and memberships to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from backends import Json
from backends.codec import dumps
from backends.storage.keys import is_inside, list_of, write_buckets
from backends.storage.objects import Stored


@dataclass(frozen=True, slots=True)
class Change:
    """One object as it is after a request, with the grants that end (`revoked`) and begin (`granted`).

    The grants are pairs of a permission and a principal. `stamp` is the clock of the list after the write; grants begin
    and end at this timestamp.

    Derived fields: `list`, `read_bucket` and `write_buckets` as in `backends.storage.keys`; `backdated`, whether the
    client chose a timestamp in the past, which does not advance the clock of the list (C-PRE-6).
    """

    stored: Stored
    stamp: int
    revoked: frozenset[tuple[str, str]] = frozenset()
    granted: frozenset[tuple[str, str]] = frozenset()
    list: str = field(init=False)
    read_bucket: str = field(init=False)
    write_buckets: tuple[str, ...] = field(init=False)
    backdated: bool = field(init=False)

    def __post_init__(self) -> None:
        buckets = write_buckets(self.stored.uri)
        derive = partial(object.__setattr__, self)
        derive("list", list_of(self.stored.uri))
        derive("read_bucket", buckets[0])
        derive("write_buckets", buckets)
        derive("backdated", self.stored.timestamp < self.stamp)


@dataclass(frozen=True, slots=True)
class Move:
    """The clock of a list as it is after a request; `count` is added to the number of living objects.

    `starts`: the list is new, created together with its parent.
    """

    list: str
    last_modified: int
    count: int = 0
    starts: bool = False


class Append(NamedTuple):
    """A new object of a derived list, whose timestamp the storage gives out when it moves the clock of the list.

    `document` lacks `last_modified`. The timestamp is `earliest` in ms or later. `granted` as in `Change`.
    """

    uri: str
    document: Mapping[str, Json]
    earliest: int
    granted: frozenset[tuple[str, str]] = frozenset()

    def at(self, timestamp: int, list_uri: str, bucket: str) -> Appended:
        """Return the object with its timestamp; *list_uri* and *bucket* are those of its URI."""
        text = dumps({**self.document, "last_modified": timestamp})
        stored = Stored(self.uri, timestamp, deleted=False, born=timestamp, text=text)
        return Appended(stored, timestamp, self.granted, list_uri, (bucket,))


class Appended(NamedTuple):
    """An appended object with its timestamp: it has what a `Change` has of it."""

    stored: Stored
    stamp: int
    granted: frozenset[tuple[str, str]]
    list: str
    write_buckets: tuple[str, ...]


Appends = Mapping[str, Sequence[Append]]
"""New objects of derived lists, by list."""

NOTHING_APPENDED: Final[Appends] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Principals:
    """Principals that cease to exist: deleted users and groups, and all groups below deleted objects."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    cascade_roots: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups or self.cascade_roots)

    def __or__(self, other: Principals) -> Principals:
        return Principals(
            self.users | other.users, self.groups | other.groups, self.cascade_roots | other.cascade_roots
        )

    def includes(self, principal: str) -> bool:
        """Return whether a principal ceases to exist."""
        return principal in self.users or principal in self.groups or is_inside(principal, self.cascade_roots)


@dataclass(frozen=True, slots=True)
class Holdings:
    """Living grants (URI, permission, principal) and memberships (user, group) of some principals.

    `memberships` are those of the users among them, `members` those in the groups among them.
    """

    grants: frozenset[tuple[str, str, str]] = frozenset()
    memberships: frozenset[tuple[str, str]] = frozenset()
    members: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: Holdings) -> Holdings:
        return Holdings(self.grants | other.grants, self.memberships | other.memberships, self.members | other.members)

    def lists(self) -> set[str]:
        """Return the lists that contain the objects and the groups."""
        uris = {uri for uri, _, _ in self.grants} | {group for _, group in self.memberships | self.members}
        return {list_of(uri) for uri in uris}


@dataclass(frozen=True, slots=True)
class UserHoldings:
    """The objects on which one principal itself holds a permission, and the groups that it is in.

    `sole_writer_of` are the objects on which it is the only principal that holds `write`.
    """

    objects: frozenset[str]
    sole_writer_of: frozenset[str]
    groups: frozenset[str]
