"""PgBouncer in transaction mode hands sessions on after each transaction: nothing of ours is left or missed there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from app.factory import create_app
from backends.storage import waits
from tests.deploy.asking import ask
from tests.support.client import Client
from tests.support.databases import BASICAUTH, make_app
from tests.support.holding import hold
from tests.support.pooler import pooled
from tests.support.services import ROOT, as_environment, serve

B = "/buckets/b"
LIST = f"{B}/collections/c/records"


@pytest.fixture
def pooled_url(postgresql_url: str) -> Iterator[str]:
    """Give the URL of the database through a pooler, with fewer sessions than the service has connections.

    By default the transactions of the database are serializable.
    """
    name = parse_dsn(postgresql_url)["dbname"]
    with closing(psycopg2.connect(postgresql_url)) as direct, direct.cursor() as cursor:
        direct.autocommit = True
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        with pooled(postgresql_url, sessions=4) as url:
            yield url
        cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")


@pytest.mark.parametrize("prepare", ["false", "true"])
def test_limits_and_isolation_are_those_of_each_transaction(
    pooled_url: str, postgresql_url: str, prepare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of a service that waits for a second reaches no session of the one beside it."""
    settings = {**BASICAUTH, "kinto.storage_prepare": prepare}
    client = Client(make_app(pooled_url, settings))
    hasty = Client(create_app({**settings, "kinto.storage_url": pooled_url, "kinto.storage_lock_timeout": "1"}))
    monkeypatch.setattr(waits, "BRIEF_SECONDS", 60.0)
    for path in (B, f"{B}/collections/c", f"{LIST}/r"):
        client.put(path)

    with hold(postgresql_url, LIST):
        refused = hasty.put(f"{LIST}/r")
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda _: client.put(f"{LIST}/r").status, range(48)))
        read = list(threads.map(lambda _: client.get(f"{LIST}/r").status, range(48)))
    with closing(psycopg2.connect(pooled_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('transaction_isolation')")
        left = cursor.fetchone()
    for each in (client, hasty):
        each.app.extensions["kinto"].close()

    assert refused.status == 503
    assert set(written) == {200}
    assert set(read) == {200}
    assert left == ("0", "serializable")


def test_tables_are_made_and_the_service_starts_and_is_healthy(empty_postgresql_url: str) -> None:
    with pooled(empty_postgresql_url, sessions=2) as url:
        settings = {**BASICAUTH, "kinto.storage_url": url, "kinto.storage_prepare": "false"}
        settings |= {"kinto.cache_backend": "kinto.core.cache.postgresql", "kinto.cache_url": url}
        command = [sys.executable, "-m", "scripts", "migrate"]
        ended = [subprocess.Popen(command, cwd=ROOT, env=as_environment(settings)) for _ in range(3)]
        codes = [process.wait(120) for process in ended]
        with serve(settings) as service:
            answers = [
                ask(service, "GET", path) for path in ("/", "/__heartbeat__", "/__lbheartbeat__", "/buckets/default")
            ]

    assert codes == [0, 0, 0]
    assert [answer.status for answer in answers] == [200, 200, 200, 401]
    assert json.loads(answers[1].body) == {"storage": True, "permission": True, "cache": True}
