"""Observers with the metric names of the production guide and of Kinto 26.5 (operations contract, 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

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
from backends.metrics.limits import LabelLimit, method_name


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
            case Decision(_, seconds):
                self._metrics.timing("authentication.permits", seconds)
            case HttpResponse():
                self._count_response(observation)
            case Notification(listener, seconds):
                self._metrics.timing(listener, seconds)

    def _count_response(self, response: HttpResponse) -> None:
        if response.is_of_view:
            view, method = _guide_view(response.endpoint), method_name(response.head.method)
            self._metrics.timing(f"view.{view}.{method}", response.seconds)
        user_id = _user_id(response)
        if user_id is not None:
            self._metrics.count("users", unique=user_id.replace(":", "."))
            self._metrics.count(f"authn_type.{response.identity.policy}")


def _user_id(response: HttpResponse) -> str | None:
    """Return the user whom a response counts for. A batch itself counts for nobody: each of its members does."""
    return None if response.endpoint == "batch.batch" else response.identity.user_id


@lru_cache(maxsize=256)
def _guide_timers(calls: tuple[Call, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{call.part}.{call.guide}" for call in calls if call.guide))


@cache
def _guide_view(endpoint: str) -> str:
    """Return the name of a view in the production guide."""
    blueprint, _, name = endpoint.rpartition(".")
    if blueprint == "resources":
        kind, _, shape = name.rpartition("-")
        return f"{kind}-{'record' if shape == 'object' else 'collection'}"
    return blueprint if name in ("object", "plural") else name


# Names of views that differ from those of the guide, and names of responses that no view makes, by status (O-MON-18).
_KINTO_VIEWS: Final = {"contribute": "contribute.json", "metrics": "prometheus_metrics"}
_VIEWLESS: Final = {404: "unknown", 307: "redirect_to_version"}


@cache
def _kinto_view(endpoint: str | None, status: int) -> str:
    """Return the name in Kinto 26.5 of the view at an endpoint, or of a response without one."""
    if endpoint is None:
        return _VIEWLESS.get(status, "unnamed")
    if endpoint.startswith("resources."):
        return endpoint.removeprefix("resources.")
    view = _guide_view(endpoint)
    return _KINTO_VIEWS.get(view, view)


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
        ids = response.ids() if response.is_of_view and response.status < 400 else {}
        labels = [
            ("method", method_name(response.head.method).lower()),
            ("endpoint", _kinto_view(response.endpoint, response.status)),
            *zip(self._fields, self._limit_ids([ids.get(name, "") for name in self._fields]), strict=True),
        ]
        self._metrics.timing("request_duration_seconds", response.seconds, labels)
        self._metrics.count("request_summary", unique=[*labels, ("status", str(response.status))])
        self._metrics.observe("request_size", response.size())
        user_id, policy = _user_id(response), response.identity.policy
        if user_id is not None and policy is not None:
            user = user_id.removeprefix(f"{policy}:").replace(":", ".")
            auth, user = self._limit_users((policy, user))
            self._metrics.count("users", unique=[("auth", auth), ("userid", user)])
            self._metrics.count("authentication", unique=[("type", policy)])
