"""Send requests over kept connections, one after the other on each, and read the responses.

The client is written on sockets, so that it is not the bottleneck: a request is bytes that are made beforehand.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

_HEAD_END: Final = b"\r\n\r\n"
_BATCH: Final = b"POST /v1/batch "
_FAILED_MEMBER: Final = re.compile(rb'"status": ?[45]\d\d\b')
_CHUNK_BYTES: Final = 1 << 18
_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True)
class Request:
    """One request: its bytes, and the status that it must have."""

    text: bytes
    status: int

    def accepts(self, response: bytes) -> bool:
        """Return whether a response has the right status, and as a batch no member that failed."""
        if int(response[9:12]) != self.status:
            return False
        return not (self.text.startswith(_BATCH) and _FAILED_MEMBER.search(response))


def request(
    method: str,
    path: str,
    body: Any = None,
    *,
    user: str | None = "alice",
    headers: Mapping[str, str] | None = None,
    status: int = 200,
) -> Request:
    """Make a request of a user of basic authentication."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} /v1{path} HTTP/1.1", "Host: 127.0.0.1"]
    if user is not None:
        lines.append(f"Authorization: Basic {b64encode(f'{user}:secret'.encode()).decode()}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    text = "\r\n".join(lines).encode() + _HEAD_END + content
    return Request(text, status)


class WrongStatus(Exception):
    """A response, or a member of a batch, does not have the status that its request must have."""


@dataclass(slots=True)
class _Connection:
    stream: socket.socket
    sent: Request
    received: bytearray = field(default_factory=bytearray)
    needed: int = -1
    """The bytes of the whole response, -1 while its head is not complete."""

    def receive(self) -> bytes | None:
        """Read what has arrived; return the response once it is complete. Raises ConnectionError."""
        chunk = self.stream.recv(_CHUNK_BYTES)
        if not chunk:
            raise ConnectionError("The server closed the connection")
        self.received += chunk
        if self.needed < 0:
            end = self.received.find(_HEAD_END)
            if end < 0:
                return None
            has_body = not self.sent.text.startswith(b"HEAD ") and self.received[9:12] != b"304"
            self.needed = end + len(_HEAD_END) + (_content_length(self.received[:end]) if has_body else 0)
        if len(self.received) < self.needed:
            return None
        response = bytes(self.received)
        self.received.clear()
        self.needed = -1
        return response


def _content_length(head: bytearray) -> int:
    start = head.lower().find(b"\r\ncontent-length:")
    if start < 0:
        raise ConnectionError(f"A response without Content-Length: {bytes(head)!r}")
    end = head.find(b"\r\n", start + 2)
    return int(head[start + len("\r\ncontent-length:") : end if end >= 0 else None])


def send(port: int, requests: Iterable[Request], *, connections: int = 8, failures: list[bytes] | None = None) -> bytes:
    """Send all requests to a server on 127.0.0.1, *connections* at a time; return the last response.

    Responses that their requests do not accept are appended to *failures*. Without that list the first one raises
    WrongStatus. Raises ConnectionError, TimeoutError.
    """
    pending = iter(requests)
    response = b""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _, first in zip(range(connections), pending, strict=False):
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS))
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.sendall(first.text)
            selector.register(stream, selectors.EVENT_READ, _Connection(stream, first))
        while selector.get_map():
            ready = selector.select(_TIMEOUT_SECONDS)
            if not ready:
                raise TimeoutError("The server does not answer")
            for key, _ in ready:
                connection: _Connection = key.data
                complete = connection.receive()
                if complete is None:
                    continue
                response = complete
                if not connection.sent.accepts(response):
                    if failures is None:
                        raise WrongStatus(f"{connection.sent.text[:200]!r}: {response[:600]!r}")
                    failures.append(response)
                following = next(pending, None)
                if following is None:
                    selector.unregister(connection.stream)
                    connection.stream.close()
                else:
                    connection.sent = following
                    connection.stream.sendall(following.text)
    return response


def body_of(response: bytes) -> Any:
    """Return the decoded JSON of a response."""
    return json.loads(response.partition(_HEAD_END)[2])


def header_of(response: bytes, name: str) -> str:
    """Return a header of a response; '' where it has none."""
    for line in response.partition(_HEAD_END)[0].decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return ""
