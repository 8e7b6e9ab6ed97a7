"""A request whose body did not arrive whole is not carried out, whatever server noticed it and how."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, basic

pytestmark = on_sqlite

BODY = b'{"data": {"written": true}}'
BATCH = b'{"requests": [{"method": "PUT", "path": "/buckets/b", "body": {"data": {"written": true}}}]}'
FLUSH = {"kinto.includes": "kinto.plugins.flush"}


class Broken(io.RawIOBase):
    """A stream of a server whose client is gone after *content*: it ends, or it raises."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        self._content = io.BytesIO(content)
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._content.readinto(buffer)
        if not count and self._error:
            raise self._error
        return count


class ParseException(Exception):
    """What gunicorn raises for chunks that are none: no OSError."""


def send(client: Client, method: str, path: str, stream: Any, **environ: Any) -> Answer:
    """Send a request whose body the server hands over as *stream*."""
    builder = EnvironBuilder(
        f"/v1{path}",
        method=method,
        headers=Headers({"Authorization": basic("alice"), "Content-Type": "application/json"}),
    )
    made = builder.get_environ()
    made.pop("CONTENT_LENGTH", None)
    made |= {"wsgi.input": stream, **environ}
    body, status, headers = run_wsgi_app(client.app, made)
    return Answer(int(status.split()[0]), headers, b"".join(body))


Request = tuple[str, str, bytes]
REQUESTS: dict[str, Request] = {
    "PUT of an object": ("PUT", "/buckets/b", BODY),
    "PUT of an object that is not there": ("PUT", "/buckets/new", b""),
    "PATCH of an object": ("PATCH", "/buckets/b", BODY),
    "DELETE of an object": ("DELETE", "/buckets/b", BODY),
    "POST to a list": ("POST", "/buckets", BODY),
    "DELETE of a list": ("DELETE", "/buckets", BODY),
    "batch": ("POST", "/batch", BATCH),
    "flush": ("POST", "/__flush__", BODY),
    "DELETE of all data of a user": ("DELETE", "/__user_data__/basicauth:x", BODY),
}
FAILURES: dict[str, tuple[Callable[[bytes], Any], dict[str, Any], int]] = {
    "the stream ends": (Broken, {"CONTENT_LENGTH": "1000"}, 400),
    "the stream ends on a server that marks ends": (
        Broken,
        {"CONTENT_LENGTH": "1000", "wsgi.input_terminated": True},
        400,
    ),
    "the server raises OSError": (lambda raw: Broken(raw, OSError("gone")), {"CONTENT_LENGTH": "1000"}, 400),
    "the server raises ValueError": (lambda raw: Broken(raw, ValueError("gone")), {"CONTENT_LENGTH": "1000"}, 400),
    "a chunk is none": (
        lambda raw: Broken(raw, ParseException("zz")),
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        400,
    ),
    "the server waited too long": (lambda raw: Broken(raw, TimeoutError()), {"CONTENT_LENGTH": "1000"}, 408),
    "the server does not decode chunks": (io.BytesIO, {"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
    "the server does not tell whether the last chunk came": (
        io.BytesIO,
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "SERVER_SOFTWARE": "Granian"},
        411,
    ),
    "the server does not decode gzip": (io.BytesIO, {"HTTP_TRANSFER_ENCODING": "gzip"}, 411),
    **{
        f"Content-Length is {value!r}": (io.BytesIO, {"CONTENT_LENGTH": value}, 400)
        for value in ("many", "-1", "+27", "27.0", "27, 27", "1_0", "0x1b", "\u0662\u0667", "9" * 5000)
    },
}


# Every request meets the ways in which servers tell that a client is gone; one of them meets all failures.
PAIRS = {
    f"{name}, {failure}": (request, FAILURES[failure])
    for name, request in REQUESTS.items()
    for number, failure in enumerate(FAILURES)
    if number < 3 or name == "PUT of an object"
}


def state(client: Client) -> list[Any]:
    """Return what alice has."""
    return [client.get("/buckets").data, client.get("/buckets/b").json]


@pytest.mark.parametrize(("sent", "failure"), PAIRS.values(), ids=PAIRS)
def test_a_request_that_did_not_arrive_whole_changes_nothing(
    client_with: ClientMaker, caplog: pytest.LogCaptureFixture, sent: Request, failure: Any
) -> None:
    client = client_with(FLUSH)
    client.put("/buckets/b", {"written": False})
    before = state(client)
    method, path, raw = sent
    make, environ, status = failure
    caplog.clear()

    answer = send(client, method, path, make(raw), **environ)

    assert (answer.status, answer.json["code"]) == (status, status)
    assert state(client) == before
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("environ", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}], ids=str)
def test_a_body_of_which_the_client_says_that_it_is_empty_is_an_empty_object(
    client_with: ClientMaker, environ: dict[str, str]
) -> None:
    client = client_with(FLUSH)

    assert send(client, "PUT", "/buckets/empty", io.BytesIO(b"of the next request"), **environ).status in (200, 201)


