"""A plugin that brings a kind of objects into buckets that are there already."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.factory import create_app
from tests.plugins.test_plugins import add_module
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app
from tests.support.tables import faults, read_tables

NAME = "kinto_notes"
PLUGIN = """
from app.kinds import Kind

def attach(app, service):
    for name, parent in (("note", "bucket"), ("mark", "collection")):
        service.add_kind(Kind(name, f"{name}s", ("read", "write"), service.generator(name), parent=parent))
"""
C = "/buckets/b/collections/c"
FIRST: dict[str, Callable[[Client, str, int], Answer]] = {
    "POST": lambda client, uri, number: client.post(uri, {"n": number}),
    "PUT": lambda client, uri, number: client.put(f"{uri}/{uuid.uuid4()}"),
    "DELETE": lambda client, uri, number: client.delete(uri),
    "a batch": lambda client, uri, number: client.batch(
        {"method": "GET", "path": uri}, {"method": "PUT", "path": C}, {"method": "PUT", "path": f"{uri}/{uuid.uuid4()}"}
    ),
}


@pytest.mark.parametrize("list_uri", ["/buckets/b/notes", f"{C}/marks"])
@pytest.mark.parametrize("database", DATABASES)
def test_first_writers_of_a_new_kind_get_one_clock(
    database: str, list_uri: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists of the new kind have no clocks in old buckets: the first of its writers makes them, one at a time."""
    url = database_url(database, request)
    before = Client(make_app(url, BASICAUTH))
    before.batch({"method": "PUT", "path": "/buckets/b"}, {"method": "PUT", "path": C})
    before.app.extensions["kinto"].close()
    add_module(tmp_path, monkeypatch, NAME, PLUGIN)
    app = create_app({"kinto.storage_url": url, **BASICAUTH, "kinto.includes": NAME})

    with ThreadPoolExecutor(8) as pool:
        requests = [(way, number) for number in range(6) for way in FIRST]
        answers = list(pool.map(lambda each: FIRST[each[0]](Client(app), list_uri, each[1]), requests))

    assert {answer.status for answer in answers} <= {200, 201}
    with app.extensions["kinto"].storage.reading.connect() as connection:
        tables = read_tables(connection)
    assert faults(tables) == []
    # Everything that was made is there, or is a tombstone.
    assert sum(row.list == list_uri for row in tables.documents.values()) == 6 * 3
    assert Client(app).post(list_uri.replace("/b/", "/nope/"), {}).status in (403, 404)
    app.extensions["kinto"].close()
