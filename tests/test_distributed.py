"""Every statement keeps the rules that let a cluster hold a bucket in one place (docs/architecture.md, "Scale").

The rules are in `tests/support/statements.py`, which asks them of all that any test sends to PostgreSQL. Here typical
requests are sent to PostgreSQL; what may break a rule is shown to do so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from operator import methodcaller
from typing import Any

import pytest
from sqlalchemy import Engine, Index, PrimaryKeyConstraint, Table, UniqueConstraint, event

from backends.storage import CheckScope
from backends.storage.tables import grants, metadata
from backends.storage.transfer.rows import TableRows
from tests.support.client import Client
from tests.support.databases import make_app
from tests.support.statements import EXCEPTIONS, Recorder, breaches
from tests.test_budget import (
    BUCKET,
    BUDGETS,
    LIST,
    REFUSED,
    WITH_ACCOUNTS,
    WITH_DEFAULT_BUCKET,
    WITH_HISTORY,
    WITH_QUOTAS,
    WRITES,
    Budget,
    fill,
)

SORTS = {
    "a sort by a field": f"{LIST}?_sort=n,-a.b&_limit=2",
    "filters of all operators": f"{LIST}?n=1&not_a=2&gt_b=3&min_c=4&lt_d=5&max_e=6&in_f=1,2&exclude_g=3,4&has_h=true"
    "&like_i=x&contains_j=1&contains_any_k=2",
    "a filter by id and timestamp": f"{LIST}?id=r&_before=9999999999999&in_id=r,s",
    "a list of collections": f"{BUCKET}/collections",
}

ACROSS: Mapping[str, Callable[[Client], Any]] = {
    "purge": lambda c: c.app.extensions["kinto"].storage.purge(["/buckets/%/collections/%/records"], 1),
    "check": lambda c: c.app.extensions["kinto"].storage.check(
        CheckScope(5, 5), lambda line: None, lambda rows: None, repair=True
    ),
    "index": lambda c: c.app.extensions["kinto"].storage.build_indexes(lambda line: None),
    "automatic indexes": lambda c: c.app.extensions["kinto"].storage.change_automatic_indexes((), (), 5),
    "counters": lambda c: c.app.extensions["kinto"].storage.count(3),
    "copy": lambda c: _copy(c),
    "flush": lambda c: c.app.extensions["kinto"].storage.flush(),
}


def _copy(client: Client) -> None:
    """Do what `kinto copy` does to a table."""
    storage = client.app.extensions["kinto"].storage
    rows = TableRows(grants, storage.dialect)
    with storage.snapshot() as connection:
        former = list(rows.read(connection))
        assert rows.count(connection) == len(former)
    with storage.transaction() as writer:
        rows.delete(writer.connection, map(rows.key, former))
        assert not rows.has_any(writer.connection)
        rows.insert(writer.connection, former)


SERVICES = (WITH_DEFAULT_BUCKET, WITH_HISTORY, WITH_QUOTAS, WITH_ACCOUNTS)

HEALTH: Mapping[str, Callable[[Client], Any]] = {
    "the start": lambda c: c.app.extensions["kinto"].start(),
    "the heartbeat": lambda c: c.get("/__heartbeat__"),
}


Sent = Mapping[str, Recorder]


@pytest.fixture(scope="module")
def sent(postgresql_url: str) -> Iterator[Sent]:
    """Give what each of the typical requests sent to PostgreSQL; SQLite is no cluster, and gets the same."""
    settings = {name: value for service in SERVICES for name, value in service.items()}
    settings["kinto.includes"] = " ".join(str(service["kinto.includes"]) for service in SERVICES)
    client = Client(make_app(postgresql_url, settings))
    lists = {name: Budget(methodcaller("get", path), 1) for name, path in SORTS.items()}
    others = {name: Budget(ask, 0) for name, ask in {**ACROSS, **HEALTH}.items()}
    recorders = {}
    for name, budget in {**BUDGETS, **lists, **others}.items():
        fill(client, budget)
        recorders[name] = Recorder(keeping=True)
        event.listen(Engine, "before_cursor_execute", recorders[name])
        budget.ask(client)
        event.remove(Engine, "before_cursor_execute", recorders[name])
    yield recorders
    client.app.extensions["kinto"].close()


def test_typical_requests_keep_the_rules(sent: Sent) -> None:
    assert {name: recorder.breaches for name, recorder in sent.items() if recorder.breaches} == {}
    assert all(recorder.sent for recorder in sent.values())


def test_each_exception_is_needed(sent: Sent) -> None:
    """One that excuses nothing would hide what comes later. Those of the cache are shown by `tests/contracts`."""
    used = set[str]().union(*(recorder.excused for recorder in sent.values()))

    assert used == {name for name in EXCEPTIONS if not name.startswith("PostgreSQLCache.")}


def test_a_request_that_names_one_bucket_asks_one_machine(sent: Sent) -> None:
    """What is in all buckets is asked for by deletions of groups and users, and by what is about no bucket."""
    of_all_buckets = {name for name, rules in EXCEPTIONS.items() if "bucket" in rules}
    across = {name for name, recorder in sent.items() if recorder.excused & of_all_buckets}

    assert {name for name in across if "group" not in name} == {
        *(
            "DELETE of a bucket",
            "DELETE of all buckets",
            "DELETE of a bucket with a history",
            "DELETE of an own account",
        ),
        *("DELETE of an own account that was granted something", "the removal of somebody's data"),
        *("GET of the permissions of somebody", *ACROSS),
    }


def test_rows_are_locked_in_one_bucket_and_in_order(sent: Sent) -> None:
    """Every writing request begins with it, a statement a bucket."""
    for name in (*WRITES, *REFUSED):
        lock = next(statement for statement in sent[name].sent if re.search("(FROM|JOIN) clocks", statement))
        assert re.search(r"SELECT clocks\.list.* WHERE clocks\.bucket = [%?]", lock), name
        in_order = r" ORDER BY clocks\.list LIMIT ALL OFFSET 0 FOR NO KEY UPDATE\) AS \w+ ON true$"
        assert re.search(in_order, lock), (name, lock)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_key_begins_with_the_bucket(table: Table) -> None:
    """`members` is copied to every node. A foreign key could cross buckets, so there is none."""
    unique = [list(index.columns) for index in table.indexes if isinstance(index, Index) and index.unique]
    unique += [
        list(key.columns) for key in table.constraints if isinstance(key, PrimaryKeyConstraint | UniqueConstraint)
    ]

    assert table.name == "members" or all(columns[0].name == "bucket" for columns in unique)
    assert not table.foreign_keys
    assert all(column.server_default is None and column.computed is None for column in table.columns)


WRONG = {
    "bucket": [
        "SELECT uri FROM documents WHERE documents.uri = ?",
        "SELECT 1 FROM grants WHERE grants.bucket = ? UNION ALL SELECT 1 FROM clocks",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM grants) AND grants.bucket = ?",
        "SELECT 1 FROM grants JOIN documents ON documents.bucket = grants.bucket WHERE grants.bucket = ?",
        "DELETE FROM documents WHERE (documents.bucket, documents.uri) IN ((?, ?))",
        "SELECT 1 FROM documents WHERE documents.bucket = ? OR documents.uri = ?",
        "SELECT 1 FROM documents WHERE (documents.bucket = ? AND documents.deleted) OR (documents.uri = ?)",
        "UPDATE grants SET until=(SELECT last_modified FROM documents WHERE documents.bucket = grants.bucket)"
        " WHERE grants.bucket IN (?)",
        "INSERT INTO documents (uri, bucket) VALUES (?, ?)",
        "SELECT documents.bucket = ? FROM documents",
    ],
    "order": [
        "SELECT 1 FROM members WHERE a = (?) ORDER BY members.since DESC LIMIT ?",
        "SELECT row_number() OVER (PARTITION BY user_id ORDER BY since DESC) FROM members",
    ],
    "time and chance": ["SELECT now()", "INSERT INTO members VALUES (CURRENT_TIMESTAMP)", "SELECT random()"],
    "cluster": ["SET lock_timeout = 5", "SELECT pg_advisory_xact_lock(1), pg_try_advisory_lock(2)", "NOTIFY x"],
    "upsert": [
        "INSERT INTO members (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET until = (SELECT 1)",
        "INSERT INTO members (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET until = other.until",
        "INSERT INTO members (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET until = coalesce(excluded.until, 1)",
    ],
    "intervals": [
        "INSERT INTO members (user_id) VALUES (?)",
        "UPDATE grants SET until=? WHERE grants.bucket = ?",
        "DELETE FROM members WHERE members.user_id = ?",
    ],
    "rows": ["INSERT INTO grants (bucket, uri) SELECT 1, 2 FROM unnest(?)"],
    "lock": [
        "SELECT clocks.list FROM clocks WHERE clocks.bucket IN (?) ORDER BY clocks.list FOR NO KEY UPDATE",
        "SELECT clocks.list FROM clocks WHERE clocks.bucket = ? FOR NO KEY UPDATE",
        "SELECT uri FROM documents WHERE documents.bucket = ? ORDER BY uri FOR UPDATE",
    ],
}
RIGHT = [
    "SELECT 1 FROM documents WHERE (documents.bucket = ? AND documents.uri > ?) OR documents.bucket IN (?, ?)",
    "SELECT a.uri FROM grants AS a JOIN documents AS b ON b.bucket = ? AND b.uri = a.uri WHERE a.bucket = ? LIMIT ?",
    "INSERT INTO clocks (bucket, list) VALUES (?, ?) ON CONFLICT (bucket, list) DO UPDATE SET count ="
    " clocks.count + excluded.count RETURNING clocks.list",
    "SELECT clocks.list FROM clocks WHERE clocks.bucket = ? ORDER BY clocks.list FOR NO KEY UPDATE",
    "SET LOCAL lock_timeout = 5",
]


@pytest.mark.parametrize("rule", WRONG)
def test_a_breach_is_found(rule: str) -> None:
    assert [statement for statement in WRONG[rule] if rule not in dict(breaches(statement))] == []


def test_what_keeps_the_rules_is_found_right() -> None:
    assert [breach for statement in RIGHT for breach in breaches(statement)] == []
