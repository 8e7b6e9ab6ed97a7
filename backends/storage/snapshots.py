"""The value that a read returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.storage.indexes import Index, IndexDefinition
from backends.storage.objects import Clock, Stored, User, UserState


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a page was read.

    - `index` is None if none was used, for the `reason`. `suggestion` is an index that would serve the page. `indexes`
      are all of the list.
    - `rows` is the number of objects that were looked at, at most.
    - `milliseconds` is the time from the statement to its rows.
    """

    index: Index | None
    reason: str | None
    suggestion: IndexDefinition | None
    rows: int
    milliseconds: float
    indexes: tuple[Index, ...]


@dataclass(slots=True)
class Snapshot:
    """The facts that one read returned, by URI, and the rows of a page in its order.

    - `grants`: URI to permission to principals; `groups`: principal to the groups that it is in.
    - `fully_granted`: objects of whose grants none is missing, for a selection with `ancestor_grants`.
    - `members`: group to its members, for each group of the selection, also one without members.
    - `is_cut`: the page ends where its objects reach `Page.max_bytes`, and there are others.
    - `full`: the page is of the whole list. `has_shared`: it is not, and some object of the list is shared with the
      readers, whether or not it matches the filters.
    - `locked`: the lists whose clocks this transaction has locked, for a read that was sent with their lock.
    - `users`: the state of the users that exist.
    - `indexes`: the indexes of the lists of the selection.
    - `explanation`: how the page was read, for a page with `explain`.
    - `permissions`: URI to the permissions that the readers hold, for an `AccessSelection`.
    """

    objects: dict[str, Stored] = field(default_factory=dict)
    grants: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    fully_granted: set[str] = field(default_factory=set)
    clocks: dict[str, Clock] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    members: dict[str, set[str]] = field(default_factory=dict)
    page: list[Stored] = field(default_factory=list)
    is_cut: bool = False
    total: int = 0
    full: bool = False
    has_shared: bool = False
    users: dict[User, UserState] = field(default_factory=dict)
    permissions: dict[str, set[str]] = field(default_factory=dict)
    indexes: list[Index] = field(default_factory=list)
    explanation: Explanation | None = None

    def add(self, other: Snapshot) -> None:
        """Add the facts of *other*, a read of another bucket."""
        self.objects |= other.objects
        for uri, grants in other.grants.items():
            for permission, principals in grants.items():
                self.grants.setdefault(uri, {}).setdefault(permission, set()).update(principals)
        self.fully_granted |= other.fully_granted
        for user, groups in other.groups.items():
            self.groups.setdefault(user, set()).update(groups)
        self.clocks |= other.clocks
        self.members |= other.members

    def set_page(self, other: Snapshot) -> None:
        """Replace the page, and what is said about it, by the page of *other*."""
        self.page, self.is_cut, self.total = other.page, other.is_cut, other.total
        self.full, self.has_shared = other.full, other.has_shared
        self.explanation = other.explanation
