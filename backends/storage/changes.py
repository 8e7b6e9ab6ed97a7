"""What a transaction writes: changes of objects, moves of clocks, grants and memberships that end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from backends.storage.keys import is_inside, list_of, write_buckets
from backends.storage.objects import Stored


@dataclass(frozen=True, slots=True)
class Change:
    """One object as it is after a request, with the grants that end and begin: pairs of permission and principal.

    `stamp` is the clock of its list after the write, which the grants carry.

    Derived: `list` of the object; `read_bucket`, under which it is read; `write_buckets`, under which it is written;
    `past`, whether the client chose a timestamp that leaves the list's clock where it was (C-PRE-6).
    """

    stored: Stored
    stamp: int
    revoked: frozenset[tuple[str, str]] = frozenset()
    granted: frozenset[tuple[str, str]] = frozenset()
    list: str = field(init=False)
    read_bucket: str = field(init=False)
    write_buckets: tuple[str, ...] = field(init=False)
    past: bool = field(init=False)

    def __post_init__(self) -> None:
        buckets = write_buckets(self.stored.uri)
        derive = partial(object.__setattr__, self)
        derive("list", list_of(self.stored.uri))
        derive("read_bucket", buckets[0])
        derive("write_buckets", buckets)
        derive("past", self.stored.timestamp < self.stamp)


@dataclass(frozen=True, slots=True)
class Move:
    """A list's clock as it is after a request; `count` is added to it. One that starts is born with its parent."""

    list: str
    last_modified: int
    count: int = 0
    starts: bool = False


@dataclass(frozen=True, slots=True)
class Principals:
    """Principals that end: deleted users, deleted groups, and every group inside deleted objects."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups or self.inside)

    def __or__(self, other: Principals) -> Principals:
        return Principals(self.users | other.users, self.groups | other.groups, self.inside | other.inside)

    def names(self, principal: str) -> bool:
        """Say whether a principal is one of those that end."""
        return principal in self.users or principal in self.groups or is_inside(principal, self.inside)


@dataclass(frozen=True, slots=True)
class Holdings:
    """Living grants (URI, permission, principal) and memberships (user, group) of some principals.

    `memberships` are those of users, `members` those in groups.
    """

    grants: frozenset[tuple[str, str, str]] = frozenset()
    memberships: frozenset[tuple[str, str]] = frozenset()
    members: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: Holdings) -> Holdings:
        return Holdings(self.grants | other.grants, self.memberships | other.memberships, self.members | other.members)

    def lists(self) -> set[str]:
        """Return the lists of the objects and of the groups."""
        uris = {uri for uri, _, _ in self.grants} | {group for _, group in self.memberships | self.members}
        return {list_of(uri) for uri in uris}


@dataclass(frozen=True, slots=True)
class UserHoldings:
    """What one principal has by itself: objects on which it was granted anything, and groups that it is in.

    `sole` are those of the objects on which nobody else holds `write`.
    """

    granted: frozenset[str]
    sole: frozenset[str]
    groups: frozenset[str]
