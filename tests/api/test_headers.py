"""Headers of every answer: security, backoff, end of service, read-only (docs/contract/core.md 9)."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.factory import create_app
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH

pytestmark = on_sqlite

B = "/buckets/b"
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none';"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


EVERYWHERE: dict[str, tuple[tuple[Any, ...], int]] = {
    "an object": (("GET", B), 200),
    "a creation": (("PUT", "/buckets/new"), 201),
    "a list": (("GET", "/buckets"), 200),
    "a total": (("HEAD", "/buckets"), 200),
    "a copy that is current": (("GET", B, None, {"If-None-Match": "current"}), 304),
    "a redirect": (("GET", f"{B}/"), 307),
    "a refusal": (("PUT", B, {"data": 1}), 400),
    "somebody unknown": (("GET", B, None, {"Authorization": "none"}), 401),
    "somebody else's": (("GET", "/buckets/other"), 403),
    "what is not there": (("GET", "/nowhere"), 404),
    "a method that is not there": (("POST", B), 405),
    "a failed condition": (("PUT", B, {}, {"If-Match": '"5"'}), 412),
    "the hello view": (("GET", "/"), 200),
    "a heartbeat": (("GET", "/__lbheartbeat__"), 200),
    "a batch": (("POST", "/batch", {"requests": []}), 200),
    "a preflight": (
        ("OPTIONS", B, None, {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}),
        200,
    ),
}
everywhere = pytest.mark.parametrize(("request_", "status"), EVERYWHERE.values(), ids=EVERYWHERE.keys())


def send(client: Client, request: tuple[Any, ...]) -> Answer:
    """Send a method, a path and maybe body and headers."""
    method, path, body, headers = (*request, None, None)[:4]
    headers = {
        name: value.replace("current", "") or client.get(B).headers["ETag"] for name, value in (headers or {}).items()
    }
    return client.ask(method, path, body, headers)


@everywhere
def test_every_answer_has_its_headers_on(client_with: ClientMaker, request_: Any, status: int) -> None:
    """C-HDR-1, C-HDR-2, C-HDR-19, C-HDR-21, C-HDR-28, C-HDR-29."""
    client = client_with(
        {"kinto.backoff": "10", "kinto.eos": "2999-01-01", "kinto.eos_message": "Bye", "kinto.eos_url": "u:x"}
    )
    client.put(B)

    answer = send(client, request_)

    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].strip() == POLICY
    assert answer.headers["Backoff"] == "10"
    assert answer.headers["Alert"] == '{"code":"soft-eol","message":"Bye","url":"u:x"}'
    assert not {"Vary", "Set-Cookie", "Content-Encoding", "Content-Language"} & set(answer.headers.keys())
    if status == 307:
        return
    assert "Location" not in answer.headers
    assert answer.headers.get("Content-Type") == (None if status == 304 else "application/json")


def test_everything_is_gone_when_the_service_has_ended(client_with: ClientMaker) -> None:
    """C-HDR-22."""
    client = client_with({"kinto.eos": "2020-01-01", "kinto.project_docs": "http://docs.example"})

    for request, _ in EVERYWHERE.values():
        answer = client.ask(*request[:2])

        assert answer.status == 410
        assert json.loads(answer.headers["Alert"]) == {
            "code": "hard-eol",
            "message": None,
            "url": "http://docs.example",
        }
        if request[0] != "HEAD":
            assert (answer.json["errno"], answer.json["error"]) == (202, "Gone")


@pytest.mark.parametrize("hours", [-1, 1], ids=["has come", "is to come"])
@pytest.mark.parametrize("zone", ["", "+00:00"], ids=["without zone", "with zone"])
def test_the_service_ends_when_its_moment(client_with: ClientMaker, hours: int, zone: str) -> None:
    """C-HDR-21, C-HDR-22."""
    moment = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S") + zone

    assert client_with({"kinto.eos": moment}).get("/").status == (410 if hours < 0 else 200)


def test_the_end_of_service_stands_in_the_hello_view(client_with: ClientMaker) -> None:
    """C-HDR-21."""
    assert client_with({"kinto.eos": "2999-01-01"}).get("/").json["eos"] == "2999-01-01"


def test_the_end_of_service_is_told_before_anything_else(client_with: ClientMaker) -> None:
    """C-HDR-27: one Alert at a time."""
    client = client_with({"kinto.eos": "2999-01-01", "kinto.eos_message": "Bye"})

    assert json.loads(client.get("/buckets?_to=5").headers["Alert"])["message"] == "Bye"


def test_the_end_of_service_is_told_once_in_a_batch(client_with: ClientMaker) -> None:
    """C-HDR-21, C-HDR-26, C-HDR-19."""
    client = client_with({"kinto.eos": "2999-01-01", "kinto.backoff": "10"})

    answer = client.batch({"path": "/buckets"}, {"path": "/buckets?_to=5"})

    plain, deprecated = (entry["headers"] for entry in answer.json["responses"])
    assert "Alert" in answer.headers
    assert "Alert" not in plain
    assert "_before" in deprecated["Alert"]
    assert plain["Backoff"] == answer.headers["Backoff"] == "10"


@pytest.mark.parametrize(("percentage", "least", "most"), [("0", 0, 0), ("100", 50, 50), ("50", 10, 40)])
def test_backoff_stands_on_a_share_of_the_answers(
    client_with: ClientMaker, percentage: str, least: int, most: int
) -> None:
    """C-HDR-20."""
    client = client_with({"kinto.backoff": "10", "kinto.backoff_percentage": percentage})
    random.seed(7)

    number = sum("Backoff" in client.get("/__lbheartbeat__").headers for _ in range(50))

    assert least <= number <= most


def test_nothing_is_told_of_backoff_or_an_end_without_settings(client: Client) -> None:
    """C-HDR-19, C-HDR-21."""
    assert not {"Backoff", "Alert", "Retry-After"} & set(client.get("/buckets").headers.keys())


@pytest.mark.parametrize("path", [B, "/buckets", "/batch", f"{B}/", "/nowhere"])
def test_a_readonly_service_refuses(client_with: ClientMaker, path: str) -> None:
    """C-HDR-23: before it looks whether there is anything."""
    client = client_with({"kinto.readonly": "true"})

    for method in ("PUT", "POST", "PATCH", "DELETE"):
        answer = client.ask(method, path, {})

        assert (answer.status, answer.json["errno"]) == (405, 115)
        assert "Allow" not in answer.headers


def test_a_readonly_service_answers_what_only_reads(client: Client) -> None:
    """C-HDR-23, C-HDR-24: a list that nobody ever asked for too (docs/contract/DECISIONS.md)."""
    client.put(B)
    url = client.app.extensions["kinto"].settings.storage_url
    readonly = Client(create_app({**BASICAUTH, "kinto.storage_url": url, "kinto.readonly": "true"}))
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}

    reads = [(method, path) for method in ("GET", "HEAD") for path in (B, "/buckets", f"{B}/groups", "/__heartbeat__")]
    statuses = {readonly.ask(method, path).status for method, path in reads}

    assert statuses == {200}
    assert readonly.ask("OPTIONS", B, headers=preflight).status == 200
    readonly.app.extensions["kinto"].close()


TABLE: dict[str, tuple[tuple[Any, ...], set[str]]] = {
    "GET of an object": (("GET", B), {"ETag", "Last-Modified", "Cache-Control"}),
    "GET of a last page": (("GET", "/buckets?_limit=2"), {"ETag", "Last-Modified", "Cache-Control"}),
    "GET of a page": (("GET", "/buckets?_limit=1"), {"ETag", "Last-Modified", "Cache-Control", "Next-Page"}),
    "HEAD of a list": (
        ("HEAD", "/buckets?_limit=1"),
        {"ETag", "Last-Modified", "Cache-Control", "Total-Objects", "Total-Records"},
    ),
    "PUT": (("PUT", B), {"ETag", "Last-Modified"}),
    "POST": (("POST", "/buckets"), {"ETag", "Last-Modified"}),
    "PATCH": (("PATCH", B, {"data": {}}), {"ETag", "Last-Modified"}),
    "DELETE": (("DELETE", B), {"ETag", "Last-Modified"}),
    "DELETE of a list": (("DELETE", "/buckets"), {"ETag", "Last-Modified"}),
    "DELETE of a page": (("DELETE", "/buckets?_limit=1"), {"ETag", "Last-Modified", "Next-Page"}),
    "304": (("GET", B, None, {"If-None-Match": "current"}), {"ETag", "Last-Modified"}),
    "412": (("PUT", B, {}, {"If-Match": '"5"'}), {"ETag", "Last-Modified"}),
    "400": (("PUT", B, {"data": 1}), set()),
    "403": (("GET", "/buckets/other"), set()),
    "404": (("GET", f"{B}/groups/nope"), set()),
    "405": (("POST", B), set()),
    "the hello view": (("GET", "/"), set()),
    "a batch": (("POST", "/batch", {"requests": [{"path": B}]}), set()),
}


@pytest.mark.parametrize(("request_", "expected"), TABLE.values(), ids=TABLE.keys())
def test_of_these_headers_there_are_on(client: Client, request_: Any, expected: set[str]) -> None:
    """C-HDR-25, C-HDR-18, C-PRE-11, C-PRE-15."""
    client.put(B)
    client.put("/buckets/c")

    headers = set(send(client, request_).headers.keys())

    every = {"ETag", "Last-Modified", "Cache-Control", "Next-Page", "Total-Objects", "Total-Records", "Location"}
    assert headers & every == expected
