"""Observers with the metric names of the production guide and of Kinto 26.5 (operations contract, 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from backends.metrics import Labels, Metrics
from backends.metrics.calls import Call
from backends.metrics.observations import (
    Authentication,
    BackendCalls,
    CacheLookup,
    Decision,
    HttpResponse,
    Notification,
    Observation,
)


class GuideNames:
    """Record metrics with the names of the production guide, without labels (operations contract, 5.1)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, observation: Observation) -> None:
        """Update the timers and counters of the guide (O-MON-3 to O-MON-12)."""
        match observation:
            case BackendCalls(calls, seconds):
                for name in _guide_timers(calls):
                    self._metrics.timing(name, seconds)
            case Decision(seconds):
                self._metrics.timing("authentication.permits", seconds)
            case HttpResponse():
                self._count_response(observation)
            case Notification(listener, seconds):
                self._metrics.timing(listener, seconds)

    def _count_response(self, response: HttpResponse) -> None:
        if response.view is not None:
            self._metrics.timing(f"view.{response.view}.{response.method}", response.seconds)
        if response.user_id is not None:
            self._metrics.count("users", unique=response.user_id.replace(":", "."))
            self._metrics.count(f"authn_type.{response.policy}")


@lru_cache(maxsize=256)
def _guide_timers(calls: tuple[Call, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{call.part}.{call.guide}" for call in calls if call.guide))


OTHER: Final = "other"
"""The value in labels and names for all values beyond a limit."""

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def method_name(method: str) -> str:
    """Return an HTTP method of the service, OTHER for any other: clients can send any text."""
    return method if method in _METHODS else OTHER


class LabelLimit:
    """Limit the number of distinct label values that clients can create, since each is stored until the process ends.

    Values are paths: `("blog", "articles", "42")`. The first *maximum* paths of each depth are unchanged; in any other
    path the last value is OTHER, so a new record of a known collection is `("blog", "articles", "other")`.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._paths: dict[int, set[tuple[str, ...]]] = {}

    def __call__(self, values: Sequence[str]) -> tuple[str, ...]:
        """Return the values for labels; empty values are unchanged."""
        path: tuple[str, ...] = ()
        for depth, value in enumerate(values):
            path = (*path, value)
            paths = self._paths.setdefault(depth, set())
            if value and path not in paths:
                if len(paths) < self._maximum:
                    paths.add(path)
                else:
                    path = (*path[:-1], OTHER)
        return path


class KintoNames:
    """Record metrics with the names of Kinto 26.5 (operations contract, 5.3).

    *fields* are the URL parameters that are labels; *maximum* limits the distinct ids and the distinct users.
    """

    def __init__(self, metrics: Metrics, fields: Sequence[str], maximum: int) -> None:
        self._metrics = metrics
        self._fields = tuple(fields)
        self._limit_ids, self._limit_users = LabelLimit(maximum), LabelLimit(maximum)

    def __call__(self, observation: Observation) -> None:
        """Update the timers and counters of Kinto (operations contract, 5.3)."""
        match observation:
            case BackendCalls(calls, seconds):
                for call in calls:
                    if call.kinto:
                        name, labels = backend_timer(call)
                        self._metrics.timing(name, seconds, labels)
            case HttpResponse():
                self._count_response(observation)
            case CacheLookup(hit):
                self._metrics.count("cache_hits" if hit else "cache_misses")
            case Authentication(policy, seconds):
                labels = (("method", "authenticated_userid"),)
                self._metrics.timing(f"authentication.{policy}.seconds", seconds, labels)
            case Notification(listener, seconds):
                self._metrics.timing(f"{listener}.seconds", seconds)

    def _count_response(self, response: HttpResponse) -> None:
        # Scanners invent ids: each rejected id would create a time series (O-MON-18).
        ids = {} if response.status >= 400 else response.ids()
        labels = [
            ("method", response.method.lower()),
            ("endpoint", response.endpoint),
            *zip(self._fields, self._limit_ids([ids.get(name, "") for name in self._fields]), strict=True),
        ]
        self._metrics.timing("request_duration_seconds", response.seconds, labels)
        self._metrics.count("request_summary", unique=[*labels, ("status", str(response.status))])
        self._metrics.observe("request_size", response.size())
        if response.user_id is not None and response.policy is not None:
            user = response.user_id.removeprefix(f"{response.policy}:").replace(":", ".")
            policy, user = self._limit_users((response.policy, user))
            self._metrics.count("users", unique=[("auth", policy), ("userid", user)])
            self._metrics.count("authentication", unique=[("type", response.policy)])


def backend_timer(call: Call) -> tuple[str, Labels]:
    """Return name and labels of the timer of a call in Kinto 26.5."""
    return f"backend.{call.part}.seconds", (("method", call.kinto or ""),)
