"""Perform a batch in a writing transaction: lock, read, decide, move, write (see `app.transactions`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app.decisions.decide import decide
from app.decisions.working_set import WorkingSet, now_ms
from app.errors import ApiError
from app.identity import Credentials, Identity, VerifyingReader
from app.operation import Answer, Effect, Operation, Outcome, View
from app.service import Service
from app.slow_results import SlowResults
from app.transactions import selections
from app.transactions.deciding import decide_operation
from app.transactions.enclosing_batch import EnclosingBatch
from app.transactions.implied import expect_implied
from app.transactions.nonces import Nonces
from app.transactions.write_transaction import WriteTransaction
from backends.storage import Clock, Selection, Snapshot, Transaction, Unlocked, at_top, is_inside, list_of


def write_batch(
    service: Service, steps: Sequence[Operation | View], slow_results: SlowResults, lists: frozenset[str]
) -> list[Answer | None]:
    """Perform a batch in one transaction, which also locks *lists*; return the answers, None for views.

    Raises the exceptions of `run_with_retries` and Outdated, ResultsMissing, ImpliedMissing, Clash, BackendError, and
    errors of views and of listeners before the commit.
    """
    with Nonces(service) as nonces, service.transaction() as transaction:
        batch = WriteBatch(service, Attempt(transaction, slow_results, nonces, lists), steps)
        batch.prepare()
        answers = [batch.perform(step) for step in steps]
        slow_results.expect_computed()
        events = batch.notify_listeners(batch.outcomes)
        batch.finish()
        batch.apply_rules()
        nonces.exchange()
        batch.notify_at_commit(events)
        if not (batch.wrote or transaction.has_executed):
            transaction.rollback()
    if batch.wants_index_builder:
        service.indexing.start()
    service.notifier.after(events)
    return answers


@dataclass(frozen=True, slots=True)
class Attempt:
    """The parts of one try to perform a batch; batches of its views share all but the lists.

    `lists` are those that earlier tries found unlocked.
    """

    transaction: Transaction
    slow_results: SlowResults
    nonces: Nonces
    lists: frozenset[str] = frozenset()


class WriteBatch(WriteTransaction):
    """The steps of a batch in one writing transaction. `outcomes` has the operations that succeeded."""

    def __init__(self, service: Service, attempt: Attempt, steps: Sequence[Operation | View]) -> None:
        super().__init__(service, attempt.transaction, Snapshot())
        operations = self._operations = [step for step in steps if isinstance(step, Operation)]
        self._attempt = attempt
        self._is_single = len(steps) == 1
        self._read = VerifyingReader(attempt.transaction.read, (operation.identity for operation in operations))
        self._identities: dict[Credentials, Identity] = {}
        self._changed_users: set[str] = set()
        self._is_snapshot_outdated = False
        self._cascade_roots: set[str] = set()
        self._lists_locked_last: set[str] = set()
        self.outcomes: list[tuple[Operation, Outcome]] = []

    def prepare(self) -> None:
        """Lock and read for the operations; call this before the first `perform`. Raises Unlocked, Outdated."""
        self._restart_from(self._lock_and_read())
        self._start_lists()
        self._empty_single_bucket()

    def _restart_from(self, snapshot: Snapshot) -> None:
        """Replace the working set by one of a new snapshot; the state of the transaction stays."""
        self.working_set = WorkingSet(snapshot, now_ms(), self.working_set.transaction_state)
        self.working_set.slow_results = self._attempt.slow_results

    def _lock_and_read(self) -> Snapshot:
        """Lock the lists that the operations may write or empty, then read everything that they name."""
        writes = [operation for operation in self._operations if not operation.reads]
        self._cascade_roots = _cascade_roots(self.service, writes, is_single=self._is_single)
        derived_lists = self.service.kinds.derived_list_uris(self._cascade_roots)
        self._lists_locked_last = {list_of(uri) for uri in self._cascade_roots if self._is_single and at_top(uri)}
        if self._lists_locked_last:
            self._lists_locked_last |= derived_lists
        lists = {operation.route.list for operation in writes} | derived_lists | self._attempt.lists
        reads = self._select_all(() if self._lists_locked_last else self._cascade_roots)
        # Not in a second try: a read cannot tell its own lock from that of several sessions.
        first_bucket = reads[0].bucket if reads and not self._attempt.lists else None
        clocks = self.transaction.lock(lists - self._lists_locked_last, self._cascade_roots, first_bucket)
        return self._read_all(clocks, reads)

    def _select_all(self, cascade_roots: Iterable[str]) -> list[Selection]:
        """Return the selections of the operations on objects, with the clocks below *cascade_roots*."""
        on_objects = [operation for operation in self._operations if not operation.pages]
        objects = selections.select_objects(self.service, on_objects, writing=True)
        return list(selections.add_cascade_roots(objects, cascade_roots))

    def _read_all(self, clocks: dict[str, Clock], reads: Iterable[Selection]) -> Snapshot:
        snapshot = Snapshot(clocks=clocks)
        for selection in reads:
            snapshot.add(self._read(selection))
        return snapshot

    def _empty_single_bucket(self) -> None:
        """Empty a bucket that a single request deletes, before the list of buckets is locked.

        Emptying a large bucket takes long; others can write to the list of buckets meanwhile. Under all locks the
        bucket is read and the request is decided again.
        """
        if not self._lists_locked_last:
            return
        try:
            decide(self._operations[0], self.working_set, self.service.rules)
        except ApiError:
            return
        for selection in selections.add_cascade_roots((), self._cascade_roots):
            self.transaction.read(selection)
        self.transaction.delete_below([*self._cascade_roots], copies=False)
        clocks = self.working_set.snapshot.clocks | self.transaction.lock(self._lists_locked_last)
        self._restart_from(self._read_all(clocks, self._select_all(self._cascade_roots)))

    def _start_lists(self) -> None:
        """Start lists of living parents that have no clock: their kind is newer than the parent (a plugin's).

        The lock of the parent's own list keeps other transactions from doing the same. Raises Unlocked for either list.
        """
        for operation in self._operations:
            parent, list_uri = operation.route.parent, operation.route.list
            has_clock = list_uri in self.working_set.snapshot.clocks or list_uri in self._lists_locked_last
            if operation.reads or operation.pages or has_clock:
                continue
            if parent is not None:
                if self.working_set.living(parent.uri) is None:
                    continue
                self.transaction.expect_locked((list_of(parent.uri),))
                if list_uri in self.transaction.read(Selection(operation.route.bucket, clocks=(list_uri,))).clocks:
                    raise Unlocked((list_uri,))  # started while this transaction waited for the parent's list
            self.working_set.start_list(list_uri)

    def perform(self, step: Operation | View) -> Answer | None:
        """Perform one operation, or run a view."""
        if isinstance(step, View):
            self._run_view(step)
            return None
        operation = self.reauthenticate(step)
        answer = self.perform_operation(operation)
        if isinstance(answer, Outcome):
            self.outcomes.append((operation, answer))
        return answer

    def _run_view(self, view: View) -> None:
        """Run a view on the state that the steps before it have written; read again if it writes."""
        self._read.verify()  # before the view may change the users
        self.flush()
        EnclosingBatch(self.service, self._perform_for_view).run(view)
        if self._is_snapshot_outdated:
            self._is_snapshot_outdated = False
            self._identities.clear()
            self._restart_from(self._lock_and_read())

    def _perform_for_view(self, operations: Sequence[Operation]) -> list[Answer]:
        """Perform operations of a view in this transaction; listeners are notified of them with the others."""
        inner = WriteBatch(self.service, replace(self._attempt, lists=frozenset()), operations)
        inner.working_set.transaction_state = self.working_set.transaction_state
        inner.prepare()
        answers = [answer for operation in operations if (answer := inner.perform(operation)) is not None]
        inner.flush()
        self.outcomes += inner.outcomes
        self.effects += inner.effects
        self.wrote |= inner.wrote
        self.wants_index_builder |= inner.wants_index_builder
        self._is_snapshot_outdated |= inner.wrote
        self._changed_users |= inner._changed_users
        return answers

    def perform_operation(self, operation: Operation) -> Answer:
        """Decide one operation and apply its effects."""
        if operation.pages:
            self.flush()
            operation, page = selections.read_list(
                self.service, operation, lambda selection: self._read(replace(selection, ancestor_documents=True))
            )
            self.working_set.snapshot.add(page)
            self.working_set.snapshot.set_page(page)
        expect_implied(operation, self.working_set)
        try:
            outcome = decide_operation(self.service, operation, self.working_set)
            self._attempt.nonces.use(operation, outcome)
        except ApiError as error:
            return error
        self.apply_effects(*outcome.effects)
        self._empty_lists_below(operation, outcome)
        return outcome

    def reauthenticate(self, operation: Operation) -> Operation:
        """Check credentials again that an earlier operation of the batch may have made valid or invalid (P-ACC-27).

        Credentials of a user that no operation changed stay valid: checking them again would take long.
        """
        credentials, identity = operation.credentials, operation.identity
        is_user_unchanged = (
            identity.policy in self.service.identity_kinds and identity.user_id not in self._changed_users
        )
        if credentials is None or is_user_unchanged or not self._changed_users:
            return operation
        if credentials not in self._identities:
            self._authenticate(credentials, identity)
        return replace(operation, identity=self._identities[credentials])

    def _authenticate(self, credentials: Credentials, former: Identity) -> None:
        """Authenticate *credentials* on the present state, and read the access of a new identity to all its objects."""
        self.flush()
        identity = self.service.authenticator.authenticate_and_verify(credentials, self.transaction.read)
        self._identities[credentials] = identity
        if identity == former:
            return
        operations = [
            replace(operation, identity=identity)
            for operation in self._operations
            if operation.credentials == credentials and not operation.pages
        ]
        for selection in selections.select_objects(self.service, operations, writing=True):
            self.working_set.snapshot.add(self.transaction.read(replace(selection, ancestor_documents=True)))

    def apply_effects(self, *effects: Effect) -> None:
        """Apply the effects of an operation; changed users may make credentials valid or invalid."""
        users = [effect for effect in effects if effect.kind.name in self.service.identity_kinds]
        changed = {f"{effect.kind.name}:{effect.new.id}" for effect in users if _changes_login(effect)}
        if changed:
            self._changed_users |= changed
            self._identities.clear()
        super().apply_effects(*effects)

    def _empty_lists_below(self, operation: Operation, outcome: Outcome) -> None:
        """Empty deleted objects for the operations that follow (C-OBJ-61): lock the clocks below, then delete.

        An object at the top that cannot contain lists is removed from its own bucket, where its copy is.
        """
        deleted = [effect.new.uri for effect in outcome.effects if effect.new.deleted]
        if deleted and self.service.kinds.children(operation.kind):
            self._lock_below(deleted)
            self.empty(deleted)
        elif deleted and at_top(deleted[0]):
            self.flush()
            self.transaction.delete_copies(deleted)

    def _lock_below(self, uris: Sequence[str]) -> None:
        """Lock the lists below deleted objects, unless they were locked from the start."""
        roots = [uri for uri in uris if uri not in self._cascade_roots and not is_inside(uri, self._cascade_roots)]
        if roots:
            derived_lists = self.service.kinds.derived_list_uris(roots)
            self.working_set.snapshot.clocks |= self.transaction.lock(derived_lists, roots)
            for selection in selections.add_cascade_roots([], roots):
                self.working_set.snapshot.add(self.transaction.read(selection))


def _changes_login(effect: Effect) -> bool:
    """Return whether a user is created or deleted, or its private fields (a password's hash) change."""
    if effect.old is None or effect.new.deleted:
        return True
    before, after = effect.old.data(), effect.new.data()
    return any(before.get(name) != after.get(name) for name in effect.kind.private)


def _cascade_roots(service: Service, writes: Iterable[Operation], *, is_single: bool) -> set[str]:
    """Return the objects below which a request may empty lists: all clocks there are locked from the start.

    The objects that the deletion of a list empties are known later. Unless that is a single request, its whole bucket
    counts, so that other operations have not locked lists that come later in the order of locks.
    """
    deletions = [write for write in writes if write.method == "DELETE" and service.kinds.children(write.kind)]
    objects = {deletion.route.uri for deletion in deletions if not deletion.route.on_list}
    if is_single:
        return objects
    buckets = {deletion.route.bucket for deletion in deletions if deletion.route.on_list}
    return objects | {bucket for bucket in buckets if bucket.count("/") > 1}
