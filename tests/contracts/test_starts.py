"""Processes that start at the same time, beside each other's writers, set no clock back and lose no count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from app.factory import create_app
from backends.storage.tables import clocks, documents
from tests.support.databases import BASICAUTH, DATABASES
from tests.support.services import ROOT, as_environment

PROCESSES = 8
ROUNDS = 5

_STARTS = """
import os, sys
from app.factory import create_app
from tests.support.client import Client

def start_and_write(process):
    app = create_app()
    for number in range(int(sys.argv[2])):
        app.extensions["kinto"].start()
        if Client(app).put(f"/buckets/b{process}-{number}").status != 201:
            return 1
    return 0

children = []
for process in range(int(sys.argv[1])):
    children.append(os.fork())
    if not children[-1]:
        os._exit(start_and_write(process))
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
"""


@pytest.mark.parametrize("database", DATABASES)
def test_processes_that_start_at_once_keep_clocks_and_counts(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """C-PRE-1, C-LIST-1: the database has its tables, and on PostgreSQL no clock."""
    sqlite = database == "sqlite"
    url = f"sqlite:///{tmp_path}/kinto.sqlite" if sqlite else request.getfixturevalue("empty_postgresql_url")
    settings = {**BASICAUTH, "kinto.storage_url": url}
    service = create_app(settings).extensions["kinto"]
    service.storage.migrate(lambda line: None, dry_run=False)
    environment = {**as_environment(settings), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _STARTS, str(PROCESSES), str(ROUNDS)]

    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)

    with service.storage.reading.connect() as connection:
        clock = connection.execute(select(clocks).where(clocks.c.bucket == "/buckets")).one()
        stamps = connection.execute(select(documents.c.last_modified).where(documents.c.list == "/buckets")).scalars()
        in_directory = sorted(set(stamps))
    service.close()
    assert clock.count == len(in_directory) == PROCESSES * ROUNDS
    assert clock.floor < in_directory[0]
    assert clock.last_modified == in_directory[-1]
