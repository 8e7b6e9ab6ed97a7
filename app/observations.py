"""The observations that are measured and logged: one frozen value for each, the same for every observer.

They are named tuples because they are made often: a frozen dataclass takes four times as long to make.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from app.identity import Identity
from app.operation import Operation
from backends import Json
from backends.metrics.calls import Call
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.metrics")


class BackendCalls(NamedTuple):
    """A statement, or a method of the cache, that did the work of these calls."""

    calls: tuple[Call, ...]
    seconds: float


class CacheLookup(NamedTuple):
    """A lookup in the cache: a hit, or a miss."""

    hit: bool


class Decision(NamedTuple):
    """A decision to allow or refuse an operation."""

    operation: Operation
    seconds: float


class Authentication(NamedTuple):
    """A policy that returned an identity."""

    policy: str
    seconds: float


class Notification(NamedTuple):
    """A listener that was called with an event."""

    listener: str
    seconds: float


class RequestHead(NamedTuple):
    """The head of a request, or of a member of a batch, as it was sent.

    `path` is decoded and has the version; it is None where it is not UTF-8. `query` is not decoded.
    `languages` is the header `Accept-Language`.
    """

    method: str
    path: str | None
    query: str
    agent: str | None
    languages: str | None


_NOT_ALLOWED: Final = 405


class HttpResponse(NamedTuple):
    """The response to a request, or to a member of a batch.

    `endpoint` is the name of the URL rule to which the path leads, `resources.record-object`; None without one, and for
    a redirect.
    `fields` are what views and plugins add to the log line, and `errno` of an error. The functions compute values that
    only some observers need: `ids` the ids in the path by name (`bucket_id`), `size` the bytes of the body.
    """

    head: RequestHead
    endpoint: str | None
    status: int
    seconds: float
    identity: Identity
    fields: Mapping[str, Json]
    ids: Callable[[], Mapping[str, str]]
    size: Callable[[], int]

    @property
    def is_of_view(self) -> bool:
        """Return whether a view answered: none answers a preflight or a method that is not allowed."""
        return self.endpoint is not None and self.head.method != "OPTIONS" and self.status != _NOT_ALLOWED


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
