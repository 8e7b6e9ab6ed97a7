"""Nothing waits without end: what needs a lock that somebody keeps is 503, and all else is answered meanwhile."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from app.events import Event, Listener
from app.factory import create_app
from app.settings import SettingError
from backends import Busy
from backends.storage.waits import PATIENT
from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, make_app
from tests.support.holding import MIGRATION_LOCK, hold

B = "/buckets/b"
LIST = f"{B}/collections/c/records"
OTHER_LIST = f"{B}/collections/d/records"
R = f"{LIST}/r"
BRIEF = {"kinto.storage_lock_timeout": "0.2", "kinto.user-data_delete_principals": "system.Authenticated"}
PATIENCE = {"kinto.storage_lock_timeout": "60"}

CONTENDED = {
    "code": 503,
    "errno": 201,
    "error": "Service Unavailable",
    "message": "Another write holds what this request needs; nothing was changed, please retry later.",
}

WRITES: dict[str, Callable[[Client], Answer]] = {
    "PUT": lambda c: c.put(R, {"n": 2}),
    "PUT of a new object": lambda c: c.put(f"{LIST}/new"),
    "POST": lambda c: c.post(LIST, {"n": 2}),
    "PATCH": lambda c: c.patch(R, {"n": 2}),
    "PATCH of permissions": lambda c: c.patch(R, permissions={"read": ["bob"]}),
    "DELETE": lambda c: c.delete(R),
    "DELETE of the list": lambda c: c.delete(LIST),
    "DELETE of the collection": lambda c: c.delete(f"{B}/collections/c"),
    "DELETE of the bucket": lambda c: c.delete(B),
    "DELETE of all collections": lambda c: c.delete(f"{B}/collections"),
    "removal of the user's data": lambda c: c.delete(f"/__user_data__/{c.id}"),
    "a batch that writes elsewhere before": lambda c: c.batch(
        {"method": "PUT", "path": "/buckets/a"},
        {"method": "PUT", "path": f"{OTHER_LIST}/s"},
        {"method": "GET", "path": R},
        {"method": "PUT", "path": R},
    ),
    "a batch that deletes after": lambda c: c.batch(
        {"method": "PUT", "path": f"{B}/groups/g", "body": {"data": {"members": ["bob"]}}},
        {"method": "DELETE", "path": LIST},
    ),
}


def _fill(client: Client) -> None:
    client.put(B)
    for name in "cd":
        client.put(f"{B}/collections/{name}")
        client.put(f"{B}/collections/{name}/records/r", {"n": 1})


def _state(client: Client) -> list[Any]:
    """Everything that clients can see."""
    lists = ("/buckets", f"{B}/collections", f"{B}/groups", LIST, OTHER_LIST)
    return [
        (answer.headers.get("ETag"), answer.json)
        for answer in (client.get(f"{list_uri}?_since=0") for list_uri in lists)
    ]


def _url(client: Client) -> str:
    return str(client.app.extensions["kinto"].settings.storage_url).replace("+psycopg2", "")


def test_every_write_gives_up_when_somebody_keeps_its_lock(client_with: ClientMaker) -> None:
    """Nothing is written by it, reads go on, and the same request succeeds afterwards."""
    client = client_with(BRIEF)
    for name, write in WRITES.items():
        client.app.extensions["kinto"].storage.flush()
        client.app.extensions["kinto"].start()
        _fill(client)
        before = _state(client)

        with hold(_url(client), LIST):
            refused = write(client)
            during = _state(client)
            hello, beat = client.get("/"), client.get("/__lbheartbeat__")

        assert (refused.status, refused.json, refused.headers["Retry-After"]) == (503, CONTENDED, "3"), name
        assert (hello.status, beat.status) == (200, 200)
        assert before == during == _state(client), name
        again = write(client)
        assert again.status in (200, 201), (name, again.body)
        assert all(entry["status"] < 300 for entry in (again.json or {}).get("responses", ())), (name, again.json)


OPERATIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a purge": ("documents", lambda storage: storage.purge([LIST], 0)),
    "the start of a list": ("clocks", lambda storage: storage.start_clocks(["/new"])),
    "flush": ("clocks", lambda storage: storage.flush()),
}


def test_every_operation_of_the_storage_gives_up_when_a_table_is_locked(client_with: ClientMaker) -> None:
    """Such a lock is that of an ALTER TABLE; on SQLite there is only the one of the file."""
    client = client_with(BRIEF)
    storage = client.app.extensions["kinto"].storage
    _fill(client)
    client.delete(R)
    for table, operate in OPERATIONS.values():
        # They read as well, which a lock in this mode does not hinder.
        with hold(_url(client), "", f"LOCK TABLE {table} IN SHARE MODE"), pytest.raises(Busy):
            operate(storage)

        operate(storage)


def test_of_many_writers_few_wait_long_and_others_are_answered_meanwhile(client_with: ClientMaker) -> None:
    client = client_with(PATIENCE)
    _fill(client)
    on_postgresql = _url(client).startswith("postgres")

    with ThreadPoolExecutor(8) as threads:
        with hold(_url(client), LIST):
            writers = [threads.submit(client.put, f"{LIST}/{number}") for number in range(8)]
            refused = _first(writers, 8 - PATIENT)
            at_once = [client.put(R), client.delete(LIST), client.batch({"method": "PUT", "path": R})]
            reads = [client.get(LIST), client.get(OTHER_LIST), client.get("/"), client.get("/__lbheartbeat__")]
            elsewhere = client.put(f"{OTHER_LIST}/s")
            beat = client.get("/__heartbeat__")
            waiting = [writer for writer in writers if not writer.done()]
        patient = [writer.result().status for writer in waiting]

    assert [(answer.status, answer.json) for answer in [*refused, *at_once]] == [(503, CONTENDED)] * 9
    assert [answer.status for answer in reads] == [200] * 4
    assert (elsewhere.status, beat.status) == ((201, 200) if on_postgresql else (503, 503))
    assert patient == [201] * PATIENT
    assert len(client.get(LIST).data) == 1 + PATIENT
    assert client.put(R).status == 200


def test_of_many_writers_few_wait_long_for_a_history(postgresql_url: str) -> None:
    """They wait for its clock in the message of their COMMIT, each with the lock of another list."""
    client = Client(make_app(postgresql_url, {**BASICAUTH, **PATIENCE, "kinto.includes": "kinto.plugins.history"}))
    client.put(B)
    lists = [f"{B}/collections/{name}" for name in "cdef"]
    for collection in lists:
        client.put(collection)

    with ThreadPoolExecutor(len(lists)) as threads:
        with hold(_url(client), f"{B}/history"):
            writers = []
            for number, collection in enumerate(lists):
                _await_waiting_sessions(_url(client), number)
                writers.append(threads.submit(client.put, f"{collection}/records/r"))
            refused = _first(writers, len(lists) - PATIENT)
            at_once = client.put(f"{lists[0]}/records/s")
            waiting = [writer for writer in writers if not writer.done()]
        patient = [writer.result().status for writer in waiting]

    assert [(answer.status, answer.json) for answer in [*refused, at_once]] == [(503, CONTENDED)] * 3
    assert patient == [201] * PATIENT
    assert len(client.get(f"{B}/history?resource_name=record").data) == PATIENT
    client.app.extensions["kinto"].close()


def _await_waiting_sessions(url: str, number: int) -> None:
    """Return when so many sessions of a database wait for a lock."""
    query = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database()"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        waiting = -1
        while waiting < number:
            cursor.execute(f"{query} AND NOT granted")
            [(waiting,)] = cursor.fetchall()
            time.sleep(0.01)


def _first(writers: list[Future[Answer]], count: int) -> list[Answer]:
    """Return the first answers of some writers."""
    done = as_completed(writers, timeout=50)
    return [next(done).result() for _ in range(count)]


@contextmanager
def _default(url: str, setting: str, value: str) -> Iterator[None]:
    """Give the sessions of a database a default until the block ends."""
    name = parse_dsn(url)["dbname"]
    with closing(psycopg2.connect(make_dsn(url, dbname="postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
        try:
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {name} RESET {setting}")


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Client]:
    """Alice's client of a service on PostgreSQL that has no connection yet, with a filled bucket."""
    client = Client(make_app(postgresql_url, BASICAUTH))
    _fill(client)
    client.app.extensions["kinto"].storage.close()
    yield client
    client.app.extensions["kinto"].close()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_no_writer_is_refused_whatever_isolation_the_server_prefers(postgresql: Client, level: str) -> None:
    """C-BATCH-18: a statement that waited for the lock must see what was written meanwhile."""
    with _default(_url(postgresql), "default_transaction_isolation", level), ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: postgresql.put(R, {"n": number}).status, range(96)))
        batches = list(threads.map(lambda _: postgresql.batch({"method": "POST", "path": LIST}).status, range(16)))

    assert set(answers) == set(batches) == {200}
    assert len(postgresql.get(LIST).data) == 17


