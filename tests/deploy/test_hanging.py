"""A transaction that hangs takes neither the threads of a worker nor the requests that do not need its lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.factory import create_app
from tests.deploy.asking import ask
from tests.deploy.servers import gunicorn
from tests.support.databases import BASICAUTH, DATABASES
from tests.support.holding import hold

WRITERS = 50
B = "/buckets/b"
LIST = f"{B}/collections/c/records"
OTHER_LIST = f"{B}/collections/d/records"
SETTINGS = {**BASICAUTH, "kinto.storage_lock_timeout": "86400"}
"""Whoever is answered while the lock is held did not wait for it."""


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database with tables."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/kinto.sqlite" if sqlite else request.getfixturevalue("empty_postgresql_url")
    service = create_app({**SETTINGS, "kinto.storage_url": url}).extensions["kinto"]
    service.migrate(lambda line: None)
    service.close()
    return url


def test_fifty_writers_of_one_list_leave_threads_to_everybody_else(database: str) -> None:
    """One worker has eight threads. Two writers wait; the others are told to come back."""
    with (
        gunicorn({**SETTINGS, "kinto.storage_url": database}, workers=1) as (address, _),
        ThreadPoolExecutor(WRITERS) as threads,
    ):
        url = f"http://{address}/v1"

        def write(number: int) -> int:
            return ask(url, "PUT", f"{LIST}/{number}", {}, "alice").status

        for path in (B, f"{B}/collections/c", f"{B}/collections/d"):
            ask(url, "PUT", path, {}, "alice")
        with hold(database, LIST):
            writers = [threads.submit(write, number) for number in range(WRITERS)]
            pages = [
                ask(url, "GET", path, name="alice").status
                for _ in range(5)
                for path in ("/", "/__lbheartbeat__", LIST, OTHER_LIST, B)
            ]
            elsewhere = ask(url, "PUT", f"{OTHER_LIST}/r", {}, "alice").status
            beat = ask(url, "GET", "/__heartbeat__").status
        statuses = [writer.result() for writer in writers]
        stored = ask(url, "GET", LIST, name="alice").data

    assert set(pages) == {200}
    assert (elsewhere, beat) == ((201, 200) if database.startswith("postgres") else (503, 503))
    assert set(statuses) == {201, 503}
    assert len(stored) == statuses.count(201)
