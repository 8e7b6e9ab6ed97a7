"""One of many client processes of a served instance: a writer notes every answer, a poller keeps a copy by `_since`.

    python -m tests.support.racing writer URL SEED ROUNDS
    python -m tests.support.racing poller URL LIST LIMIT

Each prints one JSON document when it ends; a poller goes on until its standard input is closed, and prints a line after
its first poll. Twelve of them start at once, so nothing here imports SQLAlchemy or Flask.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.credentials import basic, user_id

BUCKETS = ("/buckets/one", "/buckets/two")
LISTS = tuple(f"{bucket}/collections/c{number}/records" for bucket in BUCKETS for number in range(6))
COUNTER = f"{BUCKETS[0]}/collections/c0/records/counter"
DOOMED = "/buckets/doomed"
DEFAULT = "/buckets/default"
CONTEST_NS = 200_000_000
"""How long processes contend for one collection."""
EVE = user_id("eve")
INDEXES = ({"fields": ["n"]}, {"unique": ["u"]}, {"text": ["u"]}, {"contains": ["n"]})
"""What collections that are deleted and made anew declare; no two records of a list have one `u`."""


def _body(data: Any, *readers: str) -> dict[str, Any]:
    return {"data": data, "permissions": {"read": [*readers]}}


def _draw_doomed(chance: random.Random) -> tuple[str, str, Any]:
    """Draw a request on objects, groups and users that other processes delete: seven in ten create them, or again."""
    collection, group, account = (
        f"{DOOMED}/{kind}{chance.randrange(2)}" for kind in ("collections/c", "groups/g", "accounts/a")
    )
    account = account.removeprefix(DOOMED)
    reader = chance.choice((EVE, group, f"account:{account[-2:]}"))
    record = f"{collection}/records/r{chance.randrange(4)}"
    members = chance.sample(["bob", EVE, "account:a0", "account:a1"], 2)
    makes: tuple[tuple[str, str, Any], ...] = (
        ("PUT", DOOMED, _body({}, reader)),
        ("PUT", DOOMED, None),
        ("PUT", collection, _body({"indexes": chance.sample(INDEXES, 2)}, reader)),
        ("PUT", collection, None),
        ("PUT", group, {"data": {"members": members}}),
        ("PUT", group, {"data": {"members": members}}),
        ("PUT", record, _body({"n": chance.randrange(3), "u": record}, reader)),
        ("PATCH", record, {"permissions": {"read": [reader]}}),
        ("POST", f"{collection}/records", _body({}, reader)),
        ("POST", f"{collection}/records", None),
        ("PUT", account, {"data": {"password": "pw"}}),
    )
    ends: tuple[str, ...] = (
        *(DOOMED, collection, collection, f"{DOOMED}/collections", group, f"{DOOMED}/groups", record),
        *(f"{collection}/records", account, "/accounts", f"/__user_data__/{EVE}"),
    )
    return chance.choice(makes) if chance.random() < 0.7 else ("DELETE", chance.choice(ends), None)


class Connection:
    """A connection that is kept, as clients keep theirs."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._prefix = parts.path.rstrip("/")
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Send a request and return status, headers and the decoded body."""
        sent_headers = {"Authorization": basic("alice"), **headers}
        if body is not None:
            sent_headers["Content-Type"] = "application/json"
        target = path if path.startswith(f"{self._prefix}/") else f"{self._prefix}{path}"
        self._connection.request(method, target, None if body is None else json.dumps(body), sent_headers)
        response = self._connection.getresponse()
        raw = response.read()
        return response.status, dict(response.getheaders()), json.loads(raw) if raw else None


class Writer:
    """A client that writes: singles and batches, over lists of two buckets in both orders, and into deleted objects."""

    def __init__(self, url: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._connection = Connection(url)
        self._seed = seed
        self.answers: list[dict[str, Any]] = []
        self.increments = 0

    def run(self, rounds: int) -> dict[str, Any]:
        """Do this many rounds of everything."""
        for number in range(rounds):
            for act in (self._increment, self._single, self._batch, self._doom, self._contest, self._use_default):
                act(number)
        return {"seen": self.answers, "increments": self.increments}

    def _note(self, method: str, uri: str, status: int, body: Any) -> None:
        self.answers.append({"method": method, "uri": uri, "status": status, "body": body})

    def _single(self, number: int) -> None:
        list_uri = self._random.choice(LISTS)
        uri = f"{list_uri}/r{self._random.randrange(6)}"
        method = self._random.choice(("PUT", "PUT", "PATCH", "DELETE", "POST"))
        body = None if method == "DELETE" else {"data": {"by": self._seed, "round": number}}
        path = list_uri if method == "POST" else uri
        status, _, answer = self._connection.ask(method, path, body)
        self._note(method, path, status, answer)

    def _batch(self, number: int) -> None:
        lists = [*LISTS] if self._seed % 2 else [*reversed(LISTS)]
        self._ask_batch([self._member(list_uri, number) for list_uri in lists])

    def _ask_batch(self, requests: list[dict[str, Any]]) -> None:
        status, _, answer = self._connection.ask("POST", "/batch", {"requests": requests})
        if status != 200:
            self._note("POST", "/batch", status, answer)
            return
        for request, entry in zip(requests, answer["responses"], strict=True):
            self._note(request["method"], request["path"], entry["status"], entry["body"])

    def _member(self, list_uri: str, number: int) -> dict[str, Any]:
        method = self._random.choice(("PUT", "PUT", "DELETE"))
        member = {"method": method, "path": f"{list_uri}/r{self._random.randrange(6)}"}
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
        """Delete and make anew what others write into: alone, and some of it as a batch."""
        for _ in range(6):
            method, path, body = _draw_doomed(self._random)
            status, _, answer = self._connection.ask(method, path, body)
            self._note(method, path, status, answer)
        if number % 2 == self._seed % 2:
            drawn = (_draw_doomed(self._random) for _ in range(5))
            members = [
                {"method": method, "path": path, "body": body or {}}
                for method, path, body in drawn
                if not path.startswith("/__")
            ]
            self._ask_batch(members)

    def _contest(self, number: int) -> None:
        """Make, fill and delete a collection that never was before, all processes the same one at the same time.

        Its list has no clock that a deletion could lock: it is born while the deletion waits.
        """
        for _ in range(8):
            collection = f"{BUCKETS[1]}/collections/new-{time.monotonic_ns() // CONTEST_NS}"
            record = f"{collection}/records/r{self._seed}"
            request = (("PUT", collection), ("DELETE", collection), ("PUT", record), ("PUT", record))[self._seed % 4]
            status, _, answer = self._connection.ask(*request)
            self._note(*request, status, answer)

    def _use_default(self, number: int) -> None:
        """Use the default bucket of one user, which some of the processes delete: each request creates it again."""
        collection = f"{DEFAULT}/collections/d{number % 2}"
        record = f"{collection}/records/r{self._seed}"
        ends = ("DELETE", (DEFAULT, collection)[self._seed % 2])
        for method, path in (
            ("PUT", record),
            ("GET", f"{collection}/records"),
            ends,
            ("POST", f"{collection}/records"),
        ):
            status, _, answer = self._connection.ask(method, path)
            self._note(method, path, status, None if method == "GET" else answer)


def poll(url: str, list_uri: str, limit: int, stop: Any) -> dict[str, Any]:
    """Keep a copy of a list by polling its changes until *stop*, and then once more."""
    connection, since, polls, stopped = Connection(url), 0, 0, False
    copy: dict[str, Any] = {}
    while True:
        since = _pull(connection, list_uri, since, limit, copy)
        if not polls:
            print("started", flush=True)
        polls += 1
        if stopped:
            return {"list": list_uri, "copy": copy, "polls": polls}
        stopped = stop(0.03)


def _pull(connection: Connection, list_uri: str, since: int, limit: int, copy: dict[str, Any]) -> int:
    """Copy all pages of changes; return the newest timestamp of them, where the next pull begins."""
    path = f"{list_uri}?_since={quote(json.dumps(str(since)))}&_sort=last_modified" + (
        f"&_limit={limit}" if limit else ""
    )
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


def is_closed(timeout_seconds: float) -> bool:
    """Wait for the end of the standard input; return whether it came within this time."""
    readable, _, _ = select.select([sys.stdin], [], [], timeout_seconds)
    return bool(readable) and not sys.stdin.read(1)


def main(role: str, url: str, *more: str) -> None:
    """Play a role and print its result."""
    if role == "writer":
        print(json.dumps(Writer(url, int(more[0])).run(int(more[1]))))
    else:
        print(json.dumps(poll(url, more[0], int(more[1]), is_closed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
