"""Forget a user: delete what is only theirs, withdraw what was granted to them (core contract, 2.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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

_AT_ONCE = 5_000
"""How many objects are read, changed and written together."""


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What is to be done for a user: objects that go, groups that they leave, and the lists to lock for all of it.

    Of what lies in an object that goes nothing is said. Of the buckets among them all lists are locked.
    """

    gone: tuple[str, ...]
    left: tuple[str, ...]
    lists: frozenset[str]


def delete_user_data(service: Service, principal: str, identity: Identity, proving: VerifyingReader) -> None:
    """Delete the objects that nobody but *principal* may write, and end what was granted to it and its memberships.

    One transaction: the lists concerned are locked first, then all is looked up again (C-UTIL-37). *identity* is who
    asks for it, checked by *proving* with what the transaction reads. Raises BackendError, Clash, Outdated, and what
    listeners before the commit raise: then nothing was done.
    """
    run_with_retries(lambda lists: _forget(service, principal, identity, proving, lists))


def plan_deletion(service: Service, held: UserHoldings) -> DeletionPlan:
    """Decide by what is *held* what goes. Who somebody is (an account) stays, without the grants on it (P-USER-1)."""
    routes = {uri: service.kinds.match(uri) for uri in held.sole_writer_of}
    mine = {uri for uri, route in routes.items() if route and not _stays(service, route)}
    gone = {uri for uri in mine if not is_inside(uri, mine)}
    others = {uri for uri in (*held.objects, *held.groups) if not is_inside(uri, gone)}
    below = {name for uri in gone if not at_top(uri) for name in _lists_in(service, uri)}
    return DeletionPlan(
        tuple(sorted(gone)),
        tuple(sorted(uri for uri in held.groups if uri in others and uri not in gone)),
        frozenset(map(list_of, (*gone, *others))) | below,
    )


def _stays(service: Service, route: Route) -> bool:
    return route.on_list or route.kind.name in service.identity_kinds


def _lists_in(service: Service, uri: str) -> list[str]:
    route = service.kinds.match(uri)
    return service.kinds.lists_in(route.kind, uri) if route else []


def _forget(
    service: Service, principal: str, identity: Identity, proving: VerifyingReader, lists: frozenset[str]
) -> None:
    with service.storage.transaction() as transaction:
        proving.reset()
        run = _prepare(service, transaction, principal, proving, lists)
        events = run.notify_listeners(run.erase(identity))
        run.finish()
    service.notify_after(events)


def _prepare(
    service: Service, transaction: Transaction, principal: str, proving: VerifyingReader, lists: frozenset[str]
) -> _Revocation:
    """Look up what a user has, lock the lists of it, and look again. Raises Unlocked and Outdated."""
    first = plan_deletion(service, transaction.user_holdings(principal))
    locked = transaction.lock(first.lists | lists, _filled(service, first.gone))
    certain = plan_deletion(service, transaction.user_holdings(principal))
    transaction.expect_locked(certain.lists)
    snapshot = Snapshot(clocks=locked)
    for wanted in add_cascade_roots([], _filled(service, certain.gone)):
        snapshot.add(proving.read_with(transaction.read, wanted))
    return _Revocation(service, transaction, snapshot, principal, certain, proving)


class _Revocation(WriteTransaction):
    """The one transaction in which a user is forgotten, as planned under all locks."""

    def __init__(
        self,
        service: Service,
        transaction: Transaction,
        snapshot: Snapshot,
        principal: str,
        certain: DeletionPlan,
        proving: VerifyingReader,
    ) -> None:
        super().__init__(service, transaction, snapshot)
        self._principal = principal
        self._plan = certain
        self._prove = proving.verify
        self._read = partial(proving.read_with, transaction.read)

    def erase(self, identity: Identity) -> list[tuple[Operation, Outcome]]:
        """Do what is planned, some objects at a time, and return it as what it would be one by one.

        Where no listener is told of it, objects are forgotten when they are written, however many there are.
        """
        done: list[tuple[Operation, Outcome]] = []
        targets = [*self._plan.gone, *self._plan.left]
        for start in range(0, len(targets), _AT_ONCE):
            some = targets[start : start + _AT_ONCE]
            changed = self._change(some, identity)
            self.flush()
            if self.service.has_listeners:
                done += changed
            else:
                self.working_set.discard(some)
        self._prove()
        filled = _filled(self.service, self._plan.gone)
        self.transaction.delete_below(filled)
        self.transaction.delete_copies([uri for uri in self._plan.gone if at_top(uri) and uri not in filled])
        self.revoke(self._principal)
        return done

    def _change(self, uris: Sequence[str], identity: Identity) -> list[tuple[Operation, Outcome]]:
        """Delete objects, and take the user out of groups."""
        for bucket, targets in _by_bucket(uris, read_bucket).items():
            self.working_set.snapshot.add(self._read(Selection(bucket, targets=tuple(targets))))
        left, clocks = set(self._plan.left), dict[str, int]()
        done = []
        for uri in uris:
            route, stored = self.service.kinds.match(uri), self.working_set.living(uri)
            if route and stored:
                clock = next_timestamp(clocks.get(route.list, self.working_set.clock(route.list)), self.working_set.now)
                clocks[route.list] = clock
                make, method = (self._without_user, "PATCH") if uri in left else (_deletion, "DELETE")
                effect = make(route.kind, stored, clock)
                outcome = Outcome(200, clock, data=effect.new.text, effects=(effect,))
                done.append((Operation(method, route, identity), outcome))
        # Together: each group that goes is looked for in all that is changed with it.
        self.apply_effects(*(effect for _, outcome in done for effect in outcome.effects))
        return done

    def _without_user(self, kind: Kind, stored: Stored, clock: int) -> Effect:
        """Take the user out of the document of a group too, so that nothing brings the membership back (PD-18)."""
        data = stored.data()
        members = [member for member in data.get("members", ()) if member != self._principal]
        text = dumps({**data, "members": members, "last_modified": clock})
        permissions = {
            name: principals - {self._principal}
            for name, principals in self.working_set.permissions(stored.uri).items()
        }
        return Effect(kind, replace(stored, timestamp=clock, text=text), stored, permissions, clock)


def _deletion(kind: Kind, stored: Stored, clock: int) -> Effect:
    return deletion_effect(kind, stored, clock, clock)


def _filled(service: Service, uris: Iterable[str]) -> list[str]:
    """Return the objects in which there may be lists."""
    return [uri for uri in uris if _lists_in(service, uri)]


def _by_bucket(names: Iterable[str], of: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(of(name), []).append(name)
    return found
