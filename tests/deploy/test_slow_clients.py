"""Slow and silent clients keep nobody else from being served by gunicorn, and are told when they took too long.

The same clients are measured with Granian, for the table of servers in docs/production.md.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.deploy import servers
from tests.deploy.asking import ask
from tests.deploy.sockets import connect, hanging, head, read_all, status
from tests.support.databases import BASICAUTH

LIMIT_SECONDS = 8
"""The limits of this server: long enough that what is measured within it is no accident."""

BODY_MAX_BYTES = 10_000_000
PUT = head("PUT", "/v1/buckets/half", "Content-Length: 100")
CHUNKED = head("PUT", "/v1/buckets/half", "Transfer-Encoding: chunked")
BEGINNINGS = {
    "nothing": b"",
    "half a request line": b"PUT /v1/buck",
    "half a head": PUT[:-2],
    "a head without its body": PUT,
    "half a body": PUT + b'{"data"',
    "a chunked head without its body": CHUNKED,
    "half a chunk size": CHUNKED + b"1",
    "half a chunk": CHUNKED + b"10\r\n{",
    "a chunk without an end": CHUNKED + b"2\r\n{}",
    "chunks without the last": CHUNKED + b"2\r\n{}\r\n",
    "half of the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n",
    "a body of a path that is none": head("POST", "/v1/nothing/here", "Content-Length: 100"),
    "a body of a GET": head("GET", "/v1/", "Content-Length: 100"),
    "a body after 100 Continue": head("PUT", "/v1/buckets/half", "Content-Length: 100", "Expect: 100-continue"),
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HALF_HEADS = [name for name, sent in BEGINNINGS.items() if sent and not sent.count(b"\r\n\r\n")]
CHUNKED_BODIES = [name for name, sent in BEGINNINGS.items() if b"chunked" in sent]
HALF_BODIES = [
    name for name, sent in BEGINNINGS.items() if b"Content-Length: 100\r\n" in sent and name not in HALF_HEADS
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give the URL of gunicorn with one worker, whose eight threads are soon taken."""
    limits = {
        "HEAD_TIMEOUT_SECONDS": str(LIMIT_SECONDS),
        "BODY_TIMEOUT_SECONDS": str(LIMIT_SECONDS),
        "BODY_MAX_BYTES": str(BODY_MAX_BYTES),
    }
    with servers.folder() as place:
        settings = {**BASICAUTH, "kinto.storage_url": f"sqlite:///{place}/kinto.sqlite"}
        with servers.gunicorn(settings, workers=1, variables=limits) as (address, _):
            yield f"http://{address}/v1"


def test_two_hundred_slow_clients_keep_nobody_waiting_and_are_answered_408(url: str) -> None:
    """One that has begun no request has nothing to be answered: its connection is closed."""
    names = [name for name in BEGINNINGS for _ in range(15)]
    with hanging(url, *(BEGINNINGS[name] for name in names)) as clients:
        started = time.monotonic()
        answers = [ask(url, "PUT", f"/buckets/b{number}", {}, "alice").status for number in range(5)]
        seconds = time.monotonic() - started
        received = [read_all(client).removeprefix(CONTINUE) for client in clients]

    assert seconds < LIMIT_SECONDS, "they still hung when everybody else was served"
    assert set(answers) <= {200, 201}
    statuses = {name: status(answer) for name, answer in zip(names, received, strict=True)}
    assert statuses == {name: 408 if sent else None for name, sent in BEGINNINGS.items()}
    assert {json.loads(answer.partition(b"\r\n\r\n")[2])["code"] for answer in received if answer} == {408}
    assert ask(url, "GET", "/buckets/half", name="alice").status in (403, 404)


def test_a_client_that_is_slow_and_goes_on_is_served(url: str) -> None:
    body = b'{"data": {"slow": true}}'
    sent = head("PUT", "/v1/buckets/slow", f"Content-Length: {len(body)}", "Connection: close") + body
    with connect(url) as client:
        for start in range(0, len(sent), 40):
            client.sendall(sent[start : start + 40])
            time.sleep(0.05)
        answer = read_all(client)

    assert status(answer) == 201


def test_clients_that_do_not_read_their_answers_keep_nobody_waiting(url: str) -> None:
    """Each asks for more than the buffers of both ends hold."""
    text = "x" * 8_000_000
    ask(url, "PUT", "/buckets/large", {"data": {"text": text}}, "alice")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(connect_address(url))
            client.sendall(head("GET", "/v1/buckets/large"))
        started = time.monotonic()

        assert ask(url, "GET", "/buckets/large", name="alice").data["text"] == text
        assert time.monotonic() - started < LIMIT_SECONDS * 2


def connect_address(url: str) -> tuple[str, int]:
    """Return where the server at *url* listens."""
    with connect(url) as client:
        host, port = client.getpeername()
        return host, port


def test_requests_that_follow_each_other_without_pause_are_all_answered(url: str) -> None:
    one = head("GET", "/v1/buckets/none") + head("PUT", "/v1/buckets/p", "Content-Length: 2") + b"{}"
    last = head("PUT", "/v1/buckets/p", "Transfer-Encoding: chunked", "Connection: close") + b"2\r\n{}\r\n0\r\n\r\n"
    with connect(url) as client:
        client.sendall(one * 3 + last)
        answer = read_all(client)

    assert answer.count(b"HTTP/1.1 ") == 7


