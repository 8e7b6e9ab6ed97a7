"""Test what every cache backend promises (core.md 11.3 and 11.6, operations.md 4.1), each on a real server."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backends import BackendError, Pool
from backends.cache import MAX_TTL_SECONDS, Cache, CacheOptions, load
from tests.support.services import free_port

BACKENDS = {
    "memory": "kinto.core.cache.memory",
    "redis": "kinto.core.cache.redis",
    "memcached": "kinto.core.cache.memcached",
    "postgresql": "kinto.core.cache.postgresql",
    "a Flask-Caching class in memory": "flask_caching.backends.simplecache.SimpleCache",
    "a Flask-Caching class on Redis": "flask_caching.backends.rediscache.RedisCache",
    "a Flask-Caching class on files": "flask_caching.backends.filesystemcache.FileSystemCache",
}
ON_A_SERVER = ("redis", "memcached", "postgresql", "a Flask-Caching class on Redis")
# The others cannot list their keys, or have no other program's.
CLEARED_BY_PREFIX = ("redis", "postgresql", "a Flask-Caching class on Redis")

Open = Callable[..., Cache]


def place(backend: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return where the server of *backend* is, and start it."""
    if backend.endswith("files"):
        return {"url": str(request.getfixturevalue("tmp_path"))}
    if backend.lower().endswith("redis"):
        return {"url": request.getfixturevalue("redis_url")}
    if backend == "memcached":
        return {"hosts": [request.getfixturevalue("memcached_host")]}
    if backend == "postgresql":
        return {"url": request.getfixturevalue("empty_postgresql_url")}
    return {}


