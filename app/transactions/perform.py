"""Perform operations: lock, read, decide, move, write. The only way in; a single request is a batch of one.

All that the operations name is read once for each bucket; decisions run in order on that working snapshot; then
everything is written once. What a snapshot cannot hold (a list, a cascade) first writes what is pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from app.errors import Clash
from app.identity import Identity, Outdated, Proof
from app.operation import Answer, Operation, View
from app.service import Service
from app.slow_results import ResultsMissing, SlowResults
from app.transactions.enclosing_batch import enclosing_batch
from app.transactions.read_batch import ViewWrites, read_batch
from app.transactions.write_batch import write_batch
from app.transactions.write_transaction import run_with_retries


def perform(service: Service, operations: Sequence[Operation]) -> list[Answer]:
    """Perform operations in order as one transaction and return what comes of each.

    An ApiError in the list is the answer of one operation and undoes nothing of the others (C-BATCH-16). Raises
    BackendError, Clash, and what listeners before the commit raise: then nothing was done.

    In a view that is a member of a batch they become part of its transaction.
    """
    return [answer for answer in perform_batch(service, operations) if answer is not None]


def perform_batch(service: Service, steps: Sequence[Operation | View]) -> list[Answer | None]:
    """Perform operations as `perform` does, and let views answer between them; None is the answer of a view.

    A view sees what came before it. What it raises undoes everything. It may be asked again when the database wants
    another try, or when what takes long was computed.
    """
    batch = enclosing_batch.get()
    if batch is not None and batch.service is service:
        return [*batch.join([step for step in steps if isinstance(step, Operation)])]
    if all(step.reads for step in steps):
        try:
            return read_batch(service, steps)
        except ViewWrites:  # nothing was written so far
            pass
    lengthy = SlowResults()
    while True:
        try:
            return run_with_retries(lambda lists: write_batch(service, steps, lengthy, lists))
        except ResultsMissing:
            lengthy.compute_missing()


def perform_authenticated(
    service: Service, steps: Sequence[Operation | View]
) -> tuple[Sequence[Operation | View], Sequence[Answer | None]]:
    """Perform a batch whose identities `Service.recognise` returned; return its steps with their answers.

    Where a user has changed since the credentials were checked, nothing is done, and the operations of that user are
    performed as whoever the credentials belong to now. Raises what `perform` raises, and ApiError of a policy.
    """
    for _ in range(_TRIES):
        try:
            return steps, perform_batch(service, steps)
        except Outdated as outdated:
            steps = _recognised_anew(service, steps, outdated.proofs)
    raise Clash


def perform_single(service: Service, operation: Operation) -> tuple[Operation, Answer]:
    """Perform one operation as `perform_recognised` does."""
    [performed], [answer] = perform_authenticated(service, [operation])
    assert isinstance(performed, Operation)
    assert answer is not None, "every operation has an answer"
    return performed, answer


_TRIES: Final = 3


def _recognised_anew(
    service: Service, steps: Sequence[Operation | View], proofs: Iterable[Proof]
) -> list[Operation | View]:
    anew: dict[str, Identity] = {}
    for proof in proofs:
        proof.forget()
        anew[proof.credentials] = service.authenticate(proof.credentials)

    def as_now(step: Operation | View) -> Operation | View:
        if isinstance(step, View):
            return step
        proof = step.identity.proof
        if proof is None or proof.credentials not in anew:
            return step
        identity = anew[proof.credentials]
        return replace(step, identity=identity, credentials=None if identity.proof else proof.credentials)

    return [as_now(step) for step in steps]
