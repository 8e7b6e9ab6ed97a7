"""Create the objects that operations imply: the objects on the path of an alias, at its first use (`app.aliases`).

An operation whose implied objects exist is performed as any other. If one is missing, its try ends with nothing
written, and the steps are performed again with an operation before each step that creates what the step implies. These
are operations like a client's, so they lock, read, notify listeners and roll back in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from app.decisions.working_set import WorkingSet
from app.operation import Answer, Operation, View

Perform = Callable[[Sequence[Operation | View]], Sequence[Answer | None]]


class ImpliedMissing(Exception):
    """An object that an operation implies does not exist, and no operation before it creates the object."""


def expect_implied(operation: Operation, working_set: WorkingSet) -> None:
    """Raise ImpliedMissing if an object that the operation implies does not exist."""
    if not operation.has_lost_alias and any(working_set.living(route.uri) is None for route in operation.implied):
        raise ImpliedMissing


def perform_with_implied(perform: Perform, steps: Sequence[Operation | View]) -> list[Answer | None]:
    """Return what *perform* returns for the steps; it is called again with further operations on ImpliedMissing."""
    try:
        return [*perform(steps)]
    except ImpliedMissing:
        all_steps = [*_create_implied(steps)]
    answers = zip(all_steps, perform(all_steps), strict=True)
    return [answer for step, answer in answers if not (isinstance(step, Operation) and step.implicit)]


def _create_implied(steps: Iterable[Operation | View]) -> Iterator[Operation | View]:
    """Yield each step after the operations that create its implied objects."""
    for step in steps:
        if isinstance(step, Operation):
            for route in step.implied:
                yield Operation(
                    "PUT",
                    route,
                    step.identity,
                    credentials=step.credentials,
                    implicit=True,
                    alias_user=step.alias_user,
                )
        yield step
