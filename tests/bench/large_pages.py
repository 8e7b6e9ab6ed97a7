"""Measure the memory of a worker that answers long pages: `python -m tests.bench.large_pages`.

A list gets 10,000 records of 50 kB. For several sizes of a page the growth of the peak memory of the worker (VmHWM) is
printed beside the length of the response.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.faults.catalogue import BOTH
from tests.faults.clients import AUTHORIZATION, LISTS, Connection, prepare
from tests.faults.deployment import Deployment, Needs, deploy
from tests.support.services import folder_in_memory

_BATCH: Final = 25
_MEBIBYTE: Final = 1 << 20
_SIZES: Final = (100, 1_000, 10_000)


def fill(deployment: Deployment, records: int, characters: int) -> None:
    """Create records over HTTP."""
    connection = Connection(deployment.web.url)
    for start in range(0, records, _BATCH):
        members = [
            {"method": "PUT", "path": f"{LISTS[0]}/r{start + number}", "body": {"data": {"text": "x" * characters}}}
            for number in range(_BATCH)
        ]
        if connection.ask("POST", "/batch", {"requests": members}).status != 200:
            raise RuntimeError("A batch failed")
    connection.close()


def peak_bytes(pid: int) -> int:
    """Return the largest resident memory that a process ever had, since `reset_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def reset_peak(pid: int) -> None:
    """Forget the peak so far."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(deployment: Deployment, size: int) -> tuple[int, int]:
    """Read a page; return the length of its body, and by how much the worker's memory grew meanwhile."""
    workers = deployment.web.workers()
    for pid in workers:
        reset_peak(pid)
    before = {pid: peak_bytes(pid) for pid in workers}
    parts = urlsplit(deployment.web.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    connection.request("GET", f"{parts.path}{LISTS[0]}?_limit={size}", headers={"Authorization": AUTHORIZATION})
    response = connection.getresponse()
    length = 0
    while chunk := response.read(_MEBIBYTE):
        length += len(chunk)
    connection.close()
    return length, max(peak_bytes(pid) - before[pid] for pid in workers)


def main(words: Sequence[str] | None = None) -> int:
    """Measure on the chosen databases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=BOTH, action="append", help="default: both")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=50_000, help="of each record")
    arguments = parser.parse_args(words)
    for database in arguments.database or BOTH:
        with (
            tempfile.TemporaryDirectory(prefix="kinto-pages-", dir=folder_in_memory()) as folder,
            deploy(database, Path(folder), Needs()) as deployment,
        ):
            prepare(deployment.web.url)
            fill(deployment, arguments.records, arguments.characters)
            for size in _SIZES:
                length, grown = measure(deployment, size)
                print(
                    f"{database}: a page of {size}: {length / _MEBIBYTE:.1f} MiB, the worker grows by "
                    f"{grown / _MEBIBYTE:.1f} MiB, {grown / length:.1f} times",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
