"""Compare what requests cost: processor time of application and database, for a server or several in turns.

    python -m tests.bench                       this service under gunicorn
    python -m tests.bench gunicorn granian      two servers of this service
    BENCH_KINTO=1 python -m tests.bench         also the published Kinto 26.5, installed into build/kinto-26.5

All run at once on one PostgreSQL server and get the same requests in turns. Read the ratios of one run, never times.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, islice

from tests.bench.load import send
from tests.bench.servers import NAMES, Server, serve
from tests.bench.workloads import WORKLOADS, Data, Workload, expect_success, fill

_turns = count()


@dataclass(frozen=True)
class Cost:
    """What requests have cost, in seconds of processor time."""

    requests: int = 0
    application: float = 0.0
    database: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.application + other.application,
            self.database + other.database,
        )

    def milliseconds(self) -> tuple[float, float]:
        """Return the milliseconds per request of application and database."""
        return self.application / self.requests * 1000, self.database / self.requests * 1000


def measure(server: Server, data: Data, workload: Workload, seconds: float, connections: int) -> Cost:
    """Send requests of a workload for about some seconds, and return what they cost."""
    turn = next(_turns)
    workload.prepare(data, turn, connections)
    start = time.monotonic()
    expect_success(send(server.port, islice(workload.requests(data, turn), connections), connections=connections))
    requests = max(int(seconds / (time.monotonic() - start) * connections), connections)
    turn = next(_turns)
    workload.prepare(data, turn, requests)
    pending = list(islice(workload.requests(data, turn), requests))
    before = server.cpu_seconds()
    send(server.port, pending, connections=connections)
    after = server.cpu_seconds()
    return Cost(requests, after[0] - before[0], after[1] - before[1])


def compare(names: Sequence[str], arguments: argparse.Namespace) -> list[tuple[str, dict[str, Cost]]]:
    """Measure each workload on each server, in turns; return the costs by workload and server."""
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(name, lines=arguments.lines)) for name in names]
        data = {server.name: fill(server.port, arguments.records) for server in servers}
        results = []
        for workload in WORKLOADS:
            if arguments.only and not any(part in workload.name for part in arguments.only):
                continue
            costs = {server.name: Cost() for server in servers}
            for _ in range(arguments.rounds):
                for server in servers:
                    costs[server.name] += measure(
                        server, data[server.name], workload, arguments.seconds, arguments.connections
                    )
            results.append((workload.name, costs))
            print(line(workload.name, costs), flush=True)
        for server in servers:
            print(f"{server.name}: {server.memory_bytes() / 1_000_000:.0f} MB in master and workers")
        return results


def line(name: str, costs: dict[str, Cost]) -> str:
    """Return a row of the table: ms of application + database per request; ratios to the first server."""
    cells = []
    first = sum(next(iter(costs.values())).milliseconds()) or math.nan  # the clock ticks a hundred times a second
    for cost in costs.values():
        application, database = cost.milliseconds()
        cells.append(f"{application:.2f} + {database:.2f} | {(application + database) / first:.2f}")
    return f"| {name} | {' | '.join(cells)} |"


def main(words: Sequence[str] | None = None) -> None:
    """Print a table: for each workload and server the ms of processor time, and the ratio to the first server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--records", type=int, default=10_000, help="in the big list")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each workload, server and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--lines", action="store_true", help="write a log line per request")
    parser.add_argument("--only", action="append", metavar="TEXT", help="workloads whose name has this text")
    arguments = parser.parse_args(words)
    names = arguments.servers or ["gunicorn"]
    if os.environ.get("BENCH_KINTO") == "1" and "kinto" not in names:
        names.append("kinto")
    print(f"| request | {' | '.join(f'{name}, ms | ratio' for name in names)} |")
    print("|---" * (1 + 2 * len(names)) + "|")
    compare(names, arguments)


if __name__ == "__main__":
    main()
