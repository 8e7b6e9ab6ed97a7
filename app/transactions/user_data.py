"""Delete the data of a user: objects that only the user may write, grants and memberships (core contract, 2.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from app.decisions.saving import deletion_effect
from app.decisions.working_set import next_timestamp
from app.identity import Identity, VerifyingReader
from app.kinds import Kind, Route
from app.operation import Effect, Operation, Outcome
from app.service import Service
from app.transactions.selections import add_cascade_roots
from app.transactions.write_transaction import WriteTransaction, run_with_retries
from backends.codec import dumps
from backends.storage import (
    Selection,
    Snapshot,
    Stored,
    Transaction,
    UserHoldings,
    at_top,
    is_inside,
    list_of,
    read_bucket,
)

_BATCH_SIZE = 5_000
"""The number of objects that are read, changed and written together."""


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """The objects to delete for a principal, the groups from which to remove it, and the lists to lock for both.

    Objects below a deleted object are not named; if it is a bucket, all lists in it are locked.
    """

    principal: str
    deletions: tuple[str, ...]
    groups: tuple[str, ...]
    lists: frozenset[str]


def delete_user_data(service: Service, principal: str, identity: Identity, reader: VerifyingReader) -> None:
    """Delete the objects that only *principal* may write, and end all grants to it and its memberships.

    One transaction: the lists are locked first, then the holdings are looked up again (C-UTIL-37). *identity* sends
    the request; *reader* verifies it with a read of the transaction. Raises BackendError, Clash, Outdated, and errors
    of listeners before the commit: then nothing was done.
    """
    run_with_retries(lambda lists: _delete(service, principal, identity, reader, lists))


def plan_deletion(service: Service, principal: str, holdings: UserHoldings) -> DeletionPlan:
    """Return what to delete of the holdings of a principal.

    Objects that are users themselves (an account) stay, without the grants on them (P-USER-1).
    """
    routes = {uri: service.kinds.match(uri) for uri in holdings.sole_writer_of}
    owned_uris = {uri for uri, route in routes.items() if route and not _is_kept(service, route)}
    deletions = {uri for uri in owned_uris if not is_inside(uri, owned_uris)}
    changed_uris = {uri for uri in (*holdings.objects, *holdings.groups) if not is_inside(uri, deletions)}
    lists_below = {list_uri for uri in deletions if not at_top(uri) for list_uri in _lists_in(service, uri)}
    return DeletionPlan(
        principal,
        tuple(sorted(deletions)),
        tuple(sorted(uri for uri in holdings.groups if uri in changed_uris and uri not in deletions)),
        frozenset(map(list_of, (*deletions, *changed_uris))) | lists_below,
    )


def _is_kept(service: Service, route: Route) -> bool:
    return route.on_list or route.kind.name in service.identity_kinds


def _lists_in(service: Service, uri: str) -> list[str]:
    route = service.kinds.match(uri)
    return service.kinds.lists_in(route.kind, uri) if route else []


def _delete(
    service: Service, principal: str, identity: Identity, reader: VerifyingReader, lists: frozenset[str]
) -> None:
    with service.transaction() as transaction:
        reader.reset()
        deletion = _prepare(service, transaction, principal, reader, lists)
        events = deletion.notify_listeners(deletion.delete(identity))
        deletion.finish()
        deletion.apply_rules()
        deletion.notify_at_commit(events)
    service.notifier.after(events)


def _prepare(
    service: Service, transaction: Transaction, principal: str, reader: VerifyingReader, lists: frozenset[str]
) -> _UserDeletion:
    """Look up the holdings of a user, lock their lists, and look them up again. Raises Unlocked and Outdated."""
    first_plan = plan_deletion(service, principal, transaction.user_holdings(principal))
    roots = _with_lists(service, first_plan.deletions)
    clocks = transaction.lock(first_plan.lists | lists | service.kinds.derived_list_uris(roots), roots)
    plan = plan_deletion(service, principal, transaction.user_holdings(principal))
    transaction.expect_locked(plan.lists)
    snapshot = Snapshot(clocks=clocks)
    for selection in add_cascade_roots([], _with_lists(service, plan.deletions)):
        snapshot.add(reader.read_with(transaction.read, selection))
    return _UserDeletion(service, transaction, snapshot, plan, reader)


class _UserDeletion(WriteTransaction):
    """The transaction that deletes the data of a user, by a plan that was made under all locks."""

    def __init__(
        self,
        service: Service,
        transaction: Transaction,
        snapshot: Snapshot,
        plan: DeletionPlan,
        reader: VerifyingReader,
    ) -> None:
        super().__init__(service, transaction, snapshot)
        self._plan = plan
        self._groups = frozenset(plan.groups)
        self._verify = reader.verify
        self._read = partial(reader.read_with, transaction.read)

    def delete(self, identity: Identity) -> list[tuple[Operation, Outcome]]:
        """Delete as planned, some objects at a time; return operations and outcomes as if each was deleted by itself.

        Without listeners objects are discarded once they are written, and nothing is returned, however many there are.
        """
        outcomes: list[tuple[Operation, Outcome]] = []
        targets, uris = [*self._plan.deletions, *self._plan.groups], list[str]()
        for start in range(0, len(targets), _BATCH_SIZE):
            self.flush()
            if not self.service.notifier.has_listeners:
                self.working_set.discard(uris)
            uris = targets[start : start + _BATCH_SIZE]
            batch_outcomes = self._change(uris, identity)
            if self.service.notifier.has_listeners:
                outcomes += batch_outcomes
        self._verify()
        roots = _with_lists(self.service, self._plan.deletions)
        self.empty(roots)
        copies = [uri for uri in self._plan.deletions if at_top(uri) and uri not in roots]
        if copies:
            self.flush()
            self.transaction.delete_copies(copies)
        self.revoke(self._plan.principal)
        return outcomes

    def _change(self, uris: Sequence[str], identity: Identity) -> list[tuple[Operation, Outcome]]:
        """Delete objects, and remove the user from groups."""
        for bucket, targets in _by_bucket(uris).items():
            self.working_set.snapshot.add(self._read(self._select(bucket, targets)))
        clocks: dict[str, int] = {}
        outcomes = []
        for uri in uris:
            route, stored = self.service.kinds.match(uri), self.working_set.living(uri)
            if route and stored:
                clock = next_timestamp(clocks.get(route.list, self.working_set.clock(route.list)), self.working_set.now)
                clocks[route.list] = clock
                make, method = (self._without_user, "PATCH") if uri in self._groups else (_deletion, "DELETE")
                effect = make(route.kind, stored, clock)
                outcome = Outcome(200, clock, data=effect.new.text, effects=(effect,))
                outcomes.append((Operation(method, route, identity), outcome))
        # Together: the grants to each deleted group are looked for in all objects that change with it.
        self.apply_effects(*(effect for _, outcome in outcomes for effect in outcome.effects))
        return outcomes

    def _select(self, bucket: str, targets: Sequence[str]) -> Selection:
        """Return the selection of objects in a bucket, for listeners that need it with all grants on those above.

        The documents are read of groups, which are changed, and of objects whose documents a plugin uses.
        """
        routes = {uri: route for uri in targets if (route := self.service.kinds.match(uri))}
        with_documents = {
            uri: route
            for uri, route in routes.items()
            if uri in self._groups or self.service.uses_deleted_documents(route.kind)
        }
        others = dict.fromkeys(routes)
        if self.service.notifier.reads_ancestor_grants:
            others |= dict.fromkeys(uri for route in routes.values() for uri in route.ancestors)
        return Selection(
            bucket,
            targets=tuple(with_documents),
            ancestors=tuple(uri for uri in others if uri not in with_documents),
            ancestor_documents=False,
            ancestor_grants=self.service.notifier.reads_ancestor_grants,
        )

    def _without_user(self, kind: Kind, stored: Stored, clock: int) -> Effect:
        """Return the effect of removing the user from a group, also from its document.

        So no later write of the document brings the membership back (PD-18).
        """
        principal = self._plan.principal
        data = stored.data()
        members = [member for member in data.get("members", ()) if member != principal]
        text = dumps({**data, "members": members, "last_modified": clock})
        permissions = {
            name: principals - {principal} for name, principals in self.working_set.permissions(stored.uri).items()
        }
        return Effect(kind, stored._replace(timestamp=clock, text=text), stored, permissions, clock)


def _deletion(kind: Kind, stored: Stored, clock: int) -> Effect:
    return deletion_effect(kind, stored, clock, clock)


def _with_lists(service: Service, uris: Iterable[str]) -> list[str]:
    """Return the objects of kinds that contain lists."""
    return [uri for uri in uris if _lists_in(service, uri)]


def _by_bucket(uris: Iterable[str]) -> dict[str, list[str]]:
    """Group URIs by the buckets under which they are read."""
    by_bucket: dict[str, list[str]] = {}
    for uri in uris:
        by_bucket.setdefault(read_bucket(uri), []).append(uri)
    return by_bucket
