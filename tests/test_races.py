"""Eight writing processes, two workers: no request fails, no timestamp twice or backwards, nothing lost or missed.

C-PRE-1, C-PRE-2, C-STO-15, C-OBJ-55, C-OBJ-56, C-BATCH-18; docs/architecture.md, "What a transaction refuses".
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from app.factory import create_app
from blueprints.plugins.quotas.rebuilding import rebuild_quotas
from blueprints.plugins.quotas.tables import NUMBERS, quotas
from tests.support.client import user_id
from tests.support.databases import BASICAUTH, DATABASES
from tests.support.racing import BUCKETS, COUNTER, DEFAULT, DOOMED, LISTS, Connection
from tests.support.services import ROOT, serve
from tests.support.tables import faults, read_tables, snapshot_engine

WRITERS = 8
ROUNDS = 8
HISTORIES = tuple(f"{bucket}/history" for bucket in BUCKETS)
POLLED = ((LISTS[0], 0), (LISTS[0], 3), (LISTS[7], 2), ("/buckets", 0), (HISTORIES[0], 0), (HISTORIES[0], 3))
SETTINGS = {
    "kinto.includes": " ".join(f"kinto.plugins.{name}" for name in ("accounts", "default_bucket", "history", "quotas")),
    "kinto.default_bucket_hmac_secret": "salt",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_write_principals": user_id("alice"),
    "kinto.account_create_principals": user_id("alice"),
    # Whoever sees of a list what is shared alone, sees no tombstones of it (C-PERM-16).
    "kinto.bucket_read_principals": user_id("alice"),
    "kinto.account_bcrypt_rounds": 4,
    "kinto.account_login_failures_per_account": 0,
    "kinto.account_login_failures_per_address": 0,
    "kinto.user-data_delete_principals": user_id("alice"),
}


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of an empty database with its tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kinto.sqlite"
        return
    url = request.getfixturevalue("empty_postgresql_url")
    service = create_app({**SETTINGS, "kinto.storage_url": url}).extensions["kinto"]
    service.migrate(lambda line: None)
    service.close()
    yield url


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"tests.support.{module}", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _end(process: subprocess.Popen[str]) -> dict[str, Any]:
    printed, _ = process.communicate()
    assert process.returncode == 0
    ended: dict[str, Any] = json.loads(printed)
    return ended


def test_many_writers_lose_nothing_and_pollers_miss_nothing(url: str) -> None:
    """Every moment, and the end, keeps the rules of the tables: no orphan, exact counts, one interval for a grant."""
    settings = {**BASICAUTH, **SETTINGS, "kinto.storage_url": url}
    with serve(settings, workers=2) as served:
        connection = Connection(served)
        for bucket in (*BUCKETS, DOOMED):
            connection.ask("PUT", bucket)
        for list_uri in LISTS:
            connection.ask("PUT", list_uri.removesuffix("/records"))
        _, _, counted = connection.ask("PUT", COUNTER, {"data": {"n": 0}})
        connection.close()
        pollers = [_start("racing", "poller", served, list_uri, str(limit)) for list_uri, limit in POLLED]
        watcher = _start("watching", url)
        for reader in (*pollers, watcher):
            assert reader.stdout is not None
            assert reader.stdout.readline() == "started\n"
        writers = [_start("racing", "writer", served, str(seed), str(ROUNDS)) for seed in range(WRITERS)]
        ended = [_end(writer) for writer in writers]
        copies = [_end(poller) for poller in pollers]
        watched = _end(watcher)
        connection = Connection(served)  # one that waited so long would be closed
        lists = {
            list_uri: connection.ask("GET", f"{list_uri}?_since=0")[2]["data"]
            for list_uri in (*LISTS, "/buckets", *HISTORIES)
        }
        _, _, counter = connection.ask("GET", COUNTER)
        connection.close()
    answers = [answer for writer in ended for answer in writer["seen"]]

    _assert_nobody_failed(answers)
    assert watched["faults"] == []
    assert watched["looks"] > 2
    _assert_the_rows_keep_the_rules(url)
    _assert_quotas_are_exact(url)
    _assert_nothing_was_lost_under_if_match(ended, counter)
    created = {"method": "PUT", "uri": COUNTER, "status": 201, "body": counted}
    _assert_timestamps_are_unique([*answers, created])
    _assert_every_change_is_in_the_history([*answers, created], [lists[history] for history in HISTORIES])
    _assert_the_end_is_what_was_answered(answers, {list_uri: lists[list_uri] for list_uri in LISTS})
    for copy in copies:
        assert copy["copy"] == {row["id"]: row for row in lists[copy["list"]]}, f"missed a change of {copy['list']}"
        assert copy["polls"] > 2


def _assert_nobody_failed(answers: list[dict[str, Any]]) -> None:
    """Only what may be refused is: a stale If-Match (412), what is gone (404), what is below what is gone (403)."""
    refused = Counter(answer["status"] for answer in answers if answer["status"] not in (200, 201))
    assert set(refused) <= {403, 404, 412}, refused
    assert not [answer for answer in answers if answer["uri"] == "/batch" and answer["status"] != 200]
    own = Counter(answer["status"] for answer in answers if answer["uri"].startswith(DEFAULT))
    assert set(own) == {200, 201}, own


def _assert_nothing_was_lost_under_if_match(ended: list[dict[str, Any]], counter: Any) -> None:
    assert counter["data"]["n"] == sum(writer["increments"] for writer in ended) == WRITERS * ROUNDS


def _written(answers: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each change that was answered: the object's URI and its data."""
    for answer in answers:
        method, uri, status, body = (answer[name] for name in ("method", "uri", "status", "body"))
        if method == "GET":
            continue
        # A POST of what is there already answers it.
        if status not in ((201,) if method == "POST" else (200, 201)) or uri == "/batch" or uri.startswith("/__"):
            continue
        if method == "POST" or isinstance(body["data"], list):
            for data in body["data"] if isinstance(body["data"], list) else [body["data"]]:
                yield f"{uri}/{data['id']}", data
        else:
            yield uri, body["data"]


