"""What a run of the benchmark has measured, as values and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """The processor time of some requests in seconds, and how many of all that were sent have failed."""

    requests: int
    application: float
    database: float
    sent: int
    failed: int

    @property
    def application_ms(self) -> float:
        """The milliseconds of the application per request."""
        return self.application / self.requests * 1000

    @property
    def database_ms(self) -> float:
        """The milliseconds of PostgreSQL per request."""
        return self.database / self.requests * 1000

    @property
    def total_ms(self) -> float:
        """The milliseconds of both per request."""
        return self.application_ms + self.database_ms


def best(rounds: list[Cost]) -> Cost:
    """Return the cheapest of several rounds, with the failures of all."""
    cheapest = min(rounds, key=lambda cost: cost.total_ms)
    sent, failed = sum(cost.sent for cost in rounds), sum(cost.failed for cost in rounds)
    return replace(cheapest, sent=sent, failed=failed)


Costs = Mapping[str, Mapping[str, Cost]]
"""Costs by the name of a workload, then by the name of a server."""


@dataclass(frozen=True)
class Comparison:
    """Servers beside each other: costs by conditions (as "8 connections"), memory, and the start of the application."""

    environment: str
    records: int
    costs: Mapping[str, Costs]
    memory_bytes: Mapping[str, int]
    import_seconds: float


@dataclass(frozen=True)
class Curves:
    """Costs of requests, by the subject that grows, the name of a request and the size."""

    environment: str
    costs: Mapping[str, Mapping[str, Mapping[int, Cost]]]


def save(folder: Path, results: Comparison | Curves) -> None:
    """Write results into a folder, one file for each class."""
    folder.mkdir(exist_ok=True)
    _file(folder, type(results)).write_text(json.dumps(asdict(results), indent=1))


def load_comparison(folder: Path) -> Comparison | None:
    """Return the comparison that was saved last, None without one."""
    values = _load(folder, Comparison)
    if values is None:
        return None
    values["costs"] = {
        conditions: {
            workload: {name: Cost(**cost) for name, cost in costs.items()} for workload, costs in workloads.items()
        }
        for conditions, workloads in values["costs"].items()
    }
    return Comparison(**values)


def load_curves(folder: Path) -> Curves | None:
    """Return the curves that were saved last, None without any."""
    values = _load(folder, Curves)
    if values is None:
        return None
    values["costs"] = {
        subject: {
            request: {int(size): Cost(**cost) for size, cost in costs.items()} for request, costs in requests.items()
        }
        for subject, requests in values["costs"].items()
    }
    return Curves(**values)


def _load(folder: Path, kind: type) -> dict[str, Any] | None:
    file = _file(folder, kind)
    if not file.exists():
        return None
    values: dict[str, Any] = json.loads(file.read_text())
    return values


def _file(folder: Path, kind: type) -> Path:
    return folder / f"bench_{kind.__name__.lower()}.json"
