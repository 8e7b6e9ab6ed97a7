"""Measure copy, dump and load: minutes, processor time and the peak memory of the command, for many records.

    python -m tests.bench.copies                    1,000,000 records of 540 characters, each with a permission
    python -m tests.bench.copies --records 10000

The records are in one collection of a PostgreSQL of the tests, which waits for no disk; SQLite files are beside the
dumps in a temporary folder. Each step is one command of `kinto` in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.rows import add_records, analyze
from tests.bench.workloads import record
from tests.support.client import Client
from tests.support.databases import BASICAUTH, assemble_app
from tests.support.services import ROOT, as_environment, postgresql_database

_RECORDS: Final = "/buckets/b/collections/c/records"
_PROGRAM: Final = """
import sys
from pathlib import Path
from scripts.command import main

code = main(sys.argv[2:])
Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text())
sys.exit(code)
"""


@dataclass(frozen=True)
class Step:
    """What one command has cost."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(name: str, url: str, *arguments: str) -> Step:
    """Run a command on a storage. Raises RuntimeError if it fails."""
    environment = as_environment({**BASICAUTH, "kinto.storage_url": url})
    with tempfile.NamedTemporaryFile("r") as status:
        command = [sys.executable, "-c", _PROGRAM, status.name, *arguments]
        started = time.monotonic()
        process = subprocess.Popen(command, env=environment, cwd=ROOT)
        _, code, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            raise RuntimeError(f"{name} failed")
        [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status.read())
    return Step(name, seconds, usage.ru_utime + usage.ru_stime, int(peak) * 1024)


def fill(url: str, records: int) -> None:
    """Fill a PostgreSQL database: the first record over HTTP, the others as copies of its rows."""
    app = assemble_app({**BASICAUTH, "kinto.storage_url": url})
    app.extensions["kinto"].migrate(lambda line: None)
    client = Client(app)
    for path in ("/buckets/b", "/buckets/b/collections/c"):
        client.put(path)
    client.put(f"{_RECORDS}/r0", record(0))
    app.extensions["kinto"].close()
    for first in range(1, records, 100_000):
        add_records(url, _RECORDS, range(first, min(first + 100_000, records)), record)
    analyze(url)


def measure(records: int, folder: Path) -> Iterator[Step]:
    """Yield what each command costs."""
    with ExitStack() as stack:
        source, loaded, copied = (stack.enter_context(postgresql_database()) for _ in range(3))
        fill(source, records)
        embedded = [f"sqlite:///{folder}/{name}.sqlite" for name in ("loaded", "copied")]
        dump = f"{folder}/dump.zst"
        yield run("dump, PostgreSQL", source, "dump", dump)
        yield run("load, SQLite", embedded[0], "load", dump)
        yield run("dump, SQLite", embedded[0], "dump", f"{folder}/other.zst")
        run("migrate", loaded, "migrate")
        yield run("load, PostgreSQL", loaded, "load", dump)
        yield run("copy, PostgreSQL to SQLite", source, "copy", "--from", source, "--to", embedded[1])
        yield run("copy, SQLite to PostgreSQL", copied, "copy", "--from", embedded[1], "--to", copied)


def main(words: Sequence[str] | None = None) -> list[Step]:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    arguments: Any = parser.parse_args(words)
    steps = []
    with tempfile.TemporaryDirectory(prefix="kinto-copies-") as folder:
        print(f"| {arguments.records:,} records | minutes | processor time, minutes | peak memory, MB |")
        print("|---|---|---|---|", flush=True)
        for step in measure(arguments.records, Path(folder)):
            steps.append(step)
            minutes, busy = step.seconds / 60, step.cpu_seconds / 60
            print(f"| {step.name} | {minutes:.1f} | {busy:.1f} | {step.peak_bytes / 1e6:.0f} |", flush=True)
    return steps


if __name__ == "__main__":
    main()