def _assert_timestamps_are_unique(answers: list[dict[str, Any]]) -> None:
    """Also in lists that were deleted and made anew: a clock goes on where it was."""
    stamps = Counter((uri.rpartition("/")[0], data["last_modified"]) for uri, data in _written(answers))
    assert [stamp for stamp, times in stamps.items() if times > 1] == []


def _assert_the_end_is_what_was_answered(answers: list[dict[str, Any]], lists: dict[str, Any]) -> None:
    """Assert that each object is at the end as its newest answer showed it."""
    newest: dict[str, dict[str, Any]] = {}
    for uri, data in _written(answers):
        if uri not in newest or data["last_modified"] > newest[uri]["last_modified"]:
            newest[uri] = data
    for list_uri, rows in lists.items():
        expected = {uri: data for uri, data in newest.items() if uri.rpartition("/")[0] == list_uri}
        assert {f"{list_uri}/{row['id']}": row for row in rows} == expected


def _assert_every_change_is_in_the_history(answers: list[dict[str, Any]], histories: list[Any]) -> None:
    """Assert that each change of a record has one entry, and that entries are in the order of the changes of a list."""
    written = Counter(
        (uri, data["last_modified"]) for uri, data in _written(answers) if uri.rpartition("/")[0] in LISTS
    )
    entries = [
        (entry["uri"], entry["target"]["data"]["last_modified"])
        for history in histories
        for entry in sorted(history, key=lambda entry: entry["last_modified"])
        if entry["uri"].rpartition("/")[0] in LISTS
    ]
    assert Counter(entries) == written
    for list_uri in LISTS:
        stamps = [stamp for uri, stamp in entries if uri.startswith(f"{list_uri}/")]
        assert stamps == sorted(stamps)


def _assert_quotas_are_exact(url: str) -> None:
    """P-QUOTA-1: the numbers are those that are counted anew."""
    service = create_app({**SETTINGS, "kinto.storage_url": url}).extensions["kinto"]
    numbers = select(quotas.c.uri, *(quotas.c[name] for name in NUMBERS))
    written = {row for row in service.storage.execute(numbers) if any(row[1:])}

    assert CliRunner().invoke(rebuild_quotas, obj=service).exit_code == 0

    assert written == set(service.storage.execute(numbers)) != set()
    service.close()


def _assert_the_rows_keep_the_rules(url: str) -> None:
    with snapshot_engine(url).connect() as connection:
        assert faults(read_tables(connection)) == []
