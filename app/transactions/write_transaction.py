"""A writing transaction of the rules: retries, pending changes, listeners before the commit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from app.decisions.declaring import index_changes
from app.decisions.working_set import WorkingSet, now_ms, pairs
from app.errors import Clash, Taken
from app.events import Event, collect_events
from app.kinds import Data, Route
from app.operation import Effect, Operation, Outcome, Permissions
from app.schemas.cache import NotCompiled, compile_schema
from app.service import Service
from backends import Json
from backends.storage import (
    NO_VALUES,
    NOTHING_APPENDED,
    Append,
    Appends,
    Change,
    Conflict,
    Executable,
    Filter,
    Holdings,
    IndexDefinition,
    Move,
    NotUnique,
    Principals,
    Row,
    Selection,
    Snapshot,
    Stored,
    Transaction,
    Unlocked,
    Values,
    at_top,
    id_of,
    is_inside,
    list_of,
    read_bucket,
)

_TRIES = 3
_MOST_LOCKS = 10
"""The most tries that may find further lists to lock: each locks those that earlier tries found."""
_MOST_SCHEMAS = 100
"""The most JSON Schemas compiled for a request: a batch has two for an operation, other requests may evict them."""

_MOST_ROUNDS = 50
"""The most times that listeners are notified in a request: of its changes, then of those that they caused."""

_NO_DOCUMENT = "{}"
"""The text of an object that was read without its document."""

_Result = TypeVar("_Result")


class Retry(Exception):
    """The transaction cannot be completed as it is; another try can."""


def run_with_retries(attempt: Callable[[frozenset[str]], _Result]) -> _Result:
    """Return the result of *attempt*, which is called again after errors that another try can avoid.

    Its argument are the lists that earlier tries had to lock and did not. A JSON Schema that it needs is compiled while
    no lock is held. Raises the last Conflict, or Clash when there were too many tries of another cause.
    """
    lists: frozenset[str] = frozenset()
    schemas = unlocked = number = 0
    while number < _TRIES and unlocked < _MOST_LOCKS and schemas <= _MOST_SCHEMAS:
        try:
            return attempt(lists)
        except NotCompiled as error:
            compile_schema(error.text)
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
    """The working set of a transaction, and the storage's transaction to which its changes are written.

    Listeners before the commit get it as their `app.events.Context`.
    """

    def __init__(self, service: Service, transaction: Transaction, snapshot: Snapshot) -> None:
        self.service = service
        self.transaction = transaction
        self.working_set = WorkingSet(snapshot, now_ms())
        self.wrote = False
        self.wants_index_builder = False
        self._appends: dict[str, list[Append]] = {}
        self.effects: list[Effect] = []
        self._emptied_uris: list[str] = []
        self._actions: list[Callable[[], None]] = []
        self._index_definitions: dict[str, Sequence[IndexDefinition]] = {}
        self._is_finished = False
        self._notified_operation: Operation | None = None
        self._listener_outcomes: list[tuple[Operation, Outcome]] = []

    def stamp(self, list_uri: str) -> int | None:
        """Return a timestamp for an object that a listener writes to a list, which is locked from here on.

        None if the parent object of the list does not exist, or no longer exists. A list without a clock, whose kind is
        newer than its parent, is started. Raises Unlocked for a lock that must be taken earlier: the request starts
        again with it, ValueError for a URI that is no list.
        """
        self._expect_unfinished()
        self._expect_route(list_uri, on_list=True)
        if not self.working_set.is_moving(list_uri):
            self.working_set.snapshot.clocks |= self.transaction.lock_last(list_uri)
        parent = list_of(list_uri)
        if parent and not self._exists(parent):
            return None
        if list_uri not in self.working_set.snapshot.clocks:
            self.transaction.expect_locked((list_of(parent),))
            self.working_set.start_list(list_uri)
        return self.working_set.allocate_timestamp(list_uri)

    def _exists(self, uri: str) -> bool:
        """Return whether an object exists now; one that the request has not read is read."""
        if is_inside(uri, self._emptied_uris):
            return False
        if uri not in self.working_set.snapshot.objects:
            self.working_set.snapshot.add(self.transaction.read(Selection(read_bucket(uri), ancestors=(uri,))))
        return self.working_set.living(uri) is not None

    def _expect_unfinished(self) -> None:
        """Raise RuntimeError in a rule, or a function that awaits the writes: a change would not be written."""
        if self._is_finished:
            raise RuntimeError(
                "Everything is written: listeners change objects, not rules and functions of when_written"
            )

    def _expect_route(self, uri: str, *, on_list: bool) -> Route:
        """Return the route of a URI. Raises ValueError if it is no list, or no object."""
        route = self.service.kinds.match(uri)
        if route is None or route.on_list != on_list:
            raise ValueError(f"{uri} is no {'list' if on_list else 'object'} of any kind")
        return route

    def read(self, uri: str) -> Stored | None:
        """Return an object as the request has changed it so far, with its private fields; None if there is none.

        One that the request has not read as a whole is read, with all its grants.
        """
        if is_inside(uri, self._emptied_uris):
            self.flush()
        stored = self.working_set.snapshot.objects.get(uri)
        if uri not in self.working_set.snapshot.fully_granted or (stored and stored.text == _NO_DOCUMENT):
            self.working_set.add_grants(self.transaction.read(Selection(read_bucket(uri), targets=(uri,))))
        return self.working_set.living(uri)

    def permissions(self, uris: Iterable[str]) -> Mapping[str, Permissions]:
        """Return all permissions of objects; those that were not read are read, by one statement for each bucket."""
        uris = set(uris)
        self._read_grants(uris)
        return {uri: self.working_set.permissions(uri) for uri in uris}

    def holders(self, uris: Sequence[str], permissions: Sequence[str]) -> frozenset[str]:
        """Return the principals that have one of some permissions on one of some objects, read like `permissions`."""
        self._read_grants(uris)
        return self.working_set.holders(uris, permissions)

    def _read_grants(self, uris: Collection[str]) -> None:
        """Read the grants on objects of which not all were read."""
        if self.working_set.snapshot.fully_granted.issuperset(uris):
            return
        by_bucket: dict[str, list[str]] = {}
        for uri in sorted(set(uris) - self.working_set.snapshot.fully_granted):
            by_bucket.setdefault(read_bucket(uri), []).append(uri)
        for bucket, in_bucket in by_bucket.items():
            selection = Selection(bucket, ancestors=tuple(in_bucket), ancestor_documents=False, ancestor_grants=True)
            self.working_set.add_grants(self.transaction.read(selection))

    def append(self, list_uri: str, object_id: str, attributes: Data, permissions: Permissions) -> None:
        """Write one more object to a derived list at the end of the transaction. Raises ValueError for other lists."""
        self._expect_unfinished()
        in_list = self._appends.get(list_uri)
        if in_list is None:
            if not self.service.kinds.is_derived(list_uri):
                raise ValueError(f"{list_uri} is no derived list")
            in_list = self._appends[list_uri] = []
        document = {"id": object_id, **attributes}
        in_list.append(Append(f"{list_uri}/{object_id}", document, self.working_set.now, pairs(permissions)))

    def apply(self, effect: Effect) -> None:
        """Write one more object for a listener. Listeners are notified of it by a separate event (P-EVT-6).

        The clock of its list never goes back, in whatever order a listener uses the timestamps that it got. `old` and
        the grants that end are those of the object as it is. Raises ValueError for a URI that no object of the kind can
        have, and for the deletion of an object that may contain others.
        """
        self._expect_unfinished()
        uri = effect.new.uri
        if self._expect_route(uri, on_list=False).kind.name != effect.kind.name:
            raise ValueError(f"{uri} is no {effect.kind.name}")
        if effect.new.deleted and self.service.kinds.children(effect.kind):
            raise ValueError(f"A listener cannot delete {uri}, as it may contain lists")
        effect = replace(effect, old=self.read(uri), clock=max(effect.clock, self.working_set.clock(list_of(uri))))
        self.apply_effects(effect)
        if effect.new.deleted and at_top(uri):
            self.flush()
            self.transaction.delete_copies((uri,))
        if self._notified_operation:
            self._listener_outcomes.append((self._notified_operation, Outcome(200, effect.clock, effects=(effect,))))

    def apply_effects(self, *effects: Effect) -> None:
        """Apply effects to the working set, and start the lists of new objects.

        The grants to a deleted user or group end, so that a later one of the same name inherits none. The lists whose
        declared indexes change are locked. An object that is created anew, or below it, is written after the deletion
        of what was there. Raises Unlocked.
        """
        if self.service.request_rules or self.service.object_tables:
            self.effects += effects
        uris = [effect.new.uri for effect in effects]
        if any(uri in self._emptied_uris or is_inside(uri, self._emptied_uris) for uri in uris):
            self.flush()
        for effect in effects:
            self.working_set.apply(effect, self.service.kinds.lists_in(effect.kind, effect.new.uri))
            for list_uri, definitions in index_changes(effect):
                self._index_definitions[list_uri] = definitions
                if not self.working_set.is_moving(list_uri):
                    self.working_set.snapshot.clocks |= self.transaction.lock_last(list_uri)
        deletions = [effect for effect in effects if effect.new.deleted]
        principals = Principals(
            users=frozenset(
                f"{effect.kind.name}:{effect.new.id}"
                for effect in deletions
                if effect.kind.name in self.service.identity_kinds
            ),
            groups=frozenset(effect.new.uri for effect in deletions if effect.kind.membership),
            cascade_roots=frozenset(
                effect.new.uri for effect in deletions if self.service.kinds.may_contain_groups(effect.kind)
            ),
        )
        if principals:
            self.working_set.revoke(principals)

    def revoke(self, principal: str) -> None:
        """End all grants to a principal and its memberships."""
        self._expect_unfinished()
        self.working_set.revoke(Principals(users=frozenset((principal,))))

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement on the tables of a plugin."""
        return self.transaction.execute(statement, values)

    def when_written(self, action: Callable[[], None]) -> None:
        """Call *action* after `finish`."""
        self._expect_unfinished()
        self._actions.append(action)

    def trim(self, list_uri: str, values: Mapping[str, Json], keep: int, threshold: int) -> int:
        """Delete the oldest objects of a list, unless it is gone; see `backends.storage.Transaction.trim`."""
        if self.working_set.living(list_of(list_uri)) is None:
            return 0
        filters = [Filter((name,), "eq", value) for name, value in values.items()]
        return self.transaction.trim(list_uri, filters, keep, threshold)

    def apply_rules(self) -> None:
        """Call what awaits the writes, then the rules of plugins with all effects that last. Call this after `finish`.

        Before the rules, the rows of deleted objects in tables of plugins are deleted.
        """
        for action in self._actions:
            action()
        deleted = {effect.new.uri for effect in self.effects if effect.new.deleted}
        if deleted and self.service.object_tables:
            self.transaction.delete_rows(self.service.object_tables, deleted)
        effects = _lasting(self.effects) if deleted else self.effects
        if effects:
            for rule in self.service.request_rules:
                rule(effects, self)

    def notify_at_commit(self, events: Sequence[Event]) -> None:
        """Call the listeners that are called once; everything is sent before, so that no other try can follow."""
        if self.service.notifier.awaits_commit(events):
            self.transaction.send()
            self.service.notifier.at_commit(events)

    def empty(self, uris: Collection[str]) -> None:
        """Delete everything below deleted objects, whose lists are locked, with the pending changes."""
        self._emptied_uris += uris
        self.working_set.discard_below(set(uris))

    def finish(self) -> None:
        """Write all pending changes and what was appended, then begin and end memberships: after all operations."""
        self.flush({name: appends for name, appends in self._appends.items() if self._exists(list_of(name))})
        memberships, holdings = self.working_set.membership_changes()
        self.transaction.end_holdings(holdings, self.working_set.interval_timestamp)
        self.transaction.begin_memberships(memberships, self.working_set.interval_timestamp)
        self._is_finished = True

    def flush(self, appends: Appends = NOTHING_APPENDED) -> None:
        """Write pending changes and *appends*, but no memberships of groups that changed, and empty deleted objects.

        Raises Clash when a client chose the timestamp of another object of the list (C-PRE-9), and Taken when an object
        has the values of another one in a unique index.
        """
        changes, moves, principals = self.working_set.take_pending()
        if principals:
            holdings = self.transaction.holdings_of(principals)
            self.transaction.end_holdings(
                Holdings(holdings.grants, holdings.memberships), self.working_set.interval_timestamp
            )
            self.working_set.transaction_state.ended_memberships |= Holdings(members=holdings.members)
            self.wrote = True
        if changes or moves or appends:
            self._write(changes, moves, appends)
        uris, self._emptied_uris = self._emptied_uris, []
        if uris:
            self.transaction.delete_below(uris)

    def _write(self, changes: Sequence[Change], moves: Sequence[Move], appends: Appends) -> None:
        requested = [(change.stored.uri, change.stored.timestamp) for change in changes if change.backdated]
        if requested:
            changed = {change.stored.uri for change in changes}
            timestamps = [(change.list, change.stored.timestamp) for change in changes]
            has_duplicates = len(set(timestamps)) < len(timestamps)
            if has_duplicates or self.transaction.timestamp_conflicts(requested) - changed:
                raise Clash
        definitions, self._index_definitions = self._index_definitions, {}
        try:
            self.wants_index_builder |= bool(self.transaction.write(changes, moves, definitions, appends))
        except NotUnique as error:
            raise Taken(error.fields, id_of(error.existing)) from error
        self.wrote = True

    def notify_listeners(self, outcomes: Sequence[tuple[Operation, Outcome]]) -> list[Event]:
        """Notify listeners before the commit of outcomes, then of their own effects; return all events."""
        notifier = self.service.notifier
        all_events: list[Event] = []
        for _ in range(_MOST_ROUNDS):
            if not outcomes or not notifier.has_listeners:
                self._notified_operation = None
                return all_events
            events = collect_events(outcomes, reads=notifier.listens_to_reads) if notifier.has_events else []
            for event in events:
                self._notified_operation = event.operation
                notifier.before((event,), self)
            self._notified_operation = outcomes[-1][0]
            notifier.together(outcomes, self)
            all_events += events
            outcomes, self._listener_outcomes = self._listener_outcomes, []
        raise RuntimeError(f"Listeners still cause changes after {_MOST_ROUNDS} rounds: do they notify themselves?")


def _lasting(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects without those inside an object that a later one deletes."""
    deleted: set[str] = set()
    lasting: list[Effect] = []
    for effect in reversed(effects):
        if not is_inside(effect.new.uri, deleted):
            lasting.append(effect)
        if effect.new.deleted:
            deleted.add(effect.new.uri)
    return lasting[::-1]
