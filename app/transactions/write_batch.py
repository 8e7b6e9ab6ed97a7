"""Perform a batch in a writing transaction: lock, read, decide, move, write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.decisions.decide import decide
from app.decisions.working_set import WorkingSet, now_ms
from app.errors import ApiError
from app.identity import Identity, VerifyingReader
from app.operation import Answer, Effect, Operation, Outcome, View
from app.service import Service
from app.slow_results import SlowResults
from app.transactions import selections
from app.transactions.enclosing_batch import EnclosingBatch
from app.transactions.nonces import Nonces
from app.transactions.write_transaction import WriteTransaction
from backends.storage import Clock, Selection, Snapshot, Transaction, Unlocked, at_top, is_inside, list_of


def write_batch(
    service: Service, steps: Sequence[Operation | View], lengthy: SlowResults, lists: frozenset[str]
) -> list[Answer | None]:
    """Perform a batch in one transaction. Raises what makes `run_with_retries` try again."""
    with Nonces(service) as nonces, service.storage.transaction() as transaction:
        run = WriteBatch(service, transaction, steps, lengthy, nonces, lists)
        run.prepare()
        answers = [run.step(step) for step in steps]
        lengthy.expect_computed()
        events = run.notify_listeners(run.outcomes)
        run.finish()
        nonces.exchange()
        if not run.wrote:
            transaction.rollback()
    service.notify_after(events)
    return answers


class WriteBatch(WriteTransaction):
    """The operations of one writing transaction."""

    def __init__(
        self,
        service: Service,
        transaction: Transaction,
        steps: Sequence[Operation | View],
        lengthy: SlowResults,
        nonces: Nonces,
        lists: frozenset[str],
    ) -> None:
        super().__init__(service, transaction, Snapshot())
        operations = self._operations = [step for step in steps if isinstance(step, Operation)]
        self._alone = len(steps) == 1
        self._lists = lists
        self._lengthy = lengthy
        self._nonces = nonces
        self._read = VerifyingReader(transaction.read, (operation.identity for operation in operations))
        self._recognised: dict[str, Identity] = {}
        self._changed_users: set[str] = set()
        self._stale = False
        self._cascade_roots: set[str] = set()
        self._last: set[str] = set()
        self.outcomes: list[tuple[Operation, Outcome]] = []

    def prepare(self) -> None:
        """Lock and read what the operations need; call this before the first `step`. Raises Unlocked, Outdated."""
        self._see(self._lock_and_read())
        self._start_lists()
        self._empty_first()

    def _see(self, snapshot: Snapshot) -> None:
        """Go on from what was read now; what lasts through the request stays."""
        self.working_set = WorkingSet(snapshot, now_ms(), self.working_set.transaction_state)
        self.working_set.slow_results = self._lengthy

    def _lock_and_read(self) -> Snapshot:
        """Lock what the operations may write or empty, then read what they name."""
        writes = [operation for operation in self._operations if not operation.reads]
        self._cascade_roots = _cascade_roots(self.service, writes, alone=self._alone)
        self._last = {list_of(uri) for uri in self._cascade_roots if self._alone and at_top(uri)}
        lists = {each.route.list for each in writes} | self._lists
        clocks = self.transaction.lock(lists - self._last, self._cascade_roots)
        return self._read_all(clocks, () if self._last else self._cascade_roots)

    def _read_all(self, clocks: dict[str, Clock], emptied: Iterable[str]) -> Snapshot:
        seen = Snapshot(clocks=clocks)
        single = [operation for operation in self._operations if not operation.pages]
        for each in selections.add_cascade_roots(
            selections.select_objects(self.service, single, writing=True), emptied
        ):
            seen.add(self._read(each))
        return seen

    def _empty_first(self) -> None:
        """Empty a bucket that a request deletes alone, then lock the list of buckets, where others write meanwhile.

        Emptying takes long where there is much. Under all locks the bucket is read and the request is decided again.
        """
        if not self._last:
            return
        try:
            decide(self._operations[0], self.working_set, self.service.rules)
        except ApiError:
            return
        for wanted in selections.add_cascade_roots((), self._cascade_roots):
            self.transaction.read(wanted)
        self.transaction.delete_below([*self._cascade_roots], copies=False)
        clocks = self.working_set.snapshot.clocks | self.transaction.lock(self._last)
        self._see(self._read_all(clocks, self._cascade_roots))

    def _start_lists(self) -> None:
        """Start lists of living parents that have no clock: their kind is newer than the parent (a plugin's).

        The lock of the list that the parent is in keeps others from doing the same. Raises Unlocked for either.
        """
        for operation in self._operations:
            parent, name = operation.route.parent, operation.route.list
            if operation.reads or operation.pages or name in self.working_set.snapshot.clocks or name in self._last:
                continue
            if parent is not None:
                if self.working_set.living(parent.uri) is None:
                    continue
                self.transaction.expect_locked((list_of(parent.uri),))
                if name in self.transaction.read(Selection(operation.route.bucket, clocks=(name,))).clocks:
                    raise Unlocked((name,))  # born while this waited for its parent's list
            self.working_set.start_list(name)

    def step(self, step: Operation | View) -> Answer | None:
        """Perform one operation, or let a view answer."""
        if isinstance(step, View):
            self._read.verify()  # before the view may change the users
            self.flush()
            EnclosingBatch(self.service, self._perform_for_view).answer(step)
            if self._stale:
                self._stale = False
                self._recognised.clear()
                self._see(self._lock_and_read())
            return None
        operation = self.reauthenticate(step)
        answer = self.answer(operation)
        if isinstance(answer, Outcome):
            self.outcomes.append((operation, answer))
        return answer

    def _perform_for_view(self, operations: Sequence[Operation]) -> list[Answer]:
        """Perform in this transaction what a view asks for; listeners are told of it with the rest."""
        inner = WriteBatch(self.service, self.transaction, operations, self._lengthy, self._nonces, frozenset())
        inner.working_set.transaction_state = self.working_set.transaction_state
        inner.prepare()
        answers = [answer for operation in operations if (answer := inner.step(operation)) is not None]
        inner.flush()
        self.outcomes += inner.outcomes
        self.wrote |= inner.wrote
        self._stale |= inner.wrote
        self._changed_users |= inner._changed_users
        return answers

    def answer(self, operation: Operation) -> Answer:
        """Decide one operation and take over what it changes."""
        if operation.pages:
            self.flush()
            operation, page = selections.read_list(
                self.service, operation, lambda wanted: self._read(replace(wanted, ancestor_documents=True))
            )
            self.working_set.snapshot.add(page)
            self.working_set.snapshot.page, self.working_set.snapshot.total = page.page, page.total
            self.working_set.snapshot.full, self.working_set.snapshot.has_shared = page.full, page.has_shared
        try:
            outcome = self.service.decide(operation, self.working_set)
            self._nonces.use(operation, outcome)
        except ApiError as error:
            return error
        self.apply_effects(*outcome.effects)
        self._cascade(operation, outcome)
        return outcome

    def reauthenticate(self, operation: Operation) -> Operation:
        """Try again credentials that an earlier operation of the batch may have made valid, or invalid (P-ACC-27).

        Credentials of a user that no operation changed stay good: trying them again would take long.
        """
        given, identity = operation.credentials, operation.identity
        unchanged = identity.policy in self.service.identity_kinds and identity.user_id not in self._changed_users
        if given is None or unchanged or not self._changed_users:
            return operation
        if given not in self._recognised:
            self._recognise(given, identity)
        return replace(operation, identity=self._recognised[given])

    def _recognise(self, credentials: str, before: Identity) -> None:
        """Find out who sends *credentials* now, and read what they may, once for all their operations."""
        self.flush()
        identity = self.service.authenticate_and_verify(credentials, self.transaction.read)
        self._recognised[credentials] = identity
        if identity == before:
            return
        theirs = [
            replace(operation, identity=identity)
            for operation in self._operations
            if operation.credentials == credentials and not operation.pages
        ]
        for wanted in selections.select_objects(self.service, theirs, writing=True):
            self.working_set.snapshot.add(self.transaction.read(replace(wanted, ancestor_documents=True)))

    def apply_effects(self, *effects: Effect) -> None:
        """Take over changed objects; users among them may make credentials valid or invalid."""
        users = [effect for effect in effects if effect.kind.name in self.service.identity_kinds]
        changed = {f"{effect.kind.name}:{effect.new.id}" for effect in users if _proves_otherwise(effect)}
        if changed:
            self._changed_users |= changed
            self._recognised.clear()
        super().apply_effects(*effects)

    def _cascade(self, operation: Operation, outcome: Outcome) -> None:
        """Empty what was deleted, at once (C-OBJ-61): lock the clocks below, and delete in later statements.

        What was at the top leaves its bucket even where nothing can be in it: there is the copy of its document.
        """
        gone = [effect.new.uri for effect in outcome.effects if effect.new.deleted]
        if gone and self.service.kinds.children(operation.kind):
            self._prepare(gone)
            self.flush()
            self.transaction.delete_below(gone)
            self.working_set.discard_below(set(gone))
        elif gone and at_top(gone[0]):
            self.flush()
            self.transaction.delete_copies(gone)

    def _prepare(self, gone: Sequence[str]) -> None:
        """Lock what lies below deleted objects, where that was not done at the start."""
        unlocked = [uri for uri in gone if uri not in self._cascade_roots and not is_inside(uri, self._cascade_roots)]
        if unlocked:
            self.working_set.snapshot.clocks |= self.transaction.lock((), unlocked)
            for wanted in selections.add_cascade_roots([], unlocked):
                self.working_set.snapshot.add(self.transaction.read(wanted))


def _proves_otherwise(effect: Effect) -> bool:
    """Say whether what proves a user's identity changes: the user's existence, or its private fields."""
    if effect.old is None or effect.new.deleted:
        return True
    before, after = effect.old.data(), effect.new.data()
    return any(before.get(name) != after.get(name) for name in effect.kind.private)


def _cascade_roots(service: Service, writes: Iterable[Operation], alone: bool) -> set[str]:
    """Return the objects below which a request may empty lists: all clocks there are locked from the start.

    Which objects the deletion of a list empties is known later. Unless it stands *alone*, its whole bucket counts, so
    that other operations have not locked what comes after it.
    """
    deletions = [each for each in writes if each.method == "DELETE" and service.kinds.children(each.kind)]
    objects = {each.route.uri for each in deletions if not each.route.on_list}
    if alone:
        return objects
    buckets = {each.route.bucket for each in deletions if each.route.on_list}
    return objects | {bucket for bucket in buckets if bucket.count("/") > 1}
