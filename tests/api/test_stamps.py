"""Timestamps that no client chooses: when an object was born, and since when somebody is granted something."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select

from backends.storage import LIVING, list_of
from backends.storage.tables import documents, grants, members
from tests.api.conftest import ClientMaker
from tests.support.client import Client

B = "/buckets/b"
G = f"{B}/groups/g"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
BOB = "account:bob"
ACCOUNTS: Mapping[str, Any] = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_write_principals": "system.Authenticated",
    "kinto.account_bcrypt_rounds": 4,
}

Member = dict[str, Any]


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Alice's client of a service with accounts, a collection with some records, and a group."""
    client = client_with(ACCOUNTS, kept=True)
    client.batch(*({"method": "PUT", "path": path} for path in (B, C, G, R, f"{RECORDS}/s")))
    return client


def rows(client: Client, table: Any) -> list[dict[str, Any]]:
    """Return all rows of a table."""
    with client.app.extensions["kinto"].storage.reading.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def put(path: str, last_modified: int | None = None, **body: Any) -> Member:
    """Return a member of a batch; its object has a timestamp that the client chose."""
    data = body.pop("data", {}) | ({} if last_modified is None else {"last_modified": last_modified})
    return {"method": body.pop("method", "PUT"), "path": path, "body": {"data": data, **body}}


def takes(client: Client, number: int, *, lone: bool) -> bool:
    """Return whether a case is sent in this way on this database: on the other database it is sent in the other way."""
    on_postgresql: bool = client.app.extensions["kinto"].storage.reading.dialect.name == "postgresql"
    return lone == (number % 2 == on_postgresql)


def send(client: Client, requests: Iterable[Member], *, lone: bool) -> None:
    """Send requests one by one or as a batch; all must succeed."""
    members = list(requests)
    for some in [[one] for one in members] if lone else [members]:
        answer = client.batch(*some)
        assert answer.status == 200, answer.body
        assert all(entry["status"] in (200, 201) for entry in answer.json["responses"]), answer.body


CHOSEN: Mapping[str, Callable[[int], int | None]] = {
    "none": lambda now: None,
    "the past": lambda now: 1000,
    "zero": lambda now: 0,
    "the near future": lambda now: now + 5000,
    "the far future": lambda now: now + 80_000_000,
}
PLACES: Mapping[str, Callable[[int | None], Member]] = {
    "a record": lambda chosen: put(f"{RECORDS}/new", chosen),
    "a record by POST": lambda chosen: put(RECORDS, chosen, method="POST", data={"id": "new"}),
    "a collection": lambda chosen: put(f"{B}/collections/new", chosen),
    "a group": lambda chosen: put(f"{B}/groups/new", chosen),
    "a bucket": lambda chosen: put("/buckets/new", chosen),
    "an account": lambda chosen: put("/accounts/new", chosen, data={"password": "secret"}),
}


@pytest.mark.parametrize("lone", [True, False], ids=["one by one", "a batch"])
def test_an_object_is_born_at_the_timestamp_of_its_list_and_not_at_the_chosen_one(client: Client, lone: bool) -> None:
    """Above what the list's clock was, not above what it is; kept by updates, by the tombstone and by re-creation."""
    for number, (place, name) in enumerate(product(PLACES, CHOSEN)):
        if takes(client, number, lone=lone):
            make, chosen = PLACES[place], CHOSEN[name]
            client.app.extensions["kinto"].flush()
            client.batch(*({"method": "PUT", "path": path} for path in (B, C, G, R)))
            now = time.time_ns() // 1_000_000
            created = make(chosen(now))
            uri = created["path"] if created["method"] == "PUT" else f"{created['path']}/new"
            clock = client.get(list_of(uri)).etag

            send(client, [created], lone=lone)
            born = {row["born"] for row in rows(client, documents) if row["uri"] == uri}
            assert len(born) == 1, (place, name)
            [first] = born
            after = client.get(list_of(uri)).etag
            assert clock < first <= (after if after > clock else clock + 1), (place, name)
            assert first < now + 60_000, (place, name)

            send(client, [put(uri, chosen(now), data={"password": "other"})], lone=lone)
            assert {row["born"] for row in rows(client, documents) if row["uri"] == uri} == born, (place, name)
            again = [{"method": "DELETE", "path": uri}, created, {"method": "DELETE", "path": uri}]
            send(client, again, lone=lone)
            [tombstone] = [row for row in rows(client, documents) if row["uri"] == uri]
            assert (tombstone["deleted"], tombstone["born"]) == (True, first), (place, name)


