"""Perform operations: lock, read, decide, move, write. The only way in; a single request is a batch of one.

All that the operations name is read once for each bucket; decisions run in order on that working snapshot; then
everything is written once. What a snapshot cannot hold (a list, a cascade) first writes what is pending.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.errors import ApiError, Clash
from app.events import Reading, collect
from app.identity import Identity, Reader
from app.operation import Effect, Operation, Outcome
from app.service import Service
from app.work import Work
from backends.storage import LIVING, Conflict, Filter, Page, Snapshot, Transaction, Wanted, at_top, bucket_of, home

Answer = Outcome | ApiError

_TRIES = 3


class _BornMeanwhile(Exception):
    """A list was born while we waited for the locks of others: nothing holds its clock. Start again."""


def perform(service: Service, operations: Sequence[Operation]) -> list[Answer]:
    """Perform operations in order as one transaction and return what comes of each.

    An ApiError in the list is the answer of one operation and undoes nothing of the others (C-BATCH-16). Raises
    BackendError, Clash, and what listeners before the commit raise: then nothing was done.
    """
    if all(operation.reads for operation in operations):
        return _read(service, operations)
    for attempt in range(_TRIES):
        try:
            return _write(service, operations)
        except (Conflict, _BornMeanwhile) as error:
            if attempt == _TRIES - 1 and isinstance(error, Conflict):
                raise
            time.sleep(random.uniform(0.0, 0.02) * (attempt + 1))
    raise Clash


def _now() -> int:
    return time.time_ns() // 1_000_000


def _read(service: Service, operations: Sequence[Operation]) -> list[Answer]:
    """Answer operations that only read: those on objects from one statement a bucket, each list from its own."""
    single = [operation for operation in operations if not operation.route.on_list]
    seen = Snapshot()
    for wanted in _wanted(service, single, writing=False):
        seen.add(service.storage.read(wanted))
    work = Work(seen, _now())
    answers: list[Answer] = []
    for operation in operations:
        facts = work
        if operation.route.on_list:
            facts = Work(service.storage.read(_listed(service, operation, service.storage.read)), work.now)
        try:
            answers.append(service.decide(operation, facts, service.rules))
        except ApiError as error:
            answers.append(error)
    events = collect(_done(operations, answers), reads=True) if service.listens_to_reads else ()
    service.notify_before(events, Reading())
    service.notify_after(events)
    return answers


def _write(service: Service, operations: Sequence[Operation]) -> list[Answer]:
    with service.storage.transaction() as transaction:
        run = _Run(service, transaction, operations)
        done = [(asked := run.identified(operation), run.answer(asked)) for operation in operations]
        answers = [answer for _, answer in done]
        events = collect(_done([asked for asked, _ in done], answers), reads=service.listens_to_reads)
        service.notify_before(events, run)
        run.flush()
        if not run.wrote:
            transaction.rollback()
    service.notify_after(events)
    return answers


def _done(operations: Sequence[Operation], answers: Sequence[Answer]) -> list[tuple[Operation, Outcome]]:
    pairs = zip(operations, answers, strict=True)
    return [(operation, answer) for operation, answer in pairs if isinstance(answer, Outcome)]


class _Run:
    """The operations of one writing transaction."""

    def __init__(self, service: Service, transaction: Transaction, operations: Sequence[Operation]) -> None:
        self._service = service
        self._transaction = transaction
        self._operations = operations
        self._recognised: dict[str, Identity] = {}
        self._users_changed = False
        self.wrote = False
        writes = [operation for operation in operations if not operation.reads]
        lists = {operation.route.list for operation in writes}
        emptied = {name for operation in writes for name in self._emptied(operation)}
        self._emptied_buckets = set() if len(operations) == 1 else _emptied_buckets(writes)
        locked = transaction.lock(lists | emptied, self._emptied_buckets)
        single = [operation for operation in operations if not operation.route.on_list or operation.method == "POST"]
        seen = Snapshot()
        for wanted in _wanted(service, single, writing=True):
            seen.add(transaction.read(wanted))
        if not lists.isdisjoint(seen.clocks.keys() - locked):
            raise _BornMeanwhile
        self._work = Work(seen, _now())

    def _emptied(self, operation: Operation) -> list[str]:
        """Return the lists below an object that is to be deleted; those of a whole bucket are not known by name."""
        uri = operation.route.uri
        if operation.method != "DELETE" or operation.route.on_list or at_top(uri):
            return []
        return [f"{uri}/{child.plural}" for child in self._service.kinds.children(operation.kind)]

    def answer(self, operation: Operation) -> Answer:
        """Decide one operation and take over what it changes."""
        if operation.route.on_list and operation.method != "POST":
            self.flush()
            listed = _listed(self._service, operation, self._transaction.read)
            page = self._transaction.read(replace(listed, bodies=True))
            self._work.seen.add(page)
            self._work.seen.page, self._work.seen.total = page.page, page.total
            self._work.seen.full, self._work.seen.shares = page.full, page.shares
        try:
            outcome = self._service.decide(operation, self._work, self._service.rules)
        except ApiError as error:
            return error
        for effect in outcome.effects:
            self.apply(effect)
        self._cascade(operation, outcome)
        self._expropriate(outcome)
        return outcome

    def identified(self, operation: Operation) -> Operation:
        """Try again credentials that an earlier operation of the batch may have made valid (P-ACC-27)."""
        given = operation.credentials
        if given is None or not self._users_changed:
            return operation
        if given not in self._recognised:
            self._recognise(given, operation.identity)
        return replace(operation, identity=self._recognised[given])

    def _recognise(self, credentials: str, before: Identity) -> None:
        """Find out who sends *credentials* now, and read what they may, once for all their operations."""
        self.flush()
        identity = self._service.identify(credentials, self._transaction.read)
        self._recognised[credentials] = identity
        if identity == before:
            return
        theirs = [
            replace(operation, identity=identity)
            for operation in self._operations
            if operation.credentials == credentials and (not operation.route.on_list or operation.method == "POST")
        ]
        for wanted in _wanted(self._service, theirs, writing=True):
            self._work.seen.add(self._transaction.read(replace(wanted, bodies=True)))

    def _expropriate(self, outcome: Outcome) -> None:
        """Leave nothing to who will have the name of a deleted user: no grant, no membership."""
        for effect in outcome.effects:
            if effect.new.deleted and effect.kind.name in self._service.identity_kinds:
                self.withdraw(f"{effect.kind.name}:{effect.new.id}", effect.clock)

    def apply(self, effect: Effect) -> None:
        """Take over one changed object; its lists start with it."""
        if effect.kind.name in self._service.identity_kinds:
            self._users_changed = True
            self._recognised.clear()
        children = self._service.kinds.children(effect.kind)
        self._work.apply(effect, [f"{effect.new.uri}/{child.plural}" for child in children])

    def withdraw(self, principal: str, stamp: int) -> None:
        """End all that was granted to a principal, and its memberships."""
        self.flush()
        self._transaction.withdraw(principal, stamp)

    def _cascade(self, operation: Operation, outcome: Outcome) -> None:
        """Empty what was deleted, at once (C-OBJ-61): lock the clocks below, and delete in later statements."""
        children = self._service.kinds.children(operation.kind)
        gone = [effect.new.uri for effect in outcome.effects if effect.new.deleted]
        if not gone or not children:
            return
        buckets = [uri for uri in gone if at_top(uri) and uri not in self._emptied_buckets]
        if buckets:
            self._transaction.lock((), buckets)
        elif operation.route.on_list:
            self._transaction.lock(f"{uri}/{child.plural}" for uri in gone for child in children)
        self.flush()
        self._transaction.empty(gone, outcome.timestamp)
        for uri in gone:
            self._work.forget_below(uri)

    def flush(self) -> None:
        """Write what is pending. Raises Clash when a client's own timestamp is taken (C-PRE-9)."""
        changes, moves = self._work.pending()
        if not changes:
            return
        wished = [(change.stored.uri, change.stored.timestamp) for change in changes if change.past]
        if wished:
            changed = {change.stored.uri for change in changes}
            new = [(change.stored.uri.rpartition("/")[0], change.stored.timestamp) for change in changes]
            if len(set(new)) < len(new) or self._transaction.taken(wished) - changed:
                raise Clash
        self._transaction.write(changes, moves)
        self.wrote = True


