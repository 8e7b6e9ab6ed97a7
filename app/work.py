"""The working snapshot: what a request read, as the operations before have changed it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from app.kinds import Data
from app.lengthy import Lengthy
from app.operation import Effect, Permissions
from backends.storage import Change, Clock, Move, Snapshot, Stored, list_of

_NOBODY: Permissions = {}


def now_ms() -> int:
    """Return the clock of this process."""
    return time.time_ns() // 1_000_000


class Work:
    """Facts for decisions, and the changes that they made and nobody wrote yet.

    `now` is the clock of this process in ms, the same for all operations of a request. `lengthy` has the results of
    computations that no lock is held for.
    """

    def __init__(self, seen: Snapshot, now: int) -> None:
        self.seen = seen
        self.now = now
        self.lengthy = Lengthy()
        self._before: dict[str, Permissions] = {}
        self._effects: dict[str, Effect] = {}
        self._members: dict[str, frozenset[str]] = {}
        self._moves: dict[str, Move] = {}

    def living(self, uri: str) -> Stored | None:
        """Return the object, None when there is none or only a tombstone."""
        stored = self.seen.objects.get(uri)
        return None if stored is None or stored.deleted else stored

    def permissions(self, uri: str) -> Permissions:
        """Return all grants on an object: permission to principals."""
        held = self.seen.grants.get(uri)
        return {name: frozenset(principals) for name, principals in held.items()} if held else _NOBODY

    def clock(self, list: str) -> int:
        """Return the timestamp of a list; 0 for one that nobody ever wrote to."""
        clock = self.seen.clocks.get(list)
        return clock.last_modified if clock else 0

    def apply(self, effect: Effect, children: Iterable[str]) -> None:
        """Take over what an operation changed. *children* are the lists that start with the object when it is new."""
        uri, list = effect.new.uri, list_of(effect.new.uri)
        self._before.setdefault(uri, self.permissions(uri))
        if effect.kind.membership and uri not in self._members:
            self._members[uri] = members(effect.old)
        self._effects[uri] = effect
        self.seen.objects[uri] = effect.new
        self.seen.grants[uri] = {name: set(principals) for name, principals in effect.permissions.items()}
        self._move(list, effect.clock, (not effect.new.deleted) - (effect.old is not None))
        if effect.action == "create":
            for child in children:
                self._start(child, effect.clock)

    def _move(self, list: str, timestamp: int, count: int) -> None:
        moved = self._moves.get(list, Move(list, 0))
        self._moves[list] = Move(list, timestamp, moved.count + count, moved.starts)
        known = self.seen.clocks.get(list)
        self.seen.clocks[list] = Clock(timestamp, (known.count if known else 0) + count)

    def _start(self, list: str, timestamp: int) -> None:
        """Start a list with its parent: above what it was in a former life (the clock outlives it)."""
        known = self.seen.clocks.get(list)
        value = max(timestamp, known.last_modified + 1) if known else timestamp
        self._moves[list] = Move(list, value, 0, starts=True)
        if known:
            self.seen.clocks[list] = Clock(value, 0)

    def pending(self) -> tuple[list[Change], list[Move]]:
        """Return what is to be written, and forget it."""
        changes = [self._change(uri, effect) for uri, effect in self._effects.items()]
        moves = list(self._moves.values())
        self._before, self._effects, self._members, self._moves = {}, {}, {}, {}
        return changes, moves

    def _change(self, uri: str, effect: Effect) -> Change:
        before, after = _pairs(self._before[uri]), _pairs(effect.permissions)
        were = self._members.get(uri, frozenset())
        are = members(effect.new) if effect.kind.membership else frozenset()
        return Change(effect.new, effect.clock, before - after, after - before, are - were, were - are)

    def forget_below(self, uri: str) -> None:
        """Forget what lies below a deleted object."""
        below = f"{uri}/"
        for facts in (self.seen.objects, self.seen.grants):
            for gone in [known for known in facts if known.startswith(below)]:
                del facts[gone]


def _pairs(permissions: Permissions) -> frozenset[tuple[str, str]]:
    return frozenset((name, principal) for name, principals in permissions.items() for principal in principals)


def members(stored: Stored | None) -> frozenset[str]:
    """Return who is a member of a group by its document."""
    if stored is None or stored.deleted:
        return frozenset()
    data: Data = stored.data()
    named = data.get("members")
    return frozenset(named) if isinstance(named, list) else frozenset()
