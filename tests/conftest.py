"""Give every test the servers of `tests/support/services.py`, and look at the statements that it sends.

With KINTO_TEST_POOLED=1 the service reaches PostgreSQL through PgBouncer in transaction mode; it needs
KINTO_TEST_PREPARE=0.
"""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import services
from tests.support.examples import examples
from tests.support.pooler import pooled
from tests.support.statements import SUITE

settings.register_profile("repeatable", max_examples=examples(100), derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")  # `pytest --hypothesis-profile=default` draws other examples at each run.

_POOLED = os.environ.get("KINTO_TEST_POOLED") == "1"


@pytest.fixture(autouse=True)
def statements_keep_the_rules() -> Iterator[None]:
    """Fail a test in which the service sent PostgreSQL a statement that a cluster cannot route."""
    yield
    assert SUITE.take() == []


def pytest_collection_finish() -> None:
    """Leave modules and thousands of collected tests out of each later garbage collection, and collect less often."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """Give the URL of a PostgreSQL database that only this worker of the tests uses, through a pooler if asked to."""
    with services.postgresql_database() as url:
        if _POOLED:
            with pooled(url, sessions=20) as through_pooler:
                yield through_pooler
        else:
            yield url


@pytest.fixture(scope="session")
def _postgresql_url_to_empty() -> Iterator[str]:
    with services.postgresql_database() as url:
        yield url


@pytest.fixture
def empty_postgresql_url(_postgresql_url_to_empty: str) -> str:
    """Give the URL of another such database, without any table."""
    services.empty_database(_postgresql_url_to_empty)
    return _postgresql_url_to_empty


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give the URL of a Redis that only this worker of the tests uses."""
    with services.redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def memcached_host() -> Iterator[str]:
    """Give the `host:port` of a memcached that only this worker of the tests uses."""
    with services.memcached_server() as host:
        yield host
