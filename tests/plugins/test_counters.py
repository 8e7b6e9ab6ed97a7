"""The numbers of objects and tombstones (plugins contract, 8.2)."""

from __future__ import annotations

import pytest
from flask import Flask

from app.service import Service
from blueprints.plugins import Kind
from tests.plugins.conftest import ClientMaker
from tests.support.client import Client

COUNTERS = {"kinto.includes": "kinto.plugins.counters"}


def attach(app: Flask, service: Service) -> None:
    """Add attachments to records, as a plugin."""
    service.add_kind(Kind("attachments", "attachments", ("read", "write"), service.generator("attachments"), "record"))


def fill(client: Client) -> None:
    """Make and delete some objects of each kind."""
    for bucket in "ab":
        client.put(f"/buckets/{bucket}")
        client.put(f"/buckets/{bucket}/groups/g", {"members": []})
        for collection in "cd":
            client.put(f"/buckets/{bucket}/collections/{collection}")
            client.put(f"/buckets/{bucket}/collections/{collection}/records/r")
    client.delete("/buckets/a/collections/c/records/r")
    client.delete("/buckets/a/groups")
    client.delete("/buckets/b")


def test_objects_and_tombstones_are_counted_by_kind(client_with: ClientMaker) -> None:
    """P-CNT-1: without authentication; zeros are left out, and a cascade leaves no tombstones."""
    client = client_with(dict(COUNTERS))
    assert client.as_(None).get("/__counters__").json == {"objects": {}, "tombstones": {}}
    fill(client)

    answer = client.as_(None).get("/__counters__")

    assert answer.json == {
        "objects": {"bucket": 1, "collection": 2, "record": 1},
        "tombstones": {"bucket": 1, "group": 1, "record": 1},
    }
    assert client.as_(None).head("/__counters__").status == 200


def test_accounts_history_and_attachments_are_counted(client_with: ClientMaker) -> None:
    """P-CNT-1, P-ACC-25: kinds of all plugins, also nested in records."""
    names = "kinto.plugins.counters kinto.plugins.accounts kinto.plugins.history"
    settings = {
        "kinto.includes": f"{names} {__name__}",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.account_bcrypt_rounds": 4,
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    }
    client = client_with(settings, kept=False)
    client.as_(None).put("/accounts/alice", {"password": "secret"})
    client.put("/buckets/a")
    client.put("/buckets/a/collections/c")
    client.put("/buckets/a/collections/c/records/r")
    client.post("/buckets/a/collections/c/records/r/attachments")

    counted = client.get("/__counters__").json["objects"]

    expected = {"account": 1, "attachments": 1, "bucket": 1, "collection": 1, "record": 1}
    assert {kind: number for kind, number in counted.items() if kind != "history"} == expected
    assert counted["history"] >= 3


def test_the_capability_and_the_methods_are_those_of_kinto(client_with: ClientMaker) -> None:
    """P-CNT-2, P-API-4: in a batch it is not found."""
    client = client_with(dict(COUNTERS))

    assert client.get("/").json["capabilities"]["counters_endpoint"] == {
        "description": "The __counters__ endpoint exposes how many objects are stored.",
        "url": "https://kinto.readthedocs.io/en/latest/api/1.x/counters.html",
    }
    refused = client.post("/__counters__")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert client.batch({"path": "/__counters__"}).json["responses"][0]["status"] == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_url_is_not_there_without_the_plugin(client_with: ClientMaker, method: str) -> None:
    """P-CNT-2, P-API-2."""
    assert client_with().ask(method, "/__counters__").status == 404
