"""Measure what requests cost a server: processor time of the application and of PostgreSQL, read from outside."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from itertools import islice

from tests.bench.load import Request, send
from tests.bench.results import Cost
from tests.bench.rows import transaction
from tests.bench.servers import TOLERATED, Database, Server


def measure(server: Server, requests: Iterator[Request], count: int, connections: int) -> Cost:
    """Send *count* requests over some connections, and return what they cost.

    Failures are counted for a server of `TOLERATED`; the first one of any other raises WrongStatus.
    """
    failures: list[bytes] | None = [] if server.name in TOLERATED else None
    pending = list(islice(requests, count))
    before = server.cpu_seconds()
    send(server.port, pending, connections=connections, failures=failures)
    after = server.cpu_seconds()
    return Cost(count, after[0] - before[0], after[1] - before[1], count, len(failures or ()))


def count_for(server: Server, requests: Iterator[Request], seconds: float, connections: int) -> int:
    """Send one request over each connection, and return how many of them take about so many seconds."""
    start = time.monotonic()
    measure(server, requests, connections, connections)
    return max(int(seconds / (time.monotonic() - start) * connections), connections)


def describe_environment(database: Database) -> str:
    """Return the versions and the processor that figures depend on."""
    with transaction(database.url) as cursor:
        cursor.execute("SHOW server_version")
        version = (cursor.fetchone() or ("?",))[0]
    return f"PostgreSQL {version}, Python {platform.python_version()}, {os.cpu_count()} cores"
