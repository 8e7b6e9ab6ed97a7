"""Two connections to PostgreSQL, step by step: who waits for whom, and what each sees when the other is done.

`tests/test_races.py` meets such moments by chance; here each is made on purpose. C-PRE-1, C-PRE-2, C-OBJ-55, C-STO-15.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import Any, cast

import psycopg2
import pytest
from sqlalchemy import Connection, select

from backends.storage import Change, Index, Move, Selection, Stored, Transaction
from backends.storage.indexes import AUTOMATIC, DECLARED, read_definition
from backends.storage.tables import clocks, documents
from backends.storage.writes import Writer
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, make_app

B = "/buckets/b"
COLLECTIONS = f"{B}/collections"
GROUPS = f"{B}/groups"
RECORDS = f"{COLLECTIONS}/c/records"
R = f"{RECORDS}/r"
FAR = 4_000_000_000_000
"""A timestamp later than any that a clock gives out while tests run."""


class Others:
    """Those who write beside a request: transactions that stay open as long as a test wants."""

    def __init__(self, client: Client, url: str) -> None:
        self._storage = client.app.extensions["kinto"].storage
        self._watching = psycopg2.connect(url)
        self._watching.autocommit = True
        self._opened: list[Callable[[], None]] = []

    def close(self) -> None:
        """Hang up, and end what a test that failed left open."""
        for commit in self._opened:
            commit()
        self._watching.close()

    def begin(self, *lists: str) -> tuple[Transaction, Callable[[], None]]:
        """Open a transaction that has locked lists; return it and what commits it.

        In a context of its own, as another request has one. The service notices a deadlock long before it does.
        """
        opened, context = ExitStack(), Context()
        transaction = context.run(opened.enter_context, self._storage.transaction())
        transaction.connection.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'")
        context.run(transaction.lock, lists)
        self._opened.append(partial(context.run, opened.close))
        return transaction, self._opened[-1]

    def hold_row(self, uri: str) -> Callable[[], None]:
        """Keep the row of an object from being deleted; return what lets go of it."""
        return self._hold(select(documents.c.uri).where(documents.c.uri == uri).with_for_update())

    def hold_clock(self, list_uri: str) -> Callable[[], None]:
        """Keep the clock of a list from being deleted, but not from being moved; return what lets go of it."""
        return self._hold(
            select(clocks.c.list).where(clocks.c.list == list_uri).with_for_update(read=True, key_share=True)
        )

    def _hold(self, statement: Any) -> Callable[[], None]:
        connection: Connection = self._storage.writing.connect()
        connection.exec_driver_sql("BEGIN")
        connection.execute(statement)

        def release() -> None:
            if not connection.closed:
                connection.exec_driver_sql("ROLLBACK")
                connection.close()

        self._opened.append(release)
        return release

    def settle(self, request: Request) -> None:
        """Wait until a request is answered or waits for a lock."""
        while request.running:
            with self._watching.cursor() as cursor:
                # Not its `wait_event`, which remains until a process that has the lock by now runs again.
                cursor.execute(
                    "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    " WHERE datname = current_database() AND NOT granted"
                )
                if cursor.fetchone():
                    return
            time.sleep(0.01)

    def living(self, *uris: str) -> set[str]:
        """Return which of these objects of the bucket are stored."""
        return set(self._storage.read(Selection(B, targets=uris)).objects)

    def indexes(self, list_uri: str) -> Sequence[Index]:
        """Return the indexes of a list in the bucket, by their slots."""
        return sorted(self._storage.read(Selection(B, indexes=(list_uri,))).indexes, key=lambda index: index.slot)

    def clock(self, list_uri: str) -> int:
        """Return the clock of a list in the bucket."""
        snapshot = self._storage.read(Selection(B, clocks=(list_uri,)))
        timestamp: int = snapshot.clocks[list_uri].last_modified
        return timestamp


class Request:
    """A request, or a command, that runs beside the test."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._answers: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(ask()))
        self._thread.start()

    @property
    def running(self) -> bool:
        """Say whether there is no answer yet."""
        return self._thread.is_alive()

    def answer(self) -> Any:
        """Wait for the answer."""
        self._thread.join()
        return self._answers[0]


@pytest.fixture
def client(postgresql_url: str) -> Iterator[Client]:
    """Alice's client of a service with an empty bucket."""
    app = make_app(postgresql_url, {**BASICAUTH, "kinto.user-data_delete_principals": "system.Authenticated"})
    client = Client(app)
    client.put(B)
    yield client
    app.extensions["kinto"].close()


