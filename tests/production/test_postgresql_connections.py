"""The pools of connections do what their settings and docs/production.md say (operations.md 3.6)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, QueuePool

from app.service import Service
from app.settings import Settings, load
from tests.production import guide
from tests.production.conftest import Opener
from tests.support.client import Answer, Client

TITLE = "Connections"
BUCKET = "/buckets/b"
LONG = 30
AT_ONCE_SECONDS = 5

PUBLIC = {"kinto.bucket_create_principals": "system.Everyone", "kinto.bucket_read_principals": "system.Everyone"}


def _service(client: Client) -> Service:
    service: Service = client.app.extensions["kinto"]
    return service


@pytest.fixture
def pooled(client_of: Opener, owner: str, migrated: Client) -> Callable[..., Client]:
    """Make clients with pools of their own: `pooled(size=2)`; there is a bucket."""

    def make(**pool: Any) -> Client:
        client = client_of(owner, {**PUBLIC, **{f"kinto.storage_{name}": value for name, value in pool.items()}})
        assert client.put(BUCKET).status in (200, 201)
        return client

    return make


@contextmanager
def _taken(engine: Engine, count: int) -> Iterator[ExitStack]:
    """Hold connections of an engine, each for as long as it is not given back."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(engine.connect())
        yield held


def _expect_unavailable(answer: Answer) -> None:
    assert answer.status == 503, answer.body
    assert (answer.headers["Retry-After"], answer.json["errno"]) == ("3", 201)


def test_the_pools_that_the_guide_shows_are_the_defaults() -> None:
    settings = guide.settings(TITLE, dbuser="", dbname="")
    defaults: Settings = load({}, {})

    named = {name: value for name, value in settings.items() if name != "kinto.storage_url"}

    assert len(named) == 4
    assert {name: float(value) for name, value in named.items()} == {
        name: getattr(defaults, name.removeprefix("kinto.")) for name in named
    }


def test_reads_and_writes_share_the_size_as_the_guide_says(pooled: Callable[..., Client]) -> None:
    """O-PG-24."""
    storage: Any = _service(pooled()).storage
    sizes = re.search(
        r"Of the (\d+) connections in the pools of a process, (\d+) are for reads.* and (\d+) for writing", _text()
    )
    assert sizes

    pools = [engine.pool for engine in (storage.reading, storage.writing)]

    assert all(isinstance(pool, QueuePool) for pool in pools)
    assert [pool.size() for pool in pools] == [int(sizes[2]), int(sizes[3])]
    assert int(sizes[1]) == int(sizes[2]) + int(sizes[3])


def _text() -> str:
    return " ".join(guide.section(TITLE).split())


def test_no_more_connections_are_open_than_size_and_overflow_allow(pooled: Callable[..., Client]) -> None:
    """O-PG-24: two for reads and one beyond; those beyond are closed when they come back."""
    client = pooled(pool_size=4, max_overflow=1, pool_timeout=0.2)
    storage: Any = _service(client).storage

    with _taken(storage.reading, 3):
        refused = client.get(BUCKET)
    served = client.get(BUCKET)

    _expect_unavailable(refused)
    assert served.status == 200
    assert storage.reading.pool.checkedin() == 2


def test_a_request_waits_as_long_as_the_timeout_says(pooled: Callable[..., Client]) -> None:
    """O-PG-24."""
    client = pooled(pool_size=2, max_overflow=0, pool_timeout=0.5)
    storage: Any = _service(client).storage

    with _taken(storage.reading, 1):
        began = time.monotonic()
        _expect_unavailable(client.get(BUCKET))
        took = time.monotonic() - began

    assert 0.5 <= took < AT_ONCE_SECONDS


def test_a_request_that_waits_gets_the_connection_that_becomes_free(pooled: Callable[..., Client]) -> None:
    """O-PG-24."""
    client = pooled(pool_size=2, max_overflow=0, pool_timeout=LONG)
    storage: Any = _service(client).storage

    with ThreadPoolExecutor(1) as executor:
        with _taken(storage.reading, 1):
            waiting = executor.submit(client.get, BUCKET)
            time.sleep(0.2)
            assert not waiting.done()
        answer = waiting.result(LONG)

    assert answer.status == 200


def test_as_many_wait_as_the_backlog_says_and_the_next_is_refused_at_once(pooled: Callable[..., Client]) -> None:
    """O-PG-24: `max_backlog = 2`."""
    client = pooled(pool_size=2, max_overflow=0, pool_timeout=LONG, max_backlog=2)
    storage: Any = _service(client).storage

    with ThreadPoolExecutor(2) as executor:
        with _taken(storage.reading, 1):
            waiting: list[Future[Answer]] = [executor.submit(client.get, BUCKET) for _ in range(2)]
            _wait_until(lambda: storage.reading.pool._asking == 2)
            began = time.monotonic()
            refused = client.get(BUCKET)
            took = time.monotonic() - began
        served = [future.result(LONG).status for future in waiting]

    _expect_unavailable(refused)
    assert took < AT_ONCE_SECONDS
    assert served == [200, 200]


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nobody_waits_or_is_refused_when_overflow_has_no_bound(pooled: Callable[..., Client]) -> None:
    """O-PG-24: `max_overflow = -1`."""
    client = pooled(pool_size=2, max_overflow=-1, max_backlog=0)
    storage: Any = _service(client).storage

    with _taken(storage.reading, 3):
        assert client.get(BUCKET).status == 200


def test_old_connections_are_replaced_when_a_setting_says_so(
    pooled: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """O-PG-24: `pool_recycle`."""
    client = pooled(pool_size=2, pool_recycle=LONG)
    storage: Any = _service(client).storage

    first = _backend(storage.reading)
    later = time.time() + LONG + 1
    monkeypatch.setattr(time, "time", lambda: later)
    second, third = _backend(storage.reading), _backend(storage.reading)

    assert first != second == third


def _backend(engine: Engine) -> int:
    with engine.connect() as connection:
        # SQLAlchemy knows no type of the driver's own connection, and says it may be missing.
        pid: int = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        return pid


def test_reads_go_on_when_all_connections_for_writes_are_taken(pooled: Callable[..., Client]) -> None:
    client = pooled(pool_size=2, max_overflow=0, pool_timeout=0.2)
    storage: Any = _service(client).storage

    with _taken(storage.writing, 1):
        read, write = client.get(BUCKET), client.put(BUCKET)

    assert read.status == 200
    _expect_unavailable(write)


def test_the_cache_has_connections_of_its_own(pooled: Callable[..., Client]) -> None:
    """Operations.md 3.6: also when the URL is the same."""
    service = _service(pooled(pool_size=2, max_overflow=0, pool_timeout=0.2))
    storage: Any = service.storage

    with _taken(storage.reading, 1), _taken(storage.writing, 1):
        service.cache.set("key", 1, 60)
        assert service.cache.get("key") == 1
