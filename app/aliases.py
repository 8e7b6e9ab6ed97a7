"""Aliases: ids that stand for an object of each user, which is created when it is first used (plugins contract, 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.errors import Invalid, NotAllowed, Problem, Unauthenticated
from app.identity import Identity
from app.kinds import Kinds, Route

_CREATING: Final = "PUT"
"""The method that creates the object of its path by itself, with the permissions that this needs."""


@dataclass(frozen=True, slots=True)
class Alias:
    """An id of a kind at the top that stands for an object of each user, whose id *own_id* returns.

    A request on the object, or on anything in it, creates the objects on its path that do not exist, if their kinds are
    among *creates*.
    """

    kind: str
    id: str
    own_id: Callable[[Identity], str]
    creates: frozenset[str]

    def own_id_of(self, identity: Identity) -> str:
        """Return the id of the object of an identity. Raises Unauthenticated."""
        if identity.user_id is None:
            raise Unauthenticated
        return self.own_id(identity)


class Aliases:
    """The aliases of one service. With *readonly* nothing can be created, so that no alias can be used (P-DEF-17)."""

    def __init__(self, kinds: Kinds, *, readonly: bool) -> None:
        self._kinds = kinds
        self._readonly = readonly
        self._aliases: dict[tuple[str, str], Alias] = {}

    def add(self, alias: Alias) -> None:
        """Add an alias. Raises ValueError for kinds that are not there, or an id that is an alias already."""
        unknown = sorted(name for name in (alias.kind, *alias.creates) if name not in self._kinds)
        if unknown or self._kinds[alias.kind].parent is not None:
            raise ValueError(f"The alias {alias.id!r} is not in a list at the top, or of unknown kinds: {unknown}.")
        if self._aliases.setdefault((alias.kind, alias.id), alias) is not alias:
            raise ValueError(f"The {alias.kind} {alias.id!r} is an alias already.")

    def begins(self, route: Route) -> bool:
        """Return whether the path of a route begins with an alias."""
        return self._alias_in(route) is not None

    def at_beginning(self, path: str) -> Route | None:
        """Return the route of the alias with which a path begins, also one that is no list and no object, else None."""
        route = self._kinds.match("/".join(path.split("/")[:3])) if self._aliases else None
        return route if route is not None and self.begins(route) else None

    def resolve(self, route: Route, method: str, identity: Identity) -> tuple[Route, tuple[Route, ...]]:
        """Return the route that a path means, and the routes of the objects that a request on it may create.

        These are in order from the outermost one. Raises Unauthenticated, NotAllowed, and Invalid for an id that no
        such object can have.
        """
        alias = self._alias_in(route)
        if alias is None:
            return route, ()
        own_id = alias.own_id_of(identity)
        if self._readonly:
            raise NotAllowed
        plural, _, *others = route.uri.split("/")[1:]
        own = self._route("/".join(("", plural, own_id, *others)))
        uris = own.ancestors if own.on_list else (*own.ancestors, own.uri)
        objects = [own if uri == own.uri else self._route(uri) for uri in uris]
        implied = [each for each in objects if each.kind.name in alias.creates and _expect_valid_id(each)]
        return own, tuple(each for each in implied if each is not own or method != _CREATING)

    def own_object_id(self, kind: str, object_id: str, identity: Identity) -> str:
        """Return the id that *object_id* means as the id of an object at the top. Raises Unauthenticated."""
        alias = self._aliases.get((kind, object_id))
        return object_id if alias is None else alias.own_id_of(identity)

    def _alias_in(self, route: Route) -> Alias | None:
        return self._aliases.get((route.kinds[0].name, route.ids[0])) if self._aliases and route.ids else None

    def _route(self, uri: str) -> Route:
        route = self._kinds.match(uri)
        assert route is not None, "the path of an object has a route with any id"
        return route


def _expect_valid_id(route: Route) -> bool:
    """Return True. Raises Invalid for an id that no object of the kind can have (P-DEF-8)."""
    if not route.kind.generator.match(route.id):
        raise Invalid(Problem("path", None, f"Invalid {route.kind.name} id"))
    return True
