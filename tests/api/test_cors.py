"""Scripts of other origins: what they may send and see (docs/contract/core.md 9.2 and 9.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client

pytestmark = on_sqlite

B = "/buckets/b"
ORIGIN = "https://app.example.org"
ALWAYS = {"Backoff", "Retry-After", "Alert", "Content-Length", "Content-Type"}
OF_OBJECTS = ALWAYS | {"Last-Modified", "ETag", "Cache-Control", "Expires", "Pragma"}
OF_LISTS = OF_OBJECTS | {"Next-Page"}
OF_TOTALS = OF_LISTS | {"Total-Objects", "Total-Records"}


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


def words(listed: str) -> set[str]:
    """Split a header at its commas."""
    return {word.strip() for word in listed.split(",")}


EVERYWHERE: dict[str, tuple[tuple[Any, ...], int]] = {
    "C-HDR-3 an object": (("GET", B), 200),
    "C-HDR-3 a creation": (("POST", "/buckets", {}), 201),
    "C-HDR-3 a list": (("GET", "/buckets"), 200),
    "C-HDR-3 the hello view": (("GET", "/"), 200),
    "C-HDR-3 a batch": (("POST", "/batch", {"requests": []}), 200),
    "C-HDR-3 a refusal": (("PUT", B, {"data": 1}), 400),
    "C-HDR-3 somebody else's": (("GET", "/buckets/other"), 403),
    "C-HDR-12 what is not there": (("GET", "/nowhere"), 404),
    "C-HDR-12 a method that is not there": (("POST", B), 405),
    "C-HDR-12 a redirect": (("GET", f"{B}/"), 307),
}


@pytest.mark.parametrize(("request_", "status"), EVERYWHERE.values(), ids=EVERYWHERE.keys())
def test_any_origin_may_read_the_answer_on(client: Client, request_: Any, status: int) -> None:
    """C-HDR-3, C-HDR-12, C-HDR-13: and without an origin nothing is said."""
    client.put(B)
    method, path, body = (*request_, None)[:3]

    alone = client.ask(method, path, body)
    answer = client.ask(method, path, body, {"Origin": ORIGIN})

    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Origin" not in alone.headers


def test_who_is_asked_to_authenticate_may_read_that(client: Client) -> None:
    """C-HDR-3."""
    answer = client.as_(None).get(B, origin=ORIGIN)

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")


RESTRICTED = {"kinto.cors_origins": "https://one.example https://*.example.org"}


@pytest.mark.parametrize("origin", ["https://one.example", "https://a.example.org", "https://a.b.example.org"])
def test_an_origin_is_echoed_when_it_fits_a_pattern(client_with: ClientMaker, origin: str) -> None:
    """C-HDR-4, C-HDR-28: and caches are told that the answer varies."""
    answer = client_with(RESTRICTED).put(B, origin=origin)

    assert answer.status == 201
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://two.example", "http://one.example", "https://one.example.evil", "https://aexample.org", "null"]
)
def test_a_request_is_refused_when_its_origin_fits_none(client_with: ClientMaker, origin: str) -> None:
    """C-HDR-5: after authentication, and nothing is done."""
    client = client_with(RESTRICTED)

    answer = client.put(B, origin=origin)

    assert answer.status == 400
    assert answer.json["details"] == [{"location": "header", "name": "Origin", "description": f"{origin} not allowed"}]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get("/buckets").data == []
    assert client.as_(None).put(B, origin=origin).status == 401


EXPOSED: dict[str, tuple[str, str, set[str]]] = {
    "GET of an object": ("GET", B, OF_OBJECTS),
    "HEAD of an object": ("HEAD", B, OF_OBJECTS),
    "GET of a list": ("GET", "/buckets", OF_LISTS),
    "HEAD of a list": ("HEAD", "/buckets", OF_TOTALS),
    "PUT": ("PUT", B, ALWAYS),
    "PATCH": ("PATCH", B, ALWAYS),
    "POST": ("POST", "/buckets", ALWAYS),
    "DELETE": ("DELETE", B, ALWAYS),
    "an error": ("GET", "/buckets/other", OF_OBJECTS),
    "the hello view": ("GET", "/", ALWAYS),
}


@pytest.mark.parametrize(("method", "path", "expected"), EXPOSED.values(), ids=EXPOSED.keys())
def test_scripts_may_read_headers_of(client: Client, method: str, path: str, expected: set[str]) -> None:
    """C-HDR-6: without an origin too."""
    client.put(B)

    assert words(client.ask(method, path).headers["Access-Control-Expose-Headers"]) == expected


def ask_first(client: Client, path: str, **headers: str | None) -> Any:
    """Send a preflight as nobody in particular."""
    fields = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return client.as_(None).ask("OPTIONS", path, headers={name: value for name, value in fields.items() if value})


OFFERED: dict[str, tuple[str, str]] = {
    "an object, there or not": (B, "GET,HEAD,PUT,PATCH,DELETE,OPTIONS"),
    "a list": ("/buckets", "GET,HEAD,POST,DELETE,OPTIONS"),
    "the hello view": ("/", "GET,HEAD,OPTIONS"),
    "the batch": ("/batch", "POST,OPTIONS"),
}


@pytest.mark.parametrize(("path", "methods"), OFFERED.values(), ids=OFFERED.keys())
def test_a_preflight_tells_what_is_offered_by(client: Client, path: str, methods: str) -> None:
    """C-HDR-7, C-HDR-10, C-HDR-11, C-HDR-13: to anybody."""
    answer = ask_first(
        client,
        path,
        Access_Control_Request_Method=methods.partition(",")[0],
        Access_Control_Request_Headers="authorization, x-own",
    )

    assert (answer.status, answer.json, answer.headers["Content-Type"]) == (200, None, "application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert words(answer.headers["Access-Control-Allow-Methods"]) == words(methods)
    assert {"authorization", "x-own"} | ALWAYS <= words(answer.headers["Access-Control-Allow-Headers"])
    assert answer.headers["Access-Control-Max-Age"] == "3600"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_preflight_is_404_when_no_endpoint_has_the_path(client: Client) -> None:
    """C-HDR-7."""
    assert ask_first(client, "/nowhere").status == 404


LACKING: dict[str, tuple[dict[str, str | None], str, str]] = {
    "C-HDR-8 an origin": ({"Origin": None}, "Origin", "this header is mandatory"),
    "C-HDR-8 a method": (
        {"Access_Control_Request_Method": None},
        "Access-Control-Request-Method",
        "this header is mandatory",
    ),
    "C-HDR-9 a method that is offered": (
        {"Access_Control_Request_Method": "POST"},
        "Access-Control-Request-Method",
        "Method not allowed",
    ),
}


@pytest.mark.parametrize(("headers", "name", "description"), LACKING.values(), ids=LACKING.keys())
def test_a_preflight_is_refused_without(
    client: Client, headers: dict[str, str | None], name: str, description: str
) -> None:
    answer = ask_first(client, B, **headers)

    assert answer.status == 400
    assert answer.json["details"] == [{"location": "header", "name": name, "description": description}]


def test_a_preflight_is_refused_when_the_origin_fits_none(client_with: ClientMaker) -> None:
    """C-HDR-5, C-HDR-4."""
    client = client_with(RESTRICTED)

    assert ask_first(client, B).status == 200
    assert ask_first(client, B, Origin="https://two.example").status == 400


@pytest.mark.parametrize(("seconds", "expected"), [("60", "60"), ("", None)], ids=["a minute", "nothing"])
def test_a_preflight_is_kept_as_long_as_the_setting_says(
    client_with: ClientMaker, seconds: str, expected: str | None
) -> None:
    """C-HDR-11."""
    client = client_with({"kinto.cors_max_age_seconds": seconds})

    assert ask_first(client, B).headers.get("Access-Control-Max-Age") == expected
