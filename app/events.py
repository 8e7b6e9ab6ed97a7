"""Events: notifications to listeners about the objects that a request changed or read (core contract, 11.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from app.decisions.showing import public_document
from app.kinds import Data, Kind, Kinds, Route
from app.operation import Effect, Operation, Outcome, Permissions
from backends import Json
from backends.storage import NO_VALUES, Executable, Row, Stored, Values, list_of

ACTIONS: Final = ("create", "read", "update", "delete")


@dataclass(frozen=True, slots=True)
class Request:
    """The attributes of a request that listeners written for Kinto read (P-EVT-10)."""

    prefixed_userid: str | None


@dataclass(slots=True)
class Event:
    """All objects of one list to which a request did one action. `operation` is the first that did (C-EVT-3).

    `impacted_objects` are mappings with `new` and, unless created, `old`; for the action `read` the objects themselves.
    """

    operation: Operation
    kind: Kind
    action: str
    timestamp: int
    impacted_objects: list[Data] = field(default_factory=list)

    @property
    def payload(self) -> dict[str, Json]:
        """Return timestamp, action, URI, user id, kind and ids of the first operation (C-EVT-2)."""
        return {
            "timestamp": self.timestamp,
            "action": self.action,
            "uri": self.operation.route.uri,
            "user_id": self.operation.identity.user_id,
            "resource_name": self.kind.name,
            **self.operation.route.matchdict(),
        }

    @property
    def request(self) -> Request:
        """Return the request of the first operation."""
        return Request(self.operation.identity.user_id)

    @property
    def read_objects(self) -> list[Data]:
        """Return the objects of an event with the action `read`."""
        return self.impacted_objects if self.action == "read" else []


class Impact(NamedTuple):
    """An object that a request changed, with its route: the operation that did it, and the effect."""

    operation: Operation
    effect: Effect
    route: Route


class Context(Protocol):
    """The ways in which a listener before the commit may change the transaction of the request.

    When everything is written, in rules and in functions given to `when_written`, objects can no longer be changed:
    `stamp`, `apply`, `append`, `revoke` and `when_written` raise RuntimeError there.
    """

    def stamp(self, list_uri: str) -> int | None:
        """Return the timestamp for one object that the listener writes to a list, unique in the list.

        Any list will do, also one that the request did not name; it is locked from here on. Returns None if the parent
        object of the list does not exist, or no longer exists at the end of the request: then nothing can be written.
        """

    def apply(self, effect: Effect) -> None:
        """Write one more object in the same transaction. `effect.clock` and its timestamp come from `stamp`.

        It replaces the object of its URI, if there is one, with all permissions: *effect* need not have `old`. Raises
        ValueError for a URI that no object of the kind can have, and for the deletion of an object that may contain
        others.
        """

    def read(self, uri: str) -> Stored | None:
        """Return an object as the request has changed it so far, None if there is none.

        Call `stamp` for its list before, so that no other request changes it. One that the request has not read costs
        one statement.
        """

    def permissions(self, uris: Iterable[str]) -> Mapping[str, Permissions]:
        """Return all permissions of objects as they are after the request.

        Objects that the request has changed are known. Those above them are if a listener has `ancestor_grants`; the
        others are read, by one statement for each bucket.
        """

    def holders(self, uris: Sequence[str], permissions: Sequence[str]) -> frozenset[str]:
        """Return the principals that have one of some permissions on one of some objects, as `permissions` has them."""

    def append(self, list_uri: str, object_id: str, attributes: Data, permissions: Permissions) -> None:
        """Write a new object to a derived list (`Kind.derived`) when the request is written; no event tells of it.

        It gets `id` and `last_modified`, in the order of the calls. Nothing else waits for the lock of the list before
        that. If the object that the list is in does not exist at the end of the request, nothing is written.
        """

    def when_written(self, action: Callable[[], None]) -> None:
        """Call *action* when the changes of the request are written, before the rules and the COMMIT."""

    def trim(self, list_uri: str, values: Mapping[str, Json], keep: int, threshold: int) -> int:
        """Delete the oldest objects of a derived list whose fields have these *values*, all but the newest *keep*.

        Only if more than *threshold* are older. They leave neither tombstones nor grants. Returns their number. Call
        this from `when_written`, for lists to which the request has appended.
        """

    def revoke(self, principal: str) -> None:
        """End all grants to a principal and its memberships."""

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement of SQLAlchemy on the tables of a plugin, in the same transaction; return its rows.

        See `backends.storage.Transaction.execute`.
        """


class ReadContext:
    """The context of a request that only reads: nothing can be written in it."""

    def stamp(self, list_uri: str) -> int | None:
        """Raise TypeError."""
        raise TypeError(f"A request that only reads cannot write to {list_uri}")

    def apply(self, effect: Effect) -> None:
        """Raise TypeError."""
        raise TypeError(f"A request that only reads cannot write {effect.new.uri}")

    def read(self, uri: str) -> Stored | None:
        """Raise TypeError."""
        raise TypeError(f"A request that only reads has no transaction: read {uri} by service.storage.read")

    def permissions(self, uris: Iterable[str]) -> Mapping[str, Permissions]:
        """Raise TypeError."""
        raise TypeError(f"A request that only reads does not know the permissions of {list(uris)}")

    def holders(self, uris: Sequence[str], permissions: Sequence[str]) -> frozenset[str]:  # noqa: ARG002
        """Raise TypeError."""
        raise TypeError(f"A request that only reads does not know the permissions of {uris}")

    def append(self, list_uri: str, object_id: str, attributes: Data, permissions: Permissions) -> None:  # noqa: ARG002
        """Raise TypeError."""
        raise TypeError(f"A request that only reads cannot write to {list_uri}")

    def revoke(self, principal: str) -> None:
        """Raise TypeError."""
        raise TypeError(f"A request that only reads cannot end the grants to {principal}")

    def when_written(self, action: Callable[[], None]) -> None:  # noqa: ARG002  # the Context
        """Raise TypeError."""
        raise TypeError("A request that only reads writes nothing")

    def trim(self, list_uri: str, values: Mapping[str, Json], keep: int, threshold: int) -> int:  # noqa: ARG002
        """Raise TypeError."""
        raise TypeError(f"A request that only reads cannot delete from {list_uri}")

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:  # noqa: ARG002  # the Context
        """Raise TypeError."""
        raise TypeError("A request that only reads has no transaction: read by service.storage.execute")


