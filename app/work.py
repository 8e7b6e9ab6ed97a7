"""The working snapshot: what a request read, as the operations before have changed it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from app.kinds import Data
from app.lengthy import Lengthy
from app.operation import Effect, Permissions
from backends.storage import LIVING, Change, Clock, Membership, Move, Snapshot, Stored, Withdrawal, list_of

_NOBODY: Permissions = {}
_NO_NEXT: Final = LIVING - 1
"""From here on a clock has no next timestamp that a database can hold: `LIVING` itself has a meaning."""


def now_ms() -> int:
    """Return the clock of this process."""
    return time.time_ns() // 1_000_000


def next_timestamp(clock: int, now: int) -> int:
    """Return the timestamp that follows *clock*: the present, or one more where the clock is ahead (C-PRE-2).

    A clock at the end of the range, which earlier versions let clients set, starts again at the present.
    """
    return max(now, clock + 1) if clock < _NO_NEXT else now


@dataclass(slots=True)
class Deferred:
    """The changes of memberships, written when all operations of a request are done.

    `members` has the members that changed groups had before, `groups` what became of those groups, `dissolved` the
    groups of which all former memberships end.
    """

    members: dict[str, frozenset[str]] = field(default_factory=dict)
    groups: dict[str, Effect] = field(default_factory=dict)
    dissolved: Withdrawal = field(default_factory=Withdrawal)


class Work:
    """Facts for decisions, and the changes that they made and nobody wrote yet.

    `now` is the clock of this process in ms, the same for all operations of a request. `lengthy` has the results of
    computations that no lock is held for.
    """

    def __init__(self, seen: Snapshot, now: int, deferred: Deferred | None = None) -> None:
        self.seen = seen
        self.now = now
        self.lengthy = Lengthy()
        self._before: dict[str, Permissions] = {}
        self._effects: dict[str, Effect] = {}
        self._moves: dict[str, Move] = {}
        self._withdrawal = Withdrawal()
        self.deferred = deferred or Deferred()

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
        if effect.kind.membership:
            self.deferred.members.setdefault(uri, members(effect.old))
            self.deferred.groups[uri] = effect
        self._effects[uri] = effect
        self.seen.objects[uri] = effect.new
        self.seen.grants[uri] = {name: set(principals) for name, principals in effect.permissions.items()}
        self._move(list, effect.clock, (not effect.new.deleted) - (effect.old is not None))
        if effect.action == "create":
            for child in children:
                self._start(child)

    def _move(self, list: str, timestamp: int, count: int) -> None:
        moved = self._moves.get(list, Move(list, 0))
        self._moves[list] = Move(list, timestamp, moved.count + count, moved.starts)
        known = self.seen.clocks.get(list)
        self.seen.clocks[list] = Clock(timestamp, (known.count if known else 0) + count)

    def _start(self, list: str) -> None:
        """Start a list with its parent: now, or above its former clock, which outlives it.

        The clock of the parent's list has no part in it: it may be far ahead.
        """
        known = self.seen.clocks.get(list)
        value = next_timestamp(known.last_modified, self.now) if known else self.now
        self._moves[list] = Move(list, value, 0, starts=True)
        if known:
            self.seen.clocks[list] = Clock(value, 0)

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """End all that some principals hold, for the operations that follow too, and all memberships in them.

        The end of grants is written before the pending changes, of which the grants made since then live.
        """
        self._withdrawal |= withdrawal
        self.deferred.dissolved |= replace(withdrawal, users=frozenset())
        for held in self.seen.grants.values():
            for name, principals in held.items():
                held[name] = {each for each in principals if not withdrawal.names(each)}
        for uri, permissions in self._before.items():
            self._before[uri] = _without(permissions, withdrawal)
        for uri, effect in self._effects.items():
            self._effects[uri] = replace(effect, permissions=_without(effect.permissions, withdrawal))
        for user in withdrawal.users:
            self.seen.groups.pop(user, None)
        for group in filter(withdrawal.names, self.deferred.members):
            self.deferred.members[group] = frozenset()
            self.deferred.groups.pop(group, None)

    def pending(self) -> tuple[list[Change], list[Move], Withdrawal]:
        """Return what is to be written, and forget it."""
        changes = [self._change(uri, effect) for uri, effect in self._effects.items()]
        moves, withdrawal = list(self._moves.values()), self._withdrawal
        self._before, self._effects, self._moves, self._withdrawal = {}, {}, {}, Withdrawal()
        return changes, moves, withdrawal

    def memberships(self) -> tuple[list[Membership], Withdrawal]:
        """Return who joins and leaves groups, and of which groups all memberships end.

        This is written last: within a request everybody is in the groups of its start (core contract, 7.7).
        """
        changed = []
        for uri, effect in self.deferred.groups.items():
            were, are = self.deferred.members[uri], members(effect.new)
            changed.append(Membership(uri, effect.clock, are - were, were - are))
        return changed, self.deferred.dissolved

    def _change(self, uri: str, effect: Effect) -> Change:
        before, after = _pairs(self._before[uri]), _pairs(effect.permissions)
        return Change(effect.new, effect.clock, before - after, after - before)

    def forget_below(self, uri: str) -> None:
        """Forget what lies below a deleted object."""
        below = f"{uri}/"
        for facts in (self.seen.objects, self.seen.grants):
            for gone in [known for known in facts if known.startswith(below)]:
                del facts[gone]


def _pairs(permissions: Permissions) -> frozenset[tuple[str, str]]:
    return frozenset((name, principal) for name, principals in permissions.items() for principal in principals)


def _without(permissions: Permissions, withdrawal: Withdrawal) -> Permissions:
    return {
        name: frozenset(each for each in principals if not withdrawal.names(each))
        for name, principals in permissions.items()
    }


def members(stored: Stored | None) -> frozenset[str]:
    """Return who is a member of a group by its document."""
    if stored is None or stored.deleted:
        return frozenset()
    data: Data = stored.data()
    named = data.get("members")
    return frozenset(named) if isinstance(named, list) else frozenset()
