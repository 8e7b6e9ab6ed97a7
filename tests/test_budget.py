"""How many SQL statements each request takes, on both databases (docs/architecture.md, "Statements").

Cursor executions are counted, BEGIN and COMMIT apart. A change that adds a statement changes this file too, and says
why in its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from tests.client import Answer, Client
from tests.databases import BASICAUTH, DATABASES, database_url, make_app

BUCKET = "/buckets/b"
LIST = f"{BUCKET}/collections/c/records"
RECORD = f"{LIST}/r"


class Counter:
    """The statements that went to the database."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(" ".join(statement.split()))


@contextmanager
def counted(client: Client) -> Iterator[Counter]:
    """Count what an application sends to its database."""
    storage, counter = client.app.extensions["kinto"].storage, Counter()
    for engine in (storage.reading, storage.writing):
        event.listen(engine, "before_cursor_execute", counter)
    yield counter
    for engine in (storage.reading, storage.writing):
        event.remove(engine, "before_cursor_execute", counter)


@pytest.fixture(params=DATABASES)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Alice's client of a service with a bucket, a collection, groups and a few records."""
    client = Client(make_app(database_url(request.param, request), BASICAUTH))
    client.put(BUCKET, {"a": 1})
    client.put(f"{BUCKET}/collections/c", {"a": 1})
    client.put(f"{BUCKET}/groups/g", {"members": ["bob", "carol"]})
    for id in ("r", *(f"more-{number}" for number in range(30))):
        client.put(f"{LIST}/{id}", {"n": 1})
    yield client
    client.app.extensions["kinto"].close()


def _batch(client: Client, *members: dict[str, Any]) -> Answer:
    answer = client.batch(*members)
    assert all(entry["status"] < 400 for entry in answer.json["responses"]), answer.json
    return answer


def _puts(list: str, count: int) -> list[dict[str, Any]]:
    return [
        {"method": "PUT", "path": f"{list}/new-{number}", "body": {"data": {"n": number}}} for number in range(count)
    ]


def _groups(count: int) -> list[dict[str, Any]]:
    """Creations of groups, each with a member."""
    path = f"{BUCKET}/groups/new"
    return [
        {"method": "PUT", "path": f"{path}-{number}", "body": {"data": {"members": ["bob"]}}} for number in range(count)
    ]


def _all_kinds(count: int) -> list[dict[str, Any]]:
    """Creations, updates, deletions, reads and new permissions in one bucket."""
    return [
        *_puts(LIST, count),
        *({"method": "DELETE", "path": f"{LIST}/more-{number}"} for number in range(3)),
        {"method": "PATCH", "path": RECORD, "body": {"data": {"n": 7}, "permissions": {"read": ["bob"]}}},
        {"method": "GET", "path": RECORD},
        {"method": "PUT", "path": f"{BUCKET}/collections/d"},
    ]


READS: dict[str, tuple[Callable[[Client], Answer], int]] = {
    "GET of an object": (lambda c: c.get(RECORD), 1),
    "GET of a bucket": (lambda c: c.get(BUCKET), 1),
    "GET of an object that is not there": (lambda c: c.get(f"{LIST}/nope"), 1),
    "GET of an object by somebody who may not": (lambda c: c.as_("eve").get(RECORD), 1),
    "304 of an object": (lambda c: c.get(RECORD, if_none_match=f'"{c.get(RECORD).etag}"'), 2),
    "GET of a list": (lambda c: c.get(LIST), 1),
    "GET of a list of buckets": (lambda c: c.get("/buckets"), 1),
    "GET of a list by somebody who sees nothing of it": (lambda c: c.as_("eve").get(LIST), 1),
    "GET of a page with filters and a sort": (lambda c: c.get(f"{LIST}?_limit=5&n=1&_sort=n,-id"), 1),
    "GET of what changed": (lambda c: c.get(f"{LIST}?_since=5"), 1),
    "HEAD of a list": (lambda c: c.head(LIST), 1),
    "HEAD of a list with a filter": (lambda c: c.head(f"{LIST}?n=1"), 1),
    "a batch of 25 GETs": (lambda c: _batch(c, *({"path": f"{LIST}/more-{n}"} for n in range(25))), 1),
}

