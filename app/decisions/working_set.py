"""The working snapshot: what a request read, as the operations before have changed it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from app.kinds import Data
from app.operation import Effect, Permissions
from app.slow_results import SlowResults
from backends.storage import LIVING, Change, Clock, Holdings, Move, Principals, Snapshot, Stored, is_inside, list_of

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
class TransactionState:
    """What lasts through a request: changes of memberships, which are written last, and the lists that have moved.

    `members` has the users who were in the changed groups, `groups` what became of those groups, `dissolved` the
    memberships that end with their groups. `moved` are lists whose clocks this transaction has moved.
    """

    former_members: dict[str, frozenset[str]] = field(default_factory=dict)
    changed_groups: dict[str, Effect] = field(default_factory=dict)
    ended_memberships: Holdings = field(default_factory=Holdings)
    moved_lists: set[str] = field(default_factory=set)


class WorkingSet:
    """Facts for decisions, and the changes that they made and nobody wrote yet.

    `now` is the clock of this process in ms, the same for all operations of a request. `lengthy` has the results of
    computations that no lock is held for.
    """

    def __init__(self, seen: Snapshot, now: int, deferred: TransactionState | None = None) -> None:
        self.snapshot = seen
        self.now = now
        self.slow_results = SlowResults()
        self._before: dict[str, Permissions] = {}
        self._effects: dict[str, Effect] = {}
        self._moves: dict[str, Move] = {}
        self._stamps: dict[str, int] = {}
        self._revoked = Principals()
        self.transaction_state = deferred or TransactionState()

    def living(self, uri: str) -> Stored | None:
        """Return the object, None when there is none or only a tombstone."""
        stored = self.snapshot.objects.get(uri)
        return None if stored is None or stored.deleted else stored

    def permissions(self, uri: str) -> Permissions:
        """Return all grants on an object: permission to principals."""
        held = self.snapshot.grants.get(uri)
        return {name: frozenset(principals) for name, principals in held.items()} if held else _NOBODY

    def clock(self, list: str) -> int:
        """Return the timestamp of a list; 0 for one that nobody ever wrote to."""
        clock = self.snapshot.clocks.get(list)
        return clock.last_modified if clock else 0

    def latest(self, list: str) -> int:
        """Return the highest timestamp that a list ever gave out (C-LIST-28)."""
        clock = self.snapshot.clocks.get(list)
        return max(clock.last_modified, clock.former) if clock else 0

    def apply(self, effect: Effect, children: Iterable[str]) -> None:
        """Take over what an operation changed. *children* are the lists that start with the object when it is new."""
        uri, list = effect.new.uri, list_of(effect.new.uri)
        former, before = self.snapshot.objects.get(uri), self.clock(list)
        self._before.setdefault(uri, self.permissions(uri))
        if effect.kind.membership:
            known = self.snapshot.members.get(uri, members_of(effect.old))
            self.transaction_state.former_members.setdefault(uri, frozenset(known))
            self.transaction_state.changed_groups[uri] = effect
        self.snapshot.grants[uri] = {name: set(principals) for name, principals in effect.permissions.items()}
        self._move(list, effect.clock, (not effect.new.deleted) - (effect.old is not None))
        self._stamps[uri] = self.interval_timestamp(list)
        # The next timestamp of the list, whatever the client chose; it outlives the tombstone.
        born = former.born if former else min(self._stamps[uri], next_timestamp(before, self.now))
        self._effects[uri] = replace(effect, new=replace(effect.new, born=born))
        self.snapshot.objects[uri] = self._effects[uri].new
        if effect.action == "create":
            for child in children:
                self.start_list(child)

    def _move(self, list: str, timestamp: int, count: int) -> None:
        moved = self._moves.get(list, Move(list, 0))
        self._moves[list] = Move(list, timestamp, moved.count + count, moved.starts)
        known = self.snapshot.clocks.get(list, Clock(0, 0))
        if timestamp > known.last_modified:
            self.transaction_state.moved_lists.add(list)
        self.snapshot.clocks[list] = replace(known, last_modified=timestamp, count=known.count + count)

    def interval_timestamp(self, list: str) -> int:
        """Return a timestamp of a list that no poller has passed, for what begins or ends in it.

        It is the list's clock where this transaction moves it. Otherwise, as for a timestamp of the past that a client
        chose, it is one more, and the clock stays: no later write gets an earlier one.
        """
        clock = self.clock(list)
        return clock if list in self.transaction_state.moved_lists else min(clock + 1, _NO_NEXT)

    def is_moving(self, list: str) -> bool:
        """Say whether a change of the list's clock is pending."""
        return list in self._moves

    def allocate_timestamp(self, list: str) -> int:
        """Give out the next timestamp of a list. The clock takes it, so that nobody else gets it."""
        timestamp = next_timestamp(self.clock(list), self.now)
        self._move(list, timestamp, 0)
        return timestamp

    def start_list(self, list: str) -> None:
        """Start a list with its parent: now, or above its former clock, which outlives it.

        The clock of the parent's list has no part in it: it may be far ahead.
        """
        known = self.snapshot.clocks.get(list)
        value = next_timestamp(known.last_modified, self.now) if known else self.now
        self._moves[list] = Move(list, value, 0, starts=True)
        self.transaction_state.moved_lists.add(list)
        self.snapshot.clocks[list] = Clock(value, 0)

    def revoke(self, principals: Principals) -> None:
        """End all that some principals hold, for the operations that follow too, and all memberships in them.

        The end of grants is written before the pending changes, of which the grants made since then live.
        """
        self._revoked |= principals
        for held in self.snapshot.grants.values():
            for name, granted in held.items():
                held[name] = {each for each in granted if not principals.names(each)}
        for uri, permissions in self._before.items():
            self._before[uri] = _without(permissions, principals)
        for uri, effect in self._effects.items():
            self._effects[uri] = replace(effect, permissions=_without(effect.permissions, principals))
        for user in principals.users:
            self.snapshot.groups.pop(user, None)
        for group, joined in self.snapshot.members.items():
            joined -= joined if principals.names(group) else principals.users
        deferred = self.transaction_state
        for group, joined_before in deferred.former_members.items():
            ended = principals.names(group)
            deferred.former_members[group] = frozenset() if ended else joined_before - principals.users
            if ended:
                deferred.changed_groups.pop(group, None)

    def take_pending(self) -> tuple[list[Change], list[Move], Principals]:
        """Return what is to be written, and forget it."""
        changes = [self._change(uri, effect) for uri, effect in self._effects.items()]
        moves, withdrawn = list(self._moves.values()), self._revoked
        self._before, self._effects, self._moves, self._revoked = {}, {}, {}, Principals()
        self._stamps = {}
        return changes, moves, withdrawn

    def membership_changes(self) -> tuple[set[tuple[str, str]], Holdings]:
        """Return who joins groups, and the memberships that end.

        This is written last: within a request everybody is in the groups of its start (core contract, 7.7).
        """
        joined: set[tuple[str, str]] = set()
        left: set[tuple[str, str]] = set()
        for group, effect in self.transaction_state.changed_groups.items():
            were, are = self.transaction_state.former_members[group], members_of(effect.new)
            joined |= {(user, group) for user in are - were}
            left |= {(user, group) for user in were - are}
        return joined, self.transaction_state.ended_memberships | Holdings(members=frozenset(left))

    def _change(self, uri: str, effect: Effect) -> Change:
        before, after = _pairs(self._before[uri]), _pairs(effect.permissions)
        return Change(effect.new, self._stamps[uri], before - after, after - before)

    def discard_below(self, uris: Collection[str]) -> None:
        """Forget what lies below deleted objects."""
        for facts in (self.snapshot.objects, self.snapshot.grants):
            for gone in [known for known in facts if is_inside(known, uris)]:
                del facts[gone]

    def discard(self, uris: Iterable[str]) -> None:
        """Forget objects that are written and that nothing asks for again."""
        for uri in uris:
            self.snapshot.objects.pop(uri, None)
            self.snapshot.grants.pop(uri, None)


def _pairs(permissions: Permissions) -> frozenset[tuple[str, str]]:
    return frozenset((name, principal) for name, principals in permissions.items() for principal in principals)


def _without(permissions: Permissions, principals: Principals) -> Permissions:
    return {
        name: frozenset(each for each in granted if not principals.names(each)) for name, granted in permissions.items()
    }


def members_of(stored: Stored | None) -> frozenset[str]:
    """Return who is a member of a group by its document."""
    if stored is None or stored.deleted:
        return frozenset()
    data: Data = stored.data()
    named = data.get("members")
    return frozenset(named) if isinstance(named, list) else frozenset()
