"""`kinto check`: each row that contradicts others is reported once and repaired; sound databases have no faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row, delete, insert, select, text, update

from backends.storage import LIVING
from backends.storage.tables import clocks, documents, grants, indexes, members, metadata
from tests.plugins.people import ACCOUNTS
from tests.support.checking import RECORDS, B, C, G, Place, open_place
from tests.support.client import Client, user_id
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app
from tests.support.tables import faults, read_tables

Corruption = Callable[[Connection], Any]
TABLES = (clocks, documents, indexes, grants, members)
SETTINGS = {**BASICAUTH, **ACCOUNTS, "kinto.account_login_failures_per_account": 0}
INI = "\n".join(f"{name} = {value}" for name, value in ACCOUNTS.items())
ALICE, DORA = user_id("alice"), "account:dora"
R1, R2, R3, TOMBSTONE = (f"{RECORDS}/r{number}" for number in (1, 2, 3, 0))
SECOND, NONE, LOST = "/buckets/second", "/buckets/none", f"{B}/collections/lost/records"


def _change(uri: str, bucket: str = B, **columns: Any) -> Corruption:
    """Return the change of a row of `documents`; its document is a mapping of members that change."""

    def change(connection: Connection) -> None:
        place = documents.c.bucket == bucket, documents.c.uri == uri
        row = connection.execute(select(documents).where(*place)).one()
        document = row.data if isinstance(row.data, dict) else json.loads(row.data)
        if "data" in columns:
            new = json.dumps({**document, **columns["data"]}, separators=(",", ":"))
            connection.execute(update(documents).where(*place).values({**columns, "data": new}))
        else:
            connection.execute(update(documents).where(*place).values(columns))

    return change


def _copy(table: Any, original: str, /, **columns: Any) -> Corruption:
    """Return the copy of the first row of a URI with other values in some columns."""

    def copy(connection: Connection) -> None:
        name = "principal" if table is members else "uri"
        row = dict(connection.execute(select(table).where(table.c[name] == original)).mappings().all()[0])
        if isinstance(row.get("data"), dict):
            row["data"] = json.dumps(row["data"])
        connection.execute(insert(table).values({**row, **columns}))

    return copy


def _grant(uri: str, **columns: Any) -> Corruption:
    row = {"bucket": B, "uri": uri, "list": uri.rpartition("/")[0], "permission": "read", "principal": "eve"}
    return _insert(grants, **{**row, "since": 1_000, "until": LIVING, **columns})


def _member(group: str = G, user: str = "eve", since: int = 1_000, until: int = LIVING) -> Corruption:
    return _insert(members, user_id=user, principal=group, since=since, until=until)


def _insert(table: Any, **columns: Any) -> Corruption:
    return lambda connection: connection.execute(insert(table).values(columns))


def _sql(statement: str) -> Corruption:
    return lambda connection: connection.execute(text(statement))


def _index(name: str, slot: int, definition: str = '{"fields":["n"]}', bucket: str = B) -> Corruption:
    columns = {"prefix": "01" * 8, "definition": definition, "origin": "declared", "state": "ready", "done": ""}
    return _insert(indexes, bucket=bucket, list=name, slot=slot, since=1_000, **columns)


def _clock(name: str, bucket: str, stamp: int = 1_000) -> Corruption:
    return _insert(clocks, bucket=bucket, list=name, last_modified=stamp, floor=stamp, count=0)


LATER = time.time_ns() // 1_000_000 + 3_600_000
OLD = {"last_modified": 2_000, "born": 1_000, "data": {"last_modified": 2_000}}
CORRUPTIONS: Mapping[str, tuple[Sequence[Corruption], Sequence[tuple[str, str]]]] = {
    "an object in another bucket": (
        [_copy(documents, R1, bucket=SECOND)],
        [(R1, f"its row is stored under {SECOND}")],
    ),
    "an object in another list": (
        [_change(R1, list=LOST)],
        [(R1, f"its row names the list {LOST}"), (RECORDS, "its count is 5 and 4 object(s) live")],
    ),
    "an object below nothing": (
        [_copy(documents, R1, uri=f"{LOST}/r1", list=LOST)],
        [(f"{LOST}/r1", "the object that contains it does not exist")],
    ),
    "a tombstone below nothing": (
        [_copy(documents, TOMBSTONE, uri=f"{LOST}/r0", list=LOST)],
        [(f"{LOST}/r0", "the object that contains it does not exist")],
    ),
    "an object in no bucket": (
        [_copy(documents, C, bucket=NONE, uri=f"{NONE}/collections/c", list=f"{NONE}/collections")],
        [(f"{NONE}/collections/c", "the object that contains it does not exist")],
    ),
    "another id": ([_change(R2, data={"id": "x"})], [(R2, "its document has another id")]),
    "another timestamp": (
        [_change(R2, data={"last_modified": 5})],
        [(R2, "its document has another timestamp"), (RECORDS, 'its index {"fields":["n"]} has a wrong entry')],
    ),
    "a timestamp that is text": (
        [_change(C, data={"last_modified": "5"})],
        [(C, "its document has another timestamp")],
    ),
    "a tombstone with a document": (
        [_change(TOMBSTONE, data={"deleted": False, "n": 5})],
        [(TOMBSTONE, "its document is no tombstone")],
    ),
    "an object that is marked as deleted": (
        [_change(f"{B}/collections/none", deleted=True)],
        [
            (f"{B}/collections/none", "its document is no tombstone"),
            (f"{B}/collections", "its count is 2 and 1 object(s) live"),
            (f"{B}/collections/none", f"its grant of write to {ALICE} has not ended although it does not exist"),
        ],
    ),
    "a bucket without its copy": (
        [_sql(f"DELETE FROM documents WHERE bucket = '{B}' AND uri = '{B}'")],
        [(B, "its copy in its own bucket is missing")],
    ),
    "a bucket and another copy": (
        [_change(B, data={"x": 1})],
        [(B, "its copy in its own bucket differs")],
    ),
    "a copy alone": (
        [_sql(f"DELETE FROM documents WHERE bucket = '/buckets' AND uri = '{B}'")],
        [(B, "it is missing in the list /buckets"), ("/buckets", "its count is 2 and 1 object(s) live")],
    ),
    "a tombstone and a copy": (
        [_change(SECOND, "/buckets", deleted=True, data={"deleted": True})],
        [(SECOND, "it is deleted, and its copy"), ("/buckets", "its count is 2 and 1 object(s) live")],
    ),
    "an account without its copy": (
        [_sql("DELETE FROM documents WHERE bucket = '/accounts/dora'")],
        [("/accounts/dora", "its copy in its own bucket is missing")],
    ),
    "no clock": (
        [_sql(f"DELETE FROM clocks WHERE list = '{RECORDS}'")],
        [(R2, "its list has no clock")],
    ),
    "one timestamp of two objects": (
        [_sql(f"UPDATE documents SET last_modified = (SELECT last_modified FROM clocks WHERE list = '{B}/collections') "
              f"WHERE uri = '{C}'"),
         lambda connection: _change(C, data={"last_modified": connection.execute(
             select(documents.c.last_modified).where(documents.c.uri == C)).scalar_one()})(connection)],
        [(f"{B}/collections/gone", "another object of its list has its timestamp")],
    ),
    "a grant in another bucket": (
        [_copy(grants, R1, bucket=SECOND)],
        [(R1, f"is stored under {SECOND}")],
    ),
    "a grant in another list": (
        [_grant(R1, list=LOST)],
        [(R1, f"its grant of read to eve names the list {LOST}")],
    ),
    "a grant below nothing": (
        [_grant(f"{LOST}/r", until=2_000)],
        [(f"{LOST}/r", "its grant of read to eve is below an object that does not exist")],
    ),
    "a grant on an object that never was": (
        [_grant(f"{RECORDS}/never")],
        [(f"{RECORDS}/never", "its grant of read to eve has not ended although it does not exist")],
    ),
    "a grant on a deleted object": (
        [_grant(TOMBSTONE)],
        [(TOMBSTONE, "its grant of read to eve has not ended although it does not exist")],
    ),
    "a grant that ended before it began": (
        [_grant(R1, since=2_000, until=1_000)],
        [(R1, "its grant of read to eve ended before it began")],
    ),
    "grants that overlap": (
        [_grant(R1, until=3_000), _grant(R1, since=2_000, until=5_000), _grant(R1, since=4_000)],
        [(R1, "two intervals of its grant of read to eve overlap")] * 2,
    ),
    "a grant after the clock": (
        [_grant(R1, since=LATER)],
        [(R1, "its grant of read to eve has a timestamp that its list has not reached")],
    ),
    "a grant on a bucket without its copy": (
        [_sql(f"DELETE FROM grants WHERE bucket = '{B}' AND uri = '{B}' AND principal = 'account:x'")],
        [(B, "its grant of read to account:x is missing in its own bucket")],
    ),
    "a grant on the copy of a bucket alone": (
        [_grant(B)],
        [(B, "its grant of read to eve is in its own bucket alone")],
    ),
    "a grant on the copy of nothing": (
        [_grant(NONE, bucket=NONE, until=2_000)],
        [(NONE, "its grant of read to eve is stored twice although it does not exist")],
    ),
    "a member of no group": (
        [_member(f"{B}/groups/none")],
        [(f"{B}/groups/none", "the membership of eve has not ended although the group does not exist")],
    ),
    "a member whom the group does not name": (
        [_member()],
        [(G, "the membership of eve has not ended although the group does not name the user")],
    ),
    "a member whom a group does not name that names a number too": (
        [_change(G, data={"members": ["account:x", DORA, "bob", 5]}), _member()],
        [(G, "the membership of eve has not ended although the group does not name the user")],
    ),
    "users whom the group names alone": (
        [_sql(f"DELETE FROM members WHERE principal = '{G}'")],
        [(G, "its document names users who are no members")],
    ),
    "memberships that overlap": (
        [_member(user="account:x"), _member(user="bob", until=3_000), _member(user="bob", since=2_000, until=4_000)],
        [(G, "two intervals of the membership of account:x"), (G, "two intervals of the membership of bob overlap")],
    ),
    "a membership that ended before it began": (
        [_member(since=2_000, until=1_000)],
        [(G, "the membership of eve ended before it began")],
    ),
    "a clock in another bucket": ([_clock(RECORDS, SECOND)], [(RECORDS, f"its clock is stored under {SECOND}")]),
    "a clock of no bucket": (
        [_clock("/buckets/past/groups", "/buckets/past")],
        [("/buckets/past/groups", "its clock is left over: the bucket does not exist")],
    ),
    "a floor above the clock": (
        [_sql(f"UPDATE clocks SET floor = last_modified + 1 WHERE list = '{RECORDS}'")],
        [(RECORDS, "is above its clock")],
    ),
    "an index of no list": (
        [_index(LOST, 1)],
        [(LOST, "the object that contains the list does not exist")],
    ),
    "an index in another bucket": (
        [_index(RECORDS, 1, bucket=SECOND)],
        [(RECORDS, f'its index {{"fields":["n"]}} is stored under {SECOND}')],
    ),
    "an index in a column for others": (
        [_index(RECORDS, 3, '{"text":["x"]}')],
        [(RECORDS, 'its index {"text":["x"]} has the slot 3, whose column it does not use')],
    ),
    "an object without its key": (
        [_change(R2, k1=None)],
        [(RECORDS, 'its index {"fields":["n"]} has a wrong entry of')],
    ),
    "a tombstone with a key": (
        [lambda connection: _change(TOMBSTONE, k1=_row(connection, R1).k1)(connection)],
        [(RECORDS, 'its index {"fields":["n"]} has a wrong entry of')],
    ),
    "an object without its terms": (
        [_change(R2, terms=None)],
        [(RECORDS, 'its index {"text":["s"]} has a wrong entry of')],
    ),
}  # fmt: skip
ON_SQLITE: Mapping[str, tuple[Sequence[Corruption], Sequence[tuple[str, str]]]] = {
    "a table of terms without some": (
        [_sql(f"DELETE FROM terms WHERE uri = '{R1}'")],
        [(R1, "the table of terms lacks terms of the object")],
    ),
    "a table of terms with others": (
        [_sql(f"INSERT INTO terms VALUES ('{B}', 5, '{R1}')")],
        [(R1, "the table of terms has 5, which the object has not")],
    ),
}


def _row(connection: Connection, uri: str) -> Row[Any]:
    return connection.execute(select(documents).where(documents.c.uri == uri)).one()


@pytest.fixture(params=DATABASES, scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a service with buckets, records and a group, one of whose members has had an account for long."""
    with open_place(request.param, tmp_path_factory.mktemp("rows"), SETTINGS, INI) as place:
        place.stock()
        client = place.client
        client.as_(None).ask("PUT", "/accounts/dora", {"data": {"password": "pw"}})
        client.put(SECOND)
        client.put(G, {"members": ["account:x", DORA, "bob"]})
        with place.engine.begin() as connection:
            for bucket in ("/accounts", "/accounts/dora"):
                _change("/accounts/dora", bucket, **OLD)(connection)
        yield place


