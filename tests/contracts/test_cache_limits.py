"""A cache or a listener whose server accepts and does not answer costs one short wait, then nothing for some seconds.

What is counted is what reaches the server: connections and bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg2.extensions import parse_dsn

from backends import BackendError
from backends.breaker import LIMIT_SECONDS, REST_SECONDS, SLOW_SECONDS, Breaker
from backends.cache import Cache, CacheOptions, load
from backends.listeners.redis import load_from_config
from tests.plugins.people import ONLY_ACCOUNTS, People
from tests.support.client import Client
from tests.support.databases import make_app
from tests.support.stalling import StallingServer

FLASK_CACHING = "flask_caching.backends.rediscache.RedisCache"
BACKENDS = ("redis", "memcached", "postgresql", FLASK_CACHING)
CALLS: dict[str, Callable[[Cache], Any]] = {
    "get": lambda cache: cache.get("key"),
    "set": lambda cache: cache.set("key", "value", 60),
    "delete": lambda cache: cache.delete("key"),
    "expire": lambda cache: cache.expire("key", 60),
    "ttl": lambda cache: cache.ttl("key"),
}


def _real(backend: str, request: pytest.FixtureRequest) -> tuple[tuple[str, int] | str, str, str]:
    """Return where the real server of a backend is, and what stands before and behind the address in its URL."""
    if backend == "memcached":
        host, _, port = request.getfixturevalue("memcached_host").partition(":")
        return (host, int(port)), "", ""
    if backend != "postgresql":
        place = urlsplit(request.getfixturevalue("redis_url"))
        return (str(place.hostname), int(place.port or 6379)), "", place.path
    parts = parse_dsn(request.getfixturevalue("postgresql_url"))
    host, port = parts.get("host", "localhost"), int(parts.get("port", 5432))
    user = f"{parts['user']}:{parts.get('password', '')}@" if "user" in parts else ""
    return (f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)), user, f"/{parts['dbname']}"


def _settings(backend: str, port: int, path: str, user: str = "") -> dict[str, Any]:
    if backend == "memcached":
        return {"hosts": [f"127.0.0.1:{port}"]}
    scheme = "postgresql" if backend == "postgresql" else "redis"
    return {"url": f"{scheme}://{user}127.0.0.1:{port}{path or '/0'}"}


@pytest.fixture
def silent() -> Iterator[StallingServer]:
    """Give a server that never answered."""
    server = StallingServer()
    yield server
    server.close()


@pytest.fixture(params=BACKENDS)
def stalling(request: pytest.FixtureRequest) -> Iterator[tuple[Cache, StallingServer]]:
    """Give a cache that works, and the server between, which can be stalled."""
    target, user, path = _real(request.param, request)
    server = StallingServer(target)
    cache = load(request.param, CacheOptions(**_settings(request.param, server.port, path, user)))
    cache.initialize()
    cache.set("key", "value", 60)
    yield cache, server
    server.stalled = False
    cache.close()
    server.close()


def _expect_no_call(cache: Cache, server: StallingServer) -> None:
    calls = server.calls
    for call in list(CALLS.values()) * 3:
        with pytest.raises(BackendError):
            call(cache)
    assert server.calls == calls


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_call_is_made_to_a_server_that_does_not_answer(backend: str) -> None:
    """Each call has a cache and a server of its own; they wait at the same time."""

    def wait(call: Callable[[Cache], Any]) -> None:
        silent = StallingServer()
        cache = load(backend, CacheOptions(**_settings(backend, silent.port, "")))
        with pytest.raises(BackendError):
            call(cache)
        assert silent.connections == 1
        _expect_no_call(cache, silent)
        cache.close()
        silent.close()

    with ThreadPoolExecutor(len(CALLS)) as threads:
        for waiting in [threads.submit(wait, call) for call in CALLS.values()]:
            waiting.result()


def test_one_call_is_made_to_a_server_that_stopped_to_answer(stalling: tuple[Cache, StallingServer]) -> None:
    """The connections of the pool are open: what limits the time to connect does not help."""
    cache, server = stalling
    server.stalled = True

    with pytest.raises(BackendError):
        cache.get("key")

    _expect_no_call(cache, server)


def test_a_server_is_used_again_some_seconds_after_it_answers(
    stalling: tuple[Cache, StallingServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, server = stalling
    server.stalled = True
    with pytest.raises(BackendError):
        cache.get("key")
    server.stalled = False

    monkeypatch.setattr("backends.breaker.REST_SECONDS", 0.0)
    for breaker in getattr(cache, "_breakers", [getattr(cache, "_breaker", None)]):
        breaker._next_try = 0.0

    assert cache.get("key") == "value"


def test_a_login_asks_a_silent_cache_once(silent: StallingServer) -> None:
    """It asked four times, for 5 s each; now ten logins ask once altogether."""
    url = f"redis://127.0.0.1:{silent.port}/0"
    app = make_app("", {**ONLY_ACCOUNTS, "kinto.cache_backend": "redis", "kinto.cache_url": url})
    people = People(Client(app))
    people.sign_up("alice")

    assert [people.user_id("alice") for _ in range(10)] == ["account:alice"] * 10
    assert silent.connections == 1
    app.extensions["kinto"].close()


class _Config:
    def __init__(self, url: str) -> None:
        self._url = url

    def get_settings(self) -> dict[str, Any]:
        return {"event_listeners.redis.url": self._url}


class _Listener:
    @property
    def payload(self) -> dict[str, Any]:
        return {"action": "create"}


def test_a_listener_sends_one_event_to_a_server_that_does_not_answer(
    silent: StallingServer, caplog: pytest.LogCaptureFixture
) -> None:
    listener = load_from_config(_Config(f"redis://127.0.0.1:{silent.port}/0"), "event_listeners.redis.")

    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            listener(_Listener())

    assert silent.connections == 1
    assert caplog.text.count("Unable to send the payload to Redis") == 5


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _fail(breaker: Breaker, clock: _Clock, seconds: float) -> bool:
    """Make a call that fails after some seconds; return whether it was made."""
    made = False
    try:
        with breaker.call():
            made = True
            clock.now += seconds
            raise OSError
    except BackendError:
        return made
    return made


def _succeed(breaker: Breaker) -> None:
    with breaker.call():
        pass


def test_a_call_that_failed_fast_is_tried_again_at_once() -> None:
    """A refused connection costs nothing, and a server that is back is used at once."""
    clock = _Clock()
    breaker = Breaker(OSError, clock=clock)

    assert [_fail(breaker, clock, 0.01) for _ in range(3)] == [True] * 3


def test_one_call_tries_again_after_the_rest() -> None:
    clock = _Clock()
    breaker = Breaker(OSError, clock=clock)

    assert [_fail(breaker, clock, SLOW_SECONDS) for _ in range(3)] == [True, False, False]
    clock.now += REST_SECONDS
    assert [_fail(breaker, clock, LIMIT_SECONDS) for _ in range(3)] == [True, False, False]
    clock.now += REST_SECONDS
    with breaker.call():
        assert not _fail(breaker, clock, 0)
    _succeed(breaker)
