"""Permissions: the three rules of inheritance as set intersections (core contract, section 7).

1. `write` on an object or one of its ancestors grants everything there.
2. `read` there grants reading; an identity that may create inside an object may also read the object itself.
3. A create permission applies to the object that it is granted on, not below it.

The principals of settings (`bucket_create_principals`, ...) come first; they apply to a kind, without inheritance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from app.identity import Identity, Reader
from app.kinds import Kind, Route
from backends.storage import Selection, Snapshot

PrincipalsFor = Callable[[str, str], frozenset[str]]
"""The principals that the settings give a permission on a kind: (kind, permission) -> principals."""


@dataclass(frozen=True, slots=True)
class Access:
    """The access of one identity to a route: its principals with groups, the grants of a snapshot, the settings."""

    route: Route
    principals: frozenset[str]
    grants: Mapping[str, Mapping[str, Iterable[str]]]
    principals_for: PrincipalsFor

    def permissions_on(self, uri: str) -> set[str]:
        """Return the permissions that the identity holds on one object itself."""
        return {
            permission
            for permission, principals in self.grants.get(uri, {}).items()
            if not self.principals.isdisjoint(principals)
        }

    def permissions_above(self) -> set[str]:
        """Return the permissions that the identity holds on any ancestor of the route."""
        return set().union(*(self.permissions_on(uri) for uri in self.route.ancestors))

    def settings_allow(self, *permissions: str) -> bool:
        """Return whether the settings give the identity one of these permissions on the kind (C-PERM-19)."""
        kind = self.route.kind.name
        return any(not self.principals.isdisjoint(self.principals_for(kind, name)) for name in permissions)

    def may_write(self, uri: str) -> bool:
        """Return whether the identity may change or delete the object *uri* of the route's list."""
        return "write" in self.permissions_on(uri) or self.may_write_all()

    def may_write_all(self) -> bool:
        """Return whether the identity may write every object of the list."""
        return "write" in self.permissions_above() or self.settings_allow("write")

    def may_read(self, uri: str) -> bool:
        """Return whether the identity may read the object *uri* of the route's list (C-PERM-3)."""
        return bool(self.permissions_on(uri)) or self.may_read_all()

    def may_read_all(self) -> bool:
        """Return whether the identity may read the whole list (C-PERM-12)."""
        return not self.permissions_above().isdisjoint(("read", "write")) or self.settings_allow("read", "write")

    def may_create(self) -> bool:
        """Return whether the identity may create objects in the list (C-PERM-20, C-PERM-21)."""
        if self.settings_allow("create", "write") or "write" in self.permissions_above():
            return True
        ancestors = self.route.ancestors
        return bool(ancestors) and self.route.kind.creation in self.permissions_on(ancestors[-1])

    def may_see_permissions(self, uri: str) -> bool:
        """Return whether the identity is in the object's own `write`, and so may see its permissions (C-PERM-8)."""
        return "write" in self.permissions_on(uri)


def collect_access(route: Route, identity: Identity, snapshot: Snapshot, principals_for: PrincipalsFor) -> Access:
    """Return the access of *identity* to *route*: the principals with their groups, and the grants of *snapshot*."""
    groups = [snapshot.groups.get(name, ()) for name in identity.principals]
    return Access(route, frozenset(identity.principals).union(*groups), snapshot.grants, principals_for)


def principals_with_groups(identity: Identity, principals: Iterable[str] | None, read: Reader) -> frozenset[str]:
    """Return the principals of an identity. Its groups are read only when a setting names a group (C-PERM-19).

    *principals* are those that settings name; None reads the groups of every authenticated user.
    """
    own = frozenset(identity.principals)
    if principals is None:
        needs_groups = identity.user_id is not None
    else:
        needs_groups = any(principal.startswith("/") for principal in principals)
    if not needs_groups:
        return own
    return own.union(*read(Selection("/buckets", readers=identity.principals)).groups.values())


def is_among(identity: Identity, principals: Collection[str], read: Reader) -> bool:
    """Return whether the principals that settings name include the identity or one of its groups."""
    return not principals_with_groups(identity, principals, read).isdisjoint(principals)


def implied_permissions(children: Iterable[Kind], permissions: Iterable[str]) -> list[str]:
    """Return all permissions that follow from *permissions* on an object, sorted (C-UTIL-26).

    *children* are the kinds of objects that can be created in it.
    """
    names = set(permissions)
    creations = [child.creation for child in children]
    if "write" in names:
        names.update(("read", *creations))
    if creations and names:
        names.add("read:attributes")
    return sorted(names)
