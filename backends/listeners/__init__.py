"""Who is told of events outside this service: a module each, with `load_from_config`, as Kinto's own listeners have it.

`event_listeners.<name>.use` names such a module, one of these or anybody's (plugins contract, 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from backends import Json


class Told(Protocol):
    """What a listener looks at of an event."""

    @property
    def payload(self) -> Mapping[str, Json]:
        """Return who did what to what."""


class Config(Protocol):
    """Where a listener finds its settings."""

    def get_settings(self) -> Mapping[str, Json]:
        """Return all settings by their names, values read as JSON where they are JSON."""


class Notify(Protocol):
    """A listener. An attribute `moment` that says `after` has it called once all is committed, instead of before."""

    def __call__(self, event: Told) -> None:
        """Take notice of an event."""


class Module(Protocol):
    """A module of a listener."""

    def load_from_config(self, config: Config, prefix: str) -> Notify:
        """Make the listener whose settings begin with *prefix* (`event_listeners.<name>.`)."""
