"""A writing transaction of the rules: what was read, what is pending, and who is told of it before the commit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from app.decisions.working_set import WorkingSet, now_ms
from app.errors import Clash
from app.events import Event, collect_events
from app.operation import Effect, Operation, Outcome
from app.schemas.cache import NotCompiled, compile_schema
from app.service import Service
from backends.storage import (
    Conflict,
    Holdings,
    Principals,
    Selection,
    Snapshot,
    Transaction,
    Unlocked,
    list_of,
    read_bucket,
)

_TRIES = 3
_MOST_LOCKS = 10
"""How many tries may find a list that they must lock too: each locks those that earlier ones found."""
_MOST_SCHEMAS = 100
"""How many JSON Schemas may be compiled for a request: a batch has two an operation, others may drive them out."""

_Result = TypeVar("_Result")


class Retry(Exception):
    """While we waited for locks something came to be that nothing holds: only another try locks it too."""


def run_with_retries(attempt: Callable[[frozenset[str]], _Result]) -> _Result:
    """Return what *attempt* returns, which is tried again where that helps.

    It is given the lists that earlier tries had to lock and did not. A JSON Schema that it needs is compiled while no
    lock is held. Raises the last Conflict, and Clash when somebody was faster each time.
    """
    lists: frozenset[str] = frozenset()
    schemas = unlocked = number = 0
    while number < _TRIES and unlocked < _MOST_LOCKS and schemas <= _MOST_SCHEMAS:
        try:
            return attempt(lists)
        except NotCompiled as needed:
            compile_schema(needed.text)
            schemas += 1
        except Unlocked as error:
            lists |= error.lists
            unlocked += 1
        except (Conflict, Retry) as error:
            if number == _TRIES - 1 and isinstance(error, Conflict):
                raise
            number += 1
            time.sleep(random.uniform(0.0, 0.02) * number)
    raise Clash


class WriteTransaction:
    """What has been read in a transaction, and the changes that it will write.

    Listeners before the commit get it as their `app.events.Context`.
    """

    def __init__(self, service: Service, transaction: Transaction, seen: Snapshot) -> None:
        self.service = service
        self.transaction = transaction
        self.working_set = WorkingSet(seen, now_ms())
        self.wrote = False
        self._heard: Operation | None = None
        self._caused: list[tuple[Operation, Outcome]] = []

    def stamp(self, list: str) -> int | None:
        """Return a timestamp for an object that a listener writes to a list, which is locked from here on.

        None where the object that the list is in does not exist, or no longer. A list that has no clock, since its kind
        is newer than its parent, is started. Raises Unlocked where a lock is missing that must be taken earlier: the
        request starts again with it.
        """
        if not self.working_set.is_moving(list):
            self.working_set.snapshot.clocks |= self.transaction.lock_last(list)
        parent = list_of(list)
        if parent and parent not in self.working_set.snapshot.objects:
            self.working_set.snapshot.add(self.transaction.read(Selection(read_bucket(parent), ancestors=(parent,))))
        if parent and self.working_set.living(parent) is None:
            return None
        if list not in self.working_set.snapshot.clocks:
            self.transaction.expect_locked((list_of(parent),))
            self.working_set.start_list(list)
        return self.working_set.allocate_timestamp(list)

    def apply(self, effect: Effect) -> None:
        """Write one more object for a listener. Listeners are told of it by an event of its own (P-EVT-6).

        The clock of its list never goes back, in whatever order a listener uses the timestamps that it got.
        """
        clock = max(effect.clock, self.working_set.clock(list_of(effect.new.uri)))
        effect = replace(effect, clock=clock)
        self.apply_effects(effect)
        if self._heard:
            self._caused.append((self._heard, Outcome(200, effect.clock, effects=(effect,))))

    def apply_effects(self, *effects: Effect) -> None:
        """Take over changed objects; their lists start with them.

        A deleted user or group leaves nothing to a later one of that name: what it holds ends.
        """
        for effect in effects:
            self.working_set.apply(effect, self.service.kinds.lists_in(effect.kind, effect.new.uri))
        gone = [effect for effect in effects if effect.new.deleted]
        ended = Principals(
            users=frozenset(
                f"{effect.kind.name}:{effect.new.id}"
                for effect in gone
                if effect.kind.name in self.service.identity_kinds
            ),
            groups=frozenset(effect.new.uri for effect in gone if effect.kind.membership),
            inside=frozenset(effect.new.uri for effect in gone if self.service.kinds.may_contain_groups(effect.kind)),
        )
        if ended:
            self.working_set.revoke(ended)

    def revoke(self, principal: str) -> None:
        """End all that was granted to a principal, and its memberships."""
        self.working_set.revoke(Principals(users=frozenset((principal,))))

    def finish(self) -> None:
        """Write what is pending, and who joined and left groups: once, after all operations."""
        self.flush()
        joined, left = self.working_set.membership_changes()
        self.transaction.end_holdings(left, self.working_set.interval_timestamp)
        self.transaction.begin_memberships(joined, self.working_set.interval_timestamp)

    def flush(self) -> None:
        """Write what is pending but memberships. Raises Clash when a client's own timestamp is taken (C-PRE-9)."""
        changes, moves, withdrawn = self.working_set.take_pending()
        if withdrawn:
            held = self.transaction.holdings_of(withdrawn)
            self.transaction.end_holdings(Holdings(held.grants, held.memberships), self.working_set.interval_timestamp)
            self.working_set.transaction_state.ended_memberships |= Holdings(members=held.members)
            self.wrote = True
        if not changes and not moves:
            return
        wished = [(change.stored.uri, change.stored.timestamp) for change in changes if change.backdated]
        if wished:
            changed = {change.stored.uri for change in changes}
            new = [(change.list, change.stored.timestamp) for change in changes]
            if len(set(new)) < len(new) or self.transaction.timestamp_conflicts(wished) - changed:
                raise Clash
        self.transaction.write(changes, moves)
        self.wrote = True

    def notify_listeners(self, done: Sequence[tuple[Operation, Outcome]]) -> list[Event]:
        """Tell listeners before the commit what was done, then what they wrote themselves; return all that was told."""
        told: list[Event] = []
        while done and self.service.has_listeners:
            events = collect_events(done, reads=self.service.listens_to_reads)
            for event in events:
                self._heard = event.operation
                self.service.notify_before((event,), self)
            told += events
            done, self._caused = self._caused, []
        self._heard = None
        return told
