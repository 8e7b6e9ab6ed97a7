"""Emptying the service over HTTP (plugins contract, 8.1)."""

from __future__ import annotations

from typing import Any

import pytest

from app.factory import create_app
from app.service import Service
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ONLY_ACCOUNTS, People
from tests.support.client import Client

FLUSH = {"kinto.includes": "kinto.plugins.flush"}


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of a service that can be emptied."""
    return client_with(FLUSH)


def test_anybody_empties_the_service(client: Client) -> None:
    """P-FLUSH-1."""
    client.put("/buckets/b", permissions={"read": ["system.Everyone"]})
    client.put("/buckets/b/groups/g", {"members": [client.id]})
    client.put("/buckets/gone")
    client.delete("/buckets/gone")

    answer = client.as_(None).post("/__flush__")

    assert (answer.status, answer.json) == (202, {})
    assert client.get("/buckets?_since=0").data == []
    assert client.get("/buckets/b").status == 403
    assert f"{client.get('/').json['user']['principals']}".count("/buckets/b") == 0


def test_a_service_is_used_as_before_when_it_was_emptied(client: Client) -> None:
    """P-FLUSH-1: the tables stay."""
    client.put("/buckets/b")
    client.post("/__flush__")

    assert client.put("/buckets/b").status == 201
    assert client.post("/buckets/b/collections").status == 201
    assert client.head("/buckets").headers["Total-Objects"] == "1"


def test_logins_are_forgotten_when_the_service_is_emptied(client_with: ClientMaker) -> None:
    """P-FLUSH-1: accounts and what the cache holds."""
    both = {"kinto.includes": "kinto.plugins.accounts kinto.plugins.flush"}
    people = People(client_with({**ONLY_ACCOUNTS, **both}))
    people.sign_up("alice")
    assert people.user_id("alice") == "account:alice"

    people.nobody.ask("POST", "/__flush__")

    assert people.user_id("alice") is None


def test_listeners_are_told_when_the_service_is_emptied(client: Client) -> None:
    """P-EVT-12."""
    calls: list[str] = []
    service: Service = client.app.extensions["kinto"]
    service.add_flush_step(lambda: calls.append("flushed"))

    client.post("/__flush__")

    assert calls == ["flushed"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    """P-FLUSH-2."""
    answer = client.ask(method, "/__flush__")

    assert (answer.status, answer.headers["Allow"]) == (405, "POST, OPTIONS")


def test_a_trailing_slash_is_redirected(client: Client) -> None:
    """Plugins contract, 8.1."""
    answer = client.post("/__flush__/")

    assert answer.status == 307
    assert answer.headers["Location"].endswith("/v1/__flush__")


def test_a_preflight_is_answered(client: Client) -> None:
    """Plugins contract, 8.1: CORS as everywhere."""
    headers = {"Origin": "https://x.org", "Access-Control-Request-Method": "POST"}

    answer = client.ask("OPTIONS", "/__flush__", headers=headers)

    assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (200, "POST,OPTIONS")


def test_a_read_only_service_is_not_emptied(client_with: ClientMaker) -> None:
    """P-FLUSH-2."""
    assert client_with({**FLUSH, "kinto.readonly": True}).post("/__flush__").status == 405


def test_the_url_is_unknown_when_the_plugin_is_not_included(client_with: ClientMaker) -> None:
    """P-FLUSH-2, P-API-2."""
    client = client_with()

    assert client.post("/__flush__").status == 404
    assert "flush_endpoint" not in client.get("/").json["capabilities"]


def test_a_batch_does_not_empty_the_service(client: Client) -> None:
    """DECISIONS: private URLs inside a batch are unknown."""
    answer = client.batch({"method": "POST", "path": "/__flush__"})

    assert answer.json["responses"][0]["status"] == 404


@pytest.mark.parametrize("settings", [FLUSH, {"kinto.flush_endpoint_enabled": "true"}], ids=["includes", "old name"])
def test_the_plugin_is_on_by(client_with: ClientMaker, settings: dict[str, Any]) -> None:
    """P-FLUSH-3, P-API-4."""
    client = client_with(settings)

    assert client.post("/__flush__").status == 202
    assert client.get("/").json["capabilities"]["flush_endpoint"] == {
        "description": "The __flush__ endpoint can be used to remove all data from all backends.",
        "url": "https://kinto.readthedocs.io/en/latest/api/1.x/flush.html",
    }


def test_an_operator_is_warned_at_start(caplog: pytest.LogCaptureFixture) -> None:
    """Plugins contract, 8.1."""
    create_app(FLUSH).extensions["kinto"].close()

    assert "anyone can empty this service" in caplog.text
