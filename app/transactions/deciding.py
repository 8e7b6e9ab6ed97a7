"""Decide the operations of a transaction, and announce each decision to the observers of the service."""

from __future__ import annotations

import time

from app.decisions.decide import decide
from app.decisions.working_set import WorkingSet
from app.observations import Decision
from app.operation import Operation, Outcome
from app.service import Service


def decide_operation(service: Service, operation: Operation, working_set: WorkingSet) -> Outcome:
    """Decide one operation. Raises the ApiError that is its answer."""
    if not service.observers:
        return decide(operation, working_set, service.rules)
    start = time.perf_counter()
    try:
        return decide(operation, working_set, service.rules)
    finally:
        service.observe(Decision(operation, time.perf_counter() - start))