@pytest.fixture
def recorded(postgresql_url: str) -> Iterator[Client]:
    """Alice's client of a service with a history, which has a collection."""
    app = make_app(postgresql_url, {**BASICAUTH, "kinto.includes": "kinto.plugins.history"})
    client = Client(app)
    client.put(B)
    client.put(f"{COLLECTIONS}/c")
    yield client
    app.extensions["kinto"].close()


@pytest.fixture
def others(client: Client, postgresql_url: str) -> Iterator[Others]:
    """Those who write beside alice."""
    others = Others(client, postgresql_url)
    yield others
    others.close()


def _created(uri: str, timestamp: int) -> Change:
    text = f'{{"id":"{uri.rpartition("/")[2]}","last_modified":{timestamp}}}'
    return Change(Stored(uri, timestamp, False, timestamp, text), timestamp)


def _create_collection(transaction: Transaction) -> None:
    moves = [Move(COLLECTIONS, FAR, 1), Move(RECORDS, FAR, starts=True)]
    transaction.write([_created(f"{COLLECTIONS}/c", FAR)], moves)


def _create_record(transaction: Transaction) -> None:
    transaction.write([_created(R, FAR + 1)], [Move(RECORDS, FAR + 1, 1)])


DELETIONS: dict[str, Callable[[Client], Answer]] = {
    "C-OBJ-55 the bucket": lambda client: client.delete(B),
    "C-OBJ-55 the list of buckets": lambda client: client.delete("/buckets"),
    "C-OBJ-55 the collection": lambda client: client.delete(f"{COLLECTIONS}/c"),
    "C-OBJ-55 the list of collections": lambda client: client.delete(COLLECTIONS),
    "C-OBJ-61 the collection in a batch": lambda client: client.batch(
        {"method": "PUT", "path": f"{GROUPS}/g"}, {"method": "DELETE", "path": f"{COLLECTIONS}/c"}
    ),
    "C-OBJ-61 the bucket in a batch": lambda client: client.batch(
        {"method": "PUT", "path": f"{GROUPS}/g"}, {"method": "DELETE", "path": B}
    ),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS.keys())
def test_a_cascade_waits_for_who_writes_below_when_it_deletes(
    client: Client, others: Others, delete: Callable[[Client], Answer]
) -> None:
    """C-OBJ-55, C-OBJ-56: the record that was not yet committed does not outlive its collection."""
    client.put(f"{COLLECTIONS}/c")
    writer, commit = others.begin(RECORDS)
    _create_record(writer)

    deletion = Request(lambda: delete(client))
    others.settle(deletion)
    commit()

    assert deletion.answer().status == 200
    assert others.living(R) == set()


@pytest.mark.parametrize("deletion", ["C-OBJ-55 the bucket", "C-OBJ-61 the bucket in a batch"])
def test_a_cascade_finds_a_list_that_was_born_while_it_waited(client: Client, others: Others, deletion: str) -> None:
    """C-OBJ-55, C-OBJ-56: the statement that waited does not see the new list, so all is locked twice."""
    client.put(f"{GROUPS}/g")
    creator, commit_collection = others.begin(COLLECTIONS)
    _, release_groups = others.begin(GROUPS)

    deleted = Request(lambda: DELETIONS[deletion](client))
    others.settle(deleted)
    _create_collection(creator)
    commit_collection()
    others.settle(deleted)
    writer, commit_record = others.begin(RECORDS)
    _create_record(writer)
    release_groups()
    others.settle(deleted)
    commit_record()

    assert deleted.answer().status == 200
    assert others.living(f"{COLLECTIONS}/c", R) == set()


def test_a_collection_that_is_deleted_while_it_is_created_leaves_no_record(client: Client, others: Others) -> None:
    """C-OBJ-56: the deletion waited for the list of collections alone; the list of records was born meanwhile."""
    creator, commit_collection = others.begin(COLLECTIONS)

    deleted = Request(lambda: client.delete(f"{COLLECTIONS}/c"))
    others.settle(deleted)
    _create_collection(creator)
    commit_collection()
    writer, commit_record = others.begin(RECORDS)
    written = f"{COLLECTIONS}/c" in others.living(f"{COLLECTIONS}/c")
    if written:
        _create_record(writer)
    others.settle(deleted)
    commit_record()

    assert deleted.answer().status == 200
    assert others.living(R) == set()


