"""Every statement keeps the rules that let a cluster hold a bucket in one place (docs/architecture.md, "Scale").

Typical requests run once on each database, all that they send is kept, and each rule is asked of all of it. What
crosses buckets on purpose is named in `ACROSS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from operator import methodcaller
from typing import Any

import pytest
from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from backends.storage.tables import metadata
from tests.client import Client
from tests.databases import BASICAUTH, DATABASES, database_url, make_app
from tests.test_budget import BUCKET, LIST, READS, RECORD, REFUSED, WRITES, counted

BY_BUCKET = ("documents", "grants", "clocks")

SORTS = {
    "a sort by a field": f"{LIST}?_sort=n,-a.b&_limit=2",
    "filters of all operators": f"{LIST}?n=1&not_a=2&gt_b=3&min_c=4&lt_d=5&max_e=6&in_f=1,2&exclude_g=3,4&has_h=true"
    "&like_i=x&contains_j=1&contains_any_k=2",
    "a filter by id and timestamp": f"{LIST}?id=r&_before=9999999999999&in_id=r,s",
    "a list of collections": f"{BUCKET}/collections",
}

HEALTH: Mapping[str, Callable[[Client], Any]] = {
    "the heartbeat": lambda c: c.get("/__heartbeat__"),
    "the start": lambda c: c.app.extensions["kinto"].start(),
}

ACROSS: Mapping[str, Callable[[Client], Any]] = {
    "the permissions of somebody": lambda c: c.get("/permissions"),
    "the removal of somebody's data": lambda c: c.as_("gone").delete(f"/__user_data__/{c.as_('gone').id}"),
    "purge": lambda c: c.app.extensions["kinto"].storage.purge(["/buckets/%/collections/%/records"], 1),
    "flush": lambda c: c.app.extensions["kinto"].storage.flush(),
}

BOUND = r"(?:%\(|:|\?|\$)"
HOLDINGS = re.compile(r"SELECT 0 AS source, grants\.uri|SELECT .*\bSELECT 0 AS source, grants\.uri")
"""What deleted users and groups hold is in all buckets: the one statement that asks all machines."""
SUBQUERY = re.compile(r"\s*(SELECT|WITH|PARTITION BY|ORDER BY)\b")
TABLE = re.compile(rf"(?:\b(?:FROM|JOIN|UPDATE|INTO)|,)\s+({'|'.join(BY_BUCKET)})\b(?!\.)(?:\s+AS\s+(\w+))?")
CHANCE_AND_TIME = re.compile(
    r"\b(now|random|gen_random_uuid|uuid\w*|clock_timestamp|statement_timestamp|transaction_timestamp|strftime"
    r"|julianday|unixepoch|datetime)\s*\(|\bcurrent_(date|time|timestamp)\b|\blocaltime(stamp)?\b",
    re.IGNORECASE,
)
UNKNOWN_TO_CLUSTERS = re.compile(
    r"\b(TRIGGER|MERGE|LISTEN|NOTIFY|TEMP|TEMPORARY|nextval|pg_notify|pg_(try_)?advisory_lock\w*|SET\s+SESSION)\b",
    re.IGNORECASE,
)


def branches(statement: str) -> Iterator[str]:
    """Yield each SELECT, INSERT, UPDATE and DELETE of a statement, without the subqueries inside it."""
    opened: list[list[str] | None] = [[]]
    for position, character in enumerate(statement):
        if character == "(":
            _innermost(opened).append("(")
            opened.append([] if SUBQUERY.match(statement, position + 1) else None)
        elif character == ")":
            closed = opened.pop()
            if closed is not None:
                yield from "".join(closed).split(" UNION ALL ")
            _innermost(opened).append(")")
        else:
            _innermost(opened).append(character)
    yield from "".join(opened[0] or ()).split(" UNION ALL ")


def _innermost(opened: list[list[str] | None]) -> list[str]:
    return next(text for text in reversed(opened) if text is not None)


def without_bucket(statement: str) -> list[str]:
    """Return the branches in which a table has no literal condition on its bucket (it would ask every machine).

    What deleted users and groups hold is in all buckets.
    """
    wrong = []
    if HOLDINGS.match(statement):
        return []
    for branch in branches(statement):
        for table, alias in TABLE.findall(branch):
            name = alias or table
            said = rf"\b{name}\.bucket (?:= {BOUND}|IN \()|INSERT INTO {table} \(bucket,"
            if not re.search(said, branch):
                wrong.append(branch)
    return wrong


def sorted_by_chance(statement: str) -> list[str]:
    """Return the branches whose ORDER BY does not end in a unique key."""
    orders = (
        (branch, order)
        for branch in branches(statement)
        for order in re.findall(r"ORDER BY (.*?)(?: LIMIT | FOR |$)", branch)
    )
    return [branch for branch, order in orders if not re.search(r"\b(uri|list)( ASC| DESC)?$", order.strip())]


Sent = Mapping[str, list[str]]


@pytest.fixture(scope="module", params=DATABASES)
def sent(request: pytest.FixtureRequest) -> Iterator[Sent]:
    """Give what each of the typical requests sent to the database."""
    client = Client(make_app(database_url(request.param, request), BASICAUTH))
    reads = {name: ask for name, (ask, _) in {**READS, **WRITES}.items()}
    lists: dict[str, Callable[[Client], Any]] = {name: methodcaller("get", path) for name, path in SORTS.items()}
    found = {}
    for name, ask in {**reads, **REFUSED, **lists, "the next page": _next_page, **HEALTH, **ACROSS}.items():
        _prepare(client)
        with counted(client) as counter:
            ask(client)
        found[name] = counter.statements
    yield found
    client.app.extensions["kinto"].close()


def _prepare(client: Client) -> None:
    client.app.extensions["kinto"].start()
    client.put(BUCKET, {"a": 1})
    client.put(f"{BUCKET}/collections/c", {"a": 1})
    client.put(f"{BUCKET}/groups/g", {"members": ["bob", "carol", client.as_("gone").id]})
    client.batch(*({"method": "PUT", "path": f"{LIST}/more-{number}"} for number in range(25)))
    client.put(RECORD, {"n": 1})


def _next_page(client: Client) -> None:
    first = client.get(f"{LIST}?_limit=2&_sort=n,-a.b")
    client.get("/v1" + first.headers["Next-Page"].partition("/v1")[2])


def test_every_table_has_a_condition_on_its_bucket_in_every_branch(sent: Sent) -> None:
    """The bucket is the distribution key: a branch without it would ask every machine."""
    wrong = {
        (name, branch)
        for name, statements in sent.items()
        if name not in ACROSS
        for statement in statements
        for branch in without_bucket(statement)
    }

    assert wrong == set()
    assert any(HOLDINGS.match(statement) for statement in sent["DELETE of a group"])
    assert all("clocks" in statement for name in HEALTH for statement in sent[name])


def test_no_statement_asks_for_time_or_chance(sent: Sent) -> None:
    """Now is a bound value: machines differ about it."""
    wrong = {statement for statements in sent.values() for statement in statements if CHANCE_AND_TIME.search(statement)}

    assert wrong == set()


def test_no_statement_needs_what_clusters_and_poolers_lack(sent: Sent) -> None:
    """No triggers, sequences, session locks, temporary tables, LISTEN or NOTIFY on the request path."""
    wrong = {
        statement for statements in sent.values() for statement in statements if UNKNOWN_TO_CLUSTERS.search(statement)
    }

    assert wrong == set()


def test_an_upsert_uses_only_the_old_and_the_new_row(sent: Sent) -> None:
    """A cluster takes no subquery there, and no function that is not immutable."""
    upserts = {
        (found[1], found[2])
        for statements in sent.values()
        for statement in statements
        if (found := re.search(r"^INSERT INTO (\w+) .* DO UPDATE SET (.*)$", statement))
    }

    assert {table for table, _ in upserts} == {"documents", "clocks", "grants", "members"}
    for table, assignments in upserts:
        assert "SELECT" not in assignments
        assert set(re.findall(r"(\w+)\.\w", assignments)) <= {"excluded", table}
        assert {name.lower() for name in re.findall(r"(\w+)\(", assignments)} <= {"greatest", "max", "when"}


def test_every_sort_ends_in_a_unique_key(sent: Sent) -> None:
    """Rows that are equal by the sort would come in another order from another machine."""
    wrong = {
        branch for statements in sent.values() for statement in statements for branch in sorted_by_chance(statement)
    }

    assert wrong == set()


def test_rows_are_locked_in_one_bucket_and_in_order(sent: Sent) -> None:
    """Every writing request begins with it, a statement a bucket; on SQLite nothing needs to be said."""
    for name in (*WRITES, *REFUSED):
        lock = next(statement for statement in sent[name] if "FROM clocks" in statement)
        assert re.search(
            rf"^SELECT clocks\.list, clocks\.last_modified, clocks\.count FROM clocks WHERE clocks\.bucket = {BOUND}",
            lock,
        ), name
        assert re.search(r" ORDER BY clocks\.list( FOR NO KEY UPDATE)?$", lock), name
    locking = {statement for statements in sent.values() for statement in statements if " FOR " in statement}
    locks = re.compile(r"clocks\.bucket = .* FOR (NO KEY UPDATE|KEY SHARE)$")
    assert all(locks.search(statement) for statement in locking)


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


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT uri FROM documents WHERE documents.uri = ?", id="in a plain SELECT"),
        pytest.param("SELECT 1 FROM grants WHERE grants.bucket = ? UNION ALL SELECT 1 FROM clocks", id="in a branch"),
        pytest.param("SELECT 1 WHERE EXISTS (SELECT 1 FROM grants) AND grants.bucket = ?", id="in a subquery"),
        pytest.param("SELECT 1 FROM grants JOIN documents ON documents.bucket = grants.bucket", id="in a join"),
        pytest.param("DELETE FROM documents WHERE (documents.bucket, documents.uri) IN ((?, ?))", id="in a row alone"),
    ],
)
def test_a_table_without_its_bucket_is_found(statement: str) -> None:
    assert without_bucket(statement)


def test_a_sort_that_leaves_rows_equal_is_found() -> None:
    assert sorted_by_chance("SELECT 1 FROM documents WHERE a = (?) ORDER BY documents.last_modified DESC LIMIT ?")
    assert sorted_by_chance("SELECT row_number() OVER (PARTITION BY list ORDER BY last_modified DESC) FROM documents")
