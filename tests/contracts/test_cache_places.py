"""Test what is particular to one cache backend or to the way it is chosen (operations.md 1.9 and 4.2 to 4.5)."""

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import psycopg2
import pymemcache
import pytest
import redis
from sqlalchemy import event

from backends import BackendError, Pool
from backends.cache import Cache, CacheOptions, load
from backends.cache.memcached import MemcachedCache
from backends.cache.memory import MemoryCache
from backends.cache.postgresql import PostgreSQLCache
from backends.cache.redis import RedisCache
from tests.support.services import ROOT
from tests.support.statements import EXCEPTIONS, Recorder

ENTRY_SIZE = 3 * len("a") + len("1") + 48


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("memory", MemoryCache),
        ("kinto.core.cache.memory", MemoryCache),
        ("cliquet.cache.memory", MemoryCache),
        ("redis", RedisCache),
        ("kinto.core.cache.redis", RedisCache),
        ("cliquet.cache.redis", RedisCache),
        ("kinto_redis.cache", RedisCache),
        ("memcached", MemcachedCache),
        ("kinto.core.cache.memcached", MemcachedCache),
    ],
)
def test_a_name_of_kinto_chooses_the_backend(name: str, expected: type[Cache]) -> None:
    """Operations.md 1.9."""
    cache = load(name)

    assert isinstance(cache, expected)
    cache.close()


@pytest.mark.parametrize("name", ["postgresql", "kinto.core.cache.postgresql", "cliquet.cache.postgresql"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_is_chosen_under_each_spelling_of_its_url(name: str, scheme: str) -> None:
    """Operations.md 1.1: Heroku's `postgres://` too."""
    cache = load(name, CacheOptions(url=f"{scheme}://user:secret@localhost/db"))

    assert isinstance(cache, PostgreSQLCache)
    cache.close()


def test_a_url_that_is_no_postgresql_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="must start with postgresql://") as caught:
        load("postgresql", CacheOptions(url="mysql://user:secret@localhost/db"))

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["nonsense", "json.JSONDecoder", "json.nothing"])
def test_a_name_that_is_no_cache_is_refused(name: str) -> None:
    """Operations.md 1.4."""
    with pytest.raises(ValueError, match=f"Invalid cache backend: {name}"):
        load(name)


def test_a_module_that_does_not_exist_is_an_import_error() -> None:
    with pytest.raises(ImportError):
        load("nowhere.to.be.found.Cache")


def test_only_the_chosen_backend_is_imported() -> None:
    """Workers do not pay for drivers that they do not use."""
    program = (
        "import sys; from backends.cache import load; load('memory');"
        "print(sorted({'redis', 'pymemcache', 'sqlalchemy', 'flask_caching'} & set(sys.modules)))"
    )

    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert printed.strip() == "[]"


def filled(limit: int, keys: str) -> Cache:
    """Return a memory cache of *limit* bytes in which each letter of *keys* was set to 1."""
    cache = load("memory", CacheOptions(max_size_bytes=limit))
    for key in keys:
        cache.set(key, 1, 60)
    return cache


def kept(cache: Cache, keys: str) -> str:
    """Return the letters of *keys* that *cache* still has."""
    return "".join(key for key in keys if cache.get(key) is not None)


def test_memory_keeps_all_until_the_limit_is_reached() -> None:
    """O-CACHE-8."""
    assert kept(filled(10 * ENTRY_SIZE, "abcdefghij"), "abcdefghij") == "abcdefghij"


def test_memory_evicts_the_oldest_below_four_fifths_when_the_limit_is_reached() -> None:
    """O-CACHE-8: down to 7 of 10, since 8 are not below 80 %; then the new one comes."""
    assert kept(filled(10 * ENTRY_SIZE, "abcdefghijk"), "abcdefghijk") == "defghijk"


def test_memory_evicts_by_the_last_set_and_not_by_reads() -> None:
    """O-CACHE-8."""
    cache = filled(10 * ENTRY_SIZE, "abcdefghij")
    cache.get("b")
    cache.set("a", 1, 60)
    cache.set("k", 1, 60)

    assert kept(cache, "abcdefghijk") == "aefghijk"


def test_memory_counts_a_replaced_key_once() -> None:
    """O-CACHE-9."""
    assert kept(filled(10 * ENTRY_SIZE, "a" + "b" * 50), "ab") == "ab"