def test_a_list_whose_clock_another_session_locks_too_is_written(client: Client, others: Others) -> None:
    """A weak lock, as `__heartbeat__` takes it, hinders no writer."""
    client.put(f"{COLLECTIONS}/c")
    release = others.hold_clock(RECORDS)

    assert client.put(R).status == 201
    release()


def test_a_flush_leaves_nothing_of_a_writer_that_it_waited_for(client: Client, others: Others) -> None:
    """Plugins contract, 8.1: it locks all clocks before it deletes objects."""
    client.put(f"{COLLECTIONS}/c")
    writer, commit = others.begin(RECORDS)
    writer.write([_created(R, FAR)], [Move(RECORDS, FAR, 1)])

    flush = Request(client.app.extensions["kinto"].flush)
    others.settle(flush)
    commit()
    flush.answer()

    assert others.living(B, f"{COLLECTIONS}/c", R) == set()


def test_buckets_are_written_while_another_is_emptied(client: Client, others: Others) -> None:
    """A deletion that is busy with what lies below a bucket holds neither the list of buckets nor the bucket itself.

    C-PRE-17: it was changed meanwhile, so that nothing of it goes.
    """
    client.put(f"{COLLECTIONS}/c")
    client.put(R)
    etag = client.get(B).headers["ETag"]
    release = others.hold_row(R)

    deletion = Request(lambda: client.delete(B, if_match=etag))
    others.settle(deletion)
    written = client.put("/buckets/other").status, client.patch(B, {"n": 1}).status, deletion.running
    release()

    assert (written, deletion.answer().status) == ((201, 200, True), 412)
    assert others.living(f"{COLLECTIONS}/c", R) == {f"{COLLECTIONS}/c", R}
    assert client.delete(B).status == 200
    assert others.living(B, f"{COLLECTIONS}/c", R) == set()


def test_a_batch_starts_again_when_its_list_was_born_while_it_waited(client: Client, others: Others) -> None:
    """C-PRE-1, C-PRE-2, C-BATCH-18: nobody else may give out timestamps of a list in which it writes."""
    client.put(f"{GROUPS}/g")
    creator, commit_collection = others.begin(COLLECTIONS)
    _, release_groups = others.begin(GROUPS)
    paths = (f"{GROUPS}/g", f"{COLLECTIONS}/c", f"{RECORDS}/mine")

    batch = Request(lambda: client.batch(*({"method": "PUT", "path": path} for path in paths)))
    others.settle(batch)
    _create_collection(creator)
    commit_collection()
    others.settle(batch)
    writer, commit_record = others.begin(RECORDS)
    _create_record(writer)
    release_groups()
    others.settle(batch)
    commit_record()

    entries: list[dict[str, Any]] = batch.answer().json["responses"]
    assert entries[2]["status"] == 201, entries
    assert entries[2]["body"]["data"]["last_modified"] == others.clock(RECORDS) == FAR + 2


def test_a_list_that_was_born_while_its_deletion_waited_is_deleted_under_its_lock(
    client: Client, others: Others
) -> None:
    """C-PRE-1, C-PRE-2: without it another writer gives out the timestamps of the tombstones too."""
    client.put(f"{GROUPS}/g")
    creator, commit_collection = others.begin(COLLECTIONS)
    _, release_groups = others.begin(GROUPS)

    batch = Request(
        lambda: client.batch({"method": "PUT", "path": f"{GROUPS}/g"}, {"method": "DELETE", "path": RECORDS})
    )
    others.settle(batch)
    _create_collection(creator)
    _create_record(creator)
    commit_collection()
    others.settle(batch)
    writer, commit_record = others.begin(RECORDS)
    writer.write([_created(f"{RECORDS}/other", FAR + 2)], [Move(RECORDS, FAR + 2, 1)])
    release_groups()
    others.settle(batch)
    commit_record()

    deleted = batch.answer().json["responses"][1]["body"]["data"]
    assert {each["id"]: each["last_modified"] for each in deleted} == {"other": FAR + 3, "r": FAR + 4}
    assert others.clock(RECORDS) == FAR + 4


