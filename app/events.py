"""Events: what listeners are told of the objects that a request changed or read (core contract, 11.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.decisions.showing import public_document
from app.kinds import Data, Kind
from app.operation import Effect, Operation, Outcome
from backends import Json
from backends.storage import list_of


@dataclass(frozen=True, slots=True)
class Request:
    """What listeners written for Kinto look at of the request (P-EVT-10)."""

    prefixed_userid: str | None


@dataclass(slots=True)
class Event:
    """All that one request did in one way to the objects of one list; `payload` is that of the first (C-EVT-3).

    `impacted_objects` are mappings with `new` and, unless created, `old`; of a read they are the objects themselves.
    """

    operation: Operation
    kind: Kind
    action: str
    timestamp: int
    impacted_objects: list[Data] = field(default_factory=list)

    @property
    def payload(self) -> dict[str, Json]:
        """Return who did what to what (C-EVT-2)."""
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
        """Return the first request that did it."""
        return Request(self.operation.identity.user_id)

    @property
    def read_objects(self) -> list[Data]:
        """Return the objects of an event `read`."""
        return self.impacted_objects if self.action == "read" else []


class Context(Protocol):
    """What a listener before the commit may do in the transaction of the request."""

    def stamp(self, list: str) -> int | None:
        """Return the timestamp for one object that the listener writes to a list, unique in it.

        The list may be any, also one that the request did not name; it is locked from here on. None where the object
        that the list is in does not exist, or no longer at the end of the request: then nothing can be written to it.
        """

    def apply(self, effect: Effect) -> None:
        """Write one more object in the same transaction. `effect.clock` and its timestamp are those of `stamp`."""

    def revoke(self, principal: str) -> None:
        """End all that was granted to a principal, and its memberships."""


class ReadContext:
    """The context of a request that only reads: nothing can be written in it."""

    def stamp(self, list: str) -> int | None:
        """Refuse a timestamp."""
        raise TypeError(f"A request that only reads cannot write to {list}")

    def apply(self, effect: Effect) -> None:
        """Refuse to write an object."""
        raise TypeError(f"A request that only reads cannot write {effect.new.uri}")

    def revoke(self, principal: str) -> None:
        """Refuse to end what was granted."""
        raise TypeError(f"A request that only reads cannot withdraw what {principal} holds")


BeforeCommit = Callable[[Event, Context], None]
AfterCommit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody who wants to be told: of which kinds (none named: of all) and which actions.

    *before* runs inside the transaction: an ApiError that it raises is the answer and undoes everything. *after* runs
    when all is committed; what it raises is logged. *name* is what metrics call it; without one it is not timed.
    """

    before: BeforeCommit | None = None
    after: AfterCommit | None = None
    kinds: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset(("create", "update", "delete"))
    name: str = ""

    def matches(self, event: Event) -> bool:
        """Say whether the listener wants to be told of an event."""
        return event.action in self.actions and (not self.kinds or event.kind.name in self.kinds)


def collect_events(done: Iterable[tuple[Operation, Outcome]], reads: bool) -> Sequence[Event]:
    """Group what operations did by kind, list and action, in the order of first occurrence (C-EVT-3, C-EVT-4).

    *reads* says whether anybody wants to know what was only read.
    """
    events: dict[tuple[str, str, str], Event] = {}

    def event(operation: Operation, kind: Kind, list: str, action: str, timestamp: int) -> Event:
        return events.setdefault((kind.name, list, action), Event(operation, kind, action, timestamp))

    for operation, outcome in done:
        for effect in outcome.effects:
            where = list_of(effect.new.uri)
            told = event(operation, effect.kind, where, effect.action, outcome.effects[-1].clock)
            told.impacted_objects.append(_impact(effect))
        if reads and not outcome.effects and not outcome.fresh:
            timestamp = outcome.clock or outcome.timestamp
            told = event(operation, operation.kind, operation.route.list, "read", timestamp)
            told.impacted_objects.extend(public_document(operation.kind, stored) for stored in outcome.read)
    return list(events.values())


def _impact(effect: Effect) -> Data:
    impact: Data = {"new": public_document(effect.kind, effect.new)}
    return impact if effect.old is None else {**impact, "old": public_document(effect.kind, effect.old)}
