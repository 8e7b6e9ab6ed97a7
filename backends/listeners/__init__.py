"""The interface of listeners from settings: modules with `load_from_config`, as in Kinto.

`event_listeners.<name>.use` names such a module, built-in or of a third party (plugins contract, 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from backends import Json


class EventWithPayload(Protocol):
    """The part of an event that a listener reads."""

    @property
    def payload(self) -> Mapping[str, Json]:
        """Return the user, the action and the objects of the event."""


class ListenerConfig(Protocol):
    """The configuration that a listener receives."""

    def get_settings(self) -> Mapping[str, Json]:
        """Return all settings by their names; JSON values are decoded."""


class Notify(Protocol):
    """A listener. If it has an attribute `moment` equal to `after`, it is called after the commit instead of before."""

    def __call__(self, event: EventWithPayload) -> None:
        """Process an event."""


class Module(Protocol):
    """A module that contains a listener."""

    def load_from_config(self, config: ListenerConfig, prefix: str) -> Notify:
        """Return the listener whose settings begin with *prefix* (`event_listeners.<name>.`)."""
