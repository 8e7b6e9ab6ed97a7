"""A StatsD server for tests: it listens on UDP and keeps the packets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backends.metrics import batcher

_QUIET_SECONDS = 0.02
"""How long no packet comes before none is expected."""


@dataclass(frozen=True)
class Line:
    """One measurement on the wire: `name:value|type`."""

    name: str
    value: str
    type: str


class StatsdServer:
    """Keeps what arrives on a port of 127.0.0.1 from this process."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._listening.settimeout(_QUIET_SECONDS)
        self.url = f"udp://127.0.0.1:{listening.getsockname()[1]}"

    def packets(self) -> list[str]:
        """Send what waits in this process; return the packets that came since the last time, once no more come."""
        result = []
        batcher.flush_all()
        while True:
            try:
                result.append(self._listening.recv(65_535).decode("ascii"))
            except TimeoutError:
                return result

    def lines(self) -> list[Line]:
        """Return the measurements that came since the last time."""
        result = []
        for text in (line for packet in self.packets() for line in packet.split("\n")):
            name, _, rest = text.partition(":")
            value, _, kind = rest.partition("|")
            result.append(Line(name, value, kind))
        return result

    def names(self) -> list[str]:
        """Return the names of the measurements that came since the last time."""
        return [line.name for line in self.lines()]


@contextmanager
def statsd_server() -> Iterator[StatsdServer]:
    """Listen until the block ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        yield StatsdServer(listening)
