"""A service that tells how long its decisions take, and who asks; made only where somebody wants to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.decisions.working_set import WorkingSet
from app.events import Listener
from app.identity import ANONYMOUS, Identity, Reader
from app.operation import Operation, Outcome
from app.service import Service
from backends.metrics import Metrics
from backends.metrics.observations import Authentication, Decision, Notification, Observer


@dataclass(slots=True)
class Asked:
    """What is known of a request while it is answered. `decisions` has who asked what, and the seconds of deciding."""

    started: float
    identity: Identity = ANONYMOUS
    decisions: dict[int, tuple[Identity, float]] = field(default_factory=dict)


asked: Final[ContextVar[Asked | None]] = ContextVar("asked", default=None)
"""The request that this thread answers."""


class MeasuredService(Service):
    """A service whose authentications, decisions and listeners are timed; *metrics* is what plugins measure with."""

    def __init__(self, observe: Observer, metrics: Metrics, *parts: Any) -> None:
        super().__init__(*parts)
        self.metrics = metrics
        self._observe = observe

    def authenticate(self, authorization: str | None, read: Reader | None = None) -> Identity:
        """Return who sends these credentials, timed."""
        start = time.perf_counter()
        identity = super().authenticate(authorization, read)
        if identity.policy is not None:
            self._observe(Authentication(identity.policy, time.perf_counter() - start))
        request = asked.get()
        if request:
            request.identity = identity
        return identity

    def decide(self, operation: Operation, facts: WorkingSet) -> Outcome:
        """Decide one operation, timed. Raises the ApiError that is its answer."""
        start = time.perf_counter()
        try:
            return super().decide(operation, facts)
        finally:
            seconds = time.perf_counter() - start
            self._observe(Decision(seconds))
            request = asked.get()
            if request:
                # The route is the same object whatever becomes of the operation; no two members share one.
                request.decisions[id(operation.route)] = operation.identity, seconds

    def close(self) -> None:
        """Give back what backends and metrics hold."""
        super().close()
        self.metrics.close()

    def add_listener(self, listener: Listener) -> None:
        """Tell somebody of what is changed or read, timed where it has a name."""
        if listener.name:
            before = self._timed(listener.name, listener.before)
            listener = replace(listener, before=before, after=self._timed(listener.name, listener.after))
        super().add_listener(listener)

    def _timed(self, name: str, told: Callable[..., None] | None) -> Callable[..., None] | None:
        if told is None:
            return None

        def timed(*event: Any) -> None:
            start = time.perf_counter()
            try:
                told(*event)
            finally:
                self._observe(Notification(name, time.perf_counter() - start))

        return timed
