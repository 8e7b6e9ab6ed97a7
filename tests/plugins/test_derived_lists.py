"""A plugin whose listener writes an object to another list for each change, in the same transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.events import Context, Event, Listener
from app.factory import create_app
from app.kinds import Kind
from app.operation import Effect
from app.service import Service
from backends.storage import Stored, bucket_of
from backends.storage.tables import clocks, documents
from tests.plugins.conftest import MakeClient
from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app

B = "/buckets/b"
WRITERS = 8


def attach(app: Flask, service: Service) -> None:
    """Add entries: `trails` sorts after the lists of records and groups, `aides` before them."""
    for name, plural in (("trail", "trails"), ("aide", "aides")):
        service.add_kind(Kind(name, plural, ("read", "write"), service.generator(name), parent="bucket"))
    changed = frozenset(("record", "collection", "group", "bucket"))
    service.add_listener(Listener(before=lambda event, context: note(service, event, context), kinds=changed))


def note(service: Service, event: Event, context: Context, names: Sequence[str] = ("trail", "aide")) -> None:
    """Write an entry of each kind for each change, as long as there is a bucket; the latest first."""
    route = event.operation.route
    entries = []
    for impact in event.impacted_objects:
        bucket = f"/buckets/{impact['new']['id']}" if event.kind.name == "bucket" else bucket_of(route.uri)
        for kind in map(service.kinds.__getitem__, names):
            list_uri = f"{bucket}/{kind.plural}"
            timestamp = context.stamp(list_uri)
            if timestamp is not None:
                object_id = f"{event.kind.name}-{impact['new']['id']}-{timestamp}"
                text = json.dumps({"id": object_id, "last_modified": timestamp, "of": impact["new"]["id"]})
                new = Stored(f"{list_uri}/{object_id}", timestamp, False, timestamp, text)
                entries.append(Effect(kind, new, None, {}, timestamp))
    for entry in reversed(entries):
        context.apply(entry)


def _state(client: Client) -> tuple[list[Any], dict[tuple[str, str], Any]]:
    with client.app.extensions["kinto"].storage.reading.connect() as connection:
        known = {(row.bucket, row.list): row for row in connection.execute(select(clocks))}
        return list(connection.execute(select(documents))), known


def _assert_sound(client: Client) -> None:
    """Timestamps are unique, no clock is below an object, counts are exact, nothing lies in what is not there."""
    rows, known = _state(client)
    stamps = Counter((row.bucket, row.list, row.last_modified) for row in rows)
    assert max(stamps.values()) == 1
    living = Counter((row.bucket, row.list) for row in rows if not row.deleted)
    uris = {row.uri for row in rows if not row.deleted}
    for key, clock in known.items():
        parent = key[1].rpartition("/")[0]
        assert clock.count == living[key] or (parent and parent not in uris), key
        assert all(row.last_modified <= clock.last_modified for row in rows if (row.bucket, row.list) == key)
    assert all(row.list.count("/") == 1 or row.list.rpartition("/")[0] in uris for row in rows)


def _entries(client: Client, plural: str) -> list[Any]:
    entries: list[Any] = client.get(f"{B}/{plural}?_sort=last_modified").data
    return entries


def test_writers_in_different_lists_of_a_bucket_share_a_derived_list(client_of: MakeClient) -> None:
    """Each change has its entry, with a timestamp of its own, whatever the order of the lists' names."""
    client = client_of(attach)
    client.put(B)
    client.batch(*({"method": "PUT", "path": f"{B}/collections/c{n}"} for n in range(WRITERS)))
    made = 1 + WRITERS

    def write(writer: int) -> int:
        list_uri, done = f"{B}/collections/c{writer}/records", 0
        for number in range(6):
            assert client.put(f"{list_uri}/r{number}").status == 201
            answer = client.batch(
                {"method": "PATCH", "path": f"{list_uri}/r{number}", "body": {"data": {"n": 1}}},
                {"method": "PUT", "path": f"{list_uri}/s{number}"},
                {"method": "PUT", "path": f"{B}/groups/g{writer}"},
                {"method": "DELETE", "path": f"{list_uri}/r{number}"},
            )
            assert answer.status == 200, answer.body
            done += 5
        return done

    with ThreadPoolExecutor(WRITERS) as pool:
        made += sum(pool.map(write, range(WRITERS)))

    _assert_sound(client)
    for plural in ("trails", "aides"):
        assert len(_entries(client, plural)) == made
        assert client.head(f"{B}/{plural}").headers["Total-Objects"] == str(made)


