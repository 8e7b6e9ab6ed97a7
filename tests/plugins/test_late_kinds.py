"""A plugin that brings a kind of objects into buckets that are there already."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.factory import create_app
from tests.plugins.test_plugins import add_module
from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app

NAME = "kinto_notes"
PLUGIN = """
from app.kinds import Kind

def attach(app, service):
    service.add_kind(Kind("note", "notes", ("read", "write"), service.generator("note"), parent="bucket"))
"""


@pytest.mark.parametrize("database", DATABASES)
def test_first_writers_of_a_new_kind_get_one_clock(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists of the new kind have no clocks in old buckets: the first of its writers makes them, one at a time."""
    url = database_url(database, request)
    before = Client(make_app(url, BASICAUTH))
    before.put("/buckets/b")
    before.app.extensions["kinto"].close()
    add_module(tmp_path, monkeypatch, NAME, PLUGIN)
    app = create_app({"kinto.storage_url": url, **BASICAUTH, "kinto.includes": NAME})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: Client(app).post("/buckets/b/notes", {"n": number}), range(24)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.data["last_modified"] for answer in answers}) == 24
    assert Client(app).head("/buckets/b/notes").headers["Total-Objects"] == "24"
    assert Client(app).post("/buckets/nope/notes", {}).status in (403, 404)
    app.extensions["kinto"].close()
