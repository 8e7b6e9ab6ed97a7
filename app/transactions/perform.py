"""Perform operations: the only entry to reads and writes of objects. A single request is a batch of one.

The package `app.transactions` describes the steps of a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from app.errors import Clash
from app.identity import Credentials, Identity, Outdated, Proof
from app.operation import Answer, Operation, View
from app.service import Service
from app.slow_results import ResultsMissing, SlowResults
from app.transactions.enclosing_batch import enclosing_batch
from app.transactions.implied import perform_with_implied
from app.transactions.read_batch import ViewWrites, read_batch
from app.transactions.write_batch import write_batch
from app.transactions.write_transaction import run_with_retries

_TRIES: Final = 3
"""How many times a batch is performed if users change after their credentials were checked."""


def perform(service: Service, operations: Sequence[Operation]) -> list[Answer]:
    """Perform operations in order as one transaction and return the answer of each.

    An ApiError in the list is the answer of one operation and undoes nothing of the others (C-BATCH-16). Raises
    BackendError, Clash, and errors of listeners before the commit: then nothing was done.

    In a view that is a member of a batch they become part of its transaction.
    """
    return [answer for answer in perform_batch(service, operations) if answer is not None]


def perform_batch(service: Service, steps: Sequence[Operation | View]) -> list[Answer | None]:
    """Perform operations as `perform` does, and run views between them; the answer of a view is None.

    A view sees the changes of the steps before it. An error that it raises undoes the whole batch. It may run again
    when the transaction is retried, or when slow results were computed.
    """
    return perform_with_implied(partial(_perform_steps, service), steps)


def _perform_steps(service: Service, steps: Sequence[Operation | View]) -> Sequence[Answer | None]:
    batch = enclosing_batch.get()
    if batch is not None and batch.service is service:
        return batch.join([step for step in steps if isinstance(step, Operation)])
    if all(step.reads for step in steps):
        try:
            return read_batch(service, steps)
        except ViewWrites:  # nothing was written so far
            pass
    slow_results = SlowResults()
    while True:
        try:
            return run_with_retries(lambda lists: write_batch(service, steps, slow_results, lists))
        except ResultsMissing:
            slow_results.compute_missing()


def perform_authenticated(
    service: Service, steps: Sequence[Operation | View]
) -> tuple[Sequence[Operation | View], Sequence[Answer | None]]:
    """Perform a batch whose identities `Service.authenticate` returned; return its steps with their answers.

    If a user has changed since the credentials were checked, nothing is done, and the operations of that user are
    performed with the present identity of the credentials. Raises errors of `perform`, and ApiError of a policy.
    """
    for _ in range(_TRIES):
        try:
            return steps, perform_batch(service, steps)
        except Outdated as outdated:
            steps = _authenticate_again(service, steps, outdated.proofs)
    raise Clash


def perform_single(service: Service, operation: Operation) -> tuple[Operation, Answer]:
    """Perform one operation as `perform_authenticated` does."""
    [final_operation], [answer] = perform_authenticated(service, [operation])
    assert isinstance(final_operation, Operation)
    assert answer is not None, "every operation has an answer"
    return final_operation, answer


def _authenticate_again(
    service: Service, steps: Sequence[Operation | View], proofs: Iterable[Proof]
) -> list[Operation | View]:
    """Return the steps with new identities for the credentials of outdated proofs."""
    identities: dict[Credentials, Identity] = {}
    for proof in proofs:
        proof.forget()
        identities[proof.credentials] = service.authenticator.authenticate(proof.credentials)

    def renew(step: Operation | View) -> Operation | View:
        if isinstance(step, View):
            return step
        proof = step.identity.proof
        if proof is None or proof.credentials not in identities:
            return step
        identity = identities[proof.credentials]
        return replace(step, identity=identity, credentials=None if identity.proof else proof.credentials)

    return [renew(step) for step in steps]
