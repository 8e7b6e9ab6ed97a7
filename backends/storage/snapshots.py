"""What one statement has read."""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.storage.objects import Clock, Stored, User, UserState


@dataclass(slots=True)
class Snapshot:
    """What one read saw: facts by URI, and the rows of a page in its order.

    `full` says that the page is of the whole list, `shares` that some object of the list is shared with the reader,
    whatever the filters say of it. `users` has the state of those that exist. `permissions` are those of the readers by
    URI, of what `AccessSelection` asks for.
    `members` has every group that was asked for, also one that nobody is in.
    """

    objects: dict[str, Stored] = field(default_factory=dict)
    grants: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    page: list[Stored] = field(default_factory=list)
    total: int = 0
    full: bool = False
    shares: bool = False
    users: dict[User, UserState] = field(default_factory=dict)
    permissions: dict[str, set[str]] = field(default_factory=dict)

    def add(self, other: Snapshot) -> None:
        """Take over what *other* saw, of other buckets."""
        self.objects |= other.objects
        for uri, grants in other.grants.items():
            for permission, principals in grants.items():
                self.grants.setdefault(uri, {}).setdefault(permission, set()).update(principals)
        for user, groups in other.groups.items():
            self.groups.setdefault(user, set()).update(groups)
        self.clocks |= other.clocks
        self.members |= other.members
