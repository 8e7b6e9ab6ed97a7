"""Report lists whose clock, timestamps or count are wrong, and repair them."""

from typing import Final

import click

from app.decisions.working_set import now_ms
from app.factory import create_service
from app.service import Service
from backends.storage import LATEST
from scripts.command import FAILED, READONLY, Command, log, settings_of

_TOLERANCE_MS: Final = 60_000
"""The tolerated lead of a list: it may have been written more than once per ms, by a machine with a faster clock."""


@click.command("check", cls=Command)
@click.option("--repair", is_flag=True, help="Repair the lists.")
@click.pass_context
def command(context: click.Context, *, repair: bool) -> int:
    """Report lists whose clock, timestamps or count are wrong. The exit code is 1 if there are any."""
    settings = settings_of(context)
    if repair and settings.readonly:
        log.error("Cannot repair with a readonly server.")
        return READONLY
    service: Service = create_service(settings)
    now = now_ms()
    latest = min(now + service.rules.timestamp_max_ahead_ms + _TOLERANCE_MS, LATEST)
    wrong = service.storage.check(now, latest, click.echo, repair=repair)
    log.info("%d list(s) %s; timestamps from 0 to %d are in range.", wrong, "mended" if repair else "wrong", latest)
    return FAILED if wrong and not repair else 0
