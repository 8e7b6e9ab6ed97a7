"""StatsD: measurements as UDP packets, the ones of a request together (operations contract, 5.1)."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

from statsd import StatsClient

from backends.metrics import Labels, Timing

DEFAULT_PORT: Final = 8125
# What an Ethernet frame holds: larger packets are cut into pieces on their way.
_PACKET_BYTES: Final = 1432
# The characters that mean something on the wire, and those that a packet cannot hold.
_IN_NAMES: Final = re.compile(r"[:|@]|[^!-~]")
_IN_VALUES: Final = re.compile(r"[:|]|[^!-~]")


class Client(Protocol):
    """What sends: `statsd.StatsClient`, or a class of one's own that `statsd_backend` names.

    The class is called with `host`, `port` and `prefix`. Where its objects have a method `pipeline`, as
    `statsd.StatsClient` has, what that returns is used for all of a request, as a context that sends at its end.
    """

    def timing(self, stat: str, delta: float) -> None:
        """Send how many milliseconds something took."""

    def incr(self, stat: str, count: int = 1) -> None:
        """Add to a counter."""

    def gauge(self, stat: str, value: float) -> None:
        """Send a value as it is now."""

    def set(self, stat: str, value: str) -> None:
        """Add to the different values that the server counts."""


class StatsD(Timing):
    """Sends what is measured to a StatsD server, and never waits for it (O-MON-15)."""

    def __init__(self, client: Client, pipeline: Callable[[], Any] | None = None) -> None:
        self._client = client
        self._pipeline: Callable[[], Any] | None = pipeline or getattr(client, "pipeline", None)
        self._here = threading.local()

    def _sender(self) -> Client:
        sender: Client = getattr(self._here, "pipeline", self._client)
        return sender

    def timing(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Send how long something took, in milliseconds."""
        self._sender().timing(_stat(name, labels), seconds * 1000)

    def observe(self, name: str, value: float, labels: Labels = ()) -> None:
        """Send a value as it is now."""
        self._sender().gauge(_stat(name, labels), value)

    def count(self, name: str, amount: int = 1, unique: str | Labels = ()) -> None:
        """Add to a counter; with *unique* to a set, whose different values the server counts."""
        if not unique:
            self._sender().incr(_stat(name), amount)
            return
        value = unique if isinstance(unique, str) else _joined(unique)
        self._sender().set(_stat(name), _IN_VALUES.sub(".", value))

    def together(self) -> AbstractContextManager[object]:
        """Send what is measured in this thread while the block runs at its end."""
        if self._pipeline is None or hasattr(self._here, "pipeline"):
            return nullcontext()
        return _Together(self._here, self._pipeline())

    def close(self) -> None:
        """Close the socket of a client that has one."""
        close = getattr(self._client, "close", None)
        if close:
            close()


class _Together:
    """Lets a thread send by a pipeline; a generator for it would cost twice as much."""

    __slots__ = ("_here", "_pipeline")

    def __init__(self, here: threading.local, pipeline: Any) -> None:
        self._here = here
        self._pipeline = pipeline

    def __enter__(self) -> None:
        self._here.pipeline = self._pipeline.__enter__()

    def __exit__(self, *failure: Any) -> None:
        del self._here.pipeline
        self._pipeline.__exit__(*failure)


class _Packet:
    """What is measured during a request, sent at its end: the client's own pipeline at a third of the price."""

    __slots__ = ("_client", "_lines", "_prefix")

    def __init__(self, client: Any) -> None:
        self._client = client
        self._prefix = f"{client._prefix}." if client._prefix else ""
        self._lines: list[str] = []

    def timing(self, stat: str, delta: float) -> None:
        self._lines.append(f"{self._prefix}{stat}:{delta:.6f}|ms")

    def incr(self, stat: str, count: int = 1) -> None:
        self._lines.append(f"{self._prefix}{stat}:{count}|c")

    def gauge(self, stat: str, value: float) -> None:
        # The server takes a sign for a change of the value.
        zero = [f"{self._prefix}{stat}:0|g"] if value < 0 else []
        self._lines += [*zero, f"{self._prefix}{stat}:{value}|g"]

    def set(self, stat: str, value: str) -> None:
        self._lines.append(f"{self._prefix}{stat}:{value}|s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        text = "\n".join(self._lines)
        while len(text) > _PACKET_BYTES:
            # A line that is too long is sent alone.
            end = text.rfind("\n", 0, _PACKET_BYTES)
            end = end if end != -1 else text.find("\n")
            if end == -1:
                break
            self._client._send(text[:end])
            text = text[end + 1 :]
        if text:
            self._client._send(text)


@lru_cache(maxsize=1024)
def _path(name: str) -> str:
    """Return a name without what means something on the wire."""
    return _IN_NAMES.sub(".", name)


def _stat(name: str, labels: Labels = ()) -> str:
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
    prefix = _IN_NAMES.sub(".", prefix)
    if make:
        return StatsD(make(host=host, port=port, prefix=prefix))
    client = _udp_client(host, port, prefix)
    return StatsD(client, lambda: _Packet(client))


def _udp_client(host: str, port: int, prefix: str) -> Client:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]
    client = StatsClient(host, port, prefix, _PACKET_BYTES, ipv6=family == socket.AF_INET6)
    # A packet that the network does not take at once is lost; no request waits for it.
    client._sock.setblocking(False)
    made: Client = client
    return made