@pytest.mark.parametrize("lone", [True, False], ids=["one by one", "a batch"])
def test_a_login_of_a_deleted_account_is_none_of_the_next_of_that_name(client: Client, lone: bool) -> None:
    """The proof of a remembered login names the hash of its password."""
    path = "/accounts/bob"
    send(client, [put(path, 1000, data={"password": "first"})], lone=lone)
    bob = {"authorization": "Basic Ym9iOmZpcnN0"}
    assert client.as_(None).get("/", **bob).json["user"]["id"] == BOB

    send(
        client,
        [{"method": "DELETE", "path": f"{path}?last_modified=2000"}, put(path, 3000, data={"password": "second"})],
        lone=lone,
    )

    assert client.as_(None).get("/", **bob).json["user"]["id"] != BOB


READ = {"permissions": {"read": [BOB]}}
PAST = 1000
ENTRANCES: Mapping[str, tuple[list[Member], str]] = {
    "PUT that creates": ([put(f"{RECORDS}/new", PAST, **READ)], RECORDS),
    "PUT that replaces": ([put(f"{RECORDS}/old", PAST + 1, **READ)], RECORDS),
    "POST": ([put(RECORDS, PAST, method="POST", **READ)], RECORDS),
    "PATCH": ([put(f"{RECORDS}/old", PAST + 1, method="PATCH", **READ)], RECORDS),
    "PATCH of permissions alone": ([{"method": "PATCH", "path": f"{RECORDS}/old", "body": READ}], RECORDS),
    "JSON Patch": (
        [
            {
                "method": "PATCH",
                "path": f"{RECORDS}/old",
                "headers": {"Content-Type": "application/json-patch+json"},
                "body": [
                    {"op": "replace", "path": "/data/last_modified", "value": PAST + 1},
                    {"op": "add", "path": f"/permissions/read/{BOB}"},
                ],
            }
        ],
        RECORDS,
    ),
    "a permission that ends": ([put(f"{RECORDS}/old", PAST + 1, permissions={"read": ["x"]})], RECORDS),
    "a deletion": ([{"method": "DELETE", "path": f"{RECORDS}/old?last_modified={PAST + 1}"}], RECORDS),
    "DELETE of a list": ([{"method": "DELETE", "path": f"{RECORDS}?last_modified=500"}], RECORDS),
    "a collection": ([put(f"{B}/collections/new", PAST, **READ)], f"{B}/collections"),
    "a bucket": ([put("/buckets/new", PAST, **READ)], "/buckets"),
    "an account": ([put("/accounts/new", PAST, data={"password": "secret"})], "/accounts"),
    "a group with members": ([put(f"{B}/groups/new", PAST, data={"members": [BOB]}, **READ)], f"{B}/groups"),
    "members of a group": ([put(f"{B}/groups/old", PAST + 1, data={"members": [BOB]})], f"{B}/groups"),
    "members by PATCH": ([put(f"{B}/groups/old", PAST + 1, method="PATCH", data={"members": [BOB]})], f"{B}/groups"),
    "a group that ends": ([{"method": "DELETE", "path": f"{B}/groups/old?last_modified={PAST + 1}"}], f"{B}/groups"),
    "several of a batch": ([put(f"{RECORDS}/old", PAST + 1, **READ), put(f"{RECORDS}/new", PAST + 2, **READ)], RECORDS),
    "again in a batch": (
        [
            put(f"{RECORDS}/new", PAST + 1, **READ),
            put(f"{RECORDS}/new", PAST + 2, permissions={"read": ["x"]}),
            put(f"{RECORDS}/new", PAST + 3, **READ),
        ],
        RECORDS,
    ),
    "beside one of the present": ([put(f"{RECORDS}/new", PAST + 1, **READ), put(f"{RECORDS}/newer")], RECORDS),
}


@pytest.mark.parametrize("lone", [True, False], ids=["one by one", "a batch"])
def test_what_a_write_of_the_past_begins_and_ends_is_after_what_pollers_have_seen(client: Client, lone: bool) -> None:
    """C-PRE-6: the list's clock stays, and nobody who polls it may have passed what is granted or withdrawn."""
    for number, (name, (requests, where)) in enumerate(ENTRANCES.items()):
        if not takes(client, number, lone=lone):
            continue
        client.app.extensions["kinto"].flush()
        client.batch(*({"method": "PUT", "path": path} for path in (B, C, R)))
        send(
            client,
            [
                put(f"{RECORDS}/old", 500, permissions={"read": ["x", "y"]}),
                put(f"{B}/groups/old", 500, data={"members": ["x", "y"]}),
                put(RECORDS + "/shared", permissions={"read": [f"{B}/groups/old"]}),
            ],
            lone=lone,
        )
        client.put(f"{where}/last", {"password": "secret"})
        clocks = {list_uri: client.get(list_uri).etag for list_uri in (where, RECORDS)}
        before = rows(client, grants) + rows(client, members)

        send(client, requests, lone=lone)

        changed = [row for row in rows(client, grants) + rows(client, members) if row not in before]
        assert changed, name
        for row in changed:
            clock = clocks[list_of(row["uri" if "uri" in row else "principal"])]
            begun = {**row, "until": LIVING} not in before
            assert not begun or row["since"] > clock, (name, row)
            assert row["until"] > clock, (name, row)
