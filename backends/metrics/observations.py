"""What is measured: one frozen value for each thing that happens, the same for every observer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from backends.metrics.calls import Call
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.metrics")


@dataclass(frozen=True, slots=True)
class BackendCalls:
    """A statement, or a method of the cache, that did the jobs of these calls together."""

    calls: tuple[Call, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A lookup in the cache: a hit, or a miss."""

    hit: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """An operation that was allowed or refused."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Authentication:
    """A policy that returned an identity."""

    policy: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Notification:
    """A listener that was called with an event."""

    listener: str
    seconds: float


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The answer to a request, or to a member of a batch.

    `method` is what `method_name` returns. `view` is the name in the production guide, None where no view was reached;
    `endpoint` is Kinto's name. `user_id` has its prefix, which is `policy`. What only some observers need is computed
    when they ask: `ids` gives those of the path by name (`bucket_id`), `size` the bytes of the body.
    """

    method: str
    view: str | None
    endpoint: str
    status: int
    seconds: float
    ids: Callable[[], Mapping[str, str]]
    size: Callable[[], int]
    user_id: str | None = None
    policy: str | None = None


Observation = BackendCalls | CacheLookup | Decision | Authentication | Notification | HttpResponse
Observer = Callable[[Observation], None]


def observe_with(observers: Iterable[Observer]) -> Observer:
    """Return an observer that calls all *observers*. What one raises is logged: no request fails by it (O-MON-15)."""
    each = tuple(observers)

    def observe(observation: Observation) -> None:
        for observer in each:
            with tolerate(log, "Unable to pass on a measurement"):
                observer(observation)

    return observe
