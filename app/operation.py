"""The values that pass between HTTP and the rules: a parsed request, and the outcome of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from app.errors import ApiError, Problem
from app.identity import ANONYMOUS, Credentials, Identity
from app.kinds import Data, Kind, Route
from app.parsing.conditions import NONE, Conditions
from app.parsing.patches import Patch
from app.parsing.queries import Query
from backends.storage import Stored

Permissions = Mapping[str, frozenset[str]]
"""The grants on one object: permission -> principals."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a write. `data` and `permissions` are None if the client did not send them.

    In a PATCH `patch` takes their place. `id` is the value of `data.id` ("" if that is not a string), or in a POST
    without one the `generated` id. `permissions` holds the lists that are not null. `names_alias`: the id was an alias.
    """

    data: Data | None = None
    permissions: Permissions | None = None
    patch: Patch | None = None
    id: str | None = None
    generated: bool = False
    names_alias: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One request on a list or an object. Its errors are carried along and raised at their step (C-URL-28).

    `negotiation` is raised before the identity is looked at, `problems` after the permissions, `query.refusal` last.
    `credentials` are kept for authentication anew, where an earlier operation of the batch may make them valid or
    invalid. `nonce` goes into the token of the next page of a DELETE, which can be used once.
    `response_behaviour` is the value of the `Response-Behavior` header, `deleted_at` the timestamp in ms that the
    client wants for a tombstone. `strict` is set by `Prefer: handling=strict` (RFC 7240).
    `implied` are the routes of objects that must exist before the operation is performed (`app.aliases`). `implicit`
    marks the operation that creates such an object: it needs no permission, and nothing happens if the object exists.
    `alias_user` is the user id for which an alias in the request was resolved, None without an alias.

    Derived: `kind` of the list or object; `reads`, whether the operation changes nothing; `pages`, whether it reads a
    page of a list or deletes the matching objects; `target`, the URI of the one object that it names, else None.
    """

    method: str
    route: Route
    identity: Identity = ANONYMOUS
    conditions: Conditions = NONE
    query: Query | None = None
    body: Body = Body()
    negotiation: ApiError | None = None
    problems: tuple[Problem, ...] = ()
    response_behaviour: str = "full"
    deleted_at: int | None = None
    credentials: Credentials | None = None
    nonce: str | None = None
    strict: bool = False
    implied: tuple[Route, ...] = ()
    implicit: bool = False
    alias_user: str | None = None

    kind: Kind = field(init=False)
    reads: bool = field(init=False)
    pages: bool = field(init=False)
    target: str | None = field(init=False)

    def __post_init__(self) -> None:
        route, target = self.route, None
        if not route.on_list:
            target = route.uri
        elif self.method == "POST" and self.body.id is not None:
            target = f"{route.uri}/{self.body.id}"
        derive = partial(object.__setattr__, self)
        derive("kind", route.kind)
        derive("reads", self.method in ("GET", "HEAD"))
        derive("pages", route.on_list and self.method != "POST")
        derive("target", target)

    @property
    def has_lost_alias(self) -> bool:
        """Return whether an alias was resolved for another user than the one who sends the operation by now."""
        return self.alias_user is not None and self.alias_user != self.identity.user_id

    @property
    def writes_many(self) -> bool:
        """Return whether the operation deletes the matching objects of a list."""
        return self.route.on_list and self.method == "DELETE"


@dataclass(frozen=True, slots=True)
class View:
    """A member of a batch that is neither a list nor an object. *answer* runs the view in its place among the others.

    *reads* is whether its method is safe, so that it should change nothing.
    """

    answer: Callable[[], None]
    reads: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """One object after an operation, with all its permissions, and before it (None: it did not exist).

    `clock` is the timestamp of its list after the write: that of the object, unless the client chose an older one.
    """

    kind: Kind
    new: Stored
    old: Stored | None
    permissions: Permissions
    clock: int

    @property
    def action(self) -> str:
        """Return the action as events name it: create, update or delete."""
        if self.new.deleted:
            return "delete"
        return "create" if self.old is None else "update"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an operation: an object with its permissions, or the rows of a list, and its effects.

    `data` is the object's JSON text, None for a list; `rows` are such texts. `permissions` is None if the answer does
    not show any. `next` is the token of the next page, `total` the count that a HEAD asks for. `fresh` is true if the
    client has the current state already (304). `cache_expires` is the collection's attribute of that name in seconds.
    `read` are the objects that were read. `clock` is the timestamp of the list of an object that was read, known if a
    listener listens to reads. `explanation` describes how the rows were read.
    """

    status: int
    timestamp: int
    data: str | None = None
    rows: tuple[str, ...] = ()
    permissions: Permissions | None = None
    next: str | None = None
    total: int | None = None
    fresh: bool = False
    cache_expires: int | None = None
    explanation: Data | None = None
    effects: tuple[Effect, ...] = ()
    read: tuple[Stored, ...] = ()
    clock: int = 0


Answer = Outcome | ApiError
"""The answer of an operation: its outcome, or the error that it raised."""
