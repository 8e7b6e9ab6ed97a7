"""Eight writing processes, two workers: no request fails, no timestamp twice or backwards, nothing lost or missed.

C-PRE-1, C-PRE-2, C-STO-15, C-OBJ-55, C-OBJ-56, C-BATCH-18. Taking the lock out (`Writer.lock`) makes this fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from app.factory import create_app
from backends.storage.tables import clocks, documents
from tests.databases import BASICAUTH, DATABASES
from tests.racing import BUCKETS, COUNTER, DOOMED, LISTS, Connection
from tests.services import ROOT, serve

WRITERS = 8
ROUNDS = 10
POLLED = ((LISTS[0], 0), (LISTS[0], 3), (LISTS[7], 0), (LISTS[7], 2))


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database with its tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kinto.sqlite"
        return
    url = request.getfixturevalue("empty_postgresql_url")
    service = create_app({"kinto.storage_url": url}).extensions["kinto"]
    service.migrate(False, lambda line: None)
    service.close()
    yield url


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.racing", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _end(process: subprocess.Popen[str]) -> dict[str, Any]:
    printed, _ = process.communicate()
    assert process.returncode == 0
    ended: dict[str, Any] = json.loads(printed)
    return ended


def test_many_writers_lose_nothing_and_pollers_miss_nothing(url: str) -> None:
    with serve({**BASICAUTH, "kinto.storage_url": url}, workers=2) as served, closing(Connection(served)) as connection:
        for bucket in (*BUCKETS, DOOMED):
            connection.ask("PUT", bucket)
        for list in LISTS:
            connection.ask("PUT", list.removesuffix("/records"))
        _, _, counted = connection.ask("PUT", COUNTER, {"data": {"n": 0}})
        pollers = [_start("poller", served, list, str(limit)) for list, limit in POLLED]
        writers = [_start("writer", served, str(seed), str(ROUNDS)) for seed in range(WRITERS)]
        ended = [_end(writer) for writer in writers]
        copies = [_end(poller) for poller in pollers]
        lists = {list: connection.ask("GET", f"{list}?_since=0")[2]["data"] for list in LISTS}
        _, _, counter = connection.ask("GET", COUNTER)
    seen = [answer for writer in ended for answer in writer["seen"]]

    _assert_nobody_failed(seen)
    _assert_nothing_was_lost_under_if_match(ended, counter)
    _assert_timestamps_are_unique([*seen, {"method": "PUT", "uri": COUNTER, "status": 201, "body": counted}])
    _assert_the_end_is_what_was_answered(seen, lists)
    for copy in copies:
        assert copy["copy"] == {row["id"]: row for row in lists[copy["list"]]}, f"missed a change of {copy['list']}"
        assert copy["polls"] > 2
    _assert_no_orphans(url)


def _assert_nobody_failed(seen: list[dict[str, Any]]) -> None:
    """Only what may be refused is: a stale If-Match (412), what is gone (404), what is below what is gone (403)."""
    refused = Counter(answer["status"] for answer in seen if answer["status"] not in (200, 201))
    assert set(refused) <= {403, 404, 412}, refused
    assert not [answer for answer in seen if answer["uri"] == "/batch" and answer["status"] != 200]


def _assert_nothing_was_lost_under_if_match(ended: list[dict[str, Any]], counter: Any) -> None:
    assert counter["data"]["n"] == sum(writer["increments"] for writer in ended) == WRITERS * ROUNDS


def _written(seen: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each change that was answered: the object's URI and its data."""
    for answer in seen:
        if answer["status"] in (200, 201) and answer["method"] != "GET" and answer["uri"] != "/batch":
            yield answer["uri"], answer["body"]["data"]


def _assert_timestamps_are_unique(seen: list[dict[str, Any]]) -> None:
    stamps = Counter(
        (uri.rpartition("/")[0], data["last_modified"]) for uri, data in _written(seen) if not uri.startswith(DOOMED)
    )
    assert [stamp for stamp, times in stamps.items() if times > 1] == []


def _assert_the_end_is_what_was_answered(seen: list[dict[str, Any]], lists: dict[str, Any]) -> None:
    """The newest answer of each object is how it ended."""
    newest: dict[str, dict[str, Any]] = {}
    for uri, data in _written(seen):
        if uri not in newest or data["last_modified"] > newest[uri]["last_modified"]:
            newest[uri] = data
    for list, rows in lists.items():
        expected = {uri: data for uri, data in newest.items() if uri.rpartition("/")[0] == list}
        assert {f"{list}/{row['id']}": row for row in rows} == expected


def _assert_no_orphans(url: str) -> None:
    """Nothing lives below what does not; clocks tell how many live, and no object is newer than its list's clock."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as connection:
        rows = connection.execute(
            select(
                documents.c.bucket, documents.c.uri, documents.c.list, documents.c.last_modified, documents.c.deleted
            )
        ).all()
        known = {(row.bucket, row.list): row for row in connection.execute(select(clocks))}
    engine.dispose()
    living = {row.uri for row in rows if not row.deleted}
    parents = {row.uri: row.list.rpartition("/")[0] for row in rows}
    assert [uri for uri, parent in parents.items() if parent and parent not in living] == []
    in_lists = Counter((row.bucket, row.list) for row in rows if not row.deleted and (row.bucket, row.list) in known)
    for key, clock in known.items():
        parent = key[1].rpartition("/")[0]
        if not parent or parent in living:
            assert clock.count == in_lists[key], key
            assert all(row.last_modified <= clock.last_modified for row in rows if (row.bucket, row.list) == key)