def test_memory_counts_nothing_when_a_missing_key_is_deleted() -> None:
    """O-CACHE-9."""
    cache = filled(3 * ENTRY_SIZE, "abc")
    for _ in range(10):
        cache.delete("unknown")
    cache.set("d", 1, 60)

    assert kept(cache, "abcd") == "bcd"


def test_memory_adds_an_entry_whatever_its_size() -> None:
    """O-CACHE-8."""
    cache = filled(100, "a")
    cache.set("big", "x" * 1000, 60)

    assert cache.get("big") == "x" * 1000


def test_memory_drops_what_has_expired_before_it_evicts() -> None:
    """Operations.md 4.2."""
    cache = load("memory", CacheOptions(max_size_bytes=3 * ENTRY_SIZE))
    cache.set("a", 1, 60)
    cache.set("b", 1, 60)
    cache.set("c", 1, 60)
    cache.expire("c", 0)

    cache.set("d", 1, 60)

    assert kept(cache, "abcd") == "abd"


def test_redis_holds_json_text_and_a_life_in_milliseconds(redis_url: str) -> None:
    """O-CACHE-7."""
    cache = load("redis", CacheOptions(url=redis_url, prefix="wire:"))
    cache.set("key", {"a": [1, None]}, 1.5)

    with redis.Redis.from_url(redis_url) as client:
        assert client.get("wire:key") == b'{"a":[1,null]}'
        assert 1000 < client.pttl("wire:key") <= 1500
    cache.close()


@pytest.mark.parametrize(
    "name",
    ["flask_caching.backends.rediscache.RedisCache", "flask_caching.backends.RedisCache"],
    ids=["module", "name"],
)
def test_a_flask_caching_class_puts_no_pickle_on_the_wire(redis_url: str, name: str) -> None:
    """O-CACHE-7."""
    cache = load(name, CacheOptions(url=redis_url, prefix="foreign:"))
    cache.set("key", {"a": 1}, 60)

    with redis.Redis.from_url(redis_url) as client:
        assert json.loads(json.loads(client.get("foreign:key")))["value"] == {"a": 1}
    cache.close()


def test_a_pickle_that_somebody_left_is_no_value_and_is_not_run(redis_url: str, tmp_path: Path) -> None:
    """O-CACHE-7."""
    witness = Path(tmp_path, "ran")
    cache = load("flask_caching.backends.RedisCache", CacheOptions(url=redis_url, prefix="foreign:"))
    with redis.Redis.from_url(redis_url) as client:
        client.set("foreign:key", b"!cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR.")

    assert cache.get("key") is None
    assert not witness.exists()
    cache.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost/",
        "redis://:pw@localhost:6379/3",
        "redis://user:pw@localhost:6379",
        "rediss://:pw@localhost:6379",
        "rediss://:pw@localhost:6379/3?ssl_cert_reqs=none",
    ],
)
def test_redis_takes_every_url_of_the_platforms(url: str) -> None:
    """O-CACHE-10."""
    load("redis", CacheOptions(url=url)).close()


def test_redis_answers_when_the_url_ends_in_a_slash(redis_url: str) -> None:
    """O-CACHE-10."""
    cache = load("redis", CacheOptions(url=redis_url.removesuffix("0")))

    assert cache.ping()
    cache.close()


def test_redis_fails_after_the_timeout_when_its_connections_are_taken(redis_url: str) -> None:
    """O-CACHE-11."""
    cache = load("redis", CacheOptions(url=redis_url, pool=Pool(size=1, timeout_seconds=0.05)))
    assert isinstance(cache, RedisCache)
    taken = cache._client.connection_pool.get_connection()

    with pytest.raises(BackendError):
        cache.get("key")

    cache._client.connection_pool.release(taken)
    assert cache.ping()
    cache.close()


def test_memcached_holds_the_envelope_of_kinto(memcached_host: str) -> None:
    """Operations.md 4.4."""
    cache = load("memcached", CacheOptions(hosts=[memcached_host], prefix="wire:"))
    cache.set("key", {"a": 1}, 60)

    client = pymemcache.Client(memcached_host)
    assert json.loads(client.get("wire:key")).keys() == {"value", "ttl"}
    client.close()
    cache.close()


