"""What another program, or an older version, left under a key of ours counts as absent, in every cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymemcache
import pytest
import redis
import sqlalchemy

from backends.cache import Cache, CacheOptions, load
from tests.contracts.test_cache import BACKENDS, place
from tests.plugins.people import ONLY_ACCOUNTS, People
from tests.support.client import Client
from tests.support.databases import make_app

NO_JSON = {
    "nothing": b"",
    "bytes that are no UTF-8": b"\xff\xfe\x00\x81",
    "bytes that look like UTF-16": b"\xfe\xff\xd8\x00",
    "a pickle": b"\x80\x04\x95\x00.",
    "a text": b"alive",
    "a value that was cut off": b'["abc",17',
    "an envelope that was cut off": b'{"value":"abc","ttl":179',
    "two values": b"1 2",
    "values nested too deep": b"[" * 100_000,
    "an integer of too many digits": b"9" * 10_000,
}
ANOTHER_SHAPE = {
    "null": b"null",
    "a number": b"42",
    "a list": b"[1]",
    "a mapping": b"{}",
    "an envelope without a value": b'{"ttl":9999999999}',
    "an envelope without an end": b'{"value":"abc"}',
    "an envelope that ends at no time": b'{"value":"abc","ttl":"never"}',
    "an envelope that ends at null": b'{"value":"abc","ttl":null}',
    "an envelope that is over": b'{"value":"abc","ttl":1}',
    "an envelope in a list": b'[{"value":"abc","ttl":9999999999}]',
    "an envelope in a text": b'"{\\"value\\":1}"',
}
SEALED = (
    "memcached",
    "a Flask-Caching class in memory",
    "a Flask-Caching class on Redis",
    "a Flask-Caching class on files",
)


def _into_redis(cache: Any, where: dict[str, Any], raw: bytes) -> None:
    with redis.Redis.from_url(where["url"]) as client:
        client.set("key", raw)


def _into_memcached(cache: Any, where: dict[str, Any], raw: bytes) -> None:
    client = pymemcache.Client(where["hosts"][0])
    client.set("key", raw, noreply=False)
    client.close()


def _into_postgresql(cache: Any, where: dict[str, Any], raw: bytes) -> None:
    put = "INSERT INTO cache VALUES ('key', :value) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
    with cache._engine.connect() as connection:
        connection.execute(sqlalchemy.text(put), {"value": raw.replace(b"\0", b"").decode("latin-1")})


def _into_memory(cache: Any, where: dict[str, Any], raw: bytes) -> None:
    cache.set("key", "value", 60)
    cache._entries["key"] = replace(cache._entries["key"], text=raw.decode("latin-1"))


def _into_simple(cache: Any, where: dict[str, Any], raw: bytes) -> None:
    cache.set("key", "value", 60)
    inner = cache._inner._cache
    inner["key"] = (inner["key"][0], raw)


def _into_a_file(cache: Any, where: dict[str, Any], raw: bytes) -> None:
    cache.delete("key")
    before = set(Path(where["url"]).iterdir())
    cache.set("key", "value", 60)
    for file in set(Path(where["url"]).iterdir()) - before:
        # The class keeps the end of life in the first bytes.
        file.write_bytes(file.read_bytes()[:4] + raw)


PUT: dict[str, Callable[[Any, dict[str, Any], bytes], None]] = {
    "memory": _into_memory,
    "redis": _into_redis,
    "memcached": _into_memcached,
    "postgresql": _into_postgresql,
    "a Flask-Caching class in memory": _into_simple,
    "a Flask-Caching class on Redis": _into_redis,
    "a Flask-Caching class on files": _into_a_file,
}


def _expect_use(cache: Cache) -> None:
    """Expect that a key can be used whatever was there."""
    assert cache.ttl("key") is not None
    cache.expire("key", 60)
    cache.set("key", ["value"], 60)
    assert cache.get("key") == ["value"]
    assert cache.delete("key") == ["value"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_that_is_none_of_ours_is_absent(backend: str, request: pytest.FixtureRequest) -> None:
    where: dict[str, Any] = place(backend, request)
    cache = load(BACKENDS[backend], CacheOptions(**where))
    cache.initialize()

    for name, raw in {**NO_JSON, **(ANOTHER_SHAPE if backend in SEALED else {})}.items():
        for read in (cache.get, cache.delete):
            PUT[backend](cache, where, raw)
            assert read("key") is None, name
        _expect_use(cache)
    cache.close()


@pytest.mark.parametrize("backend", ["redis", "a Flask-Caching class on Redis"])
@pytest.mark.parametrize(
    "put",
    [
        lambda client: client.rpush("key", "a"),
        lambda client: client.hset("key", "a", "b"),
        lambda client: client.sadd("key", "a"),
        lambda client: client.zadd("key", {"a": 1}),
        lambda client: client.xadd("key", {"a": 1}),
    ],
    ids=["list", "hash", "set", "sorted set", "stream"],
)
def test_a_key_of_another_type_of_redis_is_absent(
    redis_url: str, backend: str, put: Callable[[redis.Redis], Any]
) -> None:
    cache = load(BACKENDS[backend], CacheOptions(url=redis_url))
    with redis.Redis.from_url(redis_url) as client:
        client.delete("key")
        put(client)

    assert cache.get("key") is None
    assert cache.delete("key") is None

    _expect_use(cache)
    cache.close()


def test_somebody_logs_in_whatever_the_cache_holds(redis_url: str) -> None:
    app = make_app("", {**ONLY_ACCOUNTS, "kinto.cache_backend": "redis", "kinto.cache_url": redis_url})
    people = People(Client(app))
    people.service.cache.flush()
    people.sign_up("alice")
    wrong = people("alice", "wrong").ask("GET", "/accounts/alice")
    assert (people.user_id("alice"), wrong.status) == ("account:alice", 401)

    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys()
        assert len(keys) == 3, "a login, and two counts of failures"
        for raw in (
            *NO_JSON.values(),
            *ANOTHER_SHAPE.values(),
            b'["abc",null]',
            b'[{},"",[]]',
            b"[9,NaN]",
            b"[9,1e999]",
        ):
            for key in keys:
                client.set(key, raw)
            assert people.user_id("alice") == "account:alice", raw
            for key in keys:
                client.set(key, raw)
            assert people("alice", "wrong").ask("GET", "/accounts/alice").status == 401, raw
    app.extensions["kinto"].close()