def test_a_chunked_body_is_a_body_like_any_other(url: str) -> None:
    body = json.dumps({"data": {"text": "y" * 200_000}}).encode()
    pieces = [body[start : start + 999] for start in range(0, len(body), 999)]
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    sent = head("PUT", "/v1/buckets/chunked", "Transfer-Encoding: chunked", "Connection: close")
    with connect(url) as client:
        client.sendall(sent + chunks + b"0\r\nX-Sum: 1\r\n\r\n")
        answer = read_all(client)

    assert status(answer) == 201
    assert ask(url, "GET", "/buckets/chunked", name="alice").data["text"] == "y" * 200_000


@pytest.mark.parametrize("framing", [f"Content-Length: {BODY_MAX_BYTES * 2}", "Transfer-Encoding: chunked"])
def test_a_body_above_the_limit_is_413_and_the_answer_arrives(url: str, framing: str) -> None:
    size = BODY_MAX_BYTES * 2
    with connect(url) as client:
        client.sendall(head("PUT", "/v1/buckets/huge", framing))
        if "chunked" in framing:
            client.sendall(b"%x\r\n" % size)
        for _ in range(size // 1_000_000):
            client.sendall(b"1" * 1_000_000)
        answer = read_all(client)

    assert status(answer) == 413
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errno"] == 113


def test_a_client_that_waits_for_100_continue_gets_it(url: str) -> None:
    lines = ("Content-Length: 2", "Expect: 100-continue", "Connection: close")
    with connect(url) as client:
        client.sendall(head("PUT", "/v1/buckets/expected", *lines))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")

        assert status(read_all(client)) == 201


def test_an_idle_connection_is_used_again(url: str) -> None:
    with connect(url) as client:
        for _ in range(3):
            client.sendall(head("HEAD", "/v1/"))
            assert status(client.recv(65536)) == 200


def test_clients_that_take_all_connections_make_room_for_others() -> None:
    """The time limits are longer than this test waits."""
    variables = {"GUNICORN_CMD_ARGS": "--worker-connections 20", "HEAD_TIMEOUT_SECONDS": "600"}
    with (
        servers.gunicorn({**BASICAUTH, "kinto.storage_backend": "memory"}, workers=1, variables=variables) as served,
        hanging(f"http://{served[0]}/v1", *[b"", b"GET / HT", PUT] * 30),
    ):
        assert ask(f"http://{served[0]}/v1", "GET", "/").status == 200


@pytest.fixture(scope="module")
def granian_url() -> Iterator[str]:
    """Give the URL of Granian with eight threads, which ends heads after two seconds."""
    settings = {**BASICAUTH, "kinto.storage_backend": "memory"}
    with servers.granian(settings, "--http1-header-read-timeout", "2000") as url:
        yield url


def test_granian_keeps_nobody_waiting_for_heads_and_ends_them_without_an_answer(granian_url: str) -> None:
    """A connection without any byte stays."""
    names = [name for name in ("nothing", *HALF_HEADS) for _ in range(66)]
    with hanging(granian_url, *(BEGINNINGS[name] for name in names)) as clients:
        assert ask(granian_url, "PUT", "/buckets/b", {}, "alice").status in (200, 201)

        assert {read_all(client) for name, client in zip(names, clients, strict=True) if name != "nothing"} == {b""}
        assert [sent for client in clients[:66] if (sent := received_at_once(client)) is not None] == []


def test_each_client_is_measured_with_granian() -> None:
    assert sorted([*HALF_HEADS, *CHUNKED_BODIES, *HALF_BODIES, "nothing"]) == sorted(BEGINNINGS)


def test_granian_refuses_chunked_bodies(granian_url: str) -> None:
    """What it gives to the application does not tell a body that broke off from one that is whole."""
    names = [name for name in CHUNKED_BODIES for _ in range(200 // len(CHUNKED_BODIES))]
    with hanging(granian_url, *(BEGINNINGS[name] for name in names)) as clients:
        assert ask(granian_url, "PUT", "/buckets/b", {}, "alice").status in (200, 201)

        assert {status(client.recv(65536)) for client in clients} == {411}


def test_granian_serves_nobody_while_half_bodies_hold_its_threads(granian_url: str) -> None:
    """The guide asks for a proxy that hands over whole requests: this fails when Granian no longer needs one."""
    names = [name for name in HALF_BODIES for _ in range(200 // len(HALF_BODIES))]
    with contextlib.ExitStack() as stack:
        with hanging(granian_url, *(BEGINNINGS[name] for name in names)) as clients:
            # Some others are served until a thread has begun with each of the first.
            others = (stack.enter_context(_ask_once(granian_url)) for _ in range(100))
            other = next((each for each in others if not select.select([each], [], [], 1)[0]), None)
            assert other, "each is served"
            assert {received_at_once(client) for client in clients} <= {None, CONTINUE}

        assert status(read_all(other)) == 200


def _ask_once(url: str) -> socket.socket:
    """Return a connection on which a request was sent."""
    client = connect(url)
    client.sendall(head("GET", "/v1/", "Connection: close"))
    return client


def received_at_once(client: socket.socket) -> bytes | None:
    """Return what a client has received, None where its connection is open and nothing came."""
    client.setblocking(False)
    try:
        return client.recv(65536)
    except BlockingIOError:
        return None