@pytest.mark.parametrize("form", ["{}", "memcached://{}", "{} {}"], ids=["host:port", "a URL", "two of them"])
def test_memcached_is_found_when_its_hosts_stand_in_cache_url(memcached_host: str, form: str) -> None:
    """O-CACHE-12."""
    cache = load("memcached", CacheOptions(url=form.format(memcached_host, memcached_host)))

    assert cache.ping()
    cache.close()


def test_memcached_spreads_keys_over_its_hosts(memcached_host: str) -> None:
    """O-CACHE-12."""
    cache = load("memcached", CacheOptions(hosts=[memcached_host, "127.0.0.1:1"]))
    answered = 0
    for number in range(40):
        try:
            cache.set(f"key-{number}", number, 60)
        except BackendError:
            continue
        answered += 1

    assert 5 < answered < 35
    cache.close()


def rows(url: str) -> list[str]:
    """Return the keys that the table of the cache holds."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT key FROM cache ORDER BY key")
        names = [row[0] for row in cursor.fetchall()]
    connection.close()
    return names


def test_postgresql_makes_its_table_when_many_start_at_once(empty_postgresql_url: str) -> None:
    """Operations.md 2.4."""
    caches = [load("postgresql", CacheOptions(url=empty_postgresql_url)) for _ in range(6)]
    assert not caches[0].is_initialized()

    threads = [threading.Thread(target=cache.initialize) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert caches[0].is_initialized()
    assert caches[0].ping()
    for cache in caches:
        cache.close()


def test_postgresql_removes_what_has_expired_at_writes_and_never_at_reads(empty_postgresql_url: str) -> None:
    """PG-D10, O-CACHE-13."""
    writer = load("postgresql", CacheOptions(url=empty_postgresql_url))
    writer.initialize()
    writer.set("first", 1, 60)
    writer.set("expired", 1, 60)
    writer.expire("expired", 0)

    writer.get("expired")
    assert rows(empty_postgresql_url) == ["expired", "first"]

    # Another worker, whose first write of the minute this is.
    other = load("postgresql", CacheOptions(url=empty_postgresql_url))
    other.set("second", 1, 60)
    assert rows(empty_postgresql_url) == ["first", "second"]
    writer.close()
    other.close()


def test_postgresql_is_asked_what_a_cluster_can_answer(empty_postgresql_url: str) -> None:
    """What a write returns depends on its row alone; a row is found by its key, and nothing else is locked."""
    cache = load("postgresql", CacheOptions(url=empty_postgresql_url))
    assert isinstance(cache, PostgreSQLCache)
    recorder = Recorder(keeping=True)
    event.listen(cache._engine, "before_cursor_execute", recorder)
    cache.initialize()
    recorder.sent.clear()
    cache.set("key", 1, 60)
    cache.expire("key", 0)
    expired = cache.get("key"), cache.ttl("key"), cache.delete("key")
    cache._purge()
    cache.set("key", 2, 60)
    living = cache.get("key"), cache.ttl("key") > 50, cache.delete("key"), cache.get("key")
    cache.flush()
    cache.close()

    assert expired == (None, -1.0, None)
    assert living == (2, True, 2, None)
    assert recorder.breaches == []
    assert recorder.excused == {name for name in EXCEPTIONS if name.startswith("PostgreSQLCache.")}
    statements = recorder.sent
    kinds = Counter(statement.split()[0] for statement in statements)
    assert set(kinds) == {"INSERT", "UPDATE", "SELECT", "DELETE"}
    by_key = re.compile(r"WHERE (key = (%\(key\)s|ANY\()|starts_with\(key, )|^INSERT INTO cache \(key, ")
    assert all(by_key.search(statement) for statement in statements if not statement.startswith("SELECT key FROM"))
    assert not [statement for statement in statements if re.search(r"RETURNING .*\(", statement)]
    assert not [statement for statement in statements if " FOR " in statement]


def test_postgresql_keeps_lives_when_the_time_zone_of_the_session_is_not_utc(empty_postgresql_url: str) -> None:
    """Operations.md 3.2."""
    separator = "&" if "?" in empty_postgresql_url else "?"
    far = load("postgresql", CacheOptions(url=f"{empty_postgresql_url}{separator}options=-ctimezone%3DAsia/Tokyo"))
    near = load("postgresql", CacheOptions(url=empty_postgresql_url))
    near.initialize()

    near.set("key", "value", 60)

    assert 50 < far.ttl("key") <= 60
    assert far.get("key") == "value"
    far.close()
    near.close()


@pytest.mark.parametrize("prefix", ["p" * 200, "p" * 300])
def test_postgresql_clears_its_keys_when_the_prefix_is_long(empty_postgresql_url: str, prefix: str) -> None:
    """O-CACHE-13, O-CACHE-14."""
    cache = load("postgresql", CacheOptions(url=empty_postgresql_url, prefix=prefix))
    cache.initialize()
    cache.set("k" * 300, 1, 60)
    assert cache.get("k" * 300) == 1

    cache.flush()

    assert rows(empty_postgresql_url) == []
    cache.close()


def test_postgresql_refuses_at_once_when_too_many_wait_for_a_connection(empty_postgresql_url: str) -> None:
    """Operations.md 3.6: `max_backlog`."""
    pool = Pool(size=1, max_overflow=0, timeout_seconds=30, max_backlog=0)
    cache = load("postgresql", CacheOptions(url=empty_postgresql_url, pool=pool))
    cache.initialize()
    assert isinstance(cache, PostgreSQLCache)

    with cache._engine.connect(), pytest.raises(BackendError, match="bound of 1"):
        cache.get("key")

    assert cache.ping()
    cache.close()


def test_postgresql_shows_no_value_when_a_statement_fails(empty_postgresql_url: str) -> None:
    """A remembered login must not end up in a log."""
    cache = load("postgresql", CacheOptions(url=empty_postgresql_url))

    with pytest.raises(BackendError) as caught:
        cache.set("key", "a secret", 60)

    assert "a secret" not in str(caught.value)
    assert "a secret" not in str(caught.value.original)
    cache.close()


FILES = "flask_caching.backends.filesystemcache.FileSystemCache"
NAMES = ("../../outside", "/etc/passwd", "..", ".", "a/b", "a\0b", "~/x", "C:\\x", "x" * 5_000, "\ud800")


@pytest.mark.parametrize("prefix", ["", *NAMES])
@pytest.mark.parametrize(
    "name", [FILES, "tests.support.keys_as_names.KeysAsNames"], ids=["hashed", "as names of files"]
)
def test_a_cache_in_files_stays_in_its_folder(tmp_path: Path, name: str, prefix: str) -> None:
    """Whatever keys and prefix look like."""
    (tmp_path / "inside").mkdir()
    cache = load(name, CacheOptions(url=f"file://{tmp_path}/inside", prefix=prefix))

    for key in NAMES:
        cache.set(key, key, 60)
    assert [cache.get(key) for key in NAMES] == list(NAMES)
    assert [cache.delete(key) for key in NAMES] == list(NAMES)
    assert [each.name for each in tmp_path.iterdir()] == ["inside"]


def test_the_folder_of_a_cache_is_for_its_user_alone(tmp_path: Path) -> None:
    load(FILES, CacheOptions(url=f"{tmp_path}/new"))

    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("url", ["", "{folder}", "{folder}/file"], ids=["no folder", "a folder of all users", "a file"])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o777)

    with pytest.raises(ValueError, match="folder"):
        load(FILES, CacheOptions(url=url.format(folder=tmp_path)))


_FORKING = """
import os, sys
from backends.cache import CacheOptions, load
cache = load(sys.argv[1], CacheOptions(url=sys.argv[2], hosts=sys.argv[3:]))
cache.initialize()
for number in range(4):
    cache.set(f"key{number}", number, 60)
children = []
for number in range(4):
    child = os.fork()
    if not child:
        os._exit(any(cache.get(f"key{number}") != number for _ in range(500)))
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], cache.get("key0"))
"""


@pytest.mark.parametrize(
    "name",
    ["memory", "redis", "memcached", "postgresql", "flask_caching.backends.rediscache.RedisCache"],
)
def test_a_forked_worker_reads_its_own_answers(request: pytest.FixtureRequest, name: str) -> None:
    """An application that was loaded, and has asked its cache, before the fork: connections are not shared."""
    url, hosts = "", []
    if name == "memcached":
        hosts = [request.getfixturevalue("memcached_host")]
    elif name == "postgresql":
        url = request.getfixturevalue("empty_postgresql_url")
    elif name != "memory":
        url = request.getfixturevalue("redis_url")

    ended = subprocess.run(
        [sys.executable, "-c", _FORKING, name, url, *hosts], capture_output=True, text=True, cwd=ROOT, timeout=120
    )

    assert ended.stdout.strip() == "[0, 0, 0, 0] 0", ended.stderr
