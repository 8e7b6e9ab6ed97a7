"""Measure the memory of a worker that reads or deletes many large records: `python -m tests.bench.large_pages`.

A list gets 10,000 records of 50 kB. For several sizes of a page, for the deletion of the list and of its bucket, and
for a snapshot of the history, the growth of the peak memory of the worker (VmHWM) is printed beside the length of the
response. `--plugins history quotas` includes plugins.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import time
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
_LATEST: Final = 253_402_300_799_999


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


def measure(deployment: Deployment, method: str, path: str) -> str:
    """Send a request; describe its response, and by how much the worker's memory grew meanwhile."""
    workers = deployment.web.workers()
    for pid in workers:
        reset_peak(pid)
    before = {pid: peak_bytes(pid) for pid in workers}
    parts = urlsplit(deployment.web.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    started = time.perf_counter()
    connection.request(method, f"{parts.path}{path}", headers={"Authorization": AUTHORIZATION})
    response = connection.getresponse()
    length = 0
    while chunk := response.read(_MEBIBYTE):
        length += len(chunk)
    connection.close()
    seconds = time.perf_counter() - started
    grown = max(peak_bytes(pid) - before[pid] for pid in workers)
    following = ", Next-Page" if response.headers.get("Next-Page") else ""
    return (
        f"{method} {path}: {response.status}{following}, {length / _MEBIBYTE:.1f} MiB, {seconds:.1f} s, "
        f"the worker grows by {grown / _MEBIBYTE:.1f} MiB"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Measure on the chosen databases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=BOTH, action="append", help="default: both")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=50_000, help="of each record")
    parser.add_argument("--plugins", nargs="*", default=[], metavar="NAME", help="the names after `kinto.plugins.`")
    arguments = parser.parse_args(words)
    bucket, collection = LISTS[0].rpartition("/collections/")[0], LISTS[0].removesuffix("/records")
    requests = [("GET", f"{LISTS[0]}?_limit={size}") for size in _SIZES]
    if "history" in arguments.plugins:
        snapshot = collection.replace("/collections/", "/snapshot/collections/")
        requests += [("GET", f"{bucket}/history"), ("GET", f"{snapshot}@{_LATEST}")]
    needs = Needs(
        settings={"kinto.includes": " ".join(map("kinto.plugins.{}".format, ["accounts", *arguments.plugins]))}
    )
    for database in arguments.database or BOTH:
        with (
            tempfile.TemporaryDirectory(prefix="kinto-pages-", dir=folder_in_memory()) as folder,
            deploy(database, Path(folder), needs) as deployment,
        ):
            prepare(deployment.web.url)
            fill(deployment, arguments.records, arguments.characters)
            for method, path in [*requests, ("DELETE", LISTS[0])]:
                print(f"{database}: {measure(deployment, method, path)}", flush=True)
            fill(deployment, arguments.records, arguments.characters)
            print(f"{database}: {measure(deployment, 'DELETE', bucket)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
