"""Remove old tombstones (operations contract, 2.6)."""

import click

from app.entries import list_patterns
from app.factory import create_app
from app.service import Service
from scripts.command import Command, log, settings_of


@click.command("purge-deleted", cls=Command)
@click.argument("kinds", metavar="KIND...", nargs=-1, required=True)
@click.argument("count", type=click.IntRange(min=0))
@click.pass_context
def command(context: click.Context, kinds: tuple[str, ...], count: int) -> None:
    """Keep the newest COUNT tombstones of each list of these kinds, and remove the rest."""
    service: Service = create_app(settings_of(context), measured=False).extensions["kinto"]
    log.info("Keep only %d tombstones per parent and resource.", count)
    known = [service.kinds[kind] for kind in dict.fromkeys(kinds) if kind in service.kinds]
    deleted = service.storage.purge(list_patterns(service.kinds, known), count) if known else 0
    log.info("%d tombstone(s) deleted.", deleted)
