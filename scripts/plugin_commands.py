"""The commands of plugins: the module of a plugin names them in its attribute `commands` (docs/writing-plugins.md)."""

from __future__ import annotations

from typing import Any

import click

from app.factory import create_service, load_plugin
from app.settings import Settings
from scripts.command import Command, level, log_lines, settings_of


class PluginCommand(Command):
    """A command of a plugin with the common options; its `obj` is the service."""

    def __init__(self, name: str, command: click.Command) -> None:
        super().__init__(name, params=[*command.params], callback=command.callback, help=command.help)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command on a service, without the URLs of an application."""
        with log_lines(level(ctx)):
            ctx.obj = create_service(settings_of(ctx))
            try:
                return click.Command.invoke(self, ctx)
            finally:
                ctx.obj.close()


def find_commands(settings: Settings) -> dict[str, click.Command]:
    """Return the commands of the plugins that *settings* include. Raises SettingError."""
    modules = [load_plugin(name) for name in settings.includes]
    return {
        name: PluginCommand(name, command)
        for module in modules
        for name, command in getattr(module, "commands", {}).items()
    }
