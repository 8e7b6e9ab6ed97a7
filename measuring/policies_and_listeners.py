"""Time policies and listeners from outside: they contain no code for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.events import Listener
from app.identity import AnyPolicy, ClientRequest, DescribedPolicy, Identity, Reader, reads_requests
from app.observations import Authentication, Notification, Observer


class TimedPolicy:
    """A policy whose authentications are timed if they return an identity."""

    def __init__(self, policy: AnyPolicy, observe: Observer) -> None:
        self.name = policy.name
        self.reads_requests = reads_requests(policy)
        self._policy: Any = policy
        self._observe = observe
        if isinstance(policy, DescribedPolicy):
            self.security_definition = policy.security_definition

    def identify(self, sender: str | ClientRequest, read: Reader) -> Identity | str | None:
        """Return the identity of the sender by `Authorization` or the whole request, timed."""
        start = time.perf_counter()
        identity: Identity | str | None = self._policy.identify(sender, read)
        name = identity.partition(":")[0] if isinstance(identity, str) else getattr(identity, "policy", None)
        if name is not None:
            self._observe(Authentication(name, time.perf_counter() - start))
        return identity

    def challenge(self) -> str | None:
        """Return the challenge of the policy."""
        challenge: str | None = self._policy.challenge()
        return challenge


def time_listener(listener: Listener, observe: Observer) -> Listener:
    """Return a listener whose calls are timed if it has a name."""
    if not listener.name:
        return listener

    def time_calls(notify: Callable[..., None] | None) -> Callable[..., None] | None:
        if notify is None:
            return None

        def notify_and_time(*event: Any) -> None:
            start = time.perf_counter()
            try:
                notify(*event)
            finally:
                observe(Notification(listener.name, time.perf_counter() - start))

        return notify_and_time

    return replace(
        listener,
        before=time_calls(listener.before),
        at_commit=time_calls(listener.at_commit),
        together=time_calls(listener.together),
        after=time_calls(listener.after),
    )
