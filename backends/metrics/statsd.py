"""StatsD: measurements as UDP packets, many in one (operations contract, 5.1)."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import urlsplit

from statsd import StatsClient

from backends.metrics import Labels, Timing
from backends.metrics.soon import Soon

log: Final = logging.getLogger("kinto.metrics")

DEFAULT_PORT: Final = 8125
# What an Ethernet frame holds: larger packets are cut into pieces on their way.
_PACKET_BYTES: Final = 1432
# Lines that fill three of them.
_MANY: Final = 72
# The characters that mean something on the wire, and those that a packet cannot hold.
_IN_NAMES: Final = re.compile(r"[:|@]|[^!-~]")
_IN_VALUES: Final = re.compile(r"[:|]|[^!-~]")


class Client(Protocol):
    """What sends: `statsd.StatsClient`, or a class of one's own that `statsd_backend` names.

    The class is called with `host`, `port` and `prefix`. Where its objects have a method `pipeline`, as
    `statsd.StatsClient` has, what that returns is used for many measurements, as a context that sends at its end.
    """

    def timing(self, stat: str, delta: float) -> None:
        """Send how many milliseconds something took."""

    def incr(self, stat: str, count: int = 1) -> None:
        """Add to a counter."""

    def gauge(self, stat: str, value: float) -> None:
        """Send a value as it is now."""

    def set(self, stat: str, value: str) -> None:
        """Add to the different values that the server counts."""


Measured = tuple[str, str, Labels, float | str]
"""A method of a client, what it is called with: the name, its labels, and the value."""


class StatsD(Timing):
    """Sends what is measured to a StatsD server: to send one packet costs more than to measure twenty times.

    Nobody who measures fails by it, and the network is never waited for (O-MON-15).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._soon = Soon(self._send, _MANY)
        self._keep = self._soon.hand_over

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Send how long something took, in milliseconds."""
        self._keep(("timing", name, labels, seconds * 1000))

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Send a value as it is now."""
        self._keep(("gauge", name, labels, value))

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Add to a counter; with *unique* to a set, whose different values the server counts."""
        if unique:
            self._keep(("set", name, (), unique if isinstance(unique, str) else _joined(unique)))
        else:
            self._keep(("incr", name, (), amount))

    def _send(self, measured: Iterable[Measured]) -> None:
        try:
            with self._client.pipeline() if hasattr(self._client, "pipeline") else nullcontext(self._client) as client:
                for method, name, labels, value in measured:
                    getattr(client, method)(_stat(name, labels), _value(value) if isinstance(value, str) else value)
        except Exception:  # the edge: whatever a client of one's own does, nobody who measures fails
            log.exception("Measurements are lost.")

    def close(self) -> None:
        """Send what waits, and close a client that can be closed."""
        self._soon.close()
        close = getattr(self._client, "close", None)
        if close:
            close()


@lru_cache(maxsize=1024)
def _path(name: str) -> str:
    """Return a name without what means something on the wire."""
    return _IN_NAMES.sub(".", name)


@lru_cache(maxsize=1024)
def _value(value: str) -> str:
    """Return a member of a set without what means something on the wire."""
    return _IN_VALUES.sub(".", value)


def _stat(name: str, labels: Labels) -> str:
    """Return the path of a measurement; labels are more levels of it."""
    return _IN_NAMES.sub(".", f"{name}.{_joined(labels)}") if labels else _path(name)


def _joined(labels: Labels) -> str:
    return ".".join(f"{name}.{value.replace(':', '')}" for name, value in labels)


def open_metrics(url: str, prefix: str, make: Callable[..., Client] | None = None) -> StatsD:
    """Open what sends to the server at *url*, by a class of one's own when *make* is given.

    Raises OSError or UnicodeError when nobody knows the host.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    return StatsD((make or _udp_client)(host=host, port=port, prefix=_IN_NAMES.sub(".", prefix)))


def _udp_client(host: str, port: int, prefix: str) -> Client:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]
    client = StatsClient(host, port, prefix, _PACKET_BYTES, ipv6=family == socket.AF_INET6)
    # A packet that the network does not take at once is lost; no request waits for it.
    client._sock.setblocking(False)
    made: Client = client
    return made
