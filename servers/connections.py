"""The connections of clients, with sockets that never block (theory of operation: `servers/gunicorn_worker.py`)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, BinaryIO

from gunicorn.workers.gthread import TConn

from servers.incoming import IncomingRequest

_READ_METHODS = ("GET", "HEAD", "OPTIONS")


class NonBlockingSocket:
    """The socket of a client, to which gunicorn writes a response: `sendall` never waits, and buffers unsent bytes.

    Each call sends buffered bytes first, so that a client that keeps up with a long response leaves few in memory.
    """

    def __init__(self, client: socket.socket) -> None:
        client.setblocking(False)  # noqa: FBT003  # positional only
        self.client = client
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self.client.fileno()

    def sendall(self, data: bytes) -> None:
        count = self._send(data) if self.flush() else 0
        self._unsent += memoryview(data)[count:]

    send = sendall

    def sendfile(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file as other bytes are sent: the system's own call would wait for the client."""
        file.seek(offset)
        self.sendall(file.read(count))

    def flush(self) -> bool:
        """Send buffered bytes, as many as the client accepts; return whether none is left. Raises OSError."""
        if self._unsent:
            del self._unsent[: self._send(self._unsent)]
        return not self._unsent

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.client.send(data)
        except BlockingIOError:
            return 0

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  # the interface of sockets
        """Do nothing: this socket never blocks."""

    settimeout = setblocking

    def shutdown(self, how: int) -> None:
        """Do nothing: the worker closes the connection."""

    def recv(self, size: int) -> bytes:  # noqa: ARG002  # the interface of sockets
        """Return no bytes: a request is complete before a thread gets it."""
        return b""

    def close(self) -> None:
        """Do nothing: the worker closes the connection."""


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection of a client: its socket, its current request, its deadline.

    `keep_alive` is true where the connection can be used for another request; `expire` is called after the deadline.
    """

    incoming: IncomingRequest
    sock: NonBlockingSocket

    def __init__(self, cfg: Any, client: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, NonBlockingSocket(client), address, server)
        # gunicorn reads nothing from the socket.
        self.initialized = self.data_ready = True
        self.requests = 0
        self.keep_alive = False
        self.linger_until = 0.0
        self.deadline = 0.0
        self.expire: Callable[[], None]

    @property
    def writes(self) -> bool:
        """Return whether the request may change anything."""
        return self.incoming.request.method not in _READ_METHODS

    def close(self, graceful: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # gunicorn's signature
        """Close the socket and release the body of the request."""
        self.incoming.close()
        self.sock.client.close()
