"""A database that is away, full or dies: 503, and all is well when it is back (operations contract, 3.6 and 3.8)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, event

from app.factory import create_app
from backends import Json
from tests.api.conftest import ClientMaker
from tests.support import services
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, make_app

BUCKET = "/buckets/b"
OBJECT = f"{BUCKET}/collections/c"
LIST = f"{BUCKET}/collections"

UNAVAILABLE = {
    "code": 503,
    "errno": 201,
    "error": "Service Unavailable",
    "message": "Service temporary unavailable due to overloading or maintenance, please retry later.",
}

NEED_STORAGE: dict[str, tuple[str, str, Json]] = {
    "GET of an object": ("GET", OBJECT, None),
    "GET of a list": ("GET", LIST, None),
    "HEAD of an object": ("HEAD", OBJECT, None),
    "PUT": ("PUT", OBJECT, {"data": {}}),
    "POST": ("POST", LIST, {"data": {}}),
    "PATCH": ("PATCH", OBJECT, {"data": {}}),
    "DELETE of an object": ("DELETE", OBJECT, None),
    "DELETE of a list": ("DELETE", LIST, None),
    "a batch of reads": ("POST", "/batch", {"requests": [{"path": OBJECT}, {"path": "/"}]}),
    "a batch of writes": ("POST", "/batch", {"requests": [{"method": "PUT", "path": OBJECT}]}),
}

NEED_NOTHING = {
    "hello": ("GET", "/", 200),
    "lbheartbeat (C-UTIL-17)": ("GET", "/__lbheartbeat__", 200),
    "contribute": ("GET", "/contribute.json", 200),
    "the description of the API": ("GET", "/__api__", 200),
    "no version file": ("GET", "/__version__", 404),
    "an unknown URL": ("GET", "/nothing", 404),
    "an unknown version": ("GET", "/v2/buckets", 404),
    "a redirect": ("GET", "/buckets/", 307),
    "a method that is not there": ("POST", OBJECT, 405),
    "a preflight": ("OPTIONS", OBJECT, 400),
}


def _expect_unavailable(answer: Answer, method: str = "GET") -> None:
    assert answer.status == 503, answer.body
    assert answer.headers["Retry-After"] == "3"
    if method != "HEAD":
        assert answer.json == UNAVAILABLE


@pytest.fixture(scope="module")
def unreachable() -> Iterator[Client]:
    """Alice's client of a service whose PostgreSQL does not listen."""
    url = f"postgresql://127.0.0.1:{services.free_port()}/kinto"
    app = create_app({**BASICAUTH, "kinto.storage_url": url})
    yield Client(app)
    app.extensions["kinto"].close()


@pytest.fixture
def running(postgresql_url: str) -> Iterator[Client]:
    """Alice's client of a service on PostgreSQL, with a collection."""
    client = Client(make_app(postgresql_url, BASICAUTH))
    client.put(BUCKET)
    client.put(OBJECT)
    yield client
    client.app.extensions["kinto"].close()


@contextmanager
def _administration(url: str) -> Iterator[Any]:
    """Give a cursor beside the database at *url*, on the same server."""
    connection = psycopg2.connect(url, dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def _disconnect(cursor: Any, url: str) -> None:
    """Close the server's end of all connections to the database at *url*, and wait until they are gone."""
    name = psycopg2.extensions.parse_dsn(url)["dbname"]
    others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    cursor.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}", (name,))


@contextmanager
def _cut(url: str, engine: Engine, moment: str) -> Iterator[list[int]]:
    """Close a connection of *engine* at each *moment*; give a list with a 1 for each time."""
    times = []

    def cut(connection: Any, *_: Any) -> None:
        times.append(1)
        with _administration(url) as administration:
            pid = connection.connection.driver_connection.info.backend_pid
            administration.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    event.listen(engine, moment, cut)
    yield times
    event.remove(engine, moment, cut)


