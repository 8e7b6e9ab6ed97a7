"""Clients of a trial: writers keep the journal, pollers keep a copy of a list by `_since` and its ETag."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from tests.faults.journal import BOUND_SECONDS, Change, Journal, Request
from tests.support.credentials import basic

BUCKETS: Final = ("/buckets/one", "/buckets/two")
LISTS: Final = tuple(f"{bucket}/collections/c{number}/records" for bucket in BUCKETS for number in range(2))
SINGLE_WRITERS: Final = 3
BATCH_WRITERS: Final = 3
POLLED: Final = ((LISTS[0], 0), (LISTS[3], 7))
"""The lists that pollers follow, and the limits of their pages; 0 is none."""
PASSWORD: Final = "a password"
AUTHORIZATION: Final = basic("alice", PASSWORD)
_BATCH_SIZE: Final = 8
_REFUSALS: Final = (503,)
_ENOUGH: Final = 5
"""How many successes in a row, all begun after the fault, show that a client is served again."""


class Reply(NamedTuple):
    """A response, None as status for a broken connection."""

    status: int | None
    headers: dict[str, str]
    body: Any
    start: float
    end: float

    @property
    def fault(self) -> str:
        """Describe a response that no fault excuses; nothing for the others."""
        if self.status is None or self.status < 400:
            return ""
        if self.status not in _REFUSALS:
            return f"{self.status} {str(self.body)[:300]}"
        return "" if "Retry-After" in self.headers else f"{self.status} without Retry-After"


class Connection:
    """A connection that is kept until it breaks."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request to a path, with or without the prefix, and return its response."""
        content = None if body is None else json.dumps(body)
        sent = {"Authorization": AUTHORIZATION, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        target = path if path.startswith(f"{self._url.path}/") else f"{self._url.path}{path}"
        start = time.monotonic()
        try:
            if self._connection is None:
                host = self._url.hostname or ""
                self._connection = http.client.HTTPConnection(host, self._url.port, timeout=BOUND_SECONDS)
            self._connection.request(method, target, content, sent)
            response = self._connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return Reply(None, {}, None, start, time.monotonic())
        decoded = json.loads(raw) if raw else None
        return Reply(response.status, dict(response.getheaders()), decoded, start, time.monotonic())

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(eq=False)
class Client:
    """A client that sends one request after the other until it is stopped."""

    url: str
    journal: Journal
    pause_seconds: float
    stopped: threading.Event
    mended: threading.Event
    in_a_row: int = 0

    def __post_init__(self) -> None:
        self.connection = Connection(self.url)

    def run(self) -> None:
        """Take steps until the load ends."""
        while not self.stopped.is_set():
            self.step()
            self.stopped.wait(self.pause_seconds)
        self.connection.close()

    def step(self) -> None:
        """Send the next requests."""
        raise NotImplementedError

    def note(self, reply: Reply, changes: Sequence[Change] = ()) -> Request:
        """Append a request to the journal."""
        after_fault = self.mended.is_set()
        request = Request(reply.start, reply.end, reply.status, changes, reply.fault)
        self.journal.requests.append(request)
        self.in_a_row = self.in_a_row + 1 if request.is_acknowledged and after_fault else 0
        return request

    @property
    def is_served(self) -> bool:
        """Return whether the client is served again after the fault."""
        return self.in_a_row >= _ENOUGH


@dataclass(eq=False)
class Writer(Client):
    """Create, update and delete objects of one's own in all lists: single requests, or batches over several lists.

    Batches of odd writers go through the lists in the opposite order.
    """

    number: int = 0
    in_batches: bool = False
    prefix: str = ""
    padding: str = ""
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = random.Random(self.number)
        self._numbers = itertools.count()

    def step(self) -> None:
        """Send one single request, or one batch."""
        if self.in_batches:
            self._send_batch()
        else:
            self._send_single()

    def _draw(self, list_uri: str, taken: set[str]) -> Change:
        """Draw a change of an object that no other change of the batch (*taken*) has."""
        number = f"{self.prefix}{self.number}-{next(self._numbers)}"
        own = [name for uri, name in self.tokens if uri == list_uri and name not in taken]
        if len(own) < 3 or self._random.random() < 0.4:
            return Change(list_uri, f"w{number}", None, f"t{number}")
        name = self._random.choice(own)
        deletes = self._random.random() < 0.4
        return Change(list_uri, name, self.tokens[list_uri, name], None if deletes else f"t{number}")

    def _member(self, change: Change) -> dict[str, Any]:
        uri = f"{change.list_uri}/{change.object_id}"
        if change.after is None:
            return {"method": "DELETE", "path": uri}
        data = {"token": change.after, "padding": self.padding}
        if change.before is None and self._random.random() < 0.5:
            body = {"data": {**data, "id": change.object_id}}
            return {"method": "POST", "path": change.list_uri, "body": body}
        return {"method": "PUT", "path": uri, "body": {"data": data}}

    def _send_single(self) -> None:
        change = self._draw(self._random.choice(LISTS), set())
        member = self._member(change)
        reply = self.connection.ask(member["method"], member["path"], member.get("body"))
        self._conclude(reply, [change], [reply.body])

    def _send_batch(self) -> None:
        lists = sorted(self._random.choices(LISTS, k=_BATCH_SIZE), reverse=bool(self.number % 2))
        changes: list[Change] = []
        for list_uri in lists:
            changes.append(self._draw(list_uri, {change.object_id for change in changes}))
        members = [self._member(change) for change in changes]
        reply = self.connection.ask("POST", "/batch", {"requests": members})
        responses = reply.body["responses"] if reply.status == 200 else []
        refused = [response for response in responses if response["status"] not in (200, 201)]
        if refused:
            reply = reply._replace(status=refused[0]["status"], body=refused[0])
        self._conclude(reply, changes, [response["body"] for response in responses])

    def _conclude(self, reply: Reply, changes: Sequence[Change], bodies: Sequence[Any]) -> None:
        """Note a request; remember its objects, or leave them alone from now on if its outcome is unknown."""
        if reply.status in (200, 201):
            changes = [
                replace(change, stamp=body["data"]["last_modified"])
                for change, body in zip(changes, bodies, strict=True)
            ]
        acknowledged = self.note(reply, changes).is_acknowledged
        for change in changes:
            self.tokens.pop((change.list_uri, change.object_id), None)
            if acknowledged and change.after is not None:
                self.tokens[change.list_uri, change.object_id] = change.after


@dataclass(eq=False)
class Poller(Client):
    """Keep a copy of a list: read what changed since the ETag of the last answer, page by page."""

    list_uri: str = ""
    limit: int = 0
    copy: dict[str, Any] = field(default_factory=dict)
    etag: str = '"0"'

    def step(self) -> None:
        """Pull the changes; keep the ETag and the copy as they were unless all pages arrived."""
        path = f"{self.list_uri}?_since={quote(self.etag)}" + (f"&_limit={self.limit}" if self.limit else "")
        etag, rows, headers = self.etag, [], {"If_None_Match": self.etag}
        first = True
        while path:
            reply = self.connection.ask("GET", path, **headers)
            self.note(reply)
            if reply.status != 200:
                return
            if first:
                etag, first = reply.headers["ETag"], False
            rows += reply.body["data"]
            following = urlsplit(reply.headers.get("Next-Page", ""))
            path, headers = f"{following.path}?{following.query}" if following.path else "", {}
        self.copy |= {row["id"]: row for row in rows}
        self.etag = etag


@dataclass
class Load:
    """All clients of a trial."""

    journal: Journal
    clients: list[Client]
    mended: threading.Event

    @property
    def pollers(self) -> list[Poller]:
        """Return the pollers."""
        return [client for client in self.clients if isinstance(client, Poller)]

    def wait_until_served(self, seconds: float) -> bool:
        """Wait until all clients are served again, for some seconds at most; return whether they are."""
        deadline = time.monotonic() + seconds
        while not all(client.is_served for client in self.clients):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@contextlib.contextmanager
def load(
    url: str, pause_seconds: float, prefix: str = "", padding: str = "", others: Sequence[Callable[..., Client]] = ()
) -> Iterator[Load]:
    """Run writers, pollers and *others* until the block ends. The ids of the objects begin with *prefix*."""
    journal, stopped, mended = Journal(), threading.Event(), threading.Event()
    shared = (url, journal, pause_seconds, stopped, mended)
    clients: list[Client] = [
        Writer(*shared, number=number, in_batches=number >= SINGLE_WRITERS, prefix=prefix, padding=padding)
        for number in range(SINGLE_WRITERS + BATCH_WRITERS)
    ]
    clients += [Poller(*shared, list_uri=list_uri, limit=limit) for list_uri, limit in POLLED]
    clients += [make(*shared) for make in others]
    with ThreadPoolExecutor(len(clients)) as threads:
        runs = [threads.submit(client.run) for client in clients]
        try:
            yield Load(journal, clients, mended)
        finally:
            stopped.set()
        for run in runs:
            run.result()


def prepare(url: str) -> None:
    """Create the user, the buckets and the collections."""
    connection = Connection(url)
    parents = [uri.removesuffix("/records") for uri in LISTS]
    for uri, body in [
        ("/accounts/alice", {"data": {"password": PASSWORD}}),
        *((bucket, None) for bucket in (*BUCKETS, *parents)),
    ]:
        reply = connection.ask("PUT", uri, body)
        if reply.status not in (200, 201):
            raise RuntimeError(f"PUT {uri}: {reply}")
    connection.close()


def read_list(url: str, list_uri: str) -> tuple[dict[str, Any], int]:
    """Return all objects of a list by id, tombstones included, and the number of living ones that the list counts."""
    connection = Connection(url)
    page, count = connection.ask("GET", f"{list_uri}?_since=0"), connection.ask("HEAD", list_uri)
    connection.close()
    if (page.status, count.status) != (200, 200):
        raise RuntimeError(f"{list_uri}: {page} {count}")
    return {row["id"]: row for row in page.body["data"]}, int(count.headers["Total-Objects"])
