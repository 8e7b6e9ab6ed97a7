"""The tables of Kinto 26.5 as operations.md 3.2 describes them, and rows for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

_TABLES = """
CREATE FUNCTION as_epoch(ts timestamp) RETURNS bigint IMMUTABLE LANGUAGE sql
    AS 'SELECT (extract(epoch FROM ts) * 1000)::bigint';
CREATE TABLE objects (
    id text COLLATE "C" NOT NULL,
    parent_id text COLLATE "C" NOT NULL,
    resource_name text COLLATE "C" NOT NULL,
    last_modified timestamp NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    deleted boolean NOT NULL,
    PRIMARY KEY (id, parent_id, resource_name));
CREATE UNIQUE INDEX objects_by_time ON objects (parent_id, resource_name, last_modified DESC);
CREATE INDEX objects_by_epoch ON objects (as_epoch(last_modified));
CREATE TABLE timestamps (
    parent_id text COLLATE "C" NOT NULL,
    resource_name text COLLATE "C" NOT NULL,
    last_modified timestamp NOT NULL,
    PRIMARY KEY (parent_id, resource_name));
CREATE TABLE user_principals (user_id text COLLATE "C", principal text, PRIMARY KEY (user_id, principal));
CREATE TABLE access_control_entries (
    object_id text COLLATE "C", permission text, principal text, PRIMARY KEY (object_id, permission, principal));
CREATE TABLE cache (key varchar(256) PRIMARY KEY, value text NOT NULL, ttl timestamp);
CREATE TABLE metadata (name varchar(128) NOT NULL, value varchar(512) NOT NULL);
INSERT INTO metadata VALUES
    ('created_at', 'then'), ('storage_schema_version', '26'), ('permission_schema_version', '2');
"""

TABLES = ("objects", "timestamps", "user_principals", "access_control_entries", "cache", "metadata")


class KintoTables:
    """Tables of Kinto in an empty PostgreSQL database; timestamps are in ms."""

    def __init__(self, url: str) -> None:
        self.url = url
        with self.cursor() as cursor:
            cursor.execute(_TABLES)

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Open a transaction in UTC, and commit it when the block ends."""
        connection = psycopg2.connect(self.url, options="-c timezone=UTC")
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def add(self, kind: str, parent: str, name: str, stamp: float, data: Any = None, *, deleted: bool = False) -> None:
        """Add an object, or a tombstone."""
        document = {"deleted": True} if deleted and data is None else {} if data is None else data
        with self.cursor() as cursor:
            cursor.execute(
                "INSERT INTO objects VALUES (%s, %s, %s, timestamp 'epoch' + %s * interval '1 ms', %s, %s)",
                (name, parent, kind, stamp, document if isinstance(document, str) else json.dumps(document), deleted),
            )

    def visit(self, kind: str, parent: str, stamp: float) -> None:
        """Add the time of the first visit of a list."""
        with self.cursor() as cursor:
            cursor.execute(
                "INSERT INTO timestamps VALUES (%s, %s, timestamp 'epoch' + %s * interval '1 ms')",
                (parent, kind, stamp),
            )

    def grant(self, uri: str, permission: str, *principals: str) -> None:
        """Add entries of permissions."""
        with self.cursor() as cursor:
            for principal in principals:
                cursor.execute("INSERT INTO access_control_entries VALUES (%s, %s, %s)", (uri, permission, principal))

    def join(self, user: str, group: str) -> None:
        """Add a membership."""
        self.execute("INSERT INTO user_principals VALUES (%s, %s)", user, group)

    def execute(self, statement: str, *values: Any) -> None:
        """Execute a statement."""
        with self.cursor() as cursor:
            cursor.execute(statement, values or None)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.cursor() as cursor:
            cursor.execute(query)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of Kinto's tables, with the places where they are stored."""
        return {
            name: self.rows(f"SELECT ctid::text, xmin::text, row_to_json(t)::text FROM {name} AS t ORDER BY 1")
            for name in TABLES
        }
