"""Print the version (operations contract, 2.7)."""

import logging

import click

from app.version import KINTO_VERSION, VERSION
from scripts.command import Command, level


@click.command("version", cls=Command)
@click.pass_context
def command(context: click.Context) -> None:
    """Print the version; with -v also the version of Kinto that it replaces."""
    click.echo(VERSION)
    if level(context) == logging.DEBUG:
        click.echo(f"Kinto {KINTO_VERSION}")
