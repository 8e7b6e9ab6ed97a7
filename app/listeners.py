"""Load the listeners of settings: built-in or third-party modules that receive events (plugins contract, 3.2)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final, cast

from app.events import Listener
from app.settings import ListenerSettings, SettingError, Settings, convert_errors, import_name
from app.settings.aliases import REDIS_LISTENER
from backends import Json
from backends.listeners import Module

log: Final = logging.getLogger("kinto.core.initialization")

_BUILT_IN: Final = {REDIS_LISTENER: "backends.listeners.redis"}


class KintoConfig:
    """The settings of the application in the form that modules written for Kinto expect (P-EVT-10)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get_settings(self) -> Mapping[str, Json]:
        """Return all settings by their names without `kinto.`, including settings of listeners from the environment."""
        options = {
            f"{listener.prefix}{name}": value
            for listener in self._settings.listeners
            for name, value in listener.options.items()
        }
        return self._settings.decoded_values(options)


def load_listeners(settings: Settings) -> Iterator[Listener]:
    """Yield the listeners of `event_listeners` in their order (P-EVT-8). Raises SettingError."""
    for listener in settings.listeners:
        log.info("Setting up %r listener", listener.name)
        yield _load(listener, settings)


def _load(listener: ListenerSettings, settings: Settings) -> Listener:
    """Load one listener: called once just before the COMMIT, or after it if its `moment` is `after` (C-EVT-13)."""
    setting = f"{listener.prefix}use"
    module = cast(Module, import_name(setting, _BUILT_IN.get(listener.use, listener.use)))
    if not callable(getattr(module, "load_from_config", None)):
        raise SettingError(setting, f"{listener.use!r} is no listener: it has no load_from_config(config, prefix).")
    with convert_errors(setting, f"{listener.use!r} cannot be set up", listener.options.values()):
        notify = module.load_from_config(KintoConfig(settings), listener.prefix)
    if not callable(notify):
        raise SettingError(setting, f"{listener.use!r} makes no function that takes an event.")
    kinds, actions = frozenset(listener.resources), frozenset(listener.actions)
    name = f"listeners.{listener.name}"
    if getattr(notify, "moment", "before") == "after":
        return Listener(after=notify, kinds=kinds, actions=actions, name=name)
    return Listener(at_commit=notify, kinds=kinds, actions=actions, name=name)
