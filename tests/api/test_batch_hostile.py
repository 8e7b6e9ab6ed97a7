"""What a member of a batch cannot do: reach what proxies deny, nest batches, choose its origin, cost without bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blueprints.batch_body import MAX_COMPLETED_BYTES
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client

pytestmark = on_sqlite

B = "/buckets/b"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service, one of whose plugins has private URLs."""
    settings = {
        "kinto.includes": "kinto.plugins.flush",
        "kinto.experimental_permissions_endpoint": True,
        "kinto.cors_origins": "https://good.example",
    }
    return client_with(settings)


PREFIXES = ["", "/v1"]
PRIVATE = [
    "/__flush__",
    "/__flush__/",
    "/__flush__?a=1",
    "/__flush__%3F",
    "/__flush__#",
    "/%5F_flush__",
    "/_%5fflush_%5F",
    "/__heartbeat__",
    "/__lbheartbeat__",
    "/__version__",
    "/__api__",
    "/__user_data__/basicauth:x",
    "/__nothing__",
    "/__",
]
DISGUISED = [
    *(f"/{character}__flush__" for character in "\t\n\r \x0b\x1f"),
    *(f"/_{character}_flush__" for character in "\t\n\r"),
    "/__flush\n__",
    "/%09__flush__",
    "/_%0A_flush__",
    "//__flush__",
    "/./__flush__",
    "/x/../__flush__",
    "/;/__flush__",
    "/%2F__flush__",
    "/%255F_flush__",
    "/v1/__flush__",
    "/http://localhost/v1/__flush__",
    "/\\__flush__",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", [*PRIVATE, *DISGUISED])
def test_no_spelling_of_a_private_url_is_reached(client: Client, prefix: str, path: str) -> None:
    """docs/contract/DECISIONS.md: 404 errno 111, whatever the spelling and the method."""
    client.put(B)
    for method in ("GET", "POST", "DELETE"):
        (entry,) = client.batch({"method": method, "path": f"{prefix}{path}"}).json["responses"]

        assert (entry["status"], entry["body"]["errno"]) == (404, 111), entry
    assert client.get(B).status == 200


NESTING = ["/batch", "/batch/", "/batch//", "/batch?x", "/b%61tch", "/%62atch/?x", "/batch?x#y"]
NO_NESTING = [
    "/batch#",
    "/batch%23",
    "/batch%3F",
    "/\tbatch",
    "/bat\nch",
    "/batch;x",
    "//batch",
    "/./batch",
    "/batch\n",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", NESTING)
def test_a_batch_in_a_batch_is_refused(client: Client, prefix: str, path: str) -> None:
    """C-BATCH-8: nothing of it is run."""
    inner = {"requests": [{"path": "/"}]}
    for method in ("POST", "GET", "PUT"):
        members: list[dict[str, Any]] = [
            {"method": "PUT", "path": B, "body": {}},
            {"method": method, "path": f"{prefix}{path}", "body": inner},
        ]
        answer = client.batch(*members)

        assert (answer.status, answer.json["details"][0]["name"]) == (400, "requests")
    assert client.get("/buckets").data == []


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", NO_NESTING)
def test_what_only_looks_like_the_batch_endpoint_is_404(client: Client, prefix: str, path: str) -> None:
    """C-BATCH-9: the endpoint counts, not the text; nothing is parsed twice."""
    inner = {"requests": [{"path": "/"}]}

    (entry,) = client.batch({"method": "POST", "path": f"{prefix}{path}", "body": inner}).json["responses"]

    assert (entry["status"], entry["body"]["errno"]) == (404, 111)


ORIGINS: dict[str, tuple[dict[str, str], str | None, int]] = {
    "none": ({}, None, 200),
    "a good one": ({"Origin": "https://good.example"}, "https://good.example", 200),
    "a foreign one": ({"Origin": "https://evil.example"}, None, 400),
    "null": ({"Origin": "null"}, None, 400),
}


@pytest.mark.parametrize("path", ["/buckets", "/", "/permissions", "/buckets?_limit=1"])
@pytest.mark.parametrize("own", [None, "https://good.example", "https://evil.example"])
@pytest.mark.parametrize(("headers", "allowed", "status"), ORIGINS.values(), ids=ORIGINS.keys())
def test_a_member_has_the_origin_of_the_batch(
    client: Client, headers: dict[str, str], allowed: str | None, status: int, own: str | None, path: str
) -> None:
    """C-HDR-5: a batch of a foreign origin is refused whole, as Kinto does."""
    for name in ("Origin", "origin", "ORIGIN"):
        member = {"path": path, "headers": {name: own} if own else {}}
        answer = client.ask("POST", "/batch", {"requests": [member]}, headers)

        assert answer.status == status
        if status == 200:
            (entry,) = answer.json["responses"]
            assert entry["status"] == 200
            assert entry["headers"].get("Access-Control-Allow-Origin") == allowed
        else:
            assert answer.json["details"][0]["name"] == "Origin"


FIXED = {
    "Host": "evil.example",
    "host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X_Forwarded_Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "6.6.6.6",
    "Forwarded": "host=evil.example",
    "Content-Length": "5",
    "Transfer-Encoding": "chunked",
    "Connection": "close",
    "Expect": "100-continue",
    "TE": "trailers",
    "Upgrade": "h2c",
}


@pytest.mark.parametrize(("name", "value"), FIXED.items())
def test_a_member_cannot_choose(client: Client, name: str, value: str) -> None:
    """Headers of the connection, of the proxy and of the host are those of the batch."""
    client.put(B)
    client.put("/buckets/c")
    plain: list[dict[str, Any]] = [
        {"path": "/"},
        {"path": "/buckets?_limit=1"},
        {"method": "PUT", "path": B, "body": {"data": {"n": 1}}},
    ]

    expected = client.batch(*plain).json["responses"]
    responses = client.batch(*({**member, "headers": {name: value}} for member in plain)).json["responses"]

    assert [entry["status"] for entry in responses] == [200, 200, 200]
    assert responses[0]["body"]["url"] == expected[0]["body"]["url"]
    assert [entry[1]["headers"]["Next-Page"].partition("?")[0] for entry in (responses, expected)] == [
        "http://localhost/v1/buckets"
    ] * 2
    assert responses[2]["body"]["data"]["n"] == 1


NO_HEADERS: dict[str, dict[str, str]] = {
    "a name with a space": {"If Match": '"1"'},
    "a name with a space at its end": {"If-Match ": '"1"'},
    "no name": {"": "x"},
    "a name with a colon": {"X:Y": "x"},
    "a name with a line break": {"X\r\nIf-Match": "x"},
    "a name with U+0000": {"X\x00": "x"},
    "a name that is not ASCII": {"Xé": "x"},
    "a name that is not latin-1": {"X日": "x"},
    "a value with a control character": {"X": "\x01"},
    "a value with DEL": {"X": "\x7f"},
    "a value that is not latin-1": {"If-Match": "“1”"},
    "one twice": {"if-match": '"1"', "If-Match": '"2"'},
    "one twice in WSGI": {"If_Match": '"1"', "If-Match": '"2"'},
}


@pytest.mark.parametrize("path", [B, "/", "/nowhere"])
@pytest.mark.parametrize("headers", NO_HEADERS.values(), ids=NO_HEADERS.keys())
def test_what_is_no_header_is_refused(client: Client, path: str, headers: dict[str, str]) -> None:
    """Ignoring it could lose a precondition."""
    answer = client.batch({"method": "PUT", "path": B, "body": {}}, {"path": path, "headers": headers})

    assert (answer.status, answer.json["details"][0]["name"]) == (400, "requests.1.headers")
    assert client.get("/buckets").data == []


@pytest.mark.parametrize("path", [B, "/", "/permissions"])
@pytest.mark.parametrize("value", ["a\r\nOrigin: https://evil.example", "é", " x ", "", "a\tb", "x" * 100_000])
def test_any_header_of_http_is_taken(client: Client, path: str, value: str) -> None:
    (_, entry) = client.batch({"method": "PUT", "path": B}, {"path": path, "headers": {"X-Note": value}}).json[
        "responses"
    ]

    assert entry["status"] == 200


def test_headers_of_a_member_win_over_defaults_in_any_case(client: Client) -> None:
    """C-BATCH-6, C-BATCH-11."""
    client.put(B)
    defaults = {"headers": {"if-none-match": "*", "X": "y"}}

    (entry,) = client.batch({"method": "PUT", "path": B, "headers": {"If-None-Match": '"5"'}}, defaults=defaults).json[
        "responses"
    ]

    assert entry["status"] == 200


DEFAULTS: dict[str, Any] = {
    "a long text": {"body": {"data": {"text": "x" * (MAX_COMPLETED_BYTES // 25)}}},
    "many fields": {"body": {"data": {str(number): number for number in range(20_000)}}},
    "many headers": {"headers": {f"X-{number}": "x" * 50 for number in range(5_000)}},
    "long texts of two bytes": {"body": {"data": {"text": "é" * (MAX_COMPLETED_BYTES // 25)}}},
}


@pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=DEFAULTS.keys())
def test_what_defaults_add_in_all_is_bounded(client: Client, defaults: dict[str, Any]) -> None:
    """Bytes count: a body of a megabyte must not become one of 25."""
    answer = client.batch(
        *({"path": B, "headers": {"X-A": "b"}, "body": {"data": {"n": 1}}} for _ in range(25)), defaults=defaults
    )
    one = client.batch({"path": B}, defaults=defaults)

    assert (answer.status, answer.json["details"][0]["name"]) == (400, "defaults")
    assert one.status == 200


def test_the_number_of_members_is_checked_before_anything_is_done_for_each(client: Client) -> None:
    """One problem, not one for each of them."""
    for member in (1, {}, {"path": 1, "method": 2, "headers": 3}, {"path": "/x" * 10}):
        requests = [member] * 5_000
        answer = client.ask(
            "POST", "/batch", {"requests": requests, "defaults": {"body": {"data": {"x": "y" * 10_000}}}}
        )

        assert [problem["name"] for problem in answer.json["details"]] == ["requests"]
        assert len(answer.body) < 1_000


def test_a_batch_answers_in_less_than_it_was_sent_where_members_fail(client: Client) -> None:
    """An error does not repeat the defaults for each member without bound."""
    defaults = {"headers": {"X": 1, "Y": "y" * 50_000}}

    answer = client.batch(*({} for _ in range(25)), defaults=defaults)

    assert answer.status == 400
    assert len(answer.body) < MAX_COMPLETED_BYTES * 2
    assert json.loads(answer.body)["errno"] == 107