def test_a_derived_list_has_an_entry_for_each_change_of_any_kind(client_of: MakeClient) -> None:
    """Singles and batches, one bucket and several, new buckets and those that go; the stamps are known to the batch."""
    client = client_of(attach)
    client.put(B)
    batch = client.batch(
        {"method": "PUT", "path": f"{B}/collections/c"},
        {"method": "PUT", "path": "/buckets/a"},
        {"method": "PUT", "path": "/buckets/a/groups/g"},
        {"method": "PUT", "path": f"{B}/collections/c/records/r", "body": {"data": {"last_modified": 1000}}},
        {"method": "GET", "path": f"{B}/trails"},
        {"method": "POST", "path": f"{B}/trails"},
        {"method": "DELETE", "path": f"{B}/collections/c/records"},
    )

    assert [entry["status"] for entry in batch.json["responses"]] == [201, 201, 201, 201, 200, 201, 200]
    assert [entry["id"].rpartition("-")[0] for entry in _entries(client, "aides")] == [
        "bucket-b",
        "collection-c",
        "record-r",
        "record-r",
    ]
    assert len(client.get("/buckets/a/aides").data) == 2
    _assert_sound(client)
    stamps = [entry["last_modified"] for entry in _entries(client, "trails")]
    since = client.get(f"{B}/trails").etag
    assert stamps == sorted(set(stamps))
    client.put(f"{B}/groups/g")
    assert len(client.get(f"{B}/trails?_since={since}").data) == 1
    last = client.batch(
        {"method": "PUT", "path": f"{B}/groups/late"},
        {"method": "DELETE", "path": "/buckets"},
        {"method": "PUT", "path": "/buckets/z"},
        {"method": "DELETE", "path": "/buckets/z"},
    )
    assert [entry["status"] for entry in last.json["responses"]] == [201, 200, 201, 200]
    _assert_sound(client)
    client.put(B)
    assert [entry["id"].rpartition("-")[0] for entry in _entries(client, "trails")] == ["bucket-b"]
    _assert_sound(client)


@pytest.mark.parametrize(("name", "tries"), [("trail", 1), ("aide", 2)], ids=["last", "first"])
def test_the_lock_of_a_derived_list_costs_no_other_try_when_its_name_is(
    client_of: MakeClient, name: str, tries: int
) -> None:
    names: list[str] = []

    def attach_one(app: Flask, service: Service) -> None:
        def heard(event: Event, context: Context) -> None:
            names.append(event.action)
            note(service, event, context, [name])

        service.add_kind(Kind(name, f"{name}s", ("read", "write"), service.generator(name), parent="bucket"))
        service.add_listener(Listener(before=heard, kinds=frozenset(("record",))))

    client = client_of(attach_one)
    client.batch({"method": "PUT", "path": B}, {"method": "PUT", "path": f"{B}/collections/c"})

    assert client.put(f"{B}/collections/c/records/r").status == 201

    assert names == ["create"] * tries
    assert len(_entries(client, f"{name}s")) == 1


@pytest.mark.parametrize("database", DATABASES)
def test_a_derived_list_starts_in_a_bucket_that_is_older_than_its_kind(
    database: str, request: pytest.FixtureRequest
) -> None:
    """Its first writers make one clock."""
    url = database_url(database, request)
    before = Client(make_app(url, BASICAUTH))
    before.batch({"method": "PUT", "path": B}, {"method": "PUT", "path": f"{B}/collections/c"})
    before.app.extensions["kinto"].close()
    app = create_app({"kinto.storage_url": url, **BASICAUTH})
    attach(app, app.extensions["kinto"])
    client = Client(app)

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(lambda n: client.put(f"{B}/collections/c/records/r{n}"), range(16)))

    assert {answer.status for answer in answers} == {201}
    _assert_sound(client)
    rows, known = _state(client)
    for plural in ("trails", "aides"):
        assert known[(B, f"{B}/{plural}")].count == 16
        assert sum(row.list == f"{B}/{plural}" for row in rows) == 16
    app.extensions["kinto"].close()
