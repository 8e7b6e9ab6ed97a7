"""A plugin whose listener appends an object to a derived list of the bucket for each change."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from app.factory import create_app
from blueprints.plugins import Context, Event, Kind, Listener, Service, bucket_of
from tests.plugins.conftest import MakeClient
from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app
from tests.support.tables import faults, read_tables, snapshot_engine
from tests.test_locking import Others, Request

B = "/buckets/b"
WRITERS = 8


def attach(app: Flask, service: Service) -> None:
    """Add `aides`, whose name sorts before the lists of records."""
    kind = Kind("aide", "aides", ("read", "write"), service.generator("aide"), parent="bucket", derived=True)
    service.add_kind(kind)
    service.add_listener(Listener(before=note, kinds=frozenset(("record", "collection", "group", "bucket"))))


def note(event: Event, context: Context) -> None:
    """Append an object for each change, which its author may read."""
    route = event.operation.route
    for impact in event.impacted_objects:
        new = impact["new"]
        bucket = f"/buckets/{new['id']}" if event.kind.name == "bucket" else bucket_of(route.uri)
        readers = frozenset(filter(None, (event.operation.identity.user_id,)))
        name = str(uuid.uuid4())
        context.append(f"{bucket}/aides", name, {"of": new["id"], "at": new["last_modified"]}, {"read": readers})


def _assert_sound(client: Client) -> None:
    storage = client.app.extensions["kinto"].storage
    with snapshot_engine(storage.reading.url.render_as_string(hide_password=False)).connect() as connection:
        assert faults(read_tables(connection)) == []


def _entries(client: Client, query: str = "") -> list[Any]:
    entries: list[Any] = client.get(f"{B}/aides?_sort=last_modified{query}").data
    return entries


def test_writers_in_different_lists_of_a_bucket_miss_no_entry(client_of: MakeClient) -> None:
    """A poller sees every entry once: timestamps go up with the commits. Collections and the bucket go meanwhile."""
    client = client_of(attach)
    client.put(B)
    client.batch(*({"method": "PUT", "path": f"{B}/collections/c{n}"} for n in range(WRITERS)))
    ended = threading.Event()

    def write(writer: int) -> int:
        list_uri, changes = f"{B}/collections/c{writer}/records", 0
        for number in range(5):
            assert client.put(f"{list_uri}/r{number}").status == 201
            answer = client.batch(
                {"method": "PATCH", "path": f"{list_uri}/r{number}", "body": {"data": {"n": 1}}},
                {"method": "PUT", "path": f"{B}/groups/g{writer}"},
                {"method": "PUT", "path": B},
                {"method": "DELETE", "path": list_uri},
                {"method": "DELETE", "path": f"{B}/collections/c{writer}"},
                {"method": "PUT", "path": f"{B}/collections/c{writer}"},
            )
            assert [entry["status"] for entry in answer.json["responses"]] in (
                [200, s, 200, 200, 200, 201] for s in (200, 201)
            )
            changes += 7
        return changes

    def disturb() -> None:
        while not ended.is_set():
            for method, uri in (("PUT", "/buckets/d"), ("PUT", "/buckets/d"), ("DELETE", "/buckets/d")):
                assert client.ask(method, uri).status in (200, 201, 403)

    def poll() -> list[Any]:
        polled_entries: list[Any] = []
        while True:
            last = ended.is_set()
            polled_entries += _entries(
                client, f"&_since={polled_entries[-1]['last_modified'] if polled_entries else 1}"
            )
            if last:
                return polled_entries

    with ThreadPoolExecutor(WRITERS + 3) as pool:
        polled, *disturbed = pool.submit(poll), pool.submit(disturb), pool.submit(disturb)
        try:
            changes = sum(pool.map(write, range(WRITERS)))
        finally:
            ended.set()
        assert [future.result() for future in disturbed] == [None, None]

    entries = _entries(client)
    assert polled.result() == entries
    assert len(entries) == 1 + WRITERS + changes
    assert client.head(f"{B}/aides").headers["Total-Objects"] == str(len(entries))
    _assert_sound(client)


def test_appended_objects_follow_the_end_of_a_request(client_of: MakeClient) -> None:
    """Flushes in a batch do not write them; a bucket that the request has deleted gets none, its successor does."""
    client = client_of(attach)
    client.put(B)
    answer = client.batch(
        {"method": "PUT", "path": f"{B}/collections/c"},
        {"method": "DELETE", "path": f"{B}/collections"},
        {"method": "GET", "path": f"{B}/aides"},
        {"method": "PUT", "path": "/buckets/a"},
        {"method": "PUT", "path": "/buckets/z"},
        {"method": "DELETE", "path": "/buckets/z"},
    )

    assert [entry["status"] for entry in answer.json["responses"]] == [201, 200, 200, 201, 201, 200]
    assert [entry["of"] for entry in answer.json["responses"][2]["body"]["data"]] == ["b"]
    assert [entry["of"] for entry in _entries(client)] == ["b", "c", "c"]
    assert [entry["of"] for entry in client.get("/buckets/a/aides").data] == ["a"]
    assert client.as_("eve").get(f"{B}/aides").status == 403
    clock = client.get(f"{B}/aides").etag
    assert client.delete(B).status == 200
    assert client.put(B).status == 201
    assert [entry["of"] for entry in _entries(client)] == ["b"]
    assert client.get(f"{B}/aides").etag > clock
    _assert_sound(client)


def test_only_a_kind_in_objects_at_the_top_is_derived(client_of: MakeClient) -> None:
    service = client_of(attach).app.extensions["kinto"]
    generator = service.generator("aide")

    for parent in (None, "collection"):
        with pytest.raises(ValueError, match="derived"):
            service.add_kind(Kind("x", "xs", ("read",), generator, parent=parent, derived=True))


def test_an_object_is_appended_to_derived_lists_only(client_of: MakeClient) -> None:
    def attach_wrong(app: Flask, service: Service) -> None:
        service.add_listener(Listener(before=lambda event, context: context.append(f"{B}/groups", "g", {}, {})))

    client = client_of(attach_wrong)

    assert client.put(B).status == 500
    assert client.get(B).status == 403


def test_a_listener_knows_the_permissions_on_objects_of_any_bucket(client_of: MakeClient) -> None:
    """Those on objects above the changed one are read with it, those on others when they are asked for."""
    known: list[Any] = []

    def ask(event: Event, context: Context) -> None:
        uris = (bucket_of(event.operation.route.uri), "/buckets/other")
        known.append((context.holders(uris, ("read", "write")), context.holders((B,), ("read",))))
        known.append(context.permissions(uris))

    def attach_listener(_app: Flask, service: Service) -> None:
        service.add_listener(Listener(before=ask, kinds=frozenset(("group",)), ancestor_grants=True))

    client = client_of(attach_listener)
    permissions = {"/buckets/b": {"read": ["account:eve"]}, "/buckets/other": {"write": ["account:bob"]}}
    for uri, granted in permissions.items():
        client.put(uri, permissions=granted)
    [alice] = client.get(B).json["permissions"]["write"]

    client.put(f"{B}/groups/g")

    assert known[0] == ({"account:eve", "account:bob", alice}, {"account:eve"})
    assert known[1] == {
        B: {"read": {"account:eve"}, "write": {alice}},
        "/buckets/other": {"write": {"account:bob", alice}},
    }


@pytest.mark.parametrize("database", DATABASES)
def test_a_derived_list_starts_with_its_first_object_in_an_older_bucket(
    database: str, request: pytest.FixtureRequest
) -> None:
    url = database_url(database, request)
    before = Client(make_app(url, BASICAUTH))
    before.batch({"method": "PUT", "path": B}, {"method": "PUT", "path": f"{B}/collections/c"})
    before.app.extensions["kinto"].close()
    app = create_app({"kinto.storage_url": url, **BASICAUTH, "kinto.includes": __name__})
    client = Client(app)

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(lambda n: client.put(f"{B}/collections/c/records/r{n}"), range(16)))

    assert {answer.status for answer in answers} == {201}
    assert len(_entries(client)) == 16
    _assert_sound(client)
    app.extensions["kinto"].close()


def test_the_deletion_of_a_bucket_and_its_update_do_not_wait_for_each_other(postgresql_url: str) -> None:
    """Derived lists are locked after the list of buckets by both."""
    client = Client(make_app(postgresql_url, {**BASICAUTH, "kinto.includes": __name__}))
    client.put(B)
    client.put(B)
    others = Others(client, postgresql_url)
    _, commit = others.begin("/buckets")

    deletion = Request(lambda: client.delete(B))
    others.settle(deletion)
    _, commit_append = others.begin(f"{B}/aides")
    commit()
    others.settle(deletion)
    assert deletion.running
    commit_append()

    assert deletion.answer().status == 200
    client.put(B)
    assert len(_entries(client)) == 1
    _assert_sound(client)
    others.close()
    client.app.extensions["kinto"].close()


def test_a_request_that_takes_long_keeps_nobody_from_the_derived_list(postgresql_url: str) -> None:
    """It is locked by the statement that moves the clocks, not while listeners run."""
    is_waiting, may_go_on = threading.Event(), threading.Event()
    client = Client(make_app(postgresql_url, {**BASICAUTH, "kinto.includes": __name__}))

    def wait(event: Event, context: Context) -> None:
        if event.impacted_objects[0]["new"]["id"] == "slow":
            is_waiting.set()
            may_go_on.wait()

    client.put(B)
    client.batch(*({"method": "PUT", "path": f"{B}/collections/{name}"} for name in "cd"))
    client.app.extensions["kinto"].add_listener(Listener(before=wait, kinds=frozenset(("record",))))

    slow = Request(lambda: client.put(f"{B}/collections/c/records/slow"))
    is_waiting.wait()
    fast = client.put(f"{B}/collections/d/records/fast")
    may_go_on.set()

    assert (fast.status, slow.answer().status) == (201, 201)
    assert [entry["of"] for entry in _entries(client)] == ["b", "c", "d", "fast", "slow"]
    client.app.extensions["kinto"].close()