BeforeCommit = Callable[[Event, Context], None]
AtCommit = Callable[[Event], None]
Together = Callable[[Sequence[Impact], Context], None]
AfterCommit = Callable[[Event], None]

Rule = Callable[[Sequence[Effect], Context], None]
"""A rule of a plugin: called once with all effects of a request, when everything is written and before the COMMIT.

The effects are in the order in which they were applied, those of listeners included; an object below one that is
deleted, also later in the request, has none. The rule may execute statements on tables of its own; an ApiError that it
raises is the answer, and rolls everything back.
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """A receiver of events of some kinds (without *kinds*: of all) and actions.

    *before* runs inside the transaction, in each try: an ApiError that it raises is the answer and rolls everything
    back. *at_commit* runs once, with the events of other listeners too, when everything is written and nothing is left
    but the COMMIT; an error that it raises rolls everything back too. *after* runs after the commit; errors that it
    raises are logged. *name* is its name in metrics; without one it is not timed.

    *together* runs inside the transaction, after *before* of all listeners, once with all objects that a request
    changed, in the order of its operations; once more with those that listeners changed. With *ancestor_grants* every
    write reads all grants on the objects above, in the same statement, for `Context.permissions`.

    Without *old_documents* it ignores the documents that deleted objects had. If nothing else needs them, the deletion
    of a list does not read them, and `effect.old` has the text `{}`.
    """

    before: BeforeCommit | None = None
    after: AfterCommit | None = None
    kinds: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset(("create", "update", "delete"))
    name: str = ""
    at_commit: AtCommit | None = None
    together: Together | None = None
    ancestor_grants: bool = False
    old_documents: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a listener that is never called, TypeError for a text in place of names."""
        if isinstance(self.kinds, str) or isinstance(self.actions, str):
            raise TypeError("The kinds and actions of a listener are frozensets of names.")
        if not any((self.before, self.at_commit, self.together, self.after)):
            raise ValueError("The listener has no function.")
        unknown = sorted({*self.actions}.difference(ACTIONS))
        if unknown or not self.actions:
            raise ValueError(f"The actions of a listener are of {', '.join(ACTIONS)}, not {', '.join(unknown)}.")

    def matches(self, event: Event) -> bool:
        """Return whether the listener receives an event."""
        return self.accepts(event.action, event.kind)

    def select(self, impacts: Iterable[Impact]) -> list[Impact]:
        """Return the impacts that the listener receives."""
        return [impact for impact in impacts if self.accepts(impact.effect.action, impact.effect.kind)]

    def accepts(self, action: str, kind: Kind) -> bool:
        """Return whether the listener receives the events of an action on objects of a kind."""
        return action in self.actions and (not self.kinds or kind.name in self.kinds)


def list_impacts(outcomes: Iterable[tuple[Operation, Outcome]], kinds: Kinds) -> list[Impact]:
    """Return the impacts of the outcomes of operations, in their order."""
    impacts = []
    for operation, outcome in outcomes:
        for effect in outcome.effects:
            uri = effect.new.uri
            route = operation.route if uri == operation.route.uri else kinds.match(uri)
            assert route is not None, "an object has a route"
            impacts.append(Impact(operation, effect, route))
    return impacts


def collect_events(outcomes: Iterable[tuple[Operation, Outcome]], *, reads: bool) -> Sequence[Event]:
    """Group the outcomes of operations by kind, list and action, in order of first occurrence (C-EVT-3, C-EVT-4).

    *reads* is whether objects that were only read make events.
    """
    events: dict[tuple[str, str, str], Event] = {}

    def event_of(operation: Operation, kind: Kind, list_uri: str, action: str, timestamp: int) -> Event:
        return events.setdefault((kind.name, list_uri, action), Event(operation, kind, action, timestamp))

    for operation, outcome in outcomes:
        for effect in outcome.effects:
            list_uri = list_of(effect.new.uri)
            event = event_of(operation, effect.kind, list_uri, effect.action, outcome.effects[-1].clock)
            event.impacted_objects.append(_impact(effect))
        if reads and not outcome.effects and not outcome.fresh:
            timestamp = outcome.clock or outcome.timestamp
            event = event_of(operation, operation.kind, operation.route.list, "read", timestamp)
            event.impacted_objects.extend(public_document(operation.kind, stored) for stored in outcome.read)
    return list(events.values())


def _impact(effect: Effect) -> Data:
    impact: Data = {"new": public_document(effect.kind, effect.new)}
    return impact if effect.old is None else {**impact, "old": public_document(effect.kind, effect.old)}
