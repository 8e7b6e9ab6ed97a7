"""The answer arrives whatever becomes of the body, and a request that breaks off changes nothing: on each server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy import servers
from tests.deploy.asking import ask
from tests.deploy.sockets import exchange, head
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT, free_port

LARGE = 3_000_000
PUT = '{"data": {"written": true}}'
LENGTH = "Content-Length: 1000"
CHUNKED = "Transfer-Encoding: chunked"
BROKEN = {
    "no body": (LENGTH, b""),
    "half a body": (LENGTH, PUT.encode()),
    "no chunk": (CHUNKED, b""),
    "a whole chunk and no last one": (CHUNKED, b"1b\r\n" + PUT.encode() + b"\r\n"),
    "half of the last chunk": (CHUNKED, b"1b\r\n" + PUT.encode() + b"\r\n0\r\n"),
    "a chunk shorter than it says": (CHUNKED, b"ff\r\n" + PUT.encode()),
    "a chunk longer than it says": (CHUNKED, b"1\r\n" + PUT.encode() + b"\r\n0\r\n\r\n"),
    "a size that is none": (CHUNKED, b"zz\r\n" + PUT.encode() + b"\r\n0\r\n\r\n"),
    "a size below zero": (CHUNKED, b"-1b\r\n" + PUT.encode() + b"\r\n0\r\n\r\n"),
    "a trailer that is none": (CHUNKED, b"1b\r\n" + PUT.encode() + b"\r\n0\r\nno trailer\r\n\r\n"),
    "a length that is no number": ("Content-Length: x", PUT.encode()),
    "a length below zero": ("Content-Length: -27", PUT.encode()),
    "two lengths": ("Content-Length: 27\r\nContent-Length: 28", PUT.encode()),
    "a coding that nobody undoes": ("Transfer-Encoding: gzip", PUT.encode()),
}
UNREAD = {
    "a redirect": ("POST", "/v1/buckets/", 307),
    "no such path": ("POST", "/v1/nothing/here", 404),
    "no such method": ("PUT", "/v1/buckets", 405),
    "hello": ("GET", "/v1/", 200),
}


@pytest.fixture(scope="module", params=["gunicorn", "uWSGI", "Apache"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a server that clients reach directly."""
    with servers.folder() as place:
        ini, socket, port = place / "kinto.ini", place / "kinto.sock", free_port()
        settings = {**BASICAUTH, "kinto.storage_url": f"sqlite:///{place}/kinto.sqlite"}
        paths = {"/srv/kinto": str(ROOT), "/etc/kinto/kinto.ini": str(ini)}
        if request.param == "gunicorn":
            with servers.gunicorn(settings, workers=1) as (address, _):
                yield f"http://{address}/v1"
        elif request.param == "uWSGI":
            # Without `post-buffering`, by which uWSGI reads bodies before the service does.
            section = servers.deployed("uwsgi.ini", {**paths, "post-buffering = 65535": ""})
            servers.write_ini(ini, settings, servers.uwsgi_section(section, socket))
            with servers.uwsgi(ini, socket, "--http-socket", f"127.0.0.1:{port}"):
                yield f"http://127.0.0.1:{port}/v1"
        else:
            servers.write_ini(ini, settings)
            values = {"/srv/kinto/.venv": str(servers.VENV), **paths}
            with servers.apache(servers.deployed("apache.conf", values)) as address:
                yield address


@pytest.mark.parametrize(("framing", "body"), BROKEN.values(), ids=BROKEN)
def test_a_request_that_breaks_off_changes_nothing(url: str, framing: str, body: bytes) -> None:
    sent = head("PUT", "/v1/buckets/broken", framing) + body

    # A client that is gone, and one that waits for an answer.
    exchange(url, sent, gone=True)
    answered = exchange(url, sent)

    assert answered in (400, 411, 501, None)
    assert ask(url, "GET", "/buckets/broken", name="alice").status in (403, 404)


@pytest.mark.parametrize(("method", "path", "expected"), UNREAD.values(), ids=UNREAD)
def test_the_answer_to_a_large_body_that_nobody_reads_arrives(url: str, method: str, path: str, expected: int) -> None:
    sent = head(method, path, f"Content-Length: {LARGE}", "Connection: close") + b"1" * LARGE

    assert exchange(url, sent) == expected


@pytest.mark.parametrize("path", ["/", "/buckets", "/buckets/b", "/buckets/none", "/nothing"])
def test_head_has_the_content_length_of_get_or_none(url: str, path: str) -> None:
    ask(url, "PUT", "/buckets/b", {}, "alice")

    lengths = [ask(url, method, path, name="alice").headers.get("Content-Length") for method in ("GET", "HEAD")]

    assert lengths[1] in (lengths[0], None)


def test_alice_is_known(url: str) -> None:
    """Else no test here would write anything."""
    assert exchange(url, head("PUT", "/v1/buckets/whole", f"Content-Length: {len(PUT)}") + PUT.encode()) in (200, 201)
