"""Load the service for minutes, and show that the memory of its workers stays flat.

    python -m tests.bench.soak                          ten minutes on each database
    python -m tests.bench.soak --minutes 3 --database sqlite

The memory of each worker (PSS) is printed each half minute. It is flat if that of the last minute is less than a tenth
above that of the second. The exit code is 1 if it is not, or if a request failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from tests.bench.processes import proportional_bytes
from tests.faults.catalogue import BOTH
from tests.faults.clients import BUCKETS, LISTS, Client, load, prepare
from tests.faults.deployment import Deployment, Needs, deploy
from tests.support.services import folder_in_memory

_SAMPLE_SECONDS: Final = 30.0
_SAMPLES_PER_MINUTE: Final = 2
_PAUSE_SECONDS: Final = 0.04
_GROWTH: Final = 1.1
_MEBIBYTE: Final = 1 << 20
_NEEDS: Final = Needs(settings={"kinto.includes": "kinto.plugins.accounts kinto.plugins.history"})


@dataclass(eq=False)
class Reader(Client):
    """Read pages, filters that differ each time, permissions, counts, the history, and what is not there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._paths = self._draw()

    def _draw(self) -> Iterator[tuple[str, str]]:
        for number, list_uri in enumerate(cycle(LISTS)):
            yield "GET", f"{list_uri}?_limit=100"
            yield "GET", f"{list_uri}?field{number}={number}&_sort=-other{number}&_limit=10"
            yield "HEAD", list_uri
            yield "GET", f"/permissions?_limit=10&bucket_id=b{number}"
            yield "GET", f"{BUCKETS[number % 2]}/history?_limit=20"
            yield "GET", "/"
            yield "PUT", f"{list_uri.removesuffix('/records')}/groups"

    def step(self) -> None:
        """Send the next request; a path that does not exist is 404 or 405."""
        method, path = next(self._paths)
        reply = self.connection.ask(method, path)
        if reply.status not in (404, 405):
            self.note(reply)


def soak(deployment: Deployment, minutes: float) -> bool:
    """Load the service; print the memory of its workers. Return whether it is flat and no request failed."""
    samples: dict[int, list[int]] = {pid: [] for pid in deployment.web.workers()}
    with load(deployment.web.url, _PAUSE_SECONDS, padding="x" * 500, others=[Reader, Reader]) as running:
        start = time.monotonic()
        while time.monotonic() < start + minutes * 60:
            time.sleep(_SAMPLE_SECONDS)
            for pid, memory_sizes in samples.items():
                memory_sizes.append(proportional_bytes(pid))
            memory = " ".join(f"{memory_sizes[-1] / _MEBIBYTE:7.1f}" for memory_sizes in samples.values())
            requests = len(running.journal.requests)
            print(f"{time.monotonic() - start:6.0f} s {memory} MiB, {requests} requests", flush=True)
    failed = [request for request in running.journal.requests if not request.is_acknowledged]
    ratios = [_last_minute(memory_sizes) / _second_minute(memory_sizes) for memory_sizes in samples.values()]
    text = " and ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"{deployment.database}: last to second minute {text}; {len(failed)} requests failed", flush=True)
    return max(ratios) < _GROWTH and not failed


def _second_minute(samples: Sequence[int]) -> float:
    return sum(samples[_SAMPLES_PER_MINUTE : 2 * _SAMPLES_PER_MINUTE]) / _SAMPLES_PER_MINUTE


def _last_minute(samples: Sequence[int]) -> float:
    return sum(samples[-_SAMPLES_PER_MINUTE:]) / _SAMPLES_PER_MINUTE


def main(words: Sequence[str] | None = None) -> int:
    """Soak the service on the chosen databases; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for each database, 2 at least")
    parser.add_argument("--database", choices=BOTH, action="append", help="default: both")
    arguments = parser.parse_args(words)
    flat = True
    for database in arguments.database or BOTH:
        with (
            tempfile.TemporaryDirectory(prefix="kinto-soak-", dir=folder_in_memory()) as folder,
            deploy(database, Path(folder), _NEEDS) as deployment,
        ):
            prepare(deployment.web.url)
            flat = soak(deployment, arguments.minutes) and flat
    return int(not flat)


if __name__ == "__main__":
    sys.exit(main())
