"""A request is collected from bytes as they arrive, wherever they are cut."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from hypothesis import given
from hypothesis import strategies as st

from servers.incoming import BodyTooLarge, IncomingRequest

HEAD = b"PUT /v1/buckets/b HTTP/1.1\r\nHost: a\r\n"
LENGTH = HEAD + b"Content-Length: 5\r\n\r\nabcde"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n02\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\n"


def incoming(body_max_bytes: int = 1000) -> contextlib.closing[IncomingRequest]:
    return contextlib.closing(IncomingRequest(Config(), ("127.0.0.1", 1), 1, body_max_bytes))


def feed(collected: IncomingRequest, sent: bytes, step: int) -> list[bool]:
    """Feed bytes *step* at a time."""
    return [collected.feed(sent[start : start + step]) for start in range(0, len(sent), step)]


def environ_length(request: Any) -> str:
    """Return what the application is told of the length."""
    return str(dict(request.headers)["CONTENT-LENGTH"])


@pytest.mark.parametrize("sent", [LENGTH, CHUNKED], ids=["Content-Length", "chunked"])
@given(cuts=st.lists(st.integers(1, 120)))
def test_a_request_is_whole_with_its_last_byte_and_not_before(sent: bytes, cuts: list[int]) -> None:
    places = sorted({cut for cut in cuts if cut < len(sent) - 1} | {len(sent) - 1})
    pieces = [sent[start:end] for start, end in zip([0, *places], places, strict=False)]

    with incoming() as collected:
        assert not any(collected.feed(piece) for piece in pieces)
        assert collected.feed(sent[-1:] + NEXT)
        assert collected.request.body.read() == b"abcde"
        assert (environ_length(collected.request), collected.remaining) == ("5", NEXT)


@pytest.mark.parametrize(
    "sent",
    [
        b"PUT / HTTP/1.1\nHost: a\n\n",
        b"no request\r\n\r\n",
        HEAD + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        HEAD + b"x" * 1_000_000,
        *(
            HEAD + b"Content-Length: " + length + b"\r\n\r\n"
            for length in (b"-1", b"x", b"1, 1", b"1\r\nContent-Length: 1")
        ),
        *(
            HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n"
            for coding in (b"gzip", b"identity", b"chunked, chunked")
        ),
        *(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
            for chunks in (b"\r\n", b"zz\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1 \r\n", b"1;\n\r\n", b"1\r\nab\r\n")
        ),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
    ],
    ids=lambda sent: repr(sent[38:90]),
)
@pytest.mark.parametrize("step", [1_100_000, 1000], ids=["at once", "in pieces"])
def test_bytes_that_are_no_request_are_refused(sent: bytes, step: int) -> None:
    with incoming() as collected, pytest.raises(ParseException):
        feed(collected, sent, step)


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 1001\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"64\r\n" + b"x" * 100 + b"\r\n") * 11,
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
    ],
    ids=["declared", "one chunk", "many chunks", "a chunk of any size"],
)
def test_a_body_above_the_limit_is_refused_before_it_is_there(sent: bytes) -> None:
    with incoming() as collected, pytest.raises(BodyTooLarge):
        collected.feed(HEAD + sent)


def test_a_large_body_is_the_same_from_a_file() -> None:
    body = bytes(range(256)) * 20_000
    with incoming(10_000_000) as collected:
        collected.feed(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))

        *before, last = feed(collected, body, 65536)

        assert (last, any(before)) == (True, False)
        assert collected.request.body.read() == body
