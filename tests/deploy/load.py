"""Clients that write and read all the time over connections that they keep, and note what they are answered."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.deploy.asking import ask
from tests.support.client import basic

_CLIENTS = 4
_PAUSE_SECONDS = 0.01
"""Between two requests of a client: a server that starts its workers anew needs the processor as well."""

_SILENT_SECONDS = 1.5
"""A server that stops closes a connection that was silent for two seconds, of which the client may see fewer."""


@dataclass
class Load:
    """What clients saw: answers by status, connections that nobody took, and requests that nobody answered."""

    url: str
    answered: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def client(self, number: int) -> None:
        """Write and read a record of one's own until the load ends, or until nobody listens any more."""
        parts = urlsplit(self.url)
        path = f"{parts.path}/buckets/load/collections/c/records/r{number}"
        headers = {"Authorization": basic("alice"), "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        body = json.dumps({"data": {"text": "x" * 1000}}).encode()
        requests = itertools.cycle((("PUT", body), ("GET", None)))
        answered = math.inf
        while not self.ended.is_set():
            method, sent = next(requests)
            begun = time.monotonic()
            try:
                connection.request(method, path, sent, headers)
                response = connection.getresponse()
                response.read()
                self.answered[response.status] += 1
                answered = time.monotonic()
            except ConnectionRefusedError:
                self.refused += 1
                return
            except (OSError, http.client.HTTPException) as error:
                # A client must expect that a silent connection is closed as it sends (RFC 9112, section 9.3.1).
                if begun - answered < _SILENT_SECONDS:
                    self.lost.append(f"{method}: {error!r}")
                answered = math.inf
                connection.close()
            self.ended.wait(_PAUSE_SECONDS)
        connection.close()

    def done(self) -> None:
        """Wait until each client has met nobody."""
        for thread in self.threads:
            thread.join()

    @property
    def failed(self) -> dict[int, int]:
        """Return what was answered, by status, that is no success."""
        return {status: count for status, count in self.answered.items() if not 200 <= status < 300}


@contextlib.contextmanager
def load(url: str) -> Iterator[Load]:
    """Load the service at *url* until the block ends."""
    assert ask(url, "PUT", "/buckets/load", {}, "alice").status in (200, 201)
    assert ask(url, "PUT", "/buckets/load/collections/c", {}, "alice").status in (200, 201)
    result = Load(url)
    result.threads += [threading.Thread(target=result.client, args=(number,)) for number in range(_CLIENTS)]
    for thread in result.threads:
        thread.start()
    try:
        yield result
    finally:
        result.ended.set()
        result.done()
