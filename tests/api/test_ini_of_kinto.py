"""The file that `kinto init` of Kinto 26.5.0 writes, without its comments, starts the service unchanged."""

from __future__ import annotations

from pathlib import Path

from app.settings import load
from tests.support.client import Client, basic
from tests.support.databases import assemble_app

FILE = Path(__file__).parent / "ini" / "kinto-init.ini"
PLUGINS = ("default_bucket", "admin", "accounts")


def test_all_plugins_of_the_file_are_there() -> None:
    client = Client(assemble_app(load(environ={}, ini=str(FILE))), None)
    authorization = {"Authorization": basic("alice", "pw")}

    created = client.ask("PUT", "/accounts/alice", {"data": {"password": "pw"}})
    record = client.ask("POST", "/buckets/default/collections/tasks/records", {"data": {"a": 1}}, authorization)
    hello = client.ask("GET", "/", headers=authorization).json

    assert [created.status, record.status] == [201, 201]
    assert set(PLUGINS) <= hello["capabilities"].keys()
    assert hello["user"]["bucket"]
    assert client.get("/admin/").status == 200
