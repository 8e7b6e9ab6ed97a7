"""A session that holds a lock that writers need: the clock of a list on PostgreSQL, the whole file on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

MIGRATION_LOCK = 0x6B696E746F


@contextmanager
def hold(
    url: str, list_uri: str, statement: str = "SELECT 1 FROM clocks WHERE list = %s FOR NO KEY UPDATE"
) -> Iterator[None]:
    """Hold the lock until the block ends, in a session of its own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
        return
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (list_uri,) if "%s" in statement else None)
        yield
        connection.rollback()
