"""nginx before gunicorn and uWSGI: what reaches the service, and what must not (operations contract, 6.4)."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.deploy.asking import INSIDE, OUTSIDE, ask, can_be_used
from tests.deploy.servers import behind_nginx
from tests.deploy.sockets import connect, exchange, head, read_all, status
from tests.support.databases import BASICAUTH

PRIVATE = ("heartbeat", "lbheartbeat", "version", "api", "flush", "user_data", "metrics", "counters")
METHODS = ("GET", "HEAD")
SETTINGS = {**BASICAUTH, "kinto.includes": "kinto.plugins.flush"}
ACCOUNTS = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_login_failures_per_account": 1,
}
MOST_WORKERS = 3


@pytest.fixture(
    scope="module",
    params=[pytest.param("proxy", id="over HTTP"), pytest.param("uwsgi", id="over the protocol of uWSGI")],
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of nginx."""
    with behind_nginx(request.param, SETTINGS) as (url, _):
        yield url


def test_the_service_behind_nginx_can_be_used(url: str) -> None:
    can_be_used(url)


def test_urls_of_the_service_are_those_of_nginx(url: str) -> None:
    """The port too, which `$host` would lose."""
    for number in range(2):
        ask(url, "PUT", f"/buckets/u{number}", {}, "alice")

    assert ask(url, "GET", "/").json["url"] == f"{url}/"
    assert ask(url, "GET", "/buckets?_limit=1", name="alice").headers["Next-Page"].startswith(f"{url}/buckets?")
    assert ask(url, "GET", "/buckets/", name="alice").headers["Location"] == f"{url}/buckets"


def test_urls_of_the_service_bear_the_name_that_was_asked(url: str) -> None:
    assert ask(url, "GET", "/", host="api.my-kinto.org").json["url"] == "http://api.my-kinto.org/v1/"


@pytest.mark.parametrize(
    ("name", "trusted_proxies"),
    [("proxy", 1), ("uwsgi", 0), ("uwsgi", 1)],
    ids=["over HTTP", "over the protocol of uWSGI", "over the protocol of uWSGI, trusted"],
)
def test_failed_logins_are_counted_by_an_address_that_the_client_cannot_choose(name: str, trusted_proxies: int) -> None:
    """Each worker counts for itself, as the cache is in memory: one wrong password is admitted by each."""
    settings = ACCOUNTS | {"kinto.trusted_proxies": trusted_proxies}
    with behind_nginx(name, settings) as (url, _):
        answers = [
            ask(url, "GET", "/buckets", name="alice", source=OUTSIDE, x_forwarded_for=address).status
            for number in range(10)
            for address in (f"10.0.0.{number}", f"{INSIDE}, 10.0.1.{number}")
        ]

        assert set(answers) == {401, 429}
        assert answers.count(401) <= MOST_WORKERS
        assert ask(url, "GET", "/buckets", name="alice").status == 401


def test_a_client_cannot_choose_the_scheme_by_headers(url: str) -> None:
    answer = ask(url, "GET", "/", x_forwarded_proto="https", x_forwarded_ssl="on")

    assert (answer.status, answer.json["url"]) == (200, f"{url}/")


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_url_is_refused_from_outside(url: str, name: str) -> None:
    answer = ask(url, "POST" if name == "flush" else "GET", f"/__{name}__", source=OUTSIDE)

    assert (answer.status, answer.json) == (403, None)


@pytest.mark.parametrize("prefix", ["v0", "v2", "v10"])
def test_a_private_url_is_refused_from_outside_whatever_the_version_of_the_api(url: str, prefix: str) -> None:
    """`http_api_version = 2.0` makes it `/v2`."""
    root = url.removesuffix("/v1")

    assert ask(root, "POST", f"/{prefix}/__flush__", source=OUTSIDE).status == 403
    assert ask(root, "GET", f"/{prefix}/buckets", source=OUTSIDE).status != 403


@pytest.mark.parametrize("path", ["//v1/__flush__", "/v1//__flush__", "/v1/%5F_flush__", "/x/../v1/__flush__"])
def test_a_private_url_is_refused_from_outside_when_it_is_written_otherwise(url: str, path: str) -> None:
    ask(url, "PUT", "/buckets/stays", {}, "alice")

    ask(url.removesuffix("/v1"), "POST", path, source=OUTSIDE)

    assert ask(url, "GET", "/buckets/stays", name="alice").status == 200


