"""A member of a batch answers what the single request would, whatever it is (C-BATCH-21, C-BATCH-14).

What members do to each other is looked at by `tests/test_histories.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.errors import TooManyFailures
from app.identity import Reader
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, basic, user_id
from tests.support.databases import BASICAUTH, make_app, sqlite_url
from tests.support.examples import examples

BUCKET = "/buckets/b"
BOB = user_id("bob")
_TIMESTAMP = re.compile(r"1[5-9]\d{11}")
_BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"data": {"n": 1}},
    {"data": {"o": {"a": None}}, "permissions": {"read": [BOB]}},
    {"permissions": {"write": [BOB, "/buckets/b/groups/g"]}},
    {"permissions": {"read": ["system.Everyone"]}},
    {"data": {"members": ["x"]}},
)


def _start(client: Client) -> Client:
    client.put(BUCKET, {"a": 1}, {"read": [BOB]})
    client.put(f"{BUCKET}/collections/c", {"title": "kept"})
    client.put(f"{BUCKET}/groups/g", {"members": [BOB]})
    for number in range(2):
        client.put(f"{BUCKET}/collections/c/records/r{number}", {"n": number})
    return client


def _normalize(value: Any) -> Any:
    """Leave out what differs from run to run: the timestamps."""
    if isinstance(value, dict):
        return {name: _normalize(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_normalize(inner) for inner in value]
    return "timestamp" if isinstance(value, int) and _TIMESTAMP.fullmatch(str(value)) else value


def _single(client: Client, member: dict[str, Any]) -> Answer:
    return client.ask(member["method"], member["path"], member.get("body"), member["headers"])


_SEGMENTS = (
    *("buckets", "b", "collections", "c", "records", "r0", "groups", "g", "permissions", "contribute.json", "nowhere"),
    *(
        "",
        ".",
        "..",
        "v1",
        "v0",
        "v11",
        "V1",
        "batches",
        "é",
        "%C3%A9",
        "%FF",
        "%00",
        "%EF%BF%BD",
        "\ufffd",
        "\t",
        "a b",
    ),
    *(
        "b;x",
        "b%2F",
        "b%3Fx",
        "b%23",
        "b%25",
        "%62uckets",
        "b\n",
        "%0A",
        "b+c",
        "b%20",
        "b\\",
        "%",
        "%zz",
        "~",
        "*",
        "@:",
    ),
)
_QUERIES = (
    "",
    "?",
    "?_limit=1",
    "?_limit=%31",
    "?a=%FF",
    "?a=é",
    "?a=%C3%A9",
    "?_limit=x",
    "?x?y",
    "?x#y",
    "?_sort=-id",
    "?%00",
    "?_since=abc",
    "?a=b;c",
    "?a=\tb",
    "?&&=",
)
_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Accept": "text/html"},
    {"accept": "*; q=.2"},
    {"ACCEPT": ""},
    {"If-Match": '"1"'},
    {"if-none-match": "*"},
    {"If-Match": "é"},
    {"If-None-Match": ' "1" '},
    {"Content-Type": "text/plain"},
    {"content-type": "application/json; charset=nonsense"},
    {"Response-Behavior": "loud"},
    {"Authorization": "Basic !"},
    {"authorization": basic("bob")},
    {"Authorization": ""},
    {"X-Anything": "\xff"},
)
_METHODS = ("GET", "GET", "GET", "HEAD", "TRACE", "PUT", "POST", "PATCH", "DELETE")


# A body may not have U+0000.
_TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=3)


@st.composite
def _requests(draw: st.DrawFn) -> dict[str, Any]:
    """Make up a request with any path and headers; a version in front, as single requests need it."""
    path = "/".join(draw(st.lists(st.sampled_from(_SEGMENTS) | _TEXTS, min_size=1, max_size=6)))
    path = path.replace("?", "%3F").replace("#", "%23").replace("__", "_").encode("utf-8", "ignore").decode()
    method = draw(st.sampled_from(_METHODS))
    request: dict[str, Any] = {"method": method, "path": f"/v1/{path}{draw(st.sampled_from(_QUERIES))}"}
    request["headers"] = draw(st.sampled_from(_HEADERS))
    if method in ("PUT", "PATCH", "POST"):
        request["body"] = draw(st.sampled_from(_BODIES))
    return request


def _as_sent(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request as HTTP clients write it: what is not ASCII percent-encoded, no fragment."""
    path, _, query = request["path"].partition("?")
    target = quote(path, safe="/%:@!$&'()*+,;=~") + (f"?{quote(query, safe=_QUERY)}" if query else "")
    return {
        **request,
        "path": target,
        "headers": {name.title(): value.strip() for name, value in request["headers"].items()},
    }


_QUERY = "!$%&'()*+,;=:@/?#~[]"


