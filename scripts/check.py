"""Report rows of the database that contradict each other, and repair them."""

from typing import Final

import click

from app.decisions.working_set import now_ms
from app.entries import list_patterns
from app.factory import create_service
from app.service import Service
from backends.storage import LATEST, CheckScope
from scripts.command import FAILED, READONLY, Command, log, settings_of
from scripts.progress import show_progress

_TOLERANCE_MS: Final = 60_000
"""The tolerated lead of a list: it may have been written more than once per ms, by a machine with a faster clock."""


@click.command("check", cls=Command)
@click.option("--repair", is_flag=True, help="Repair what is wrong. Rows that are deleted are printed as JSON before.")
@click.pass_context
def command(context: click.Context, *, repair: bool) -> int:
    """Report rows that contradict each other, a line for each fault. The exit code is 1 if there are any.

    The command may run while the service runs.
    """
    settings = settings_of(context)
    if repair and settings.readonly:
        log.error("Cannot repair with a readonly server.")
        return READONLY
    service: Service = create_service(settings)
    scope = scope_of(service)
    with show_progress("Rows checked") as advance:
        faults = service.storage.check(scope, click.echo, advance, repair=repair)
    log.info("%d fault(s) %s; timestamps from 0 to %d are in range.", faults, _verb(repair=repair), scope.latest)
    return FAILED if faults and not repair else 0


def _verb(*, repair: bool) -> str:
    return "repaired" if repair else "found"


def scope_of(service: Service) -> CheckScope:
    """Return the facts about a service on which it depends whether a row is wrong."""
    now = now_ms()
    return CheckScope(
        now,
        min(now + service.rules.timestamp_max_ahead_ms + _TOLERANCE_MS, LATEST),
        service.kinds.derived,
        list_patterns(service.kinds, [kind for kind in service.kinds if kind.membership]),
        {f"{name}:": f"/{service.kinds[name].plural}" for name in service.identity_kinds},
    )
