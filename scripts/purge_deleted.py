"""Remove old tombstones, and grants and memberships that have ended (operations contract, 2.6)."""

import re
import time
from typing import Any, Final

import click

from app.entries import list_patterns
from app.factory import create_service
from app.service import Service
from scripts.command import Command, log, settings_of

_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)([hdw]?)", re.ASCII)
_HOURS: Final = {"h": 1, "d": 24, "": 24, "w": 7 * 24}
_MS_PER_HOUR: Final = 3_600_000


class Age(click.ParamType[int]):
    """An age in ms: a number of hours (`12h`), days (`90d`, `90`) or weeks (`4w`)."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the age in ms. Raises BadParameter."""
        match = _AGE.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is no age such as 12h, 90d or 4w.", param, ctx)
        return round(float(match[1]) * _HOURS[match[2]] * _MS_PER_HOUR)


@click.command("purge-deleted", cls=Command)
@click.argument("words", metavar="KIND... [COUNT]", nargs=-1, required=True)
@click.option("--older-than", "age_ms", metavar="AGE", type=Age(), help="Remove tombstones of an age: 12h, 90d, 4w.")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...], age_ms: int | None) -> None:
    """Keep the newest COUNT tombstones of each list of these kinds, and remove all others.

    With --older-than, COUNT is optional. The command may be stopped at any time, and started again.
    """
    names, count = _split(words, optional_count=age_ms is not None)
    service: Service = create_service(settings_of(context))
    if count is not None:
        log.info("Keep only %d tombstones per parent and resource.", count)
    if age_ms is not None:
        log.info("Keep only tombstones of the last %g days.", age_ms / _MS_PER_HOUR / 24)
    before = None if age_ms is None else time.time_ns() // 1_000_000 - age_ms
    kinds = [service.kinds[name] for name in dict.fromkeys(names) if name in service.kinds]
    patterns = list_patterns(service.kinds, kinds)
    deleted = service.storage.purge(patterns, count, before, service.tables) if kinds else 0
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
