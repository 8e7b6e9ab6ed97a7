"""The names of measurements: those of the production guide, and those of Kinto 26.5 (operations contract, 5)."""

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


class Guide:
    """The names of the production guide (operations contract, 5.1). They have no labels."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, observation: Observation) -> None:
        """Feed the timers and counters that the guide names (O-MON-3 to O-MON-12)."""
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
"""Stands in labels and names for all values beyond a bound."""

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def method_name(method: str) -> str:
    """Return a method of HTTP that the service knows, or OTHER: clients can invent any."""
    return method if method in _METHODS else OTHER


class Bound:
    """Bounds how many different values a client can bring into labels, since each is kept for ever.

    Values come as paths: `("blog", "articles", "42")`. Of each depth the first *most* paths stay as they are; in the
    others the last value is OTHER, so a new record of a known collection is `("blog", "articles", "other")`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[int, set[tuple[str, ...]]] = {}

    def __call__(self, values: Sequence[str]) -> tuple[str, ...]:
        """Return the values to use as labels; empty ones stay empty."""
        path: tuple[str, ...] = ()
        for depth, value in enumerate(values):
            path = (*path, value)
            known = self._known.setdefault(depth, set())
            if value and path not in known:
                if len(known) < self._most:
                    known.add(path)
                else:
                    path = (*path[:-1], OTHER)
        return path


class Kinto:
    """The names of Kinto 26.5 (operations contract, 5.3). *fields* are the parts of URLs that are labels.

    Of ids and of users *most* each are told apart.
    """

    def __init__(self, metrics: Metrics, fields: Sequence[str], most: int) -> None:
        self._metrics = metrics
        self._fields = tuple(fields)
        self._bound_ids, self._bound_users = Bound(most), Bound(most)

    def __call__(self, observation: Observation) -> None:
        """Feed the timers and counters that Kinto has (operations contract, 5.3)."""
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
        # Scanners make up ids: refused ones would make a series each (O-MON-18).
        ids = {} if response.status >= 400 else response.ids()
        labels = [
            ("method", response.method.lower()),
            ("endpoint", response.endpoint),
            *zip(self._fields, self._bound_ids([ids.get(name, "") for name in self._fields]), strict=True),
        ]
        self._metrics.timing("request_duration_seconds", response.seconds, labels)
        self._metrics.count("request_summary", unique=[*labels, ("status", str(response.status))])
        self._metrics.observe("request_size", response.size())
        if response.user_id is not None and response.policy is not None:
            user = response.user_id.removeprefix(f"{response.policy}:").replace(":", ".")
            policy, user = self._bound_users((response.policy, user))
            self._metrics.count("users", unique=[("auth", policy), ("userid", user)])
            self._metrics.count("authentication", unique=[("type", response.policy)])


def backend_timer(call: Call) -> tuple[str, Labels]:
    """Return name and labels of the timer that Kinto 26.5 has for a call."""
    return f"backend.{call.part}.seconds", (("method", call.kinto or ""),)