def _read(connection: Connection) -> list[list[dict[str, Any]]]:
    rows = [[dict(row) for row in connection.execute(select(table)).mappings()] for table in TABLES]
    for row in rows[1]:
        row["data"] = row["data"] if isinstance(row["data"], str) else json.dumps(row["data"])
    return rows


def _write(connection: Connection, rows: list[list[dict[str, Any]]]) -> None:
    for table, some in zip(TABLES, rows, strict=True):
        connection.execute(delete(table))
        connection.execute(insert(table), some)


def _key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    table = metadata.tables.get(row["table"])
    return () if table is None else tuple(row[column.name] for column in table.primary_key)


def _keys(place: Place) -> set[tuple[Any, ...]]:
    """Return the keys of all rows."""
    with place.engine.connect() as connection:
        rows = _read(connection)
    return {_key_of({**row, "table": table.name}) for table, some in zip(TABLES, rows, strict=True) for row in some}


def test_each_fault_is_reported_once_and_repaired(place: Place) -> None:
    """Rows that a repair deletes are among the lines that it prints."""
    on_sqlite = place.engine.dialect.name == "sqlite"
    with place.engine.connect() as connection:
        sound = _read(connection)
    assert place.examine() == []
    for name, (changes, expected) in {**CORRUPTIONS, **(ON_SQLITE if on_sqlite else {})}.items():
        with place.engine.begin() as connection:
            _write(connection, sound)
            for change in changes:
                change(connection)

        lines, before = place.examine(), _keys(place)
        repairs = place.examine(repair=True)

        assert len(lines) == len(expected), (name, lines)
        left = [*lines]
        for subject, fault in expected:
            matching = [line for line in left if line.startswith(f"{subject}: ") and fault in line]
            assert matching, (name, subject, fault, left)
            left.remove(matching[0])
        assert any(": repaired: " in line for line in repairs), (name, repairs)
        assert _keys(place) >= before - {_key_of(json.loads(line)) for line in repairs if line.startswith("{")}, name
        assert place.examine() == [], (name, repairs)
        with place.engine.connect() as connection:
            assert faults(read_tables(connection)) == [], (name, repairs)


