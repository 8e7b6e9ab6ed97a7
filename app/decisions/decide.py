"""Choose the decision of an operation by its method and its route. `app.transactions` carries the outcome out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.decisions import lists, objects
from app.decisions.rules import Rules
from app.decisions.working_set import WorkingSet
from app.errors import Unauthenticated
from app.operation import Operation, Outcome

_DECISIONS: Mapping[tuple[str, bool], Callable[[Operation, WorkingSet, Rules], Outcome]] = {
    ("GET", False): objects.get,
    ("HEAD", False): objects.get,
    ("PUT", False): objects.put,
    ("PATCH", False): objects.patch,
    ("DELETE", False): objects.delete,
    ("POST", True): objects.post,
    ("GET", True): lists.get,
    ("HEAD", True): lists.get,
    ("DELETE", True): lists.delete,
}
"""The decisions by method and by whether the route leads to a list."""


def decide(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Decide one operation. Raises the ApiError that is its answer."""
    if operation.has_lost_alias:  # the user was deleted after the request was parsed
        raise Unauthenticated
    if operation.implicit:
        return objects.create_implicitly(operation, working_set, rules)
    return _DECISIONS[operation.method, operation.route.on_list](operation, working_set, rules)
