"""A page of a big list costs what the page costs, whoever asks: the plans that databases make of our statements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.support.client import Client, user_id
from tests.support.databases import BASICAUTH, database_url, make_app

B = "/buckets/b"
C = f"{B}/collections/c"
LIST = f"{C}/records"
SHARED = 5
FEW_ROWS = 500
FEW_STEPS = 20_000
"""Of SQLite's virtual machine; a scan of the list takes ten times as many."""

COUNTS = {"sqlite": 20_000, "postgresql": 100_000}
SERIES = {
    "sqlite": "(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :count) SELECT i FROM s) AS s",
    "postgresql": "generate_series(1, :count) AS s(i)",
}
"""The numbers from 1 to `:count`."""

RECORDS = """
    INSERT INTO documents (bucket, uri, list, born, last_modified, deleted, data)
    SELECT :bucket, :list || '/r' || i, :list, i, i, :deleted, {json} FROM {series}
"""
JSON = {
    "sqlite": "json_object('id', 'r' || i, 'last_modified', i, 'n', 1)",
    "postgresql": "jsonb_build_object('id', 'r' || i, 'last_modified', i, 'n', 1)",
}
GRANTS = """
    INSERT INTO grants (bucket, uri, list, permission, principal, since, until)
    SELECT :bucket, :list || '/r' || (i * :every), :list, :permission, :principal, i, 9223372036854775807 FROM {series}
"""


@pytest.fixture(scope="module", params=list(COUNTS))
def crowd(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Alice's client: many records are hers, five of them are shared with bob, five with the group of carol."""
    name, count = request.param, COUNTS[request.param]
    client = Client(make_app(database_url(name, request), BASICAUTH))
    group = {"method": "PUT", "path": f"{B}/groups/g", "body": {"data": {"members": [user_id("carol")]}}}
    client.batch({"method": "PUT", "path": B}, {"method": "PUT", "path": C}, group)
    storage = client.app.extensions["kinto"].storage
    place = {"bucket": B, "list": LIST}
    held = [
        (client.id, "write", count, 1),
        (user_id("bob"), "write", SHARED, 999),
        (f"{B}/groups/g", "read", SHARED, 77),
    ]
    with storage.writing.begin() as connection:
        records = RECORDS.format(json=JSON[name], series=SERIES[name])
        connection.execute(text(records), {**place, "count": count, "deleted": False})
        for principal, permission, many, every in held:
            parameters = {**place, "principal": principal, "permission": permission, "count": many, "every": every}
            connection.execute(text(GRANTS.format(series=SERIES[name])), parameters)
        connection.execute(text("UPDATE clocks SET count = :count WHERE list = :list"), {"count": count, "list": LIST})
    if name == "postgresql":  # nobody makes SQLite look at its tables
        with storage.reading.connect() as connection:
            connection.execute(text("ANALYZE"))
    yield client
    storage.flush()
    client.app.extensions["kinto"].close()


@dataclass
class Sent:
    """The statements that went to the database, with their values."""

    statements: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "documents" in statement:
            self.statements.append((statement, parameters))


def ask(client: Client, method: str, path: str) -> tuple[str, Any, int]:
    """Send a request; return the statement that read the page, its values, and how many objects came back."""
    storage, sent = client.app.extensions["kinto"].storage, Sent()
    for engine in (storage.reading, storage.writing):
        event.listen(engine, "before_cursor_execute", sent)
    answer = client.ask(method, path)
    for engine in (storage.reading, storage.writing):
        event.remove(engine, "before_cursor_execute", sent)
    assert answer.status == 200, answer.body
    number = int(answer.headers["Total-Objects"]) if method == "HEAD" else len(answer.data)
    statement, parameters = sent.statements[-1]
    return statement, parameters, number


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a plan of PostgreSQL."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def most_rows(storage: Any, statement: str, parameters: Any) -> int:
    """Return how many rows PostgreSQL looks at in the busiest node of the plan."""
    with storage.reading.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        plan = cursor.fetchone()[0]
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    counters = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter")
    return max(int(sum(node.get(name, 0) for name in counters) * node["Actual Loops"]) for node in nodes(top))


def steps(storage: Any, statement: str, parameters: Any) -> int:
    """Return how many steps SQLite's virtual machine takes, in tens, having looked for scans of tables in the plan."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 10
        return 0

    with storage.reading.connect() as connection:
        driver = connection.connection.driver_connection
        plan = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        driver.set_progress_handler(count, 10)
        driver.execute(statement, parameters).fetchall()
        driver.set_progress_handler(None, 0)
    assert not [
        line for line in plan if line.startswith("SCAN") and line.split()[1] in ("documents", "grants", "members")
    ]
    return taken


REQUESTS: dict[str, tuple[str | None, str, str, int]] = {
    "a page by the owner of all": ("alice", "GET", f"{LIST}?_limit=20", 20),
    "the oldest by the owner of all": ("alice", "GET", f"{LIST}?_limit=20&_sort=last_modified", 20),
    "what is new by the owner of all": ("alice", "GET", f"{LIST}?_since=<late>", 9),
    "a total by the owner of all": ("alice", "HEAD", LIST, -1),
    "a page of deletions by the owner of all": ("alice", "DELETE", f"{LIST}?_limit=1&_since=<late>&n=2", 0),
    "all that is shared": ("bob", "GET", LIST, SHARED),
    "a page of what is shared": ("bob", "GET", f"{LIST}?_limit=2", 2),
    "some of what is shared": ("bob", "GET", f"{LIST}?n=1&_sort=n,-id", SHARED),
    "what is new of what is shared": ("bob", "GET", f"{LIST}?_since=<late>", 0),
    "a total of what is shared": ("bob", "HEAD", LIST, SHARED),
    "deletion of what is shared": ("bob", "DELETE", f"{LIST}?n=2", 0),
    "all that is shared with a group": ("carol", "GET", LIST, SHARED),
}


@pytest.mark.parametrize(("name", "method", "path", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_few_rows_are_looked_at_for(crowd: Client, name: str, method: str, path: str, expected: int) -> None:
    storage = crowd.app.extensions["kinto"].storage
    database = storage.reading.dialect.name
    count = COUNTS[database]

    statement, parameters, number = ask(crowd.as_(name), method, path.replace("<late>", str(count - 9)))

    assert number == (count if expected < 0 else expected)
    if database == "postgresql":
        assert most_rows(storage, statement, parameters) <= FEW_ROWS
    else:
        assert steps(storage, statement, parameters) <= FEW_STEPS


def test_the_next_page_costs_no_more(crowd: Client) -> None:
    storage = crowd.app.extensions["kinto"].storage
    database = storage.reading.dialect.name
    first = crowd.get(f"{LIST}?_limit=20&_before={COUNTS[database] // 2}")
    place = first.headers["Next-Page"].removeprefix("http://localhost")

    statement, parameters, number = ask(crowd, "GET", place)

    assert number == 20
    if database == "postgresql":
        assert most_rows(storage, statement, parameters) <= FEW_ROWS
    else:
        assert steps(storage, statement, parameters) <= FEW_STEPS
