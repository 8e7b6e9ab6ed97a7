"""The working set: the snapshot of a request as its operations have changed it, and the changes not yet written.

Theory of operation. A transaction reads once and writes once, but a batch decides many operations in between, and each
of them must see the effects of those before it. The working set makes that possible in memory. It has three parts:

- `snapshot`: objects, grants, groups, clocks and members as read from the storage, then changed in place by every
  method below. Decisions read facts from here alone, so they cannot tell a written change from a pending one.
- The pending changes: for each object its latest effect, its grants as they are stored, and its stamp; the moves of the
  clocks; the principals to revoke. `take_pending` returns them to the caller, which writes them, and forgets them. The
  snapshot keeps the result, so a flush in the middle of a batch changes nothing that a decision sees.
- `transaction_state`: facts that outlive a snapshot. If a view wrote in the transaction, the snapshot is read again
  and a new working set starts from it with the same state; a batch inside a view shares it too.

Rules, and what would break without them:

1. One object is one change and one list is one move, however many operations touch them: the grants after the last
   effect are compared with the grants at the last flush (`_stored_permissions`), the counts of moves are added up. Each
   becomes one row of a multi-row upsert, and PostgreSQL rejects an upsert that has the same key twice.
2. `apply` moves the clock first and takes the stamp after it. A grant must begin at a timestamp that no client has
   polled yet: the new clock. If the client chose a timestamp of the past, the clock stays and the stamp is one more
   (`interval_timestamp`). Taken before the move, the stamp would be the old clock, and pollers would miss the grant.
3. `apply` takes `born` from the former object or tombstone, else from the clock of the list, never from the timestamp
   that a client chose: `born` is one half of the proof of a remembered login (`app.identity.Proof`).
4. `revoke` changes pending effects and stored grants alike, and is written before the pending changes. So a grant to a
   deleted principal ends, and one made later in the batch, to a new principal of that name, begins. Written after the
   changes, the revocation would end that one too.
5. Changes of memberships wait in `transaction_state` until all operations are done (`membership_changes`): within a
   request every user has the groups of its start (core contract, 7.7). Written with the group, they would change the
   permissions of operations that are read later, such as lists.

Example: the working set of a batch that has PUT a new record `r`, readable by everyone, then PUT it again, before
anything is written. The list's clock was 1700000000000, the process's clock is 1700000000005 ms:

    working_set.clock("/buckets/b/collections/c/records")    # 1700000000006
    changes, moves, revoked = working_set.take_pending()
    changes == [Change(Stored(".../records/r", 1700000000006, False, 1700000000005, '{"id":"r",...}'), 1700000000006,
                       revoked=frozenset(), granted=frozenset({("read", "system.Everyone"), ("write", "account:bob")}))]
    moves == [Move("/buckets/b/collections/c/records", 1700000000006, count=1, starts=False)]
    revoked == Principals()
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from app.kinds import Data
from app.operation import Effect, Permissions
from app.slow_results import SlowResults
from backends.storage import LIVING, Change, Clock, Holdings, Move, Principals, Snapshot, Stored, is_inside, list_of

_NO_PERMISSIONS: Permissions = {}
_LAST_CLOCK: Final = LIVING - 1
"""The last value of a clock: it has no next timestamp that a database can hold, since `LIVING` has a meaning."""


def now_ms() -> int:
    """Return the clock of this process in ms."""
    return time.time_ns() // 1_000_000


def next_timestamp(clock: int, now: int) -> int:
    """Return the timestamp that follows *clock*: the present, or one more if the clock is ahead of it (C-PRE-2).

    A clock at the end of the range, which earlier versions let clients set, starts again at the present.
    """
    return max(now, clock + 1) if clock < _LAST_CLOCK else now


@dataclass(slots=True)
class TransactionState:
    """The facts that last through a transaction: changes of memberships, which are written last, and moved lists.

    `former_members` has the users of each changed group at the start, `new_members` those that its latest effect names,
    without users who were revoked after it, `ended_memberships` the memberships that end with their groups.
    `moved_lists` are lists whose clocks this transaction has moved forward.
    """

    former_members: dict[str, frozenset[str]] = field(default_factory=dict)
    new_members: dict[str, frozenset[str]] = field(default_factory=dict)
    ended_memberships: Holdings = field(default_factory=Holdings)
    moved_lists: set[str] = field(default_factory=set)


class WorkingSet:
    """Facts for decisions, and the changes that these made and that are not written yet.

    `now` is the clock of this process in ms, the same for all operations of a request. `slow_results` has the results
    of computations that are done while no lock is held.
    """

    def __init__(self, snapshot: Snapshot, now: int, transaction_state: TransactionState | None = None) -> None:
        self.snapshot = snapshot
        self.now = now
        self.slow_results = SlowResults()
        self.transaction_state = transaction_state or TransactionState()
        self._stored_permissions: dict[str, Permissions] = {}
        self._effects: dict[str, Effect] = {}
        self._moves: dict[str, Move] = {}
        self._stamps: dict[str, int] = {}
        self._revoked_principals = Principals()

    def living(self, uri: str) -> Stored | None:
        """Return the object, None when there is none or only a tombstone."""
        stored = self.snapshot.objects.get(uri)
        return None if stored is None or stored.deleted else stored

    def permissions(self, uri: str) -> Permissions:
        """Return all grants on an object, as a mapping of permissions to principals."""
        grants = self.snapshot.grants.get(uri)
        return {name: frozenset(principals) for name, principals in grants.items()} if grants else _NO_PERMISSIONS

    def holders(self, uris: Iterable[str], permissions: Collection[str]) -> frozenset[str]:
        """Return the principals that have one of some permissions on one of some objects."""
        holders: set[str] = set()
        for uri in uris:
            for name, principals in self.snapshot.grants.get(uri, _NO_PERMISSIONS).items():
                if name in permissions:
                    holders |= principals
        return frozenset(holders)

    def clock(self, list_uri: str) -> int:
        """Return the timestamp of a list, 0 for one that was never written to."""
        clock = self.snapshot.clocks.get(list_uri)
        return clock.last_modified if clock else 0

    def latest(self, list_uri: str) -> int:
        """Return the highest timestamp that a list ever had (C-LIST-28)."""
        clock = self.snapshot.clocks.get(list_uri)
        return max(clock.last_modified, clock.former) if clock else 0

    def apply(self, effect: Effect, child_lists: Iterable[str]) -> None:
        """Apply the effect of an operation. *child_lists* start with the object if the effect creates it."""
        uri, list_uri = effect.new.uri, list_of(effect.new.uri)
        former, clock_before = self.snapshot.objects.get(uri), self.clock(list_uri)
        self._stored_permissions.setdefault(uri, self.permissions(uri))
        if effect.kind.membership:
            members = self.snapshot.members.get(uri, members_of(effect.old))
            self.transaction_state.former_members.setdefault(uri, frozenset(members))
            self.transaction_state.new_members[uri] = members_of(effect.new)
        self.snapshot.fully_granted.add(uri)
        self.snapshot.grants[uri] = {name: set(principals) for name, principals in effect.permissions.items()}
        self._move(list_uri, effect.clock, (not effect.new.deleted) - (effect.old is not None))
        self._stamps[uri] = self.interval_timestamp(list_uri)
        # The next timestamp of the list, whatever the client chose; it outlives the tombstone.
        born = former.born if former else min(self._stamps[uri], next_timestamp(clock_before, self.now))
        self._effects[uri] = replace(effect, new=effect.new._replace(born=born))
        self.snapshot.objects[uri] = self._effects[uri].new
        if effect.action == "create":
            for child_list in child_lists:
                self.start_list(child_list)

    def _move(self, list_uri: str, timestamp: int, count: int) -> None:
        move = self._moves.get(list_uri, Move(list_uri, 0))
        self._moves[list_uri] = Move(list_uri, timestamp, move.count + count, move.starts)
        clock = self.snapshot.clocks.get(list_uri, Clock(0, 0))
        if timestamp > clock.last_modified:
            self.transaction_state.moved_lists.add(list_uri)
        self.snapshot.clocks[list_uri] = Clock(timestamp, clock.count + count, clock.former)

    def interval_timestamp(self, list_uri: str) -> int:
        """Return the timestamp at which a grant or membership in a list begins or ends: one not yet polled.

        It is the list's clock if this transaction moves it. Otherwise, as for a timestamp of the past that a client
        chose, it is one more, and the clock stays: no later write gets an earlier timestamp.
        """
        clock = self.clock(list_uri)
        return clock if list_uri in self.transaction_state.moved_lists else min(clock + 1, _LAST_CLOCK)

    def is_moving(self, list_uri: str) -> bool:
        """Return whether a change of the list's clock is pending."""
        return list_uri in self._moves

    def allocate_timestamp(self, list_uri: str) -> int:
        """Return the next timestamp of a list and move the clock to it, so that it is given out once."""
        timestamp = next_timestamp(self.clock(list_uri), self.now)
        self._move(list_uri, timestamp, 0)
        return timestamp

    def start_list(self, list_uri: str) -> None:
        """Start a list with its parent: at the present, or above its former clock, which outlives the list.

        The clock of the parent's list is not used: it may be far ahead.
        """
        former = self.snapshot.clocks.get(list_uri)
        timestamp = next_timestamp(former.last_modified, self.now) if former else self.now
        self._moves[list_uri] = Move(list_uri, timestamp, 0, starts=True)
        self.transaction_state.moved_lists.add(list_uri)
        self.snapshot.clocks[list_uri] = Clock(timestamp, 0)

    def add_grants(self, other: Snapshot) -> None:
        """Add what was read of further objects; what this request revokes and has not written yet is no grant."""
        for grants in other.grants.values():
            for name, grantees in grants.items():
                grants[name] = {principal for principal in grantees if not self._revoked_principals.includes(principal)}
        self.snapshot.add(other)

    def revoke(self, principals: Principals) -> None:
        """End all grants to principals, their memberships, and all memberships in them, also for later operations.

        The end of stored grants is written before the pending changes, so grants made after this call begin.
        """
        self._revoked_principals |= principals
        for grants in self.snapshot.grants.values():
            for name, grantees in grants.items():
                grants[name] = {principal for principal in grantees if not principals.includes(principal)}
        for uri, permissions in self._stored_permissions.items():
            self._stored_permissions[uri] = _without(permissions, principals)
        for uri, effect in self._effects.items():
            self._effects[uri] = replace(effect, permissions=_without(effect.permissions, principals))
        for user in principals.users:
            self.snapshot.groups.pop(user, None)
        for group, members in self.snapshot.members.items():
            members -= members if principals.includes(group) else principals.users
        state = self.transaction_state
        for group, former_members in state.former_members.items():
            is_revoked = principals.includes(group)
            state.former_members[group] = frozenset() if is_revoked else former_members - principals.users
            if is_revoked:
                state.new_members.pop(group, None)
            elif group in state.new_members:
                state.new_members[group] -= principals.users

    def take_pending(self) -> tuple[list[Change], list[Move], Principals]:
        """Return the changes and moves to write and the principals to revoke, and forget that they are pending."""
        changes = [self._change(uri, effect) for uri, effect in self._effects.items()]
        moves, revoked_principals = list(self._moves.values()), self._revoked_principals
        self._stored_permissions, self._effects, self._moves, self._revoked_principals = {}, {}, {}, Principals()
        self._stamps = {}
        return changes, moves, revoked_principals

    def membership_changes(self) -> tuple[set[tuple[str, str]], Holdings]:
        """Return the memberships that begin, as pairs of user and group, and those that end.

        They are written last: within a request every user has the groups of its start (core contract, 7.7).
        """
        beginning: set[tuple[str, str]] = set()
        ending: set[tuple[str, str]] = set()
        for group, after in self.transaction_state.new_members.items():
            before = self.transaction_state.former_members[group]
            beginning |= {(user, group) for user in after - before}
            ending |= {(user, group) for user in before - after}
        return beginning, self.transaction_state.ended_memberships | Holdings(members=frozenset(ending))

    def _change(self, uri: str, effect: Effect) -> Change:
        before, after = pairs(self._stored_permissions[uri]), pairs(effect.permissions)
        return Change(effect.new, self._stamps[uri], before - after, after - before)

    def discard_below(self, uris: Collection[str]) -> None:
        """Remove the objects below deleted objects from the snapshot."""
        for facts in (self.snapshot.objects, self.snapshot.grants):
            for uri in [uri for uri in facts if is_inside(uri, uris)]:
                del facts[uri]

    def discard(self, uris: Iterable[str]) -> None:
        """Remove objects from the snapshot that are written and not needed again."""
        for uri in uris:
            self.snapshot.objects.pop(uri, None)
            self.snapshot.grants.pop(uri, None)


def pairs(permissions: Permissions) -> frozenset[tuple[str, str]]:
    """Return the grants on an object as pairs of a permission and a principal."""
    return frozenset((name, principal) for name, principals in permissions.items() for principal in principals)


def _without(permissions: Permissions, principals: Principals) -> Permissions:
    return {
        name: frozenset(principal for principal in grantees if not principals.includes(principal))
        for name, grantees in permissions.items()
    }


def members_of(stored: Stored | None) -> frozenset[str]:
    """Return the members of a group that its document names."""
    if stored is None or stored.deleted:
        return frozenset()
    data: Data = stored.data()
    members = data.get("members")
    return frozenset(members) if isinstance(members, list) else frozenset()
