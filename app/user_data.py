"""Forget a user: delete what is only theirs, withdraw what was granted to them (core contract, 2.8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from app.identity import Identity, Proving, Reader
from app.kinds import Route
from app.operation import Effect, Operation, Outcome
from app.saving import deletion
from app.service import Service
from app.wanted import with_emptied
from app.work import next_timestamp
from app.writing import Writing, persist
from backends.codec import dumps
from backends.storage import Holdings, Snapshot, Stored, Transaction, Wanted, at_top, home, list_of

_AT_ONCE = 500
"""How many objects one statement reads: databases bound the number of values in a statement."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a user: objects that go, groups that they leave, and the lists to lock for all of it.

    Of what lies in an object that goes nothing is said. Of the buckets among them all lists are locked.
    """

    gone: tuple[str, ...]
    left: tuple[str, ...]
    lists: frozenset[str]


def forget(service: Service, principal: str, identity: Identity, proving: Proving) -> None:
    """Delete the objects that nobody but *principal* may write, and end what was granted to it and its memberships.

    One transaction: the lists concerned are locked first, then all is looked up again (C-UTIL-37). *identity* is who
    asks for it, checked by *proving* with what the transaction reads. Raises BackendError, Clash, Outdated, and what
    listeners before the commit raise: then nothing was done.
    """
    persist(lambda lists: _forget(service, principal, identity, proving, lists))


def plan(service: Service, held: Holdings) -> Plan:
    """Decide by what is *held* what goes. Who somebody is (an account) stays, without the grants on it (P-USER-1)."""
    routes = {uri: service.kinds.match(uri) for uri in held.sole}
    mine = {uri for uri, route in routes.items() if route and not _stays(service, route)}
    gone = {uri for uri in mine if not _inside(uri, mine)}
    others = [uri for uri in (*held.granted, *held.groups) if not _inside(uri, gone)]
    below = {name for uri in gone if not at_top(uri) for name in _lists_in(service, uri)}
    return Plan(
        tuple(sorted(gone)),
        tuple(sorted(uri for uri in held.groups if uri in others and uri not in gone)),
        frozenset(map(list_of, (*gone, *others))) | below,
    )


def _stays(service: Service, route: Route) -> bool:
    return route.on_list or route.kind.name in service.identity_kinds


def _inside(uri: str, others: Collection[str]) -> bool:
    """Say whether a URI lies below one of the others."""
    segments = uri.split("/")
    return any("/".join(segments[:end]) in others for end in range(3, len(segments), 2))


def _lists_in(service: Service, uri: str) -> list[str]:
    route = service.kinds.match(uri)
    return service.kinds.lists_in(route.kind, uri) if route else []


def _forget(service: Service, principal: str, identity: Identity, proving: Proving, lists: frozenset[str]) -> None:
    with service.storage.transaction() as transaction:
        proving.renew()
        run = _Run(service, transaction, principal, proving, lists)
        events = run.tell(run.erase(identity))
        run.finish()
    service.notify_after(events)


class _Run(Writing):
    """The one transaction in which a user is forgotten."""

    def __init__(
        self,
        service: Service,
        transaction: Transaction,
        principal: str,
        proving: Proving,
        lists: frozenset[str],
    ) -> None:
        self._principal = principal
        first = plan(service, transaction.holdings(principal))
        locked = transaction.lock(first.lists | lists, _filled(service, first.gone))
        self._plan = plan(service, transaction.holdings(principal))
        transaction.expect_held(self._plan.lists)
        super().__init__(service, transaction, _read(service, partial(proving.read, transaction.read), self._plan))
        proving.prove()
        self.work.seen.clocks |= locked

    def erase(self, identity: Identity) -> list[tuple[Operation, Outcome]]:
        """Do what is planned, and return it as what it would be one by one."""
        done = [*self._deletions(identity), *self._updates(identity)]
        self.flush()
        filled = _filled(self.service, self._plan.gone)
        self.transaction.empty(filled)
        self.transaction.remove_copies([uri for uri in self._plan.gone if at_top(uri) and uri not in filled])
        self.withdraw(self._principal)
        return done

    def _deletions(self, identity: Identity) -> Iterator[tuple[Operation, Outcome]]:
        for route, stored, clock in self._living(self._plan.gone):
            effect = deletion(route.kind, stored, clock, clock)
            self.take(effect)
            yield Operation("DELETE", route, identity), Outcome(200, clock, data=effect.new.text, effects=(effect,))

    def _updates(self, identity: Identity) -> Iterator[tuple[Operation, Outcome]]:
        """Take the user out of the documents of groups too, so that nothing brings the membership back (PD-18)."""
        for route, stored, clock in self._living(self._plan.left):
            data = stored.data()
            members = [member for member in data.get("members", ()) if member != self._principal]
            text = dumps({**data, "members": members, "last_modified": clock})
            permissions = {
                name: principals - {self._principal} for name, principals in self.work.permissions(stored.uri).items()
            }
            new = replace(stored, timestamp=clock, text=text)
            effect = Effect(route.kind, new, stored, permissions, clock)
            self.take(effect)
            yield Operation("PATCH", route, identity), Outcome(200, clock, data=effect.new.text, effects=(effect,))

    def _living(self, uris: Iterable[str]) -> Iterator[tuple[Route, Stored, int]]:
        """Yield the objects that there are, with the timestamp that their change has."""
        for uri in uris:
            route, stored = self.service.kinds.match(uri), self.work.living(uri)
            if route and stored:
                yield route, stored, next_timestamp(self.work.clock(route.list), self.work.now)


def _filled(service: Service, uris: Iterable[str]) -> list[str]:
    """Return the objects in which there may be lists."""
    return [uri for uri in uris if _lists_in(service, uri)]


def _read(service: Service, read: Reader, wanted: Plan) -> Snapshot:
    """Read the objects that change, with their grants, and the clocks below those that go."""
    targets = _by_bucket((*wanted.gone, *wanted.left), home)
    seen = Snapshot()
    for bucket, uris in targets.items():
        for start in range(0, len(uris), _AT_ONCE):
            seen.add(read(Wanted(bucket, targets=tuple(uris[start : start + _AT_ONCE]))))
    for each in with_emptied([], _filled(service, wanted.gone)):
        seen.add(read(each))
    return seen


def _by_bucket(names: Iterable[str], of: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(of(name), []).append(name)
    return found