@pytest.mark.parametrize("database", DATABASES)
def test_writers_cause_no_false_alarm(database: str, request: pytest.FixtureRequest) -> None:
    """Four of them, who declare other indexes, and delete and create again what others write to."""
    included = "kinto.plugins.accounts kinto.plugins.history"
    app = make_app(database_url(database, request), {**SETTINGS, "kinto.includes": included})
    client, place = Client(app), Place(Client(app), Path())
    for path in (B, SECOND):
        client.put(path)
    statuses: list[int] = []

    def write(number: int) -> None:
        bucket, account = (B, SECOND)[number % 2], f"/accounts/dora{number % 2}"
        collection, group = f"{bucket}/collections/c", f"{bucket}/groups/g"
        for turn in range(6):
            kinds = [{"fields": ["n"]}, {"fields": ["-n"]}, {"text": ["s"]}, {"contains": ["n"]}]
            declared, shared = [kinds[(turn + number) % 4]], {"read": [group]}
            members = ["bob", "account:dora0", "account:dora1"][turn % 3 :]
            requests: list[tuple[str, str, Any]] = [
                ("PUT", account, {"data": {"password": "pw"}}),
                ("PUT", group, {"data": {"members": members}}),
                ("PUT", collection, {"data": {"indexes": declared}, "permissions": shared}),
                *(
                    ("PUT", f"{collection}/records/r{each}", {"data": {"n": each, "s": "a"}, "permissions": shared})
                    for each in range(3)
                ),
                ("DELETE", f"{collection}/records/r{number}", None),
                ("DELETE", (collection, group, account, f"{collection}/records", account, bucket)[turn], None),
                ("PUT", bucket, {"permissions": {"write": ["account:dora0"]}}),
            ]  # fmt: skip
            for method, path, body in requests:
                person = client.as_(None) if method == "PUT" and path == account else client
                statuses.append(person.ask(method, path, body).status)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    runs = [place.examine(repair=True)]
    while any(writer.is_alive() for writer in writers):
        runs.append(place.examine(repair=True))
    runs.append(place.examine())
    with place.engine.connect() as connection:
        wrong = faults(read_tables(connection))
    place.service.close()

    assert [lines for lines in runs if lines] == []
    assert wrong == []
    assert len(runs) > 3
    assert max(statuses) < 500
