"""Remove old tombstones, and grants and memberships that have ended (operations contract, 2.6)."""

import time

import click

from app.entries import list_patterns
from app.factory import create_service
from app.service import Service
from scripts.command import Command, log, settings_of

_MS_PER_DAY = 86_400_000


@click.command("purge-deleted", cls=Command)
@click.argument("words", metavar="KIND... [COUNT]", nargs=-1, required=True)
@click.option("--older-than", "days", metavar="DAYS", type=click.FloatRange(min=0), help="Remove what is older, too.")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...], days: float | None) -> None:
    """Keep the newest COUNT tombstones of each list of these kinds, and remove the rest.

    With --older-than, COUNT may be left out. It may be stopped at any time, and started again.
    """
    kinds, count = _split(words, countless=days is not None)
    service: Service = create_service(settings_of(context))
    if count is not None:
        log.info("Keep only %d tombstones per parent and resource.", count)
    if days is not None:
        log.info("Keep only tombstones of the last %g days.", days)
    before = None if days is None else time.time_ns() // 1_000_000 - round(days * _MS_PER_DAY)
    known = [service.kinds[kind] for kind in dict.fromkeys(kinds) if kind in service.kinds]
    deleted = service.storage.purge(list_patterns(service.kinds, known), count, before) if known else 0
    log.info("%d tombstone(s) deleted.", deleted)


def _split(words: tuple[str, ...], countless: bool) -> tuple[tuple[str, ...], int | None]:
    """Return the kinds, and the count that follows them. Raises UsageError without a kind, or a count that is due."""
    *kinds, last = words
    if last.isdecimal():
        if not kinds:
            raise click.UsageError("Missing argument 'KIND...'.")
        return tuple(kinds), int(last)
    if countless:
        return words, None
    raise click.UsageError(f"Invalid value for 'COUNT': {last!r} is not a valid integer range.")