def test_a_body_that_the_server_hands_over_in_pieces_is_read_whole(client_with: ClientMaker) -> None:
    client = client_with(FLUSH)
    raw = json.dumps({"data": {"text": "x" * 3_000_000}}).encode()

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 100_000))

    answer = send(client, "PUT", "/buckets/b", Trickle(raw + b"rest"), CONTENT_LENGTH=str(len(raw)))

    assert answer.status in (200, 201)


@pytest.mark.parametrize(
    ("method", "path", "settings"),
    [
        ("POST", "/buckets/", {}),
        ("POST", "/nothing/here", {}),
        ("PUT", "/buckets", {}),
        ("POST", "/", {}),
        ("GET", "/", {}),
        ("OPTIONS", "/buckets", {}),
        ("PUT", "/buckets/b", {"kinto.readonly": "true"}),
        ("PUT", "/buckets/b", {"kinto.eos": "2000-01-01"}),
        ("GET", "/buckets/b", {}),
    ],
)
def test_the_body_of_a_request_that_nobody_reads_is_read_before_the_answer(
    client_with: ClientMaker, method: str, path: str, settings: dict[str, str]
) -> None:
    """A server that closes a connection with unread bytes resets it: the client loses the answer."""
    client = client_with(settings)
    stream = io.BytesIO(b"1" * 5_000_000)

    send(client, method, path, stream, CONTENT_LENGTH="4999999")

    assert stream.tell() == 4_999_999


@pytest.mark.parametrize("path", ["/nothing/here", "/buckets/"])
def test_a_request_that_is_refused_anyway_is_refused_when_its_body_breaks_off(client: Client, path: str) -> None:
    answer = send(client, "POST", path, Broken(b"x", OSError()), CONTENT_LENGTH="1000")

    assert answer.status in (404, 307)


def test_the_line_of_a_request_that_did_not_arrive_whole_is_written_with_bodies_too(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "request.summary")

    answer = send(client, "PUT", "/buckets/b", Broken(BODY, OSError()), CONTENT_LENGTH="1000")

    assert answer.status == 400


def test_bodies_in_lines_leave_the_body_to_the_service(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "request.summary")

    assert client.put("/buckets/b", {"n": 1}).data["n"] == 1


HEADS = ["/", "/buckets", "/buckets/b", "/buckets/nope", "/nothing", "/buckets/", "/__api__", "/__heartbeat__"]


@pytest.mark.parametrize("path", HEADS)
def test_head_has_the_content_length_of_get_or_none(client: Client, path: str) -> None:
    client.put("/buckets/b", {"n": 1})

    headers = [client.ask(method, path).headers.get("Content-Length") for method in ("GET", "HEAD")]

    assert headers[1] in (headers[0], None)


@pytest.mark.parametrize("path", ["/", "/buckets", "/buckets/b", "/buckets/nope", "/nothing"])
def test_head_in_a_batch_has_the_content_length_of_get_or_none(client: Client, path: str) -> None:
    client.put("/buckets/b", {"n": 1})

    got, head = client.batch({"method": "GET", "path": path}, {"method": "HEAD", "path": path}).json["responses"]

    assert head["headers"].get("Content-Length") in (got["headers"].get("Content-Length"), None)
    assert head["status"] == got["status"]
