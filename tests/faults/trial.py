"""A trial: one fault on one database under load, and what is compared after it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.faults.catalogue import Fault
from tests.faults.clients import LISTS, Load, load, prepare, read_list
from tests.faults.deployment import Deployment, deploy
from tests.faults.journal import BOUND_SECONDS, compare, missed
from tests.support.services import folder_in_memory
from tests.support.tables import faults as faults_of
from tests.support.tables import read_tables, snapshot_engine

RECOVERY_SECONDS: Final = 10.0
"""How long after the end of a fault requests may fail."""


@dataclass(frozen=True)
class Effort:
    """How long a fault lasts, how long the load runs before it, and how long clients rest between requests."""

    seconds: float = 6.0
    before_seconds: float = 1.5
    pause_seconds: float = 0.02


@dataclass(frozen=True)
class Result:
    """The counts of a trial and its problems: nothing of these is allowed."""

    fault: str
    database: str
    requests: int
    acknowledged: int
    refused: int
    broken: int
    longest_seconds: float
    recovery_seconds: float
    lost: int
    missed: int
    half_batches: int
    problems: list[str]


def attempt_all(faults: Sequence[Fault], database: str, effort: Effort) -> Iterator[Result]:
    """Try faults on a database, one after the other. Those that need the same servers share them."""
    remaining = list(faults)
    while remaining:
        needs = remaining[0].needs
        with (
            tempfile.TemporaryDirectory(prefix="kinto-faults-", dir=folder_in_memory()) as folder,
            deploy(database, Path(folder), needs) as deployment,
        ):
            prepare(deployment.web.url)
            together = [fault for fault in remaining if fault.needs == needs]
            for number, fault in enumerate(together, 1):
                result = _attempt(fault, deployment, effort, number)
                checked = _check(deployment) if number == len(together) else []
                yield replace(result, problems=[*result.problems, *checked])
        remaining = [fault for fault in remaining if fault.needs != needs]


def _attempt(fault: Fault, deployment: Deployment, effort: Effort, number: int) -> Result:
    """Try a fault; *number* is in the ids of the objects that are written."""
    with load(deployment.web.url, effort.pause_seconds, prefix=f"{number}-", padding=fault.padding) as running:
        time.sleep(effort.before_seconds)
        with fault.apply(deployment):
            time.sleep(effort.seconds)
        end = time.monotonic()
        running.mended.set()
        served = running.wait_until_served(2 * BOUND_SECONDS)
    return _conclude(fault, deployment, running, end, served=served)


def _conclude(fault: Fault, deployment: Deployment, running: Load, end: float, *, served: bool) -> Result:
    """Compare the journal, the copies of the pollers and the tables."""
    journal = running.journal
    for poller in running.pollers:
        poller.step()
        poller.connection.close()
    lists = {list_uri: read_list(deployment.web.url, list_uri) for list_uri in LISTS}
    rows = {list_uri: objects for list_uri, (objects, _) in lists.items()}
    comparison = compare(journal, rows)
    misses = [
        f"a poller of {poller.list_uri} missed {name}"
        for poller in running.pollers
        for name in missed(poller.copy, rows[poller.list_uri])
    ]
    counts = [
        f"{list_uri} counts {counted}"
        for list_uri, (objects, counted) in lists.items()
        if counted != sum("deleted" not in row for row in objects.values())
    ]
    broken, recovery = journal.broken(), journal.recovery_seconds(end)
    problems = [
        *comparison.lost,
        *misses,
        *comparison.half_batches,
        *comparison.stamps,
        *counts,
        *journal.problems(),
        *([] if served else ["not every client was served again"]),
        *([f"requests failed {recovery:.1f} s after the fault"] if recovery > RECOVERY_SECONDS else []),
        *([f"{broken} connections broke"] if broken and not fault.breaks_connections else []),
        *_broken_rules(deployment),
    ]
    return Result(
        fault.name,
        deployment.database,
        len(journal.requests),
        sum(request.is_acknowledged for request in journal.requests),
        journal.refused(),
        broken,
        journal.longest_seconds(),
        recovery,
        len(comparison.lost),
        len(misses),
        len(comparison.half_batches),
        problems,
    )


def _broken_rules(deployment: Deployment) -> list[str]:
    """Return what breaks the rules of the tables."""
    url = deployment.standby.url() if deployment.needs.standby else deployment.url
    with snapshot_engine(url).connect() as connection:
        return faults_of(read_tables(connection))


def _check(deployment: Deployment) -> list[str]:
    """Return what `kinto check` finds."""
    checked = deployment.run("check")
    return [] if checked.returncode == 0 else [f"kinto check: {checked.stdout}{checked.stderr}"]
