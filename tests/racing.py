"""What one of many processes does to a served instance: writers note every answer, a poller keeps a copy by `_since`.

    python -m tests.racing writer URL SEED ROUNDS
    python -m tests.racing poller URL LIST LIMIT

Each prints one JSON document when it ends; the poller goes on until its standard input is closed.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from tests.client import basic

BUCKETS = ("/buckets/one", "/buckets/two")
LISTS = tuple(f"{bucket}/collections/c{number}/records" for bucket in BUCKETS for number in range(6))
COUNTER = f"{BUCKETS[0]}/collections/c0/records/counter"
DOOMED = "/buckets/doomed"


class Connection:
    """A connection that is kept, as clients keep theirs."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._prefix = parts.path.rstrip("/")
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Send a request and return status, headers and the decoded body."""
        sent = {"Authorization": basic("alice"), **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        target = path if path.startswith(f"{self._prefix}/") else f"{self._prefix}{path}"
        self._connection.request(method, target, None if body is None else json.dumps(body), sent)
        response = self._connection.getresponse()
        raw = response.read()
        return response.status, dict(response.getheaders()), json.loads(raw) if raw else None


class Writer:
    """Somebody who writes: singles and batches, over lists of two buckets in both orders, and into what is deleted."""

    def __init__(self, url: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._connection = Connection(url)
        self._seed = seed
        self.seen: list[dict[str, Any]] = []
        self.increments = 0

    def run(self, rounds: int) -> dict[str, Any]:
        """Do this many rounds of everything."""
        for number in range(rounds):
            for act in (self._increment, self._single, self._batch, self._doom):
                act(number)
        return {"seen": self.seen, "increments": self.increments}

    def _note(self, method: str, uri: str, status: int, body: Any) -> None:
        self.seen.append({"method": method, "uri": uri, "status": status, "body": body})

    def _single(self, number: int) -> None:
        list = self._random.choice(LISTS)
        uri = f"{list}/r{self._random.randrange(6)}"
        method = self._random.choice(("PUT", "PUT", "PATCH", "DELETE", "POST"))
        body = None if method == "DELETE" else {"data": {"by": self._seed, "round": number}}
        status, _, answer = self._connection.ask(method, list if method == "POST" else uri, body)
        if method == "POST" and status == 201:
            uri = f"{list}/{answer['data']['id']}"
        self._note(method, uri, status, answer)

    def _batch(self, number: int) -> None:
        lists = [*LISTS] if self._seed % 2 else [*reversed(LISTS)]
        requests = [self._member(list, number) for list in lists]
        status, _, answer = self._connection.ask("POST", "/batch", {"requests": requests})
        if status != 200:
            self._note("POST", "/batch", status, answer)
            return
        for asked, entry in zip(requests, answer["responses"], strict=True):
            self._note(asked["method"], asked["path"], entry["status"], entry["body"])

    def _member(self, list: str, number: int) -> dict[str, Any]:
        method = self._random.choice(("PUT", "PUT", "DELETE"))
        member = {"method": method, "path": f"{list}/r{self._random.randrange(6)}"}
        return member if method == "DELETE" else {**member, "body": {"data": {"by": self._seed, "round": number}}}

    def _increment(self, number: int) -> None:
        """Add one to a counter under `If-Match`, as often as it takes."""
        while True:
            _, headers, answer = self._connection.ask("GET", COUNTER)
            count = answer["data"]["n"] + 1
            expected = {"If-Match": headers["ETag"]}
            status, _, answer = self._connection.ask("PUT", COUNTER, {"data": {"n": count}}, **expected)
            self._note("PUT", COUNTER, status, answer)
            if status == 200:
                self.increments += 1
                return

    def _doom(self, number: int) -> None:
        """Delete and make anew what others write into."""
        collection = f"{DOOMED}/collections/c{self._random.randrange(2)}"
        record = f"{collection}/records/r{self._random.randrange(4)}"
        asked = [
            ("PUT", record, {}),
            ("POST", f"{collection}/records", {}),
            ("PUT", collection, {}),
            ("PUT", f"{DOOMED}/groups/g", {"data": {"members": ["bob"]}}),
        ]
        if number % 3 == self._seed % 3:
            asked.append(self._random.choice((("DELETE", collection, None), ("DELETE", DOOMED, None))))
            asked.append(("PUT", DOOMED, {}))
        self._random.shuffle(asked)
        for method, path, body in asked:
            status, _, answer = self._connection.ask(method, path, body)
            self._note(method, path, status, answer)
        if number % 4 == 0:
            members = [{"method": method, "path": path, "body": body or {}} for method, path, body in asked]
            status, _, answer = self._connection.ask("POST", "/batch", {"requests": members})
            self._note("POST", "/batch", status, answer)


def poll(url: str, list: str, limit: int, stop: Any) -> dict[str, Any]:
    """Keep a copy of a list by asking what changed since, until *stop*; and then once more."""
    connection, copy, since, polls, stopped = Connection(url), {}, 0, 0, False
    while True:
        since = _pull(connection, list, since, limit, copy)
        polls += 1
        if stopped:
            return {"list": list, "copy": copy, "polls": polls}
        stopped = stop(0.005)


def _pull(connection: Connection, list: str, since: int, limit: int, copy: dict[str, Any]) -> int:
    """Take over all pages of what changed; the next pull begins at the newest timestamp that was seen."""
    path = f"{list}?_since={quote(json.dumps(str(since)))}&_sort=last_modified" + (f"&_limit={limit}" if limit else "")
    for changed in _pages(connection, path):
        since = max(since, changed["last_modified"])
        copy[changed["id"]] = changed
    return since


def _pages(connection: Connection, path: str) -> Iterator[dict[str, Any]]:
    while path:
        status, headers, answer = connection.ask("GET", path)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {answer}")
        yield from answer["data"]
        next_page = urlsplit(headers.get("Next-Page", ""))
        path = f"{next_page.path}?{next_page.query}" if next_page.path else ""


def _closed(timeout_seconds: float) -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], timeout_seconds)
    return bool(readable) and not sys.stdin.read(1)


def main(role: str, url: str, *more: str) -> None:
    """Play a role and print what was seen."""
    if role == "writer":
        print(json.dumps(Writer(url, int(more[0])).run(int(more[1]))))
    else:
        print(json.dumps(poll(url, more[0], int(more[1]), _closed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