def test_a_database_that_is_read_only_answers_reads_and_refuses_writes(postgresql: Client) -> None:
    """C-UTIL-16: as a standby does, and the heartbeat says so."""
    with _default(_url(postgresql), "default_transaction_read_only", "on"):
        read, write, beat = postgresql.get(R), postgresql.put(R), postgresql.get("/__heartbeat__")

    assert (read.status, write.status) == (200, 503)
    assert write.headers["Retry-After"] == "3"
    assert (beat.status, beat.json["storage"]) == (503, False)
    assert (postgresql.get("/__heartbeat__").status, postgresql.put(R).status) == (200, 200)


def test_a_connection_to_a_former_primary_is_given_up(postgresql: Client) -> None:
    """C-ERR-11: after a failover it is read-only for as long as it lives; another one reaches the new primary."""
    assert postgresql.put(R, {"n": 2}).status == 200
    engine = postgresql.app.extensions["kinto"].storage.writing
    with engine.connect() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = on")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW default_transaction_read_only").scalar() == "on"

    assert postgresql.put(R, {"n": 3}).status == 200
    assert postgresql.get(R).data["n"] == 3


def test_a_statement_that_the_server_ends_is_unavailable(postgresql: Client) -> None:
    """C-ERR-11: its limit is shorter than ours."""
    with hold(_url(postgresql), LIST), _default(_url(postgresql), "statement_timeout", "100ms"):
        answer = postgresql.put(R, {"n": 2})
        postgresql.app.extensions["kinto"].storage.close()

    assert (answer.status, answer.json["errno"], answer.headers["Retry-After"]) == (503, 201, "3")
    assert postgresql.put(R, {"n": 2}).status == 200


