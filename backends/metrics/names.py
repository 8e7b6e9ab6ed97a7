"""How what happens is told: in the names of the production guide, and in those of Kinto 26.5 (operations contract, 5).

Whoever measures says what happened; a family of names says how that is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from backends.metrics import Labels, Metrics
from backends.metrics.calls import Call
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.metrics")

_UNABLE: Final = "Unable to pass on a measurement"


class Answered(NamedTuple):
    """One answered request, or member of a batch.

    `method` is what `method_name` returns. `view` is what the production guide calls it, None for what reached no view;
    `endpoint` is Kinto's name of it.
    `user_id` has its prefix, which is `policy`. What only some names tell is found out when they ask: `ids` gives those
    of the path by name (`bucket_id`), `size` the bytes of the body.
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


class Family(Protocol):
    """One way to name what happens."""

    def called(self, calls: tuple[Call, ...], seconds: float) -> None:
        """A statement, or a method of the cache, did these jobs."""

    def looked_up(self, found: bool) -> None:
        """The cache knew a key, or did not."""

    def decided(self, seconds: float) -> None:
        """One request was allowed or refused."""

    def identified(self, policy: str, seconds: float) -> None:
        """A policy said who asks."""

    def notified(self, name: str, seconds: float) -> None:
        """A listener was told of an event."""

    def answered(self, answer: Answered) -> None:
        """A request was answered."""


class Guide:
    """The names of the production guide (operations contract, 5.1). They have no labels."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def called(self, calls: tuple[Call, ...], seconds: float) -> None:
        """Feed each timer once, whichever of its jobs the statement did (O-MON-10 to O-MON-12)."""
        for name in _guide_timers(calls):
            self._metrics.timing(name, seconds)

    def looked_up(self, found: bool) -> None:
        """Take no notice: the guide has no name for it."""

    def decided(self, seconds: float) -> None:
        """Feed `authentication.permits` (O-MON-5)."""
        self._metrics.timing("authentication.permits", seconds)

    def identified(self, policy: str, seconds: float) -> None:
        """Take no notice: the guide has no name for it."""

    def notified(self, name: str, seconds: float) -> None:
        """Feed the timer of the listener (operations contract, 5.1)."""
        self._metrics.timing(name, seconds)

    def answered(self, answer: Answered) -> None:
        """Feed the timer of the view, and count who asked (O-MON-3, O-MON-4, O-MON-6 to O-MON-9)."""
        if answer.view is not None:
            self._metrics.timing(f"view.{answer.view}.{answer.method}", answer.seconds)
        if answer.user_id is not None:
            self._metrics.count("users", unique=answer.user_id.replace(":", "."))
            self._metrics.count(f"authn_type.{answer.policy}")


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

    def called(self, calls: tuple[Call, ...], seconds: float) -> None:
        """Feed the timers of the backends."""
        for call in calls:
            if call.kinto:
                name, labels = backend_timer(call)
                self._metrics.timing(name, seconds, labels)

    def looked_up(self, found: bool) -> None:
        """Count what the cache knew, and what not."""
        self._metrics.count("cache_hits" if found else "cache_misses")

    def decided(self, seconds: float) -> None:
        """Take no notice: Kinto has no name for it."""

    def identified(self, policy: str, seconds: float) -> None:
        """Feed the timer of the policy."""
        self._metrics.timing(f"authentication.{policy}.seconds", seconds, (("method", "authenticated_userid"),))

    def notified(self, name: str, seconds: float) -> None:
        """Feed the timer of the listener."""
        self._metrics.timing(f"{name}.seconds", seconds)

    def answered(self, answer: Answered) -> None:
        """Count and time the request, and count who asked."""
        # Scanners make up ids: refused ones would make a series each (O-MON-18).
        ids = {} if answer.status >= 400 else answer.ids()
        labels = [
            ("method", answer.method.lower()),
            ("endpoint", answer.endpoint),
            *zip(self._fields, self._bound_ids([ids.get(name, "") for name in self._fields]), strict=True),
        ]
        self._metrics.timing("request_duration_seconds", answer.seconds, labels)
        self._metrics.count("request_summary", unique=[*labels, ("status", str(answer.status))])
        self._metrics.observe("request_size", answer.size())
        if answer.user_id is not None and answer.policy is not None:
            user = answer.user_id.removeprefix(f"{answer.policy}:").replace(":", ".")
            policy, user = self._bound_users((answer.policy, user))
            self._metrics.count("users", unique=[("auth", policy), ("userid", user)])
            self._metrics.count("authentication", unique=[("type", answer.policy)])


def backend_timer(call: Call) -> tuple[str, Labels]:
    """Return name and labels of the timer that Kinto 26.5 has for a call."""
    return f"backend.{call.part}.seconds", (("method", call.kinto or ""),)


class Families:
    """Tells families the same. What one raises is logged: measured requests do not fail by it (O-MON-15)."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = tuple(families)

    def called(self, calls: tuple[Call, ...], seconds: float) -> None:
        """Tell of a statement, or a method of the cache."""
        for family in self._families:
            with tolerate(log, _UNABLE):
                family.called(calls, seconds)

    def looked_up(self, found: bool) -> None:
        """Tell whether the cache knew a key."""
        for family in self._families:
            with tolerate(log, _UNABLE):
                family.looked_up(found)

    def decided(self, seconds: float) -> None:
        """Tell of a decision."""
        for family in self._families:
            with tolerate(log, _UNABLE):
                family.decided(seconds)

    def identified(self, policy: str, seconds: float) -> None:
        """Tell of a policy."""
        for family in self._families:
            with tolerate(log, _UNABLE):
                family.identified(policy, seconds)

    def notified(self, name: str, seconds: float) -> None:
        """Tell of a listener."""
        for family in self._families:
            with tolerate(log, _UNABLE):
                family.notified(name, seconds)

    def answered(self, answer: Answered) -> None:
        """Tell of an answer."""
        for family in self._families:
            with tolerate(log, _UNABLE):
                family.answered(answer)
