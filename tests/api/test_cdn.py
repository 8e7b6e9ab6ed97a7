"""Behind a CDN no answer of any endpoint tells where the service itself is (O-DEP-9, C-URL-26).

Every rule of the application is asked by every method, as somebody and as nobody, directly and in a batch; what an
answer links to is asked as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from backends import Json
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client

pytestmark = on_sqlite

ORIGIN = "origin.internal"
CDN = "https://cdn.example.org"
METHODS = ("OPTIONS", "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
NAMES = {"bucket_id": "b", "collection_id": "c", "id": "x", "principal": "basicauth:someone"}
ENDINGS = ("", "/", "?_limit=1", "?_since=nonsense", "?_sort=nothing", "?_before=5&_limit=1")
SETTINGS = {
    "kinto.http_scheme": "https",
    "kinto.http_host": "cdn.example.org",
    "kinto.includes": "kinto.plugins.flush",
    "kinto.bucket_read_principals": "system.Everyone",
    "kinto.experimental_permissions_endpoint": True,
}


def paths(client: Client) -> Iterator[str]:
    """Yield a path for each rule of the application, and paths that none has."""
    for rule in client.app.url_map.iter_rules():
        yield re.sub(r"<(?:\w+:)?(\w+)>", lambda name: NAMES.get(name[1], "x"), rule.rule).removeprefix("/v1") or "/"
    yield from ("/nothing", "/buckets/b/nothing", "/buckets/b%00", "//buckets")


def ask(client: Client, method: str, path: str) -> Answer:
    """Send a request that names the origin wherever a client can."""
    body: Json = {"data": {}} if method in ("PUT", "POST", "PATCH") else None
    headers = {"Host": ORIGIN, "X-Forwarded-Host": ORIGIN, "X-Forwarded-Proto": "http", "Origin": "https://a.org"}
    return client.ask(method, path, body, headers)


def text_of(answer: Answer) -> str:
    """Return all that an answer tells."""
    return f"{answer.headers}{answer.body.decode()}"


def fill(client: Client) -> None:
    """Make enough of each kind for lists of several pages."""
    client.put("/buckets/b")
    client.put("/buckets/b/collections/c")
    for name in ("x", "y"):
        client.put(f"/buckets/{name}")
        client.put(f"/buckets/b/collections/{name}")
        client.put(f"/buckets/b/groups/{name}", {"members": []})
        client.put(f"/buckets/b/collections/c/records/{name}")


@pytest.mark.parametrize("method", METHODS)
def test_no_answer_shows_the_host_of_the_origin_to(client_with: ClientMaker, method: str) -> None:
    client = client_with(SETTINGS)
    fill(client)
    answers = {
        (who.name, path + ending): ask(who, method, path + ending)
        for who in (client, client.as_(None))
        for path in list(paths(client))
        for ending in (ENDINGS if method in ("GET", "HEAD") else ENDINGS[:2])
    }

    assert [key for key, answer in answers.items() if ORIGIN in text_of(answer)] == []
    assert [key for key, answer in answers.items() if answer.status >= 500] == []


def test_urls_of_answers_are_those_of_the_cdn(client_with: ClientMaker) -> None:
    client = client_with(SETTINGS)
    fill(client)
    answers = [ask(client, "GET", path + ending) for path in list(paths(client)) for ending in ENDINGS]
    links = [answer.headers[name] for answer in answers for name in ("Next-Page", "Location") if name in answer.headers]

    assert len(links) > len(ENDINGS)
    assert [link for link in links if not link.startswith(f"{CDN}/v1/")] == []
    followed = [ask(client, "GET", link.removeprefix(CDN)) for link in links]
    assert {answer.status for answer in followed} <= {200, 400, 404, 405}
    assert not any(ORIGIN in text_of(answer) for answer in followed)


def test_urls_in_the_answers_of_a_batch_are_those_of_the_cdn(client_with: ClientMaker) -> None:
    client = client_with({**SETTINGS, "kinto.batch_max_requests": 200})
    fill(client)
    requests = [{"path": path + ending} for path in list(paths(client)) for ending in ENDINGS if path != "/batch"]
    headers = {"Host": ORIGIN, "X-Forwarded-Host": ORIGIN}

    answer = client.ask("POST", "/batch", {"defaults": {"method": "GET"}, "requests": requests}, headers)

    assert answer.status == 200
    assert ORIGIN not in text_of(answer)
    assert f"{CDN}/v1/buckets?" in text_of(answer)


def test_the_api_document_names_the_cdn(client_with: ClientMaker) -> None:
    document = ask(client_with(SETTINGS), "GET", "/__api__").json

    assert (document["host"], document["schemes"]) == ("cdn.example.org", ["https"])
