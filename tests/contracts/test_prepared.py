"""Statements that PostgreSQL prepares: when, and what happens where a session is not ours alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.factory import create_app
from app.service import Service
from backends.storage import Selection, prepared
from tests.support.client import Client
from tests.support.databases import BASICAUTH, keep_app
from tests.support.wire import Wire, counting_proxy

BUCKET = "/buckets/b"
LIST = f"{BUCKET}/collections/c/records"
RECORD = f"{LIST}/r"
ONE_CONNECTION = {
    **BASICAUTH,
    "kinto.storage_prepare": True,
    "kinto.storage_pool_size": 1,
    "kinto.storage_max_overflow": 0,
}


@pytest.fixture
def watched(postgresql_url: str) -> Iterator[tuple[Client, Wire]]:
    """Give an application with one connection for reads and one for writes, and what goes to the server."""
    keep_app(postgresql_url, BASICAUTH)
    with counting_proxy(postgresql_url) as (url, wire):
        client = Client(create_app({**ONE_CONNECTION, "kinto.storage_url": url}))
        for path in (BUCKET, f"{BUCKET}/collections/c", RECORD):
            client.put(path, {"n": 1})
        client.get("/__heartbeat__")  # which opens the connection for reads
        wire.clear()
        yield client, wire
        service(client).close()


def service(client: Client) -> Service:
    app_service: Service = client.app.extensions["kinto"]
    return app_service


def sent(wire: Wire) -> list[str]:
    tags = [tag.split()[0] for tag in wire.tags]
    wire.clear()
    return tags


def forget_statements(client: Client) -> None:
    """Lose what was prepared, as a pooler does that gives out another session."""
    storage: Any = service(client).storage
    for engine in (storage.reading, storage.writing):
        with engine.connect() as connection:
            connection.exec_driver_sql("DEALLOCATE ALL")


def test_a_statement_is_prepared_when_it_is_sent_again(watched: tuple[Client, Wire]) -> None:
    client, wire = watched

    answers, statements = [], []
    for _ in range(4):
        answers.append(client.get(RECORD).json)
        statements.append(sent(wire))

    assert statements == [["SELECT"], ["PREPARE", "SELECT"], ["SELECT"], ["SELECT"]]
    assert all(answer == answers[0] for answer in answers)


def test_pages_that_differ_in_fields_and_values_share_a_statement(watched: tuple[Client, Wire]) -> None:
    client, wire = watched
    for number in range(3):
        client.put(f"{LIST}/r{number}", {"n": number, "m": f"text {number}"})
    wire.clear()

    pages = [client.get(f"{LIST}?{query}").json["data"] for query in ("n=0&_sort=m", "m=text 1&_sort=n", "n=2&_sort=x")]

    assert [[record["id"] for record in page] for page in pages] == [["r0"], ["r1"], ["r2"]]
    assert sent(wire) == ["SELECT", "PREPARE", "SELECT", "SELECT"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_session_that_lost_its_statements_fails_no_request(
    watched: tuple[Client, Wire], caplog: pytest.LogCaptureFixture, method: str
) -> None:
    client, wire = watched
    for _ in range(3):
        client.ask(method, RECORD, {"data": {"n": 2}} if method == "PUT" else None)
    forget_statements(client)

    with caplog.at_level(logging.WARNING):
        answer = client.ask(method, RECORD, {"data": {"n": 3}} if method == "PUT" else None)
        wire.clear()
        client.get(RECORD)

    assert answer.status == 200
    assert "A pooler shares sessions" in caplog.text
    assert sent(wire) == ["SELECT"]


def test_a_statement_of_another_client_of_the_session_fails_no_request(watched: tuple[Client, Wire]) -> None:
    """The names come from the text, so that the other client has prepared the same: that is no harm."""
    client, _ = watched
    client.get(RECORD)
    storage: Any = service(client).storage
    with storage.reading.connect() as connection:
        connection.info.clear()
    client.get(RECORD)
    client.get(RECORD)
    with storage.reading.connect() as connection:
        connection.info.clear()

    assert [client.get(RECORD).status for _ in range(3)] == [200, 200, 200]


def test_a_connection_remembers_a_bounded_number_of_statements(
    watched: tuple[Client, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, wire = watched
    monkeypatch.setattr(prepared, "_MAX_STATEMENTS", 3)
    shapes = [f"{LIST}?{query}" for query in ("n=1", "gt_n=0", "has_n=true", "like_n=x", "in_n=1,2")]

    for path in shapes * 3:
        assert client.get(path).status == 200

    assert "DEALLOCATE" in sent(wire)
    with service(client).storage.reading.connect() as connection:  # type: ignore[attr-defined]  # of SqlStorage
        count = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one()
    assert count <= 3


def test_a_failed_transaction_leaves_its_prepared_statements_usable(watched: tuple[Client, Wire]) -> None:
    client, wire = watched
    client.put(RECORD, {"n": 1})
    wire.clear()

    refused = client.put(RECORD, {"n": 2}, if_none_match="*")
    written = client.put(RECORD, {"n": 3})

    assert (refused.status, written.status) == (412, 200)
    assert sent(wire).count("PREPARE") <= 1


def test_nothing_is_prepared_where_a_setting_says_so(postgresql_url: str) -> None:
    keep_app(postgresql_url, BASICAUTH)
    with counting_proxy(postgresql_url) as (url, wire):
        client = Client(create_app({**ONE_CONNECTION, "kinto.storage_url": url, "kinto.storage_prepare": False}))
        client.put(BUCKET)
        for _ in range(3):
            client.get(BUCKET)
        service(client).close()

    assert "PREPARE" not in sent(wire)


def test_values_that_are_compared_with_a_column_of_a_collation_are_prepared(postgresql_url: str) -> None:
    """PREPARE takes types without collation."""
    storage = service(Client(keep_app(postgresql_url, BASICAUTH))).storage
    selection = Selection(BUCKET, targets=(RECORD,), limited_grants=True, readers=("a",))

    snapshots = [storage.read(selection) for _ in range(3)]

    assert snapshots == [snapshots[0]] * 3