WRITES: dict[str, tuple[Callable[[Client], Answer], int]] = {
    "PUT that replaces": (lambda c: c.put(RECORD, {"n": 2}), 4),
    "PUT that creates": (lambda c: c.put(f"{LIST}/new", {"n": 2}), 5),
    "POST": (lambda c: c.post(LIST, {"n": 2}), 5),
    "PATCH": (lambda c: c.patch(RECORD, {"n": 2}), 4),
    "PUT that gives a permission": (lambda c: c.put(RECORD, {}, {"read": ["bob"]}), 5),
    "PUT that gives one permission and takes another": (
        lambda c: (c.put(RECORD, {}, {"read": ["bob"]}), c.put(RECORD, {}, {"read": ["carol"]}))[1],
        5 + 6,
    ),
    "DELETE of a record": (lambda c: c.delete(RECORD), 5),
    "PUT that creates a bucket": (lambda c: c.put("/buckets/new"), 5),
    "PUT that replaces a bucket": (lambda c: c.put(BUCKET, {"a": 2}), 4),
    "PUT of a collection that is new": (lambda c: c.put(f"{BUCKET}/collections/new"), 5),
    "PUT of a group": (lambda c: c.put(f"{BUCKET}/groups/g", {"members": ["bob", "dora"]}), 6),
    "DELETE of a group": (lambda c: c.delete(f"{BUCKET}/groups/g"), 7),
    "DELETE of all groups": (lambda c: (c.batch(*_groups(20)), c.delete(f"{BUCKET}/groups"))[1], 6 + 7),
    "a batch of 20 DELETEs of groups": (
        lambda c: (c.batch(*_groups(20)), _batch(c, *({**one, "method": "DELETE"} for one in _groups(20))))[1],
        6 + 7,
    ),
    "DELETE of a collection": (lambda c: c.delete(f"{BUCKET}/collections/c"), 7),
    "DELETE of a bucket": (lambda c: c.delete(BUCKET), 11),
    "DELETE of a list": (lambda c: c.delete(LIST), 5),
    "a timestamp of the past that the client chose": (lambda c: c.put(f"{LIST}/old", {"last_modified": 5}), 6),
    "a batch of 25 PUTs": (lambda c: _batch(c, *_puts(LIST, 25)), 5),
    "a batch of everything in one bucket": (lambda c: _batch(c, *_all_kinds(15)), 6),
    "a small batch of everything in one bucket": (lambda c: _batch(c, *_all_kinds(1)), 6),
    "a batch in two buckets": (
        lambda c: (
            _batch(c, {"method": "PUT", "path": "/buckets/z"}, {"method": "PUT", "path": "/buckets/z/collections/c"}),
            _batch(c, *_puts(LIST, 12), *_puts("/buckets/z/collections/c/records", 12)),
        )[1],
        7 + 7,
    ),
}

REFUSED: dict[str, Callable[[Client], Answer]] = {
    "PUT by somebody who may not": lambda c: c.as_("eve").put(RECORD, {"n": 2}),
    "DELETE of a bucket by somebody who may not": lambda c: c.as_("eve").delete(BUCKET),
    "PUT of what was modified": lambda c: c.put(RECORD, {"n": 2}, if_match='"5"'),
    "POST with nonsense": lambda c: c.post(LIST, {"id": "/"}),
    "DELETE of what is not there": lambda c: c.delete(f"{LIST}/nope"),
}


@pytest.mark.parametrize(("ask", "budget"), READS.values(), ids=READS.keys())
def test_a_read_takes_one_statement(client: Client, ask: Callable[[Client], Answer], budget: int) -> None:
    with counted(client) as counter:
        ask(client)

    assert len(counter.statements) == budget, counter.statements


@pytest.mark.parametrize(("ask", "budget"), WRITES.values(), ids=WRITES.keys())
def test_a_write_takes_a_fixed_number_of_statements(
    client: Client, ask: Callable[[Client], Answer], budget: int
) -> None:
    with counted(client) as counter:
        answer = ask(client)

    assert answer.status in (200, 201), answer.body
    assert len(counter.statements) <= budget, counter.statements


@pytest.mark.parametrize("ask", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_write_takes_two_statements(client: Client, ask: Callable[[Client], Answer]) -> None:
    with counted(client) as counter:
        answer = ask(client)

    assert answer.status >= 400
    assert len(counter.statements) == 2, counter.statements
