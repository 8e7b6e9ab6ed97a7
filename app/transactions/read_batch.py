"""Perform a batch that only reads, without a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from app.decisions.working_set import WorkingSet, now_ms
from app.errors import ApiError
from app.events import ReadContext, collect_events
from app.identity import VerifyingReader
from app.operation import Answer, Operation, Outcome, View
from app.service import Service
from app.transactions import selections
from app.transactions.deciding import decide_operation
from app.transactions.enclosing_batch import EnclosingBatch
from app.transactions.implied import expect_implied
from app.transactions.write_transaction import Retry
from backends.storage import Snapshot


class ViewWrites(Retry):
    """A view with a safe method performs a write, which needs a transaction."""


def read_batch(service: Service, steps: Sequence[Operation | View]) -> list[Answer | None]:
    """Answer operations that only read: on objects by one statement for each bucket, on lists by one for each list.

    Raises Outdated, BackendError, ViewWrites, ImpliedMissing, and errors of views and of listeners.
    """
    operations = [step for step in steps if isinstance(step, Operation)]
    read = VerifyingReader(service.storage.read, (operation.identity for operation in operations))
    on_objects = [operation for operation in operations if not operation.pages]
    snapshots = [read(selection) for selection in selections.select_objects(service, on_objects, writing=False)]
    snapshot, *others = snapshots or [Snapshot()]
    for other in others:
        snapshot.add(other)
    objects = WorkingSet(snapshot, now_ms())
    answers: list[Answer | None] = []
    outcomes: list[tuple[Operation, Outcome]] = []
    for step in steps:
        if isinstance(step, View):
            EnclosingBatch(service, lambda further: _read_for_view(service, further)).run(step)
            answers.append(None)
            continue
        working_set, operation = objects, step
        if step.pages:
            operation, page = selections.read_list(service, step, read)
            working_set = WorkingSet(page, objects.now)
        expect_implied(operation, working_set)
        try:
            outcome = decide_operation(service, operation, working_set)
        except ApiError as error:
            answers.append(error)
            continue
        answers.append(outcome)
        outcomes.append((operation, outcome))
    if service.notifier.listens_to_reads:
        events = collect_events(outcomes, reads=True)
        service.notifier.before(events, ReadContext())
        service.notifier.at_commit(events)
        service.notifier.after(events)
    return answers


def _read_for_view(service: Service, operations: Sequence[Operation]) -> list[Answer]:
    if not all(operation.reads for operation in operations):
        raise ViewWrites
    return [answer for answer in read_batch(service, operations) if answer is not None]
