"""Weeks of use with a purge every day: the tables hold what lives, and what the purge has not passed, no more.

Every day objects are created, shared and deleted, readers and members come and go, a collection and a bucket live for
a while and an account does: the same every day but for the names of what is deleted.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import func, select

from app.entries import list_patterns
from backends.storage import LIVING, list_of, write_buckets
from backends.storage.tables import clocks, documents, grants, members, metadata
from tests.plugins.people import ACCOUNTS
from tests.support.client import Client, user_id
from tests.support.databases import DATABASES, database_url, make_app

ALICE = user_id("alice")
SETTINGS = {
    **ACCOUNTS,
    "kinto.userid_hmac_secret": "golden-secret",
    "kinto.account_write_principals": ALICE,
    "kinto.batch_max_requests": 100,
}
B, C, G = "/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g"
KEPT, ARCHIVED = f"{C}/records/kept", "/buckets/archive/collections/c/records/kept"
VISITOR, GUESTS = "account:visitor", "/buckets/archive/groups/guests"
DAY_NS = 86_400 * 10**9

LIVES = {
    B: {"read": [G]},
    C: {},
    G: {},
    KEPT: {"read": ["bob"]},
    "/buckets/archive": {},
    "/buckets/archive/collections/c": {},
    ARCHIVED: {},
    GUESTS: {},
}
"""What lives at the end of each day, with its permissions beside alice's own."""

LISTS = {*map(list_of, LIVES), "/accounts"}


def _put(uri: str, permissions: Any = None, **data: Any) -> dict[str, Any]:
    return {"method": "PUT", "path": uri, "body": {"data": data, "permissions": permissions or {}}}


def _delete(uri: str) -> dict[str, Any]:
    return {"method": "DELETE", "path": uri}


def _day(number: int) -> list[list[dict[str, Any]]]:
    """Return the batches of a day; within one of them everybody has the groups of its start."""
    gone = [f"{C}/records/{number}-{each}" for each in range(3)]
    bucket, collection = f"/buckets/temporary{number}", f"{B}/collections/t{number}"
    temporary = (bucket, f"{bucket}/collections/c", f"{bucket}/collections/c/records/r")
    account = {"method": "PUT", "path": "/accounts/visitor", "body": {"data": {"password": "pw"}}}
    return [
        [
            *(_put(uri, {"read": ["bob", G]}) for uri in gone),
            _put(KEPT, {"read": ["bob", "eve"]}),
            _put(G, members=["bob", "eve"]),
            account,
            _put(ARCHIVED, {"read": [VISITOR]}),
            _put(GUESTS, members=[VISITOR]),
            *(_put(uri, {"read": [VISITOR, G]}) for uri in temporary),
            _put(f"{bucket}/groups/g", members=["bob", VISITOR]),
            _put(collection, {"read": ["bob"]}, indexes=[{"fields": ["n"]}, {"unique": ["m"]}]),
            *(_put(f"{collection}/records/{each}", {"read": ["bob"]}) for each in "rs"),
        ],
        [
            _put(KEPT, LIVES[KEPT]),
            *map(_delete, gone),
            _put(G, members=["bob"]),
            *(_delete(uri) for uri in (collection, bucket, "/accounts/visitor")),
            _put(GUESTS, members=[]),
        ],
    ]


def _counts(storage: Any) -> dict[str, int]:
    with storage.reading.connect() as connection:
        return {
            each.name: connection.execute(select(func.count()).select_from(each)).scalar_one()
            for each in metadata.sorted_tables
        }


def _ends(storage: Any) -> dict[str, list[int]]:
    """Return the timestamps of tombstones, and of grants and memberships that have ended."""
    statements = {
        "documents": select(documents.c.last_modified).where(documents.c.deleted),
        "grants": select(grants.c.until).where(grants.c.until < LIVING),
        "members": select(members.c.until).where(members.c.until < LIVING),
    }
    with storage.reading.connect() as connection:
        return {name: [*connection.execute(statement).scalars()] for name, statement in statements.items()}


@pytest.mark.parametrize("database", DATABASES)
def test_tables_do_not_grow_in_weeks(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ten days what is older than a week goes, then all but the newest 5 of each list."""
    app = make_app(database_url(database, request), SETTINGS)
    client, service = Client(app), app.extensions["kinto"]
    patterns = list_patterns(service.kinds, service.kinds)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    client.batch(*(_put(uri, permissions) for uri, permissions in LIVES.items()))
    counts = []

    for day in range(16):
        now += DAY_NS
        for batch in _day(day):
            now += 10**9
            answer = client.batch(*batch)
            assert all(entry["status"] in (200, 201) for entry in answer.json["responses"]), answer.json
        week = now // 10**6 - 7 * 86_400_000
        service.storage.purge(patterns, None if day < 10 else 5, week if day < 10 else None)
        counts.append(_counts(service.storage))
        if day == 9:
            # In a week 3 records, a bucket and a collection are deleted each day; the account stays as a tombstone.
            ends = _ends(service.storage)
            assert len(ends["documents"]) == 5 * 7 + 1
            assert min(stamp for stamps in ends.values() for stamp in stamps) >= week

    with service.storage.reading.connect() as connection:
        lives = set(connection.execute(select(documents.c.bucket, documents.c.uri).where(~documents.c.deleted)))
        held = set(connection.execute(select(*grants.c["bucket", "uri", "permission", "principal", "until"])))
        joined = set(connection.execute(select(*members.c["user_id", "principal", "until"])))
        lists = set(connection.execute(select(clocks.c.list)).scalars())
        behind = connection.execute(select(clocks.c.list).where(clocks.c.floor > clocks.c.last_modified)).all()
    granted = {
        (home, uri, name, principal)
        for uri, permissions in LIVES.items()
        for name, principals in {**permissions, "write": [ALICE]}.items()
        for principal in principals
        for home in write_buckets(uri)
    }
    assert lives == {(home, uri) for uri in LIVES for home in write_buckets(uri)}
    assert {row[:4] for row in held if row[4] == LIVING} == granted
    assert {row[:2] for row in joined if row[2] == LIVING} == {("bob", G)}
    # Those of a bucket and of a collection, as long as their tombstones stay.
    assert len(lists - LISTS) <= 5 * 3 + 5
    assert lists >= LISTS
    assert behind == []
    assert counts[9] == counts[8]
    assert counts[15] == counts[14]
    ends = _ends(service.storage)
    assert len(ends["documents"]) == 5 * 3 + 1
    assert all(len(set(stamps)) <= 5 * len(lists) for stamps in ends.values())
    service.close()
