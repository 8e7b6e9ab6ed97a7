"""Test the servers that the other tests rely on."""

from typing import Any

import psycopg2
import pymemcache
import pytest
import redis

from tests.support import services


def test_the_database_is_empty_at_the_start_of_each_test(empty_postgresql_url: str) -> None:
    connection = psycopg2.connect(empty_postgresql_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE left_over (id INT)")
    connection.close()

    services.empty_database(empty_postgresql_url)

    connection = psycopg2.connect(empty_postgresql_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('left_over')")
        assert cursor.fetchone() == (None,)
    connection.close()


def test_redis_answers_when_a_test_asks_for_it(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


def test_memcached_answers_when_a_test_asks_for_it(memcached_host: str) -> None:
    client = pymemcache.Client(memcached_host)
    assert client.version()
    client.close()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("kinto.paginate_by", 5, ("KINTO_PAGINATE_BY", "5"), id="a number is its text"),
        pytest.param("kinto.readonly", True, ("KINTO_READONLY", "true"), id="a boolean is JSON"),
        pytest.param("fxa-oauth.url", "x", ("FXA_OAUTH_URL", "x"), id="dots and hyphens become underscores"),
        pytest.param("multiauth.policies", ["a", "b"], ("MULTIAUTH_POLICIES", "a b"), id="a list is split at blanks"),
    ],
)
def test_a_setting_becomes_its_variable(name: str, value: Any, expected: tuple[str, str]) -> None:
    assert expected in services.as_environment({name: value}).items()
