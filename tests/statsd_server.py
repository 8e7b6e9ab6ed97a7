"""A StatsD server for tests: it listens on UDP and keeps the packets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_QUIET_SECONDS = 0.2


@dataclass(frozen=True)
class Line:
    """One measurement on the wire: `name:value|type`."""

    name: str
    value: str
    type: str


class StatsdServer:
    """Keeps what arrives on a port of 127.0.0.1."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._listening.settimeout(_QUIET_SECONDS)
        self.url = f"udp://127.0.0.1:{listening.getsockname()[1]}"

    def packets(self) -> list[str]:
        """Return the packets that came since the last time, once no more come."""
        found = []
        while True:
            try:
                found.append(self._listening.recv(65_535).decode("ascii"))
            except TimeoutError:
                return found

    def lines(self) -> list[Line]:
        """Return the measurements that came since the last time."""
        found = []
        for text in (line for packet in self.packets() for line in packet.split("\n")):
            name, _, rest = text.partition(":")
            value, _, type = rest.partition("|")
            found.append(Line(name, value, type))
        return found

    def names(self) -> list[str]:
        """Return the names of the measurements that came since the last time."""
        return [line.name for line in self.lines()]


@contextmanager
def statsd_server() -> Iterator[StatsdServer]:
    """Listen until the block ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        yield StatsdServer(listening)
