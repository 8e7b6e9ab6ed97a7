"""Two servers that should hold the same: fill one with all that can be stored, and compare what both answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import Table, select

from backends.codec import dumps
from backends.storage.sql import SqlStorage
from backends.storage.tables import clocks, documents, grants, indexes, members
from backends.storage.transfer.digests import normal_json
from backends.storage.transfer.rows import TableRows
from blueprints.plugins.quotas.tables import quotas
from scripts.command import main
from tests.support.client import Answer, Client, basic
from tests.support.databases import DATABASES, make_app
from tests.support.histories import BOB, CAROL, SETTINGS
from tests.support.services import as_environment
from tests.support.tables import faults, read_tables, snapshot_engine
from tests.support.unchecked import own_database

B = "/buckets/full"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
INDEXES = [{"fields": ["n", "-t"]}, {"unique": ["u"]}, {"text": ["t"]}, {"contains": ["tags"]}]

TWIN_SETTINGS: Mapping[str, Any] = {
    **SETTINGS,
    "kinto.userid_hmac_secret": "golden-secret",
    "kinto.default_bucket_hmac_secret": "golden-secret",
    "kinto.includes": " ".join(
        f"kinto.plugins.{name}" for name in ("accounts", "history", "default_bucket", "quotas", "counters")
    ),
    "kinto.paginate_by": 3,
}
"""The settings of both servers; pages are short, so that lists have several."""

USERS: Mapping[str, str | None] = {
    "alice": basic("alice"),
    "bob": basic("bob"),
    "carol": basic("carol"),
    "dora": basic("dora", "pw"),
    "eve": basic("eve"),
    "nobody": None,
}

VALUES: tuple[Any, ...] = (
    {"n": 1, "t": "\ttab, \\ and\nline \u2028 é 😀", "tags": ["a", 1, None], "u": "x"},
    {"n": 1e22, "t": "Über ALLES", "tags": ["a", {"b": [1.0]}], "u": None},
    {"n": 2**70, "deep": {"z": 1, "a": [-0.0, 1e-7, 1.5e300, 9007199254740993]}, "u": "y" * 2_000},
    {"n": -1.0, "": {"\\N": "\\x00"}, "t": "x" * 5_000, "tags": [], "u": 3},
    {"n": False, "password": "no secret"},
    {},
)


def furnish(client: Client) -> None:
    """Write objects of all kinds, with deletions, permissions that ended, memberships, indexes and a second life."""
    alice, bob, carol, dora = (Asking(client, name) for name in ("alice", "bob", "carol", "dora"))
    for name in ("dora", "emil", "gone"):
        alice.put(f"/accounts/{name}", {"password": "pw", "age": 7})
    alice.delete("/accounts/gone")
    for life in range(2):
        alice.put(B, {"life": life}, {"read": [f"{B}/groups/g"], "collection:create": ["account:dora"]})
        alice.put(f"{B}/groups/g", {"members": [BOB, "account:dora", "account:gone"]})
        alice.put(f"{B}/groups/h", {"members": [CAROL]}, {"read": [BOB]})
        alice.put(C, {"indexes": INDEXES, "life": life}, {"record:create": ["system.Authenticated"]})
        for number, value in enumerate(VALUES):
            alice.put(f"{RECORDS}/r{number}", value, {"read": [CAROL] if number % 2 else [f"{B}/groups/h"]})
        if life == 0:
            alice.delete(B)
    alice.patch(f"{RECORDS}/r1", permissions={"read": [BOB]})
    alice.patch(f"{B}/groups/g", {"members": ["account:dora"]})
    alice.delete(f"{RECORDS}/r5")
    bob.put(f"{RECORDS}/mine", {"of": "bob", "n": 5})
    dora.put(f"{B}/collections/hers", {"n": 1})
    dora.put(f"{B}/collections/hers/records/r", {"n": 1})
    dora.delete(f"{B}/collections/hers")
    alice.delete(f"{B}/groups/h")
    for name in ("short", "other"):
        alice.put(f"/buckets/{name}", permissions={"read": ["system.Everyone"]})
    alice.delete("/buckets/short")
    alice.put("/buckets/other/collections/c-2", {"schema": {"type": "object"}})
    alice.put("/buckets/other/collections/c", {})
    alice.put("/buckets/other/collections/c/records/r")
    alice.put("/buckets/other/collections/c/records/a-b", {"n": 1})
    carol.put("/buckets/default/collections/own/records/r", {"n": 1})


class Asking:
    """A client with the credentials of one of `USERS`."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client.as_(None)
        credentials = USERS[name]
        self._headers = {} if credentials is None else {"Authorization": credentials}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self._client.ask(method, path, body, {**self._headers, **headers})

    def put(self, path: str, data: Any = None, permissions: Any = None) -> None:
        self._write("PUT", path, data, permissions)

    def patch(self, path: str, data: Any = None, permissions: Any = None) -> None:
        self._write("PATCH", path, data, permissions)

    def delete(self, path: str) -> None:
        self._write("DELETE", path)

    def _write(self, method: str, path: str, data: Any = None, permissions: Any = None) -> None:
        body = {name: part for name, part in (("data", data), ("permissions", permissions)) if part is not None}
        answer = self.ask(method, path, body or None)
        assert answer.status in (200, 201), (method, path, answer.json)


