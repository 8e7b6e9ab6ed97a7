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
@click.option("--older-than", "days", metavar="DAYS", type=click.FloatRange(min=0), help="Remove older tombstones too.")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...], days: float | None) -> None:
    """Keep the newest COUNT tombstones of each list of these kinds, and remove all others.

    With --older-than, COUNT is optional. The command may be stopped at any time, and started again.
    """
    names, count = _split(words, optional_count=days is not None)
    service: Service = create_service(settings_of(context))
    if count is not None:
        log.info("Keep only %d tombstones per parent and resource.", count)
    if days is not None:
        log.info("Keep only tombstones of the last %g days.", days)
    before = None if days is None else time.time_ns() // 1_000_000 - round(days * _MS_PER_DAY)
    kinds = [service.kinds[name] for name in dict.fromkeys(names) if name in service.kinds]
    deleted = service.storage.purge(list_patterns(service.kinds, kinds), count, before) if kinds else 0
    log.info("%d tombstone(s) deleted.", deleted)


def _split(words: tuple[str, ...], *, optional_count: bool) -> tuple[tuple[str, ...], int | None]:
    """Return the names of kinds and the count after them. Raises UsageError if either is missing."""
    *kinds, last = words
    if last.isdecimal():
        if not kinds:
            raise click.UsageError("Missing argument 'KIND...'.")
        return tuple(kinds), int(last)
    if optional_count:
        return words, None
    raise click.UsageError(f"Invalid value for 'COUNT': {last!r} is not a valid integer range.")
