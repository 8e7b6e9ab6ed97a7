"""The private fields of a plugin's kind: no answer shows them, whatever a client patches (docs/writing-plugins.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.service import Service
from blueprints.plugins import Data, Kind, KindHooks, NameGenerator, Selection
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import MakeClient
from tests.support.client import Client

pytestmark = on_sqlite

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
URI = "/buckets/b/secrets/s"
KIND = Kind("secret", "secrets", ("read", "write"), NameGenerator(), "bucket", private=("email", "deep"))
DATA = {"a": 1, "email": "e@hidden.org", "deep": {"x": "hidden"}}


class DroppingHooks(KindHooks):
    """Hooks that leave the private fields out of what a patch reads."""

    def mask_secrets(self, data: Data) -> Data:
        return {name: value for name, value in data.items() if name not in KIND.private}


@pytest.fixture(params=[KindHooks(), DroppingHooks()], ids=["the hooks of every kind", "hooks of its own"])
def client(client_of: MakeClient, request: pytest.FixtureRequest) -> Client:
    def attach(app: Flask, service: Service) -> None:
        service.add_kind(replace(KIND, hooks=request.param))
        service.rules = replace(service.rules, schema_validation=True)

    client = client_of(attach)
    client.put("/buckets/b")
    client.put(URI, dict(DATA))
    return client


def stored(client: Client) -> dict[str, Any]:
    """Return the private fields in the database."""
    snapshot = client.app.extensions["kinto"].storage.read(Selection("/buckets/b", targets=(URI,)))
    document = snapshot.objects[URI].data()
    return {name: document[name] for name in KIND.private if name in document}


@pytest.mark.parametrize("behaviour", ["full", "light", "diff"])
@pytest.mark.parametrize(
    ("patch", "content_type"),
    [
        ([{"op": "copy", "from": "/data/email", "path": "/data/x"}], JSON_PATCH),
        ([{"op": "copy", "from": "/data", "path": "/data/x"}], JSON_PATCH),
        ([{"op": "test", "path": "/data/email", "value": "x"}], JSON_PATCH),
        ([{"op": "test", "path": "/data", "value": "x"}], JSON_PATCH),
        ([{"op": "test", "path": "/data/absent", "value": "x"}], JSON_PATCH),
        ([{"op": "test", "path": "/data/deep/absent", "value": "x"}], JSON_PATCH),
        ([{"op": "add", "path": "/data/b", "value": 2}], JSON_PATCH),
        ({"data": {"b": 2}}, MERGE_PATCH),
        ({"data": {"b": 2}}, "application/json"),
        ({"permissions": {"read": ["system.Everyone"]}}, "application/json"),
    ],
    ids=str,
)
def test_a_patch_neither_reads_nor_loses_private_fields(
    client: Client, patch: Any, content_type: str, behaviour: str
) -> None:
    headers = {"Content-Type": content_type, "Response-Behavior": behaviour}

    answer = client.ask("PATCH", URI, patch, headers)

    assert "hidden" not in str(answer.body)
    assert "hidden" not in str(client.get(URI).body)
    assert stored(client) == {"email": DATA["email"], "deep": DATA["deep"]}


@pytest.mark.parametrize("client", [KindHooks()], ids=["the hooks of every kind"], indirect=True)
@pytest.mark.parametrize(
    ("patch", "content_type", "after"),
    [
        ({"data": {"email": "new"}}, "application/json", {"email": "new", "deep": DATA["deep"]}),
        ({"data": {"email": None}}, MERGE_PATCH, {"deep": DATA["deep"]}),
        ([{"op": "add", "path": "/data/email", "value": "new"}], JSON_PATCH, {"email": "new", "deep": DATA["deep"]}),
    ],
    ids=str,
)
def test_a_patch_changes_private_fields(client: Client, patch: Any, content_type: str, after: Data) -> None:
    assert client.ask("PATCH", URI, patch, {"Content-Type": content_type}).status == 200
    assert stored(client) == after


def test_a_schema_does_not_see_private_fields(client: Client) -> None:
    """The message of a schema has the value that it refuses."""
    schema = {"properties": {"email": {"type": "number"}, "a": {"type": "number"}}}
    assert client.patch("/buckets/b", {"secret:schema": schema}).status == 200

    answers = [client.patch(URI, {"b": 1}), client.patch(URI, {"a": "x"})]

    assert [answer.status for answer in answers] == [200, 400]
    assert "hidden" not in str(answers[1].body)
