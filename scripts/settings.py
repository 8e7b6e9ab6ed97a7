"""Print the settings of the service and of the plugins that an ini file includes, as docs/settings.md does."""

from dataclasses import replace

import click

from app.factory import create_service
from scripts.command import Command, settings_of
from scripts.settings_doc import render, render_table


@click.command("settings", cls=Command)
@click.option("--plugins", is_flag=True, help="Print the settings that plugins declare, and no others.")
@click.pass_context
def command(context: click.Context, *, plugins: bool) -> None:
    """Print all settings in Markdown, those that the included plugins declare last.

    The plugins are attached to an empty storage, so none has to run.
    """
    settings = replace(settings_of(context), storage_backend="memory", storage_url="", cache_backend="memory")
    create_service(settings).close()
    if not plugins:
        click.echo(render())
    if settings.plugin_declarations:
        click.echo("\n".join(render_table("Settings of plugins", settings.plugin_declarations)))
