"""A module of listeners in the shape of Kinto's tutorial, which keeps what it was told, or fails when told to."""

from __future__ import annotations

from typing import Any

heard: list[tuple[str, Any, Any]] = []
made_from: dict[str, Any] = {}


class Listener:
    """Keep what an event says."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def __call__(self, event: Any) -> None:
        heard.append((event.request.prefixed_userid, event.payload, event.impacted_objects))
        if self.fails:
            raise RuntimeError("told to fail")


def load_from_config(config: Any, prefix: str) -> Listener:
    """Make the listener."""
    settings = config.get_settings()
    made_from.clear()
    made_from.update({name: value for name, value in settings.items() if name.startswith(prefix)}, prefix=prefix)
    return Listener(settings.get(f"{prefix}fails", False))