@pytest.fixture(scope="module")
def lasting() -> Iterator[Client]:
    """Alice's client of a service on SQLite that all examples share; every one leaves it as it was."""
    client = Client(make_app(sqlite_url(), {**BASICAUTH, "kinto.experimental_permissions_endpoint": True}))
    yield _start(client)
    client.app.extensions["kinto"].close()


@given(request=_requests())
@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_member_answers_as_the_single_request(lasting: Client, request: dict[str, Any]) -> None:
    """Whatever path and headers it has: status and body, and the headers that tell what was done."""
    reads = request["method"] in ("GET", "HEAD", "TRACE")
    single = _follow(lasting if reads else _anew(lasting), _as_sent(request))

    answer = (lasting if reads else _anew(lasting)).batch(request)

    assert answer.status == (single.status if single.status >= 500 else 200), answer.json
    (entry,) = answer.json["responses"]
    assert (entry["status"], _normalize(entry["body"] or None)) == (single.status, _normalize(single.json))
    assert _headers(entry["headers"]) == _headers(single.headers)


REFUSALS: dict[str, tuple[dict[str, Any], int]] = {
    "404 of no endpoint": ({"path": "/v1/nowhere"}, 404),
    "404 of an object": ({"path": f"/v1{BUCKET}/groups/none"}, 404),
    "405 of an object": ({"method": "POST", "path": f"/v1{BUCKET}/groups/g"}, 405),
    "405 of a list": ({"method": "PATCH", "path": "/v1/buckets"}, 405),
    "405 of TRACE": ({"method": "TRACE", "path": "/v1/buckets"}, 405),
    "405 of hello": ({"method": "PUT", "path": "/v1/"}, 405),
    "405 of a method that a setting switches off": ({"method": "DELETE", "path": f"/v1{BUCKET}"}, 405),
    "404 of a kind that settings switch off": ({"path": f"/v1{BUCKET}/collections/c/records/r0"}, 404),
    "404 of a list that settings switch off": ({"method": "POST", "path": f"/v1{BUCKET}/collections/c/records"}, 404),
    "406 of a list": ({"path": "/v1/buckets", "headers": {"Accept": "text/html"}}, 406),
    "406 of a page": ({"path": "/v1/permissions", "headers": {"Accept": "text/html"}}, 406),
    "415": (
        {"method": "PUT", "path": f"/v1{BUCKET}", "headers": {"Content-Type": "text/plain"}, "body": {"data": {}}},
        415,
    ),
    "400 of a path": ({"path": "/v1/buckets/%FF"}, 400),
    "400 of a query": ({"path": "/v1/buckets?_limit=x"}, 400),
    "401": ({"path": "/v1/buckets", "headers": {"Authorization": "Basic !"}}, 401),
    "429": ({"path": "/v1/buckets", "headers": {"Authorization": basic("guessed")}}, 429),
    "429 of a page": ({"path": "/v1/", "headers": {"Authorization": basic("guessed")}}, 429),
}


class _Cautious:
    """A policy that lets nobody try to guess."""

    name = "cautious"

    def identify(self, authorization: str, read: Reader) -> None:
        if authorization == basic("guessed"):
            raise TooManyFailures(5)

    def challenge(self) -> None:
        return None


@on_sqlite
@pytest.mark.parametrize(("request_", "status"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refused_member_has_the_headers_of_the_single_request(
    client_with: ClientMaker, request_: dict[str, Any], status: int
) -> None:
    records = [
        f"{shape}_record_{method.lower()}" for shape in ("object", "plural") for method in (*_METHODS, "OPTIONS")
    ]
    settings = {f"kinto.{name}_enabled": "false" for name in ("object_bucket_delete", *records)}
    client = _start(client_with({**settings, "kinto.experimental_permissions_endpoint": True}))
    client.app.extensions["kinto"].authenticator.policies.insert(0, _Cautious())
    request = {"method": "GET", "headers": {}, **request_}
    single = _single(client, request)

    (entry,) = client.batch(request).json["responses"]

    assert (entry["status"], single.status) == (status, status)
    assert _normalize(entry["body"] or None) == _normalize(single.json)
    assert _headers(entry["headers"]) == _headers(single.headers)
    assert ("Access-Control-Expose-Headers" in entry["headers"]) == (status != 405)


def _headers(headers: Headers | Mapping[str, str]) -> dict[str, str]:
    """Return the headers but for timestamps; the length of its text is no header of a member."""
    result = {name.title(): _TIMESTAMP.sub("timestamp", value) for name, value in headers.items()}
    return {name: value for name, value in result.items() if name not in _DIFFERENT}


_DIFFERENT = ("Content-Length", "Last-Modified", "Expires")


def _anew(client: Client) -> Client:
    client.app.extensions["kinto"].flush()
    return _start(client)


def _follow(client: Client, request: dict[str, Any]) -> Answer:
    """Send a request, and again where the redirect of C-URL-12 or C-URL-14 leads."""
    answer = _single(client, request)
    if answer.status == 307:
        return _single(client, {**request, "path": answer.headers["Location"].removeprefix("http://localhost")})
    return answer