def _emptied_buckets(writes: Iterable[Operation]) -> set[str]:
    """Return the buckets of which a batch may empty any list: all their clocks are locked from the start."""
    deletions = [operation for operation in writes if operation.method == "DELETE"]
    objects = {operation.route.uri for operation in deletions if not operation.route.on_list}
    lists = {bucket_of(operation.route.uri) for operation in deletions if operation.route.on_list}
    return {uri for uri in objects if at_top(uri)} | {bucket for bucket in lists if bucket.count("/") > 1}


def _wanted(service: Service, operations: Sequence[Operation], writing: bool) -> list[Wanted]:
    """Return what to read for operations on objects, one for each bucket."""
    targets: dict[str, dict[str, None]] = {}
    ancestors: dict[str, dict[str, None]] = {}
    clocks: dict[str, dict[str, None]] = {}
    for operation in operations:
        target, list = operation.target, operation.route.list
        if target is not None:
            targets.setdefault(home(target), {})[target] = None
        for uri in operation.route.ancestors():
            ancestors.setdefault(bucket_of(uri), {})[uri] = None
        if writing or service.listens_to_reads:
            clocks.setdefault(bucket_of(list), {})[list] = None
    readers = tuple({name for operation in operations for name in operation.identity.principals})
    private = tuple({name for operation in operations for name in operation.kind.private}) if not writing else ()
    bodies = len(operations) > 1 or any(_needs_parents(service, operation) for operation in operations)
    return [
        Wanted(
            bucket,
            targets=tuple(targets.get(bucket, ())),
            ancestors=tuple(uri for uri in ancestors.get(bucket, ()) if uri not in targets.get(bucket, ())),
            clocks=tuple(clocks.get(bucket, ())),
            readers=readers,
            private=private,
            bodies=bodies,
        )
        for bucket in {**targets, **ancestors, **clocks}
    ]


