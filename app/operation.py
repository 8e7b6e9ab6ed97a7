"""What a client asks, parsed once, and what comes of it: the values that pass between HTTP and the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from app.errors import ApiError, Problem
from app.identity import ANONYMOUS, Identity
from app.kinds import Data, Kind, Route
from app.parsing.conditions import NONE, Conditions
from app.parsing.patches import Patch
from app.parsing.queries import Query
from backends.storage import Stored

Permissions = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a write. `data` and `permissions` are None where the client did not give them.

    `patch` takes their place in a PATCH. `id` is what `data.id` said ("" for what is no text), in a POST without one
    the `generated` one. `permissions` holds the lists that are not null.
    """

    data: Data | None = None
    permissions: Permissions | None = None
    patch: Patch | None = None
    id: str | None = None
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One request on a list or an object. What is wrong with it is carried along and told at its step (C-URL-28).

    `negotiation` is raised before the identity is looked at, `problems` after the permissions, `query.refusal` last.
    `credentials` are those behind an identity that was not recognised, in case an earlier operation makes them valid;
    `nonce` goes into the token of the next page of a DELETE, which can be used once.

    Derived: `kind` of the list or object; `reads`, whether the operation changes nothing; `pages`, whether it reads a
    page of a list or deletes what matches; `target`, the URI of the one object that it names, None where there is none.
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
    credentials: str | None = None
    nonce: str | None = None

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
    def writes_many(self) -> bool:
        """Say whether the operation deletes from a list what matches."""
        return self.route.on_list and self.method == "DELETE"


@dataclass(frozen=True, slots=True)
class View:
    """A member of a batch that is no list and no object. *answer* makes its answer, in its place among the others.

    *reads* says that its method promises to change nothing.
    """

    answer: Callable[[], None]
    reads: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """One object as it is after an operation, with all its permissions, and as it was before (None: not there).

    `clock` is the timestamp of its list after the write: that of the object, unless the client chose an older one.
    """

    kind: Kind
    new: Stored
    old: Stored | None
    permissions: Permissions
    clock: int

    @property
    def action(self) -> str:
        """Return what happened to the object, in the words of events."""
        if self.new.deleted:
            return "delete"
        return "create" if self.old is None else "update"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of an operation: an object with its permissions, or the rows of a list, and what it changes.

    `data` is the object's JSON text, None for a list; `rows` are such texts. `permissions` is None where the answer
    does not show any. `next` is the token of the next page, `total` the count that a HEAD asks for, `fresh` says that
    the client has it already (304). `cache_expires` is what the collection says of caching its records. `clock` is
    the timestamp of the list of an object that was read, known when somebody listens to reads.
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
    effects: tuple[Effect, ...] = ()
    read: tuple[Stored, ...] = ()
    clock: int = 0