Answers = Mapping[str, tuple[int, str, Mapping[str, str]]]
"""Status, headers and body of answers, by the user and the request."""


def answers(client: Client) -> Answers:
    """Return what a service answers: lists, changes since any time, objects, permissions, the past.

    Alice sends every request, the other users one after the other: rows are compared beside.
    """
    places, others = list(_places(client)), [name for name in USERS if name != "alice"]
    client.app.extensions["kinto"].cache.flush()
    return {
        f"{name} {method} {path} {headers}": _comparable(path, Asking(client, name).ask(method, path, **headers))
        for number, (method, path, headers) in enumerate(places)
        for name in ("alice", others[number % len(others)])
    }


def _places(client: Client) -> Iterator[tuple[str, str, dict[str, str]]]:
    with client.app.extensions["kinto"].storage.reading.connect() as connection:
        lists = connection.execute(select(clocks.c.list, clocks.c.last_modified)).all()
        objects = connection.execute(select(documents.c.uri, documents.c.last_modified).distinct()).all()
    objects = [row for row in objects if "/history/" not in row.uri]
    stamps = sorted(stamp for _, stamp in objects)
    yield from (("GET", path, {}) for path in ("/", "/permissions", "/__counters__"))
    for name, newest in sorted(map(tuple, lists)):
        since = stamps[len(stamps) // 2]
        yield from (("GET", f"{name}?{query}", {}) for query in ("_since=0", f"_since={since}"))
        yield "HEAD", name, {}
        yield "GET", name, {"If-None-Match": f'"{newest}"'}
        yield "DELETE", name, {"If-Match": f'"{newest - 1}"'}
        if name.endswith("/records"):
            collection = name.removesuffix("/records").replace("/collections/", "/snapshot/collections/")
            yield from (("GET", f"{collection}@{stamp}", {}) for stamp in (stamps[-1], since))
    yield from (("GET", uri, {}) for uri, _ in sorted(map(tuple, objects)))
    yield from (("GET", f"{RECORDS}?{query}", {}) for query in ("_search=alles", "contains_tags=a", "_sort=n,-t"))


_NOT_COMPARED = {"content-length", "expires"}
_OF_THE_PRESENT = {"etag", "last-modified"}
"""Headers of `/permissions`."""


def _comparable(path: str, answer: Answer) -> tuple[int, str, Mapping[str, str]]:
    body = answer.json
    if isinstance(body, dict) and isinstance(body.get("permissions"), dict):
        body = {**body, "permissions": {name: sorted(who) for name, who in body["permissions"].items()}}
    hidden = _NOT_COMPARED | (_OF_THE_PRESENT if path == "/permissions" else set())
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return answer.status, normal_json(dumps(body)), {name: headers[name] for name in headers.keys() - hidden}


def assert_same(one: Answers, other: Answers) -> None:
    """Assert that two services answer the same."""
    assert one.keys() == other.keys()
    different = [
        f"{request}:\n{answer}\n{other[request]}" for request, answer in one.items() if answer != other[request]
    ]
    assert not different, "\n".join(different[:3])
    assert {status for status, _, _ in one.values()} >= {200, 304, 401, 403, 404, 412}


TABLES = (documents, grants, members, indexes, clocks, quotas)


@dataclass(frozen=True)
class Source:
    """A database with data."""

    url: str
    app: Flask

    @cached_property
    def answers(self) -> Answers:
        """Return what the service answered when it was asked first."""
        return answers(Client(self.app))


def kinto(*arguments: str, **settings: Any) -> tuple[int, str]:
    """Run the command; return its exit code and what it writes to standard error."""
    code, _, err = kinto_with_streams(b"", *arguments, **settings)
    return code, err


def kinto_with_streams(content: bytes, *arguments: str, **settings: Any) -> tuple[int, bytes, str]:
    """Run the command on the content of standard input; return its exit code, and what it writes to both streams."""
    with CliRunner().isolation(input=content) as (out, err, _), pytest.MonkeyPatch.context() as patch:
        for name, value in as_environment({**TWIN_SETTINGS, **settings}).items():
            patch.setenv(name, value)
        code = main(arguments)
        return code, out.getvalue(), err.getvalue().decode()


def rows_of(app: Flask) -> dict[str, list[Any]]:
    """Return all rows, documents by their value."""
    storage: SqlStorage = app.extensions["kinto"].storage
    with storage.snapshot() as connection:
        return {
            table.name: [_normal(table, row) for row in TableRows(table, storage.dialect).read(connection)]
            for table in TABLES
        }


def _normal(table: Table, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        normal_json(value) if column.name == "data" else value for column, value in zip(table.columns, row, strict=True)
    )


def assert_sound(url: str) -> None:
    engine = snapshot_engine(url)
    with engine.connect() as connection:
        assert faults(read_tables(connection)) == []
    engine.dispose()


@contextmanager
def furnished_sources(folders: pytest.TempPathFactory) -> Iterator[Mapping[str, Source]]:
    """Give a database of each kind, with data."""
    with ExitStack() as stack:
        made = {}
        for name in DATABASES:
            url = stack.enter_context(own_database(name, folders.mktemp(name)))
            app = make_app(url, TWIN_SETTINGS)
            stack.callback(app.extensions["kinto"].close)
            furnish(Client(app))
            made[name] = Source(url, app)
        yield made