def test_indexes_that_are_read_before_their_list_is_locked_are_read_again(client: Client, others: Others) -> None:
    """A batch reads a page, and locks the list for the indexes that it declares: it knows those that came meanwhile."""
    declared = [{"fields": [name]} for name in "abc"]
    client.put(f"{COLLECTIONS}/c", {"indexes": declared[:1]})
    client.put(R, {"a": 1})
    builder, commit = others.begin(RECORDS)

    page, change = {"method": "GET", "path": f"{RECORDS}?a=1"}, {"data": {"indexes": declared}}
    batch = Request(lambda: client.batch(page, {"method": "PATCH", "path": f"{COLLECTIONS}/c", "body": change}))
    others.settle(batch)
    cast(Writer, builder).indexes.create(RECORDS, read_definition('{"fields":["b"]}'), AUTOMATIC)
    commit()

    assert [entry["status"] for entry in batch.answer().json["responses"]] == [200, 200]
    assert [(index.slot, index.origin) for index in others.indexes(RECORDS)] == [(n, DECLARED) for n in (1, 2, 3)]


def test_who_is_forgotten_loses_what_was_granted_in_another_list_meanwhile(client: Client, others: Others) -> None:
    """C-PRE-1, C-UTIL-37: the deletion begins again, since it has not locked that list."""
    owner = client.as_("bob")
    client.patch(B, permissions={"collection:create": [owner.id]})
    owner.put(f"{COLLECTIONS}/c")
    client.put(f"{GROUPS}/g")
    granter, commit_grant = others.begin(COLLECTIONS, GROUPS)
    _, release_records = others.begin(RECORDS)

    forgotten = Request(lambda: client.delete(f"/__user_data__/{owner.id}"))
    others.settle(forgotten)
    group = replace(_created(f"{GROUPS}/his", FAR), granted=frozenset((("write", owner.id),)))
    granter.write([group], [Move(GROUPS, FAR, 1)])
    commit_grant()
    others.settle(forgotten)
    writer, commit_group = others.begin(GROUPS)
    writer.write([_created(f"{GROUPS}/h", FAR + 1)], [Move(GROUPS, FAR + 1, 1)])
    release_records()
    others.settle(forgotten)
    commit_group()

    assert forgotten.answer().status == 200
    assert client.get(f"{GROUPS}/his").status == 404
    assert others.clock(GROUPS) == FAR + 2


def test_a_purge_leaves_an_object_that_is_created_again_meanwhile(client: Client, others: Others) -> None:
    """C-STO-7: it has seen the tombstone, and waits for who writes in its place."""
    for path in (f"{COLLECTIONS}/c", R):
        client.put(path)
    client.delete(R)
    writer, commit = others.begin(RECORDS)
    _create_record(writer)

    purged = Request(lambda: client.app.extensions["kinto"].storage.purge(["/buckets/%/collections/%/records"], 0))
    others.settle(purged)
    commit()

    purged.answer()
    assert client.get(R).status == 200


def test_a_request_is_tried_again_when_the_database_ends_it_for_a_deadlock(client: Client, others: Others) -> None:
    """C-BATCH-18: somebody locks in another order than the service does."""
    client.put("/buckets/a")
    client.put(f"{GROUPS}/g")
    other, commit = others.begin(GROUPS)
    paths = ("/buckets/a/collections/c", f"{GROUPS}/g")

    batch = Request(lambda: client.batch(*({"method": "PUT", "path": path} for path in paths)))
    others.settle(batch)
    other.lock(["/buckets/a/collections"])
    commit()

    assert [entry["status"] for entry in batch.answer().json["responses"]] == [201, 200]


def test_a_change_is_recorded_after_those_that_others_recorded_meanwhile(recorded: Client, postgresql_url: str) -> None:
    """Each write waits for the clock of the history in its last message; both are recorded, once."""
    others = Others(recorded, postgresql_url)
    writer, commit = others.begin(f"{B}/history")
    puts = [Request(lambda: recorded.put(R)), Request(lambda: recorded.put(f"{GROUPS}/g", {"members": []}))]
    for put in puts:
        others.settle(put)
    writer.write([], [Move(f"{B}/history", FAR)])
    commit()

    assert [put.answer().status for put in puts] == [201, 201]
    entries = recorded.get(f"{B}/history?_sort=last_modified&_since={FAR}").data
    assert {entry["uri"] for entry in entries} == {R, f"{GROUPS}/g"}
    assert [entry["last_modified"] for entry in entries] == [FAR + 1, FAR + 2]
    others.close()
