"""The heartbeat finds out whether the database takes writes, and writes nothing itself (C-UTIL-13, C-UTIL-16)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app.factory import create_app
from tests.support.client import Client
from tests.support.databases import BASICAUTH, make_app
from tests.support.holding import hold

HEALTHY = {"storage": True, "permission": True, "cache": True}
ONLY_READS = {"storage": False, "permission": True, "cache": True}


@contextmanager
def _alone(url: str, client: Client) -> Iterator[Any]:
    """Give a cursor beside a service, after all sessions of the database but its own have ended."""
    client.app.extensions["kinto"].storage.close()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        cursor.execute(f"SELECT pg_terminate_backend(pid, 5000) {others} AND backend_type = 'client backend'")
        yield cursor


def _row_versions(url: str, client: Client) -> list[tuple[str, int]]:
    """Return how many row versions each table was ever given: sessions tell it when they end, rolled back or not."""
    with _alone(url, client) as cursor:
        cursor.execute("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables ORDER BY relname")
        rows: list[tuple[str, int]] = cursor.fetchall()
        return rows


def test_heartbeats_make_no_row_version(postgresql_url: str) -> None:
    """One that is rolled back is dead and takes a place until the next VACUUM."""
    client = Client(make_app(postgresql_url, BASICAUTH))
    client.put("/buckets/b")
    before = _row_versions(postgresql_url, client)

    answers = [client.get("/__heartbeat__") for _ in range(5)]

    assert [(answer.status, answer.json) for answer in answers] == [(200, HEALTHY)] * 5
    assert _row_versions(postgresql_url, client) == before
    assert any(count for _, count in before)
    client.app.extensions["kinto"].close()


def test_heartbeats_write_no_byte_into_a_file(tmp_path: Path) -> None:
    file = tmp_path / "kinto.sqlite"
    client = Client(create_app({**BASICAUTH, "kinto.storage_url": f"sqlite:///{file}"}))
    client.put("/buckets/b")

    def content() -> list[bytes]:
        return [file.read_bytes(), Path(f"{file}-wal").read_bytes()]

    before = content()
    answers = [client.get("/__heartbeat__") for _ in range(5)]

    assert [(answer.status, answer.json) for answer in answers] == [(200, HEALTHY)] * 5
    assert content() == before
    client.app.extensions["kinto"].close()


@pytest.mark.parametrize("started", [True, False], ids=["a service in use", "a service that nobody has asked yet"])
def test_the_heartbeat_knows_who_may_only_read(postgresql_url: str, started: bool) -> None:
    client = Client(make_app(postgresql_url, BASICAUTH))
    with _alone(postgresql_url, client) as cursor:
        if not started:
            cursor.execute("DELETE FROM clocks")
        # Roles belong to the whole server.
        role = f"kinto_test_{uuid.uuid4().hex[:12]}"
        cursor.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role}")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        try:
            cursor.execute("SELECT current_user, current_database()")
            user, name = cursor.fetchone()
            cursor.execute(f"ALTER ROLE {user} IN DATABASE {name} SET role = '{role}'")
            reader = client.get("/__heartbeat__")
        finally:
            cursor.execute(f"ALTER ROLE {user} IN DATABASE {name} RESET role")
            client.app.extensions["kinto"].storage.close()
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert (reader.status, reader.json) == (503, ONLY_READS)
    assert client.get("/__heartbeat__").json == HEALTHY
    client.app.extensions["kinto"].close()


def test_the_heartbeat_waits_for_no_writer_of_postgresql(postgresql_url: str) -> None:
    """Somebody creates a bucket, for a long time."""
    client = Client(make_app(postgresql_url, {**BASICAUTH, "kinto.storage_lock_timeout": "86400"}))

    with hold(postgresql_url, "/buckets"):
        answer = client.get("/__heartbeat__")

    assert (answer.status, answer.json) == (200, HEALTHY)
    client.app.extensions["kinto"].close()
