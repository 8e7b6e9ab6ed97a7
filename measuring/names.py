"""Observers with the metric names of the production guide and of Kinto 26.5 (operations contract, 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from app.observations import (
    Authentication,
    BackendCalls,
    CacheLookup,
    Decision,
    HttpResponse,
    Notification,
    Observation,
)
from backends.metrics import Metrics
from backends.metrics.calls import Call, backend_timer
from backends.metrics.limits import LabelLimit


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
