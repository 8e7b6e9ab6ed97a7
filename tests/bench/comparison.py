"""Compare servers: each workload on each of them in turns, the cheapest of several rounds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Final

from tests.bench.measuring import count_for, describe_environment, measure
from tests.bench.results import Comparison, Cost, best
from tests.bench.rows import add_records, add_records_of_kinto, analyze
from tests.bench.servers import KINTO, Server, postgresql, serve
from tests.bench.workloads import COMMON, INDEXED, WORKLOADS, Data, Workload, declare_indexes, describe, fill
from tests.support.services import ROOT

WITH_LINES: Final = "8 connections, a log line per request"
_CONNECTIONS: Final = 8
_OTHER_CONNECTIONS: Final = (1, 32)
_TIME_IMPORT: Final = "import time; start = time.process_time(); import app.factory; print(time.process_time() - start)"

_turns = count()


@dataclass(frozen=True)
class Effort:
    """How much is measured: records in the big list, seconds of a round, rounds, and the workloads by their names."""

    records: int = 100_000
    seconds: float = 0.8
    rounds: int = 3
    only: Sequence[str] = ()

    def selects(self, workload: Workload) -> bool:
        """Return whether a workload is to be measured."""
        return not self.only or any(part in workload.name for part in self.only)


Report = Callable[[str], None]
"""Shows a person how far the run is."""


def compare(names: Sequence[str], effort: Effort, report: Report) -> Comparison:
    """Measure all workloads on the servers called *names*, under all conditions."""
    shorter = replace(effort, seconds=effort.seconds / 2)
    with ExitStack() as stack:
        ours = stack.enter_context(postgresql())
        theirs = stack.enter_context(postgresql()) if KINTO in names else ours
        databases = {name: theirs if name == KINTO else ours for name in names}
        with ExitStack() as running:
            servers = [running.enter_context(serve(name, databases[name])) for name in names]
            data = _fill(servers, effort.records, report)
            run = partial(_measure_all, servers, data)
            costs = {conditions(_CONNECTIONS): run(effort, report, WORKLOADS, _CONNECTIONS)}
            for connections in _OTHER_CONNECTIONS:
                costs[conditions(connections)] = run(shorter, report, _common(), connections)
            costs[conditions(_CONNECTIONS)] |= _measure_indexed(servers, data, effort, report)
            memory = {server.name: server.memory_bytes() for server in servers}
        with ExitStack() as running:
            servers = [running.enter_context(serve(name, databases[name], lines=True)) for name in names]
            data = {server.name: describe(server.port, effort.records) for server in servers}
            costs[WITH_LINES] = _measure_all(servers, data, shorter, report, _common(), _CONNECTIONS)
        return Comparison(describe_environment(ours), effort.records, costs, memory, _import_seconds(effort.rounds))


def conditions(connections: int) -> str:
    """Return the name of the conditions of so many connections without log lines."""
    return f"{connections} connection{'s' if connections > 1 else ''}"


def _fill(servers: Sequence[Server], records: int, report: Report) -> Mapping[str, Data]:
    """Fill each database once, through the first of the servers that share it; return the data by server."""
    filled = {}
    for server in servers:
        if server.database in filled:
            continue
        add = add_records_of_kinto if server.name == KINTO else add_records
        report(f"filling the database of {server.name}")
        filled[server.database] = fill(server.port, records, partial(add, server.database.url))
        analyze(server.database.url)
    return {server.name: describe(server.port, records) for server in servers}


def _common() -> Iterator[Workload]:
    return (workload for workload in WORKLOADS if workload.name in COMMON)


def _measure_all(
    servers: Iterable[Server],
    data: Mapping[str, Data],
    effort: Effort,
    report: Report,
    workloads: Iterable[Workload],
    connections: int,
) -> dict[str, dict[str, Cost]]:
    """Return the costs by workload and server."""
    costs = {}
    for workload in filter(effort.selects, workloads):
        rounds: dict[str, list[Cost]] = {server.name: [] for server in servers}
        for _ in range(effort.rounds):
            for server in servers:
                rounds[server.name].append(_measure(server, data[server.name], workload, effort.seconds, connections))
        costs[workload.name] = {name: best(each) for name, each in rounds.items()}
        text = (
            f"{name} {cost.application_ms:.2f} + {cost.database_ms:.2f}" for name, cost in costs[workload.name].items()
        )
        report(f"{connections:3} {workload.name:32} {', '.join(text)}")
    return costs


def _measure(server: Server, data: Data, workload: Workload, seconds: float, connections: int) -> Cost:
    turn = next(_turns)
    workload.prepare(data, turn, connections)
    requests = count_for(server, workload.requests(data, turn), seconds, connections)
    turn = next(_turns)
    workload.prepare(data, turn, requests)
    return measure(server, workload.requests(data, turn), requests, connections)


def _measure_indexed(
    servers: Sequence[Server], data: Mapping[str, Data], effort: Effort, report: Report
) -> dict[str, dict[str, Cost]]:
    """Measure the workloads `INDEXED` again once their indexes are built, where a server has indexes.

    A server without them is measured as it is, for the ratio.
    """
    declared = [server for server in servers if server.name != KINTO and declare_indexes(server.port)]
    if not declared:
        return {}
    declared[0].run_command("index")
    analyze(declared[0].database.url)
    return _measure_all(servers, data, effort, report, INDEXED, _CONNECTIONS)


def _import_seconds(rounds: int) -> float:
    """Return the processor time in which a process imports the application, the lowest of some rounds."""
    command = [sys.executable, "-c", _TIME_IMPORT]
    return min(float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout) for _ in range(rounds))
