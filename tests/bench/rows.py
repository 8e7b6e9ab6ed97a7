"""Add rows to the tables where HTTP would take hours: records as the service itself has stored one, with other ids.

Records that HTTP has made stay the newest of their list: the added ones have timestamps just below them.
`verify_records` reads a list over HTTP afterwards.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg2
import psycopg2.extensions

from backends.storage import LIVING, bucket_of
from tests.bench.load import Request, WrongStatus, body_of, header_of, send

_ROWS_AT_A_TIME: Final = 10_000
_DOCUMENTS: Final = "documents (bucket, uri, list, born, last_modified, deleted, data)"
_GRANTS: Final = "grants (bucket, uri, list, permission, principal, since, until)"

Row = Sequence[Any]
Record = Callable[[int], dict[str, Any]]
"""The attributes of the record with a number."""


@contextmanager
def transaction(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """Open a connection and a transaction, and commit it when the block ends."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def analyze(url: str) -> None:
    """Update the statistics of the planner, and the map of visible pages, as autovacuum would do in time."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    finally:
        connection.close()


def copy(cursor: psycopg2.extensions.cursor, columns: str, rows: Iterable[Row]) -> None:
    """Insert rows into a table; *columns* is its name with the names of its columns in parentheses."""
    lines = ("\t".join(map(_text, row)) + "\n" for row in rows)
    while chunk := "".join(itertools.islice(lines, _ROWS_AT_A_TIME)):
        cursor.copy_expert(f"COPY {columns} FROM STDIN", io.StringIO(chunk))


def _text(value: object) -> str:
    return str(value).replace("\\", "\\\\")


def add_records(url: str, list_uri: str, numbers: range, record: Record) -> None:
    """Add the records `r<number>` to a list of this service; whoever has created `r0` may write to them."""
    bucket = bucket_of(list_uri)
    with transaction(url) as cursor:
        cursor.execute(
            "SELECT min(last_modified) FROM documents WHERE bucket = %s AND list = %s AND NOT deleted",
            (bucket, list_uri),
        )
        oldest: int = one(cursor)
        cursor.execute(
            "SELECT principal FROM grants WHERE bucket = %s AND uri = %s AND permission = 'write'",
            (bucket, f"{list_uri}/r0"),
        )
        writer: str = one(cursor)
        objects = {number: (f"{list_uri}/r{number}", oldest - 1 - position) for position, number in enumerate(numbers)}
        copy(
            cursor,
            _DOCUMENTS,
            (
                (bucket, uri, list_uri, time, time, False, _document(record(number), uri, time))
                for number, (uri, time) in objects.items()
            ),
        )
        copy(
            cursor,
            _GRANTS,
            ((bucket, uri, list_uri, "write", writer, time, LIVING) for uri, time in objects.values()),
        )
        cursor.execute(
            "UPDATE clocks SET count = count + %s WHERE bucket = %s AND list = %s", (len(numbers), bucket, list_uri)
        )


def _document(attributes: dict[str, Any], uri: str, time: int) -> str:
    document = {**attributes, "id": uri.rpartition("/")[2], "last_modified": time}
    return json.dumps(document, separators=(",", ":"))


def add_records_of_kinto(url: str, list_uri: str, numbers: range, record: Record) -> None:
    """Do as `add_records` in the tables of Kinto 26.5."""
    parent = list_uri.removesuffix("/records")
    with transaction(url) as cursor:
        # Without the trigger that gives each row the timestamp of now.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "SELECT min(last_modified) FROM objects WHERE parent_id = %s AND resource_name = 'record'", (parent,)
        )
        oldest: datetime = one(cursor)
        cursor.execute("SELECT principal FROM access_control_entries WHERE object_id = %s", (f"{list_uri}/r0",))
        writer: str = one(cursor)
        times = (oldest - timedelta(milliseconds=1 + position) for position in itertools.count())
        copy(
            cursor,
            "objects (id, parent_id, resource_name, last_modified, data, deleted)",
            (
                (f"r{number}", parent, "record", time, json.dumps(record(number)), False)
                for number, time in zip(numbers, times, strict=False)
            ),
        )
        copy(
            cursor,
            "access_control_entries (object_id, permission, principal)",
            ((f"{list_uri}/r{number}", "write", writer) for number in numbers),
        )


def add_grants(url: str, list_uri: str, numbers: range, principal: str) -> None:
    """Let a principal read the records `r<number>` of a list of this service, since they exist."""
    with transaction(url) as cursor:
        cursor.execute(
            f"INSERT INTO {_GRANTS}"
            " SELECT bucket, uri, list, 'read', %s, born, %s FROM documents"
            " WHERE bucket = %s AND uri = ANY(%s)",
            (principal, LIVING, bucket_of(list_uri), [f"{list_uri}/r{number}" for number in numbers]),
        )


def add_buckets(url: str, template: str, numbers: range) -> None:
    """Add copies of a bucket of this service; each has the URI of the bucket with a number after it."""
    with transaction(url) as cursor:
        cursor.execute("SELECT bucket, list, last_modified FROM documents WHERE uri = %s", (template,))
        documents = cursor.fetchall()
        copy(
            cursor,
            _DOCUMENTS,
            (
                (bucket.replace(template, uri), uri, list_uri, time, time, False, _document({}, uri, time))
                for bucket, list_uri, newest in documents
                for uri, time in ((f"{template}{number}", newest - 1 - number) for number in numbers)
            ),
        )
        cursor.execute("SELECT bucket, list, permission, principal, since FROM grants WHERE uri = %s", (template,))
        grants = cursor.fetchall()
        copy(
            cursor,
            _GRANTS,
            (
                (bucket.replace(template, uri), uri, list_uri, permission, principal, since, LIVING)
                for bucket, list_uri, permission, principal, since in grants
                for uri in (f"{template}{number}" for number in numbers)
            ),
        )
        cursor.execute("UPDATE clocks SET count = count + %s WHERE list = '/buckets'", (len(numbers),))


def one(cursor: psycopg2.extensions.cursor) -> Any:
    """Return the value of a query that has one. Raises LookupError."""
    row = cursor.fetchone()
    if row is None or row[0] is None:
        raise LookupError(f"No row for {cursor.query!r}")
    return row[0]


def verify_records(port: int, read: Callable[[str, str], Request], list_path: str, count: int, record: Record) -> None:
    """Read over HTTP that a list has *count* records, and that the last one is as HTTP would have made it.

    *read* makes a request of a method and a path. Raises WrongStatus.
    """
    total = header_of(send(port, [read("HEAD", list_path)]), "Total-Objects")
    first, last = (body_of(send(port, [read("GET", f"{list_path}/r{number}")])) for number in (0, count - 1))
    last["data"].pop("last_modified")
    expected = {"data": {**record(count - 1), "id": f"r{count - 1}"}, "permissions": first["permissions"]}
    if (int(total), last) != (count, expected):
        raise WrongStatus(f"{list_path}: {total} records of {count}, the last one is {last}")
