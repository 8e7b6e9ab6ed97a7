"""A request that the database does not answer in time is 503, and leaves its thread: `storage_request_timeout`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy.exc import OperationalError

from backends import BackendError
from backends.deadlines import has_passed, set_deadline
from tests.api.test_unreachable import NEED_STORAGE, UNAVAILABLE
from tests.support.client import Client, basic
from tests.support.databases import BASICAUTH, DATABASES, assemble_app, database_url, make_app
from tests.support.stalling import StallingServer

SETTINGS = {**BASICAUTH, "kinto.storage_request_timeout": 0.5, "kinto.heartbeat_timeout_seconds": 0.5}
RECORD = "/buckets/b/collections/c/records/r"


@pytest.fixture(scope="module")
def server(postgresql_url: str) -> Iterator[StallingServer]:
    """Give a server in front of PostgreSQL."""
    parts = parse_dsn(postgresql_url)
    server = StallingServer(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
    yield server
    server.close()


@pytest.fixture(scope="module")
def patient(server: StallingServer, postgresql_url: str) -> Iterator[Client]:
    """Give a client that has time, of a service whose connections are open."""
    parts = parse_dsn(postgresql_url)
    url = f"postgresql://{parts['user']}@127.0.0.1:{server.port}/{parts['dbname']}?connect_timeout=2"
    app = make_app(url, BASICAUTH)
    patient = Client(app)
    for path in ("/buckets/b", "/buckets/b/collections/c", RECORD):
        assert patient.put(path).status == 201
    assert patient.get(RECORD).status == 200
    yield patient
    app.extensions["kinto"].close()


@pytest.fixture(scope="module")
def client(patient: Client) -> Client:
    """Return a client of a service on the same connections, whose requests have a short deadline."""
    return Client(assemble_app({**SETTINGS}, patient.app.extensions["kinto"].storage))


@pytest.mark.parametrize("name", ["GET of an object", "GET of a list", "PUT", "a batch of writes"])
def test_a_database_that_stops_answering_costs_bounded_time(
    client: Client, patient: Client, server: StallingServer, name: str
) -> None:
    """No answer comes, ever: a request that has no limit would never end."""
    method, path, body = NEED_STORAGE[name]
    server.stalled = True
    answer = client.ask(method, path, body)

    server.stalled = False
    server.end_connections()
    assert (answer.status, answer.json) == (503, UNAVAILABLE)
    assert "Retry-After" in answer.headers
    assert patient.put(RECORD).status == 200


def test_a_heartbeat_leaves_no_thread_with_such_a_database(client: Client, server: StallingServer) -> None:
    server.stalled = True

    assert client.get("/__heartbeat__").status == 503

    server.stalled = False
    server.end_connections()


def test_a_response_that_is_streamed_ends_with_such_a_database(
    patient: Client, server: StallingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part has a deadline: before, the thread waited for ever."""
    monkeypatch.setattr("blueprints.plugins.history.snapshots._PAGE_SIZE", 1)
    settings = {**SETTINGS, "kinto.includes": "kinto.plugins.history"}
    app = assemble_app(settings, patient.app.extensions["kinto"].storage)
    path = "/v1/buckets/b/snapshot/collections/c@99999999999999"
    streamed = app.test_client().get(path, headers={"Authorization": basic("alice")})
    parts = streamed.iter_encoded()

    assert b'"r"' in next(parts)
    server.stalled = True
    with pytest.raises(BackendError):
        list(parts)

    server.stalled = False
    server.end_connections()


def test_a_deadline_is_not_after_an_outer_one() -> None:
    with set_deadline(-1), set_deadline(60):
        assert has_passed()
    assert not has_passed()


ENDLESS = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT max(n) FROM numbers",
    "postgresql": "SELECT pg_sleep(86400)",
}


@pytest.mark.parametrize("database", DATABASES)
def test_a_statement_ends_at_the_deadline(database: str, request: pytest.FixtureRequest) -> None:
    storage = make_app(database_url(database, request), SETTINGS).extensions["kinto"].storage

    with storage.reading.connect() as connection, set_deadline(0.5), pytest.raises(OperationalError):
        connection.exec_driver_sql(ENDLESS[database])
    storage.close()
