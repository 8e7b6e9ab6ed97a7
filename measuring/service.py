"""A service that measures authentications, decisions and listeners; made only where metrics are switched on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.decisions.working_set import WorkingSet
from app.events import Listener
from app.identity import ANONYMOUS, Identity, Reader
from app.observations import Authentication, Decision, Notification, Observer
from app.operation import Operation, Outcome
from app.service import Service
from backends.metrics import Metrics


@dataclass(slots=True)
class RunningRequest:
    """A request that is being answered: its start, and its identity once it is authenticated.

    `decisions` has the identity and the seconds of each decision, by the `id()` of the operation's route.
    """

    started: float
    identity: Identity = ANONYMOUS
    decisions: dict[int, tuple[Identity, float]] = field(default_factory=dict)


CURRENT_REQUEST: Final[ContextVar[RunningRequest | None]] = ContextVar("current_request", default=None)
"""The request that this thread is answering."""


class MeasuredService(Service):
    """A service whose authentications, decisions and listeners are timed; *metrics* is for measurements of plugins."""

    def __init__(self, observe: Observer, metrics: Metrics, *parts: Any) -> None:
        super().__init__(*parts)
        self.metrics = metrics
        self._observe = observe

    def authenticate(self, authorization: str | None, read: Reader | None = None) -> Identity:
        """Return the identity of the sender of these credentials, timed."""
        start = time.perf_counter()
        identity = super().authenticate(authorization, read)
        if identity.policy is not None:
            self._observe(Authentication(identity.policy, time.perf_counter() - start))
        request = CURRENT_REQUEST.get()
        if request:
            request.identity = identity
        return identity

    def decide(self, operation: Operation, working_set: WorkingSet) -> Outcome:
        """Decide one operation, timed. Raises ApiError where the operation is refused."""
        start = time.perf_counter()
        try:
            return super().decide(operation, working_set)
        finally:
            seconds = time.perf_counter() - start
            self._observe(Decision(seconds))
            request = CURRENT_REQUEST.get()
            if request:
                # The operation may be replaced, its route is not; no two members of a batch share a route object.
                request.decisions[id(operation.route)] = operation.identity, seconds

    def close(self) -> None:
        """Close the backends and metrics."""
        super().close()
        self.metrics.close()

    def add_listener(self, listener: Listener) -> None:
        """Add a listener, timed if it has a name."""
        if listener.name:
            before = self._time_calls(listener.name, listener.before)
            listener = replace(listener, before=before, after=self._time_calls(listener.name, listener.after))
        super().add_listener(listener)

    def _time_calls(self, name: str, notify: Callable[..., None] | None) -> Callable[..., None] | None:
        if notify is None:
            return None

        def notify_timed(*event: Any) -> None:
            start = time.perf_counter()
            try:
                notify(*event)
            finally:
                self._observe(Notification(name, time.perf_counter() - start))

        return notify_timed