def _needs_parents(service: Service, operation: Operation) -> bool:
    """Say whether the documents around are looked into: for schemas, or for how long anonymous readers may cache."""
    return operation.identity.user_id is None if operation.reads else service.rules.schema_validation


def _listed(service: Service, operation: Operation, read: Reader) -> Wanted:
    """Return what to read for an operation on a list: a page, or what a DELETE of the list may delete."""
    query, route, identity = operation.query, operation.route, operation.identity
    assert query is not None, "an operation on a list has a query"
    names = ("write",) if operation.writes_many else ("read", "write")
    configured = frozenset[str]().union(*(service.rules.configured(route.kind.name, name) for name in names))
    principals = set(identity.principals)
    if any(name.startswith("/") for name in configured):
        groups = read(Wanted(bucket_of(route.uri), readers=identity.principals)).groups
        principals.update(*groups.values())
    whole = not configured.isdisjoint(principals)
    own = route.kind.behaviour.own(identity)
    filters = query.filters
    if own is not None and not whole:
        filters = (*filters, Filter(("id",), "eq", own))
    counting = operation.method == "HEAD"
    fresh = operation.conditions.none_match if operation.reads else None
    page = Page(
        route.uri,
        filters=filters,
        order=query.order,
        after=None if counting else query.after,
        limit=0 if query.refusal or operation.problems else (2**63 - 1 if counting else query.limit + 1),
        tombstones=query.tombstones and not counting and not operation.writes_many,
        counting=counting,
        whole=whole,
        above=names,
        own=("write",) if operation.writes_many else None,
        private=() if operation.writes_many else route.kind.private,
        unless=fresh if isinstance(fresh, int) and fresh < LIVING else None,
    )
    return Wanted(
        bucket_of(route.uri),
        ancestors=route.ancestors(),
        clocks=(route.uri,),
        readers=identity.principals,
        bodies=identity.user_id is None and operation.reads,
        page=page,
    )
