"""Count what a PostgreSQL server gets: a proxy that reads the messages of its protocol on their way (version 3.0).

A driver may send a row of `executemany` as a statement of its own, or several statements as one message; the server
answers each statement with a CommandComplete, and each message that waits for an answer is a round trip.
"""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg2.extensions import parse_dsn
from sqlalchemy import make_url

_AROUND: Final = (b"BEGIN", b"COMMIT", b"ROLLBACK", b"SET")
"""The tags of statements that say how others are done: they cost round trips where they are messages of their own."""

_QUERY, _SYNC, _COMMAND_COMPLETE = b"Q", b"S", b"C"


@dataclass
class Wire:
    """How many statements and round trips there were so far, and the tags of the statements."""

    tags: list[str] = field(default_factory=list)
    round_trips: int = 0

    def from_client(self, kind: bytes, body: bytes) -> None:
        """Note a message of the client."""
        self.round_trips += kind in (_QUERY, _SYNC)

    def from_server(self, kind: bytes, body: bytes) -> None:
        """Note a message of the server."""
        if kind == _COMMAND_COMPLETE and not body.startswith(_AROUND):
            self.tags.append(body.rstrip(b"\0").decode())

    def clear(self) -> None:
        """Count from here on."""
        self.tags.clear()
        self.round_trips = 0


@contextmanager
def counting_proxy(url: str) -> Iterator[tuple[str, Wire]]:
    """Run a proxy of the server at *url* until the block ends; give the URL that leads through it, and its counts."""
    wire, place = Wire(), parse_dsn(url)
    with tempfile.TemporaryDirectory(prefix="kinto-wire-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(folder, ".s.PGSQL.5432")))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, place, wire), daemon=True).start()
        through = make_url(url)
        through = through.set(host=None, port=None, query={"host": folder})
        yield through.render_as_string(hide_password=False), wire


def _accept(listener: socket.socket, place: dict[str, str], wire: Wire) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = _connect(place)
            threading.Thread(target=_pump, args=(client, server, wire.from_client, False), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client, wire.from_server, True), daemon=True).start()


def _connect(place: dict[str, str]) -> socket.socket:
    host, port = place.get("host", "localhost"), place.get("port", "5432")
    if not host.startswith("/"):
        return socket.create_connection((host, int(port)))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _pump(source: socket.socket, target: socket.socket, note: Callable[[bytes, bytes], None], typed: bool) -> None:
    """Hand on one message after the other, each noted before it leaves. A client's first message has no type."""
    with source, target, suppress(OSError), source.makefile("rb") as stream:
        while True:
            kind = stream.read(1) if typed else b""
            length = stream.read(4)
            if len(length) < 4:
                break
            body = stream.read(int.from_bytes(length) - 4)
            note(kind, body)
            target.sendall(kind + length + body)
            typed = True
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
