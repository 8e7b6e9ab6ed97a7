"""A server that accepts connections and does not answer, in front of a real one while it is not stalled."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


def _connect(target: tuple[str, int] | str) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(target)
    return connection


class StallingServer:
    """Passes bytes on to *target*, unless it is stalled; counts connections and bytes that came in.

    *target* is host and port, or the path of a socket.
    """

    def __init__(self, target: tuple[str, int] | str | None = None) -> None:
        self.stalled = target is None
        self.connections = 0
        self.received = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def calls(self) -> tuple[int, int]:
        """Return how many connections and bytes came in."""
        return self.connections, self.received

    def end_connections(self) -> None:
        """End all connections; new ones are accepted."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._open.append(client)
                server = _connect(self._target) if self._target else None
                threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
                if server:
                    self._open.append(server)
                    threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket | None, incoming: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if incoming:
                    self.received += len(data)
                if target and not self.stalled:
                    target.sendall(data)
            if target and not self.stalled:
                target.close()
