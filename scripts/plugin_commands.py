"""The commands of plugins: the module of a plugin names them in its attribute `commands` (docs/writing-plugins.md)."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from typing import Any

import click

from app.factory import create_service, load_plugin
from app.settings import SettingError, Settings
from scripts.command import COMMON_CONTEXT, common_options, level, log_lines, settings_of


def find_commands(settings: Settings, own_names: Collection[str]) -> dict[str, click.Command]:
    """Return the commands of the plugins that *settings* include.

    Raises SettingError, also for a name that another plugin has, or that is one of *own_names*.
    """
    commands: dict[str, click.Command] = {}
    for plugin in settings.includes:
        for name, command in getattr(load_plugin(plugin), "commands", {}).items():
            if name in own_names or name in commands:
                raise SettingError("includes", f"the command {name!r} of the plugin {plugin!r} exists already.")
            if not isinstance(command, click.Command):
                raise SettingError("includes", f"the command {name!r} of the plugin {plugin!r} is none of click.")
            commands[name] = _with_service(name, command)
    return commands


def _with_service(name: str, command: click.Command) -> click.Command:
    """Return a command, or a group of commands, with the common options and the service as its `obj`."""

    def invoke(context: click.Context) -> Any:
        """Run the command on a service, without the URLs of an application."""
        with log_lines(level(context)):
            context.obj = create_service(settings_of(context))
            try:
                return command.invoke(context)
            finally:
                context.obj.close()

    wrapper = copy(command)
    wrapper.name, wrapper.params = name, [*command.params, *common_options()]
    wrapper.context_settings = {**COMMON_CONTEXT, **command.context_settings}
    vars(wrapper)["invoke"] = invoke
    return wrapper
