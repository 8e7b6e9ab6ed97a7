"""Clients that speak HTTP over bare sockets: they send half of a request, or nothing, and read what comes back."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.support.client import basic

PATIENCE_SECONDS = 60


def head(method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request of alice's, with header lines of its own."""
    known = ("Host: localhost", f"Authorization: {basic('alice')}", "Content-Type: application/json")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *known, *lines, "", ""]).encode()


def connect(url: str) -> socket.socket:
    """Connect to the server at *url*."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE_SECONDS)


def read_all(client: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection or resets it."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            received += data
    return bytes(received)


def status(answer: bytes) -> int | None:
    """Return the status of an answer, None where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


def exchange(url: str, sent: bytes, *, gone: bool = False) -> int | None:
    """Send bytes and end our side of the connection, or with *gone* all of it; return the status of the answer."""
    with connect(url) as client:
        client.sendall(sent)
        if gone:
            return None
        client.shutdown(socket.SHUT_WR)
        return status(read_all(client))


@contextlib.contextmanager
def hanging(url: str, *beginnings: bytes) -> Iterator[list[socket.socket]]:
    """Open a connection for each of *beginnings*, send it, and let it hang until the block ends."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(url)) for _ in beginnings]
        for client, sent in zip(clients, beginnings, strict=True):
            client.sendall(sent)
        yield clients
