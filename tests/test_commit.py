"""A connection that dies while PostgreSQL commits: nobody knows whether it was done, so it is not done again."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

from tests.support.client import Client
from tests.support.databases import BASICAUTH, make_app

B = "/buckets/b"

_DIE_AT_COMMIT = """
    CREATE SEQUENCE commits;
    CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM nextval('commits');
        PERFORM pg_terminate_backend(pg_backend_pid());
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON documents DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION die();
"""
_LIVE_ON = "DROP TRIGGER IF EXISTS dies ON documents; DROP FUNCTION IF EXISTS die; DROP SEQUENCE IF EXISTS commits;"


@pytest.fixture
def client(postgresql_url: str) -> Iterator[Client]:
    """Alice's client of an empty service."""
    app = make_app(postgresql_url, BASICAUTH)
    yield Client(app)
    app.extensions["kinto"].close()


@pytest.fixture
def commits(client: Client, postgresql_url: str) -> Iterator[psycopg2.extensions.cursor]:
    """Let each commit of a new document end its connection; give a cursor of another one."""
    connection = psycopg2.connect(postgresql_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(_DIE_AT_COMMIT)
        yield cursor
        cursor.execute(_LIVE_ON)
    connection.close()


def test_a_request_is_not_tried_again_when_the_connection_died_in_the_commit(
    client: Client, commits: psycopg2.extensions.cursor
) -> None:
    """C-ERR-11, C-STO-13: the client is told that it may try again, and sees by itself what there is."""
    answer = client.put(B)

    commits.execute("SELECT last_value FROM commits")
    tried = commits.fetchone()
    assert (answer.status, answer.json["errno"]) == (503, 201)
    assert tried == (1,)