@pytest.mark.parametrize(("method", "path", "body"), NEED_STORAGE.values(), ids=NEED_STORAGE.keys())
def test_what_needs_the_database_is_unavailable_when_it_does_not_listen(
    unreachable: Client, method: str, path: str, body: Any
) -> None:
    """C-ERR-11, O-PG-23, O-DEP-14; C-BATCH-15: a batch as a whole."""
    _expect_unavailable(unreachable.ask(method, path, body), method)


@pytest.mark.parametrize(("method", "path", "status"), NEED_NOTHING.values(), ids=NEED_NOTHING.keys())
def test_what_needs_no_database_is_answered_when_it_does_not_listen(
    unreachable: Client, method: str, path: str, status: int
) -> None:
    """O-PG-22."""
    assert unreachable.as_(None).ask(method, path).status == status


def test_heartbeat_says_false_of_a_database_that_does_not_listen(unreachable: Client) -> None:
    """C-UTIL-13, C-UTIL-14, C-UTIL-15: no error body and no `Retry-After`."""
    answer = unreachable.get("/__heartbeat__")

    assert answer.status == 503
    assert answer.json == {"storage": False, "permission": False, "cache": True}
    assert "Retry-After" not in answer.headers


def test_neither_answer_nor_log_tells_the_password_of_the_database(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app({"kinto.storage_url": f"postgresql://kinto:hidden-word@127.0.0.1:{services.free_port()}/kinto"})

    answer = Client(app, None).get(BUCKET)

    assert answer.status == 503
    assert "critical" in {record.levelname.lower() for record in caplog.records}
    assert "hidden-word" not in caplog.text + answer.body.decode()
    app.extensions["kinto"].close()


def test_retry_after_is_what_the_setting_says() -> None:
    """C-ERR-11."""
    url = f"postgresql://127.0.0.1:{services.free_port()}/kinto"
    app = create_app({**BASICAUTH, "kinto.storage_url": url, "kinto.retry_after_seconds": 30})

    assert Client(app).get(BUCKET).headers["Retry-After"] == "30"
    app.extensions["kinto"].close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_request_succeeds_when_its_kept_connection_was_cut(running: Client, postgresql_url: str, method: str) -> None:
    """O-PG-23: what a restarted database leaves behind is noticed and tried again."""
    with _administration(postgresql_url) as cursor:
        _disconnect(cursor, postgresql_url)

    assert running.ask(method, OBJECT).status == 200


def test_the_tables_are_looked_at_when_the_kept_connections_were_cut(running: Client, postgresql_url: str) -> None:
    running.put(OBJECT)
    with _administration(postgresql_url) as cursor:
        _disconnect(cursor, postgresql_url)
    lines: list[str] = []

    running.app.extensions["kinto"].storage.migrate(lines.append, dry_run=False)

    assert any("up-to-date" in line for line in lines)


def test_requests_succeed_again_when_the_database_is_back(running: Client, postgresql_url: str) -> None:
    """O-PG-23: without a restart of the service."""
    name = psycopg2.extensions.parse_dsn(postgresql_url)["dbname"]
    with _administration(postgresql_url) as cursor:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        _disconnect(cursor, postgresql_url)
        try:
            read, write, beat = running.get(OBJECT), running.put(OBJECT), running.get("/__heartbeat__")
        finally:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    _expect_unavailable(read)
    _expect_unavailable(write)
    assert beat.json == {"storage": False, "permission": False, "cache": True}
    assert [running.get(OBJECT).status, running.put(OBJECT).status] == [200, 200]
    assert running.get("/__heartbeat__").status == 200


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_request_is_unavailable_when_each_of_its_connections_is_cut(
    running: Client, postgresql_url: str, method: str
) -> None:
    """C-ERR-11: a lost connection is no conflict (409), however often it is tried."""
    storage = running.app.extensions["kinto"].storage
    engine = storage.reading if method == "GET" else storage.writing

    with _cut(postgresql_url, engine, "before_cursor_execute") as times:
        answer = running.ask(method, OBJECT)

    _expect_unavailable(answer)
    assert len(times) > 1
    assert running.ask(method, OBJECT).status == 200


def test_a_write_is_not_tried_again_when_its_commit_was_lost(running: Client, postgresql_url: str) -> None:
    """It may have been done: an append done twice would be worse than a client that has to look."""
    with _cut(postgresql_url, running.app.extensions["kinto"].storage.writing, "commit") as times:
        answer = running.put(OBJECT, {"a": 1})

    _expect_unavailable(answer)
    assert times == [1]
    assert running.get(OBJECT).data.keys() == {"id", "last_modified"}


@contextmanager
def _failing(engine: Engine, code: str, times: int) -> Iterator[list[int]]:
    """Let the first locks of *engine* fail with an SQLSTATE; give a list with a 1 for each lock."""
    sent: list[int] = []

    def fail(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        sent.extend([1] * ("FOR NO KEY UPDATE" in statement))
        if len(sent) > times or "FOR NO KEY UPDATE" not in statement:
            return statement, parameters
        return f"DO $$ BEGIN RAISE EXCEPTION 'no luck' USING ERRCODE = '{code}'; END $$", {}

    event.listen(engine, "before_cursor_execute", fail, retval=True)
    yield sent
    event.remove(engine, "before_cursor_execute", fail)


FAILURES = {
    "a deadlock": ("40P01", 1, 200),
    "two serialization failures": ("40001", 2, 200),
    "three deadlocks (C-ERR-12)": ("40P01", 3, 409),
    "a unique violation (O-PG-21, C-ERR-12)": ("23505", 1, 409),
    "a full disk (C-ERR-11)": ("53100", 1, 503),
    "a statement that takes too long (C-ERR-11)": ("57014", 1, 503),
    "a missing grant (C-ERR-11)": ("42501", 1, 503),
}


@pytest.mark.parametrize(("code", "times", "status"), FAILURES.values(), ids=FAILURES.keys())
def test_a_write_is_tried_again_when_that_helps(running: Client, code: str, times: int, status: int) -> None:
    """Operations contract, 3.8: deadlocks and serialization failures are tried three times, then told as 409."""
    with _failing(running.app.extensions["kinto"].storage.writing, code, times) as sent:
        answer = running.put(OBJECT, {"a": 1})

    assert answer.status == status
    assert status == 200 or len(sent) == times
    assert answer.headers.get("Retry-After") == (None if status == 200 else "3")
    assert "no luck" not in answer.body.decode()
    assert ("a" in running.get(OBJECT).data) == (status == 200)


def _full(client_with: ClientMaker, **pool: Any) -> Client:
    settings = {f"kinto.storage_{name}": value for name, value in pool.items()}
    return client_with({"kinto.storage_pool_size": 2, "kinto.storage_max_overflow": 0, **settings})


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 201)])
def test_a_request_is_unavailable_while_no_connection_becomes_free(
    client_with: ClientMaker, method: str, status: int
) -> None:
    """O-PG-24: size and timeout of the pool."""
    client = _full(client_with, pool_timeout=1, pool_size=1)
    storage = client.app.extensions["kinto"].storage

    with storage.reading.connect(), storage.writing.connect():
        answer = client.ask(method, BUCKET if method == "PUT" else "/buckets")

    _expect_unavailable(answer)
    assert client.ask(method, BUCKET if method == "PUT" else "/buckets").status == status


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.usefixtures("running")
def test_a_request_is_unavailable_at_once_when_the_backlog_is_full(postgresql_url: str, method: str) -> None:
    """O-PG-24: `max_backlog`."""
    app = create_app(
        {
            **BASICAUTH,
            "kinto.storage_url": postgresql_url,
            "kinto.storage_pool_size": 1,
            "kinto.storage_max_overflow": 0,
            "kinto.storage_pool_timeout": 20,
            "kinto.storage_max_backlog": 0,
        }
    )
    client, storage = Client(app), app.extensions["kinto"].storage

    began = time.monotonic()
    with storage.reading.connect(), storage.writing.connect():
        answer = client.ask(method, OBJECT)
    took = time.monotonic() - began

    _expect_unavailable(answer)
    assert took < 5
    assert client.ask(method, OBJECT).status == 200
    app.extensions["kinto"].close()