@pytest.mark.parametrize("path", ["/__flush__", "/v1/__flush__", "//__flush__", "/%5F_flush__", "/v1//__flush__"])
def test_a_private_url_is_not_reached_through_a_batch(url: str, path: str) -> None:
    ask(url, "PUT", "/buckets/stays", {}, "alice")

    answer = ask(url, "POST", "/batch", {"requests": [{"method": "POST", "path": path}]}, "alice", OUTSIDE)

    assert answer.status != 200 or answer.json["responses"][0]["status"] in (307, 400, 404)
    assert ask(url, "GET", "/buckets/stays", name="alice").status == 200


def test_a_private_url_serves_whom_nginx_allows(url: str) -> None:
    """O-DEP-6: without pass lines of its own the location answers 404."""
    assert ask(url, "GET", "/__heartbeat__").json["storage"] is True


def test_everything_else_is_open_from_outside(url: str) -> None:
    assert ask(url, "GET", "/", source=OUTSIDE).status == 200
    assert ask(url, "PUT", "/buckets/from-outside", {}, "alice", OUTSIDE).status == 201


def test_a_preflight_passes(url: str) -> None:
    answer = ask(url, "OPTIONS", "/buckets", origin="https://a.org", access_control_request_method="POST")

    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")


def test_conditional_requests_pass(url: str) -> None:
    etag = ask(url, "PUT", "/buckets/conditional", {}, "alice").headers["ETag"]

    unchanged = ask(url, "GET", "/buckets/conditional", name="alice", if_none_match=etag)
    refused = ask(url, "PUT", "/buckets/conditional", {}, "alice", if_match='"1"')

    assert (unchanged.status, unchanged.headers["ETag"]) == (304, etag)
    assert "Last-Modified" in unchanged.headers
    assert refused.status == 412


def test_a_large_body_passes_and_one_above_the_limit_does_not(url: str) -> None:
    """O-DEP-5."""
    ask(url, "PUT", "/buckets/large", {}, "alice")
    text = "x" * 5_000_000

    assert ask(url, "PUT", "/buckets/large/groups/g", {"data": {"members": [], "text": text}}, "alice").status == 201
    assert declared(url, 76 * 2**20) == 413


def declared(url: str, size: int) -> int:
    """Return what is answered to a request that says how large its body is, before it has one."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.putrequest("POST", "/v1/batch")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("POST", "/buckets/", 307), ("POST", "/nothing/here", 404), ("PUT", "/buckets", 405), ("GET", "/", 200)],
)
@pytest.mark.parametrize("size", [70_000, 5_000_000])
def test_the_answer_to_a_large_body_that_nobody_reads_passes(
    url: str, method: str, path: str, expected: int, size: int
) -> None:
    assert ask(url, method, path, b"1" * size, "alice").status == expected


def test_a_request_that_breaks_off_changes_nothing(url: str) -> None:
    for framing in ("Content-Length: 100", "Transfer-Encoding: chunked"):
        assert exchange(url, head("PUT", "/v1/buckets/broken", framing) + b"2\r\n{}\r\n") in (400, None)

    assert ask(url, "GET", "/buckets/broken", name="alice").status == 403


def test_a_chunked_body_passes(url: str) -> None:
    """Over the protocol of uWSGI too, which has no chunks: nginx undoes them."""
    lines = ("Transfer-Encoding: chunked", "Connection: close")
    chunks = b'1b\r\n{"data": {"written": true}}\r\n0\r\n\r\n'

    with connect(url) as client:
        client.sendall(head("PUT", "/v1/buckets/chunked", *lines) + chunks)
        assert status(read_all(client)) == 201
    assert ask(url, "GET", "/buckets/chunked", name="alice").data["written"] is True


@pytest.mark.parametrize("character", ["a", ",", "%22"], ids=["plain", "encoded anew", "encoded"])
def test_a_list_with_a_long_query_has_its_next_page(url: str, character: str) -> None:
    """nginx's own buffer of 4 KB for headers makes it a 502."""
    for number in range(2):
        ask(url, "PUT", f"/buckets/long{number}", {}, "alice")
    query = f"_limit=1&exclude_id={character * (7000 // len(character))}"

    answer = ask(url, "GET", f"/buckets?{query}", name="alice")

    assert (answer.status, len(answer.headers["Next-Page"]) > 7000) == (200, True)


def test_head_has_the_content_length_of_get_or_none(url: str) -> None:
    ask(url, "PUT", "/buckets/head", {}, "alice")

    lengths = [ask(url, method, "/buckets/head", name="alice").headers.get("Content-Length") for method in METHODS]

    assert lengths[1] in (lengths[0], None)
