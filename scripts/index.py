"""Build the indexes of large lists (docs/queries.md)."""

import time
from typing import Final

import click

from app.factory import create_service
from scripts.command import READONLY, Command, log, settings_of

_INTERVAL_SECONDS: Final = 5.0


@click.command("index", cls=Command)
@click.option("--watch", is_flag=True, help="Do not end, but look for unfinished indexes every 5 seconds.")
@click.pass_context
def command(context: click.Context, *, watch: bool) -> int:
    """Build all unfinished indexes, and try again those that were refused.

    The command may be stopped at any time, and started again.
    """
    settings = settings_of(context)
    if settings.readonly:
        log.error("Cannot build indexes with a readonly server.")
        return READONLY
    service = create_service(settings)
    service.storage.build_indexes(click.echo, retry=True)
    while watch:
        time.sleep(_INTERVAL_SECONDS)
        service.storage.build_indexes(click.echo)
    return 0
