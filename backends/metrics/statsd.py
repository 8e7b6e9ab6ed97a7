"""StatsD: measurements as UDP packets, many in each packet (operations contract, 5.1)."""

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
from backends.metrics.batcher import Batcher

log: Final = logging.getLogger("kinto.metrics")

DEFAULT_PORT: Final = 8125
# The size of an Ethernet frame: larger packets would be fragmented.
_PACKET_BYTES: Final = 1432
# The lines of about three packets.
_BATCH_SIZE: Final = 72
# Characters that have a meaning in the protocol, and characters that are not allowed in a packet.
_IN_NAMES: Final = re.compile(r"[:|@]|[^!-~]")
_IN_VALUES: Final = re.compile(r"[:|]|[^!-~]")


class Client(Protocol):
    """A client of StatsD: `statsd.StatsClient`, or the class that `statsd_backend` names.

    The class is called with `host`, `port` and `prefix`. If its instances have a method `pipeline`, as those of
    `statsd.StatsClient`, it returns a context for many measurements that are sent at its end.
    """

    def timing(self, stat: str, delta: float) -> None:
        """Send a duration in milliseconds."""

    def incr(self, stat: str, count: int = 1) -> None:
        """Increment a counter."""

    def gauge(self, stat: str, value: float) -> None:
        """Send a current value."""

    def set(self, stat: str, value: str) -> None:
        """Add a value to a set whose distinct values the server counts."""


Measurement = tuple[str, str, Labels, float | str]
"""A method of a client, and its arguments: the name, its labels, and the value."""


class StatsD(Timing):
    """Send measurements to a StatsD server, in batches: one packet costs more than twenty measurements.

    The measured code never fails because of it, and never waits for the network (O-MON-15).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._batcher = Batcher(self._send, _BATCH_SIZE)
        self._enqueue = self._batcher.add

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Send a duration, in milliseconds."""
        self._enqueue(("timing", name, labels, seconds * 1000))

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Send a current value."""
        self._enqueue(("gauge", name, labels, value))

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Increment a counter; with *unique*, add to a set whose distinct values the server counts."""
        if unique:
            self._enqueue(("set", name, (), unique if isinstance(unique, str) else _join_labels(unique)))
        else:
            self._enqueue(("incr", name, (), amount))

    def _send(self, measurements: Iterable[Measurement]) -> None:
        try:
            with self._client.pipeline() if hasattr(self._client, "pipeline") else nullcontext(self._client) as client:
                for method, name, labels, value in measurements:
                    getattr(client, method)(_stat(name, labels), _value(value) if isinstance(value, str) else value)
        except Exception:  # the edge: no error of a third-party client may fail the measured code
            log.exception("Measurements are lost.")

    def close(self) -> None:
        """Send all queued measurements, and close the client if it has a method `close`."""
        self._batcher.close()
        close = getattr(self._client, "close", None)
        if close:
            close()


@lru_cache(maxsize=1024)
def _path(name: str) -> str:
    """Return a name with the special characters of the protocol replaced."""
    return _IN_NAMES.sub(".", name)


@lru_cache(maxsize=1024)
def _value(value: str) -> str:
    """Return a member of a set with the special characters of the protocol replaced."""
    return _IN_VALUES.sub(".", value)


def _stat(name: str, labels: Labels) -> str:
    """Return the path of a measurement; labels are further levels of the path."""
    return _IN_NAMES.sub(".", f"{name}.{_join_labels(labels)}") if labels else _path(name)


def _join_labels(labels: Labels) -> str:
    return ".".join(f"{name}.{value.replace(':', '')}" for name, value in labels)


def open_metrics(url: str, prefix: str, client_class: Callable[..., Client] | None = None) -> StatsD:
    """Open the backend for the server at *url*, with the client of a third party if *client_class* is set.

    Raises OSError or UnicodeError if the host cannot be resolved.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    return StatsD((client_class or _udp_client)(host=host, port=port, prefix=_IN_NAMES.sub(".", prefix)))


def _udp_client(host: str, port: int, prefix: str) -> Client:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]
    client = StatsClient(host, port, prefix, _PACKET_BYTES, ipv6=family == socket.AF_INET6)
    # A packet that cannot be sent at once is dropped; no request waits for it.
    client._sock.setblocking(False)  # noqa: FBT003, SLF001  # the library has no public socket
    result: Client = client
    return result
