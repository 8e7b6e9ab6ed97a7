"""Which decision an operation asks for. `perform` does what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app import lists, objects
from app.operation import Operation, Outcome
from app.rules import Rules
from app.work import Work

_DECISIONS: Mapping[tuple[str, bool], Callable[[Operation, Work, Rules], Outcome]] = {
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


def decide(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Decide one operation. Raises the ApiError that is its answer."""
    return _DECISIONS[operation.method, operation.route.on_list](operation, seen, rules)