@pytest.fixture
def open_cache(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Give a function that opens the backend named by the test, with a prefix of its choice; empty at the start."""
    where = place(request.param, request)
    opened: list[Cache] = []

    def open_with(prefix: str = "") -> Cache:
        cache = load(BACKENDS[request.param], CacheOptions(prefix=prefix, **where))
        opened.append(cache)
        cache.initialize()
        return cache

    open_with().flush()
    yield open_with
    for cache in opened:
        cache.close()


@pytest.fixture
def cache(open_cache: Open) -> Cache:
    """Give an empty cache without prefix."""
    return open_cache()


def on(*backends: str) -> pytest.MarkDecorator:
    """Run a test on each of *backends*."""
    return pytest.mark.parametrize("open_cache", backends, indirect=True)


everywhere = on(*BACKENDS)


@everywhere
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("text with \u00fc, \u20ac, \U0001f600 and \x00", id="a text"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("", id="an empty text"),
        pytest.param(0, id="zero"),
        pytest.param(2**65, id="an integer beyond 64 bits"),
        pytest.param(3.25, id="a fraction"),
        pytest.param(False, id="false"),
        pytest.param(None, id="null"),
        pytest.param([1, "a", None], id="a list"),
        pytest.param({"a": {"b": [True]}}, id="a mapping"),
    ],
)
def test_a_value_comes_back_as_it_was_set(cache: Cache, value: Any) -> None:
    """O-CACHE-1, C-CACHE-2."""
    cache.set("key", value, 60)

    assert cache.get("key") == value


@everywhere
@pytest.mark.parametrize(
    "seconds", [2**31, 2**32, 10**12, 2**63, 10**400], ids=lambda seconds: f"{str(seconds)[:20]} s"
)
def test_a_ttl_longer_than_servers_can_represent_is_a_year(cache: Cache, seconds: int) -> None:
    cache.set("key", 1, seconds)
    cache.set("expired later", 1, 60)
    cache.expire("expired later", seconds)

    for key in ("key", "expired later"):
        assert cache.get(key) == 1
        assert MAX_TTL_SECONDS - 60 < cache.ttl(key) <= MAX_TTL_SECONDS


@everywhere
def test_bytes_are_refused(cache: Cache) -> None:
    """O-CACHE-1."""
    with pytest.raises(TypeError, match="a string-like object is required, not 'bytes'"):
        cache.set("key", b"bytes", 60)


@everywhere
def test_an_unknown_key_gives_nothing(cache: Cache) -> None:
    """O-CACHE-2."""
    assert cache.get("unknown") is None
    assert cache.delete("unknown") is None
    assert cache.ttl("unknown") < 0


@everywhere
def test_expire_does_nothing_when_the_key_is_unknown(cache: Cache) -> None:
    """O-CACHE-2."""
    cache.expire("unknown", 60)

    assert cache.get("unknown") is None


@everywhere
def test_a_value_is_gone_when_its_life_is_over(cache: Cache) -> None:
    """O-CACHE-3, O-CACHE-12: also a life of less than a second ends."""
    cache.set("key", "value", 0.01)
    time.sleep(0.02)

    assert cache.get("key") is None
    assert cache.ttl("key") < 0
    assert cache.delete("key") is None


@everywhere
def test_expire_shortens_a_life(cache: Cache) -> None:
    """O-CACHE-3."""
    cache.set("key", "value", 60)
    cache.expire("key", 0.01)
    time.sleep(0.02)

    assert cache.get("key") is None


@everywhere
def test_expire_prolongs_a_life(cache: Cache) -> None:
    """O-CACHE-3."""
    cache.set("key", "value", 5)
    cache.expire("key", 600)

    assert 590 < cache.ttl("key") <= 600
    assert cache.get("key") == "value"


@everywhere
def test_a_value_is_gone_after_expire_with_zero(cache: Cache) -> None:
    """C-CACHE-2 (4)."""
    cache.set("key", "value", 60)
    cache.expire("key", 0)

    assert cache.ttl("key") <= 0
    assert cache.get("key") is None


@everywhere
@pytest.mark.parametrize("life", [0, -5], ids=["zero", "negative"])
def test_a_set_removes_the_value_when_its_life_is(cache: Cache, life: int) -> None:
    """Operations.md 4.3: same as delete."""
    cache.set("key", "old", 60)
    cache.set("key", "new", life)

    assert cache.get("key") is None


@everywhere
@pytest.mark.parametrize("life", [59, 120, 90 * 24 * 3600], ids=["under a minute", "two minutes", "ninety days"])
def test_ttl_tells_the_whole_life_when_it_is(cache: Cache, life: int) -> None:
    """PG-D9, O-CACHE-12, O-CACHE-13."""
    cache.set("key", "value", life)

    assert life - 2 < cache.ttl("key") <= life + 0.01
    assert cache.get("key") == "value"


@everywhere
def test_a_second_set_replaces_value_and_life(cache: Cache) -> None:
    """O-CACHE-3."""
    cache.set("key", "old", 5)
    cache.set("key", "new", 60)

    assert cache.get("key") == "new"
    assert cache.ttl("key") > 50


@everywhere
def test_delete_returns_the_value_and_removes_it(cache: Cache) -> None:
    """O-CACHE-4."""
    cache.set("key", {"a": 1}, 60)

    assert cache.delete("key") == {"a": 1}
    assert cache.get("key") is None
    assert cache.delete("key") is None


@everywhere
def test_one_of_many_gets_the_value_when_they_delete_at_once(open_cache: Open) -> None:
    """O-CACHE-4."""
    shared = open_cache()
    rounds = 30
    barrier = threading.Barrier(4)
    got: list[Any] = []

    def take() -> None:
        for number in range(rounds):
            barrier.wait()
            got.append(shared.delete(f"state-{number}"))

    for number in range(rounds):
        shared.set(f"state-{number}", number, 60)
    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(value for value in got if value is not None) == list(range(rounds))


@everywhere
def test_a_key_is_not_seen_under_another_prefix(open_cache: Open) -> None:
    """O-CACHE-5."""
    ours, theirs = open_cache("ours:"), open_cache("theirs:")
    ours.set("key", "ours", 60)
    theirs.set("key", "theirs", 600)

    assert theirs.delete("key") == "theirs"
    theirs.expire("key", 1)
    assert ours.get("key") == "ours"
    assert 50 < ours.ttl("key") <= 60
    assert theirs.get("key") is None
    assert theirs.ttl("key") < 0


@on("redis", "memcached", "postgresql")
def test_a_prefix_stands_before_the_key(open_cache: Open) -> None:
    """O-CACHE-5."""
    open_cache("prefix:").set("key", "value", 60)

    assert open_cache().get("prefix:key") == "value"


@on(*CLEARED_BY_PREFIX)
@pytest.mark.parametrize("prefix", ["a:", "a*", "a_", "a%", "a[b]", "a\\"])
def test_flush_removes_only_what_has_the_prefix(open_cache: Open, prefix: str) -> None:
    """O-CACHE-14."""
    ours, theirs = open_cache(prefix), open_cache("abc")
    ours.set("key", 1, 60)
    theirs.set("key", 2, 60)

    ours.flush()

    assert ours.get("key") is None
    assert theirs.get("key") == 2


@everywhere
def test_flush_removes_everything_when_there_is_no_prefix(cache: Cache) -> None:
    """Operations.md 2.7."""
    cache.set("a", 1, 60)
    cache.set("b", 2, 60)

    cache.flush()

    assert cache.get("a") is None
    assert cache.get("b") is None


@everywhere
@pytest.mark.parametrize(
    "key",
    [
        pytest.param("k" * 2000, id="long"),
        pytest.param("with blanks\nand lines", id="with blanks"),
        pytest.param("\u00fc\u20ac\U0001f600", id="not ASCII"),
        pytest.param("nul\x00", id="with NUL"),
    ],
)
def test_any_text_is_a_key(open_cache: Open, key: str) -> None:
    """O-CACHE-12, O-CACHE-13."""
    prefixed = open_cache("prefix:")
    prefixed.set(key, "value", 60)
    prefixed.set(key + "2", "other", 60)

    assert prefixed.get(key) == "value"
    assert prefixed.ttl(key) > 50
    assert prefixed.delete(key) == "value"


@everywhere
def test_initialize_may_be_called_again(cache: Cache) -> None:
    """C-CACHE-2 (1)."""
    cache.set("key", "value", 60)

    cache.initialize()

    assert cache.is_initialized()
    assert cache.get("key") == "value"


@everywhere
def test_a_ping_is_answered(cache: Cache) -> None:
    """C-CACHE-2 (1)."""
    assert cache.ping()
    assert cache.ping()


def on_a_closed_port(backend: str) -> Cache:
    """Open *backend* where nothing listens."""
    port = free_port()
    if backend == "memcached":
        return load(BACKENDS[backend], CacheOptions(hosts=[f"127.0.0.1:{port}"]))
    scheme = "postgresql" if backend == "postgresql" else "redis"
    return load(BACKENDS[backend], CacheOptions(url=f"{scheme}://user:secret@127.0.0.1:{port}/0", pool=Pool(size=2)))


@pytest.mark.parametrize("backend", ON_A_SERVER)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda cache: cache.get("key"), id="get"),
        pytest.param(lambda cache: cache.set("key", 1, 60), id="set"),
        pytest.param(lambda cache: cache.delete("key"), id="delete"),
        pytest.param(lambda cache: cache.expire("key", 60), id="expire"),
        pytest.param(lambda cache: cache.ttl("key"), id="ttl"),
        pytest.param(lambda cache: cache.flush(), id="flush"),
    ],
)
def test_a_dead_server_is_a_backend_error(backend: str, call: Callable[[Cache], object]) -> None:
    """O-CACHE-6."""
    cache = on_a_closed_port(backend)

    with pytest.raises(BackendError) as caught:
        call(cache)

    assert caught.value.original is not None
    assert "secret" not in str(caught.value)
    cache.close()


@pytest.mark.parametrize("backend", ON_A_SERVER)
def test_a_ping_fails_and_is_logged_when_the_server_is_dead(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """O-CACHE-6, C-CACHE-2 (1)."""
    cache = on_a_closed_port(backend)

    assert not cache.ping()

    assert "Heartbeat Failure" in caplog.text
    cache.close()
