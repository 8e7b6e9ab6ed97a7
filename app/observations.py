"""The observations that are measured: one frozen value for each, the same for every observer."""

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
    """A statement, or a method of the cache, that did the work of these calls."""

    calls: tuple[Call, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A lookup in the cache: a hit, or a miss."""

    hit: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision to allow or refuse an operation."""

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
    """The response to a request, or to a step of a batch.

    `method` is a result of `method_name`. `view` is the name in the production guide, None if no view was called;
    `endpoint` is the name in Kinto. `user_id` has its prefix, which is `policy`. Values that only some observers need
    are computed by functions: `ids` returns the ids in the path by name (`bucket_id`), `size` the bytes of the body.
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
    """Return an observer that calls all *observers*; their errors are logged and fail no request (O-MON-15)."""
    every = tuple(observers)

    def observe(observation: Observation) -> None:
        for observer in every:
            with tolerate(log, "Unable to pass on a measurement"):
                observer(observation)

    return observe