def test_a_transaction_that_the_server_ends_is_unavailable(postgresql: Client) -> None:
    """C-ERR-11: a listener took longer than `idle_in_transaction_session_timeout`.

    It is not tried again: the connection died under a message with the COMMIT, whose outcome nobody knows.
    """
    sessions: list[int] = []

    def wait_for_end(event: Event, context: Any) -> None:
        sessions.append(context.transaction.connection.connection.driver_connection.info.backend_pid)
        _wait_for_end(_url(postgresql), sessions[-1])

    postgresql.app.extensions["kinto"].add_listener(Listener(before=wait_for_end, name="slow"))
    with _default(_url(postgresql), "idle_in_transaction_session_timeout", "300ms"):
        answer = postgresql.put(R, {"n": 2})
        postgresql.app.extensions["kinto"].storage.close()

    assert (answer.status, answer.json["errno"], answer.headers["Retry-After"]) == (503, 201, "3")
    assert len(sessions) == 1
    assert postgresql.get(R).data["n"] == 1


def _wait_for_end(url: str, pid: int) -> None:
    """Wait until a session is gone."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,))
            if not cursor.fetchone():
                return


def test_a_migration_gives_up_when_another_one_does_not_end(empty_postgresql_url: str) -> None:
    app = create_app({**BASICAUTH, **BRIEF, "kinto.storage_url": empty_postgresql_url})
    service = app.extensions["kinto"]

    with hold(empty_postgresql_url, "", f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"), pytest.raises(Busy):
        service.storage.migrate(lambda line: None, dry_run=False)

    service.storage.migrate(lambda line: None, dry_run=False)
    service.close()


_EXCLUSIVE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def _exclusively(file: str) -> Iterator[None]:
    """Let another process have a file for itself until the block ends: nobody can even read it."""
    command = [sys.executable, "-c", _EXCLUSIVE, file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate()


def test_an_sqlite_file_that_somebody_has_alone_is_unavailable_for_every_request(tmp_path: Path) -> None:
    """C-ERR-11: reads too."""
    file = tmp_path / "kinto.sqlite"
    settings = {**BASICAUTH, **BRIEF, "kinto.storage_url": f"sqlite:///{file}"}
    client = Client(create_app(settings))
    _fill(client)
    client.app.extensions["kinto"].storage.close()

    with _exclusively(str(file)):
        refused = [client.get(R), client.get(LIST), client.put(R), client.batch({"path": R}), client.delete(B)]
        pages = [client.get("/__lbheartbeat__"), client.get("/__heartbeat__")]
        with pytest.raises(SettingError) as start:
            create_app(settings)

    assert [(answer.status, answer.json) for answer in refused] == [(503, CONTENDED)] * 5
    assert [page.status for page in pages] == [200, 503]
    assert re.fullmatch(r"storage_url: the storage cannot be opened \(Busy: .*database is locked\)\.", str(start.value))
    assert client.put(R).status == 200
    client.app.extensions["kinto"].close()
