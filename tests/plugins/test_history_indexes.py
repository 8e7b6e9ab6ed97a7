"""Automatic indexes of histories: for the queries of consoles, also while others write; large are here 20 entries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from app import index_demand
from app.events import Listener
from backends.storage import index_suggestions
from backends.storage.indexes import LONG, READY, read_definition
from tests.api.conftest import ClientMaker
from tests.api.test_indexes import expect_right_keys
from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, make_app
from tests.support.services import postgresql_database
from tests.test_plans import disable_autovacuum, looked_at

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
HISTORY = f"{B}/history"
URI, COLLECTION = '{"fields":["uri"]}', '{"fields":["collection_id"]}'
_LATEST = 253_402_300_799_999
OF_RECORD = f"{HISTORY}?uri={RECORDS}/r1"


SETTINGS = {"kinto.includes": "kinto.plugins.history"}


@pytest.fixture(autouse=True)
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists count as large, and pages as often read."""
    monkeypatch.setattr(index_suggestions, "MIN_OBJECTS", 20)
    monkeypatch.setattr(index_demand, "TIMES", 3)


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return a client of a new process with a history of 30 changes of three records."""
    return filled(client_with(SETTINGS, kept=False))


@pytest.fixture(params=DATABASES)
def client_alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """Give such a client of a database of its own: others leave dead rows and statistics, which cost and change plans.

    Nor does PostgreSQL look at its tables between two measurements.
    """
    own = nullcontext(f"sqlite:///{tmp_path}/kinto.sqlite") if request.param == "sqlite" else postgresql_database()
    with own as url:
        client = Client(make_app(url, {**BASICAUTH, **SETTINGS}))
        service = client.app.extensions["kinto"]
        if not service.storage.embedded:
            disable_autovacuum(service.storage)
        yield filled(client)
        service.close()


def filled(client: Client) -> Client:
    """Make the history."""
    for uri in (B, C, f"{B}/collections/d"):
        client.put(uri)
    for number in range(30):
        client.put(f"{RECORDS}/r{number % 3}", {"n": number})
    return client


def indexed(client: Client, *paths: str) -> None:
    """Read pages until their indexes are built."""
    for path in paths:
        for _ in range(3):
            client.get(path)
        client.app.extensions["kinto"].indexing.join()


def explain(client: Client, path: str) -> Any:
    """Return how a page was read."""
    return client.get(f"{path}&_explain=true").json["explain"]


def test_the_history_of_an_object_gets_an_index_that_all_writes_keep(client: Client) -> None:
    """Writes of records, groups, collections and the bucket, of lists and batches."""
    before = client.get(OF_RECORD).data
    indexed(client, OF_RECORD, f"{HISTORY}?collection_id=c&_limit=5")

    assert expect_right_keys(client) == [(COLLECTION, READY), (URI, READY)]
    assert explain(client, OF_RECORD)["index"] == {"fields": ["uri"]}
    assert client.get(OF_RECORD).data == before != []

    client.put(f"{RECORDS}/r1", {"n": "new"})
    client.put(B, {"n": 1})
    client.put(f"{B}/groups/g", {"members": ["bob"]})
    client.batch(*({"method": "PUT", "path": f"{RECORDS}/r{n}"} for n in range(3)), {"method": "DELETE", "path": C})
    client.put(C)
    client.put(f"{RECORDS}/r1", {"n": "reborn"})
    client.delete(RECORDS)
    client.delete(f"{HISTORY}?uri={RECORDS}/r2")

    assert expect_right_keys(client) == [(COLLECTION, READY), (URI, READY)]
    assert [entry["action"] for entry in client.get(OF_RECORD).data[:4]] == ["delete", "create", "update", "update"]
    assert client.get(f"{HISTORY}?uri={RECORDS}/r2").data == []
    assert client.get(f"{HISTORY}?uri={B}").data[0]["target"]["data"]["n"] == 1

    client.delete(B)
    client.put(B)

    assert expect_right_keys(client) == []
    assert len(client.get(HISTORY).data) == 1


def test_an_entry_with_a_long_value_ends_the_order_of_an_index(client: Client) -> None:
    """The state of the index is read again under the lock of the history."""
    path = f"{HISTORY}?target.data.title=x"
    indexed(client, path)
    client.put(f"{RECORDS}/r1", {"title": "x"})
    before = expect_right_keys(client)
    client.put(f"{RECORDS}/r1", {"title": "x" * 1_200})

    assert before == [('{"fields":["target.data.title"]}', READY)]
    assert expect_right_keys(client) == [('{"fields":["target.data.title"]}', LONG)]
    assert [entry["target"]["data"]["title"] for entry in client.get(path).data] == ["x"]


def test_an_index_is_created_when_no_writer_is_between_its_read_and_its_entry(client: Client) -> None:
    """Otherwise its entry would be without a key."""
    service = client.app.extensions["kinto"]
    created = threading.Event()

    def create() -> None:
        service.storage.change_automatic_indexes([(HISTORY, read_definition(URI))], (), 0, service.kinds.derived)
        service.storage.build_indexes(lambda _: None)
        created.set()

    thread = threading.Thread(target=create)

    def start(*_: Any) -> None:
        thread.start()
        assert not created.wait(0.3)

    service.add_listener(Listener(before=start, kinds=frozenset(("record",))))
    client.put(f"{RECORDS}/r1", {"n": "new"})
    thread.join()

    assert expect_right_keys(client) == [(URI, READY)]
    assert client.get(OF_RECORD).data[0]["target"]["data"]["n"] == "new"


def test_the_version_before_an_entry_is_the_first_in_an_index(client: Client) -> None:
    """As consoles ask for it. The entry is followed by eight others of the object."""
    client.delete(f"{HISTORY}?uri={RECORDS}/r2")
    indexed(client, OF_RECORD)
    entries = client.get(OF_RECORD).data
    before = f"{OF_RECORD}&not_action=delete&lt_last_modified={entries[-2]['last_modified']}&_limit=1"

    assert client.get(before).data == entries[-1:]
    assert (explain(client, before)["index"], explain(client, before)["rows"]) == ({"fields": ["uri"]}, 1)
    for bound in ("_since", "_before", "max_last_modified"):
        query = f"{bound}={entries[4]['last_modified']}"
        expected = [each for each in client.get(f"{HISTORY}?{query}").data if each.get("uri") == f"{RECORDS}/r1"]
        assert client.get(f"{OF_RECORD}&{query}").data == expected


def test_a_snapshot_looks_at_the_entries_of_its_collection_only(client_alone: Client) -> None:
    """With an index of the history, which its own pages want too; exact with and without it."""
    client = client_alone
    service = client.app.extensions["kinto"]
    client.put(f"{B}/collections/d/records/x")
    middle = client.get(f"{RECORDS}/r0").data["last_modified"]
    for _ in range(10):
        client.batch(*({"method": "PUT", "path": f"{RECORDS}/r{number}"} for number in range(25)))
    path = f"{B}/snapshot/collections/d@{_LATEST}"
    past = f"{B}/snapshot/collections/c@{middle}"

    def costs() -> int:
        return looked_at(service.storage, lambda: client.get(path))[0]

    service.indexing._automatic = False
    without = [client.get(each).json for each in (path, past)]
    cost = costs()
    service.indexing._automatic = True
    indexed(client, path)

    assert expect_right_keys(client) == [(COLLECTION, READY)]
    assert [client.get(each).json for each in (path, past)] == without
    assert [record["n"] for record in without[1]["data"]] == [27, 26, 25]
    assert costs() < cost / 3
