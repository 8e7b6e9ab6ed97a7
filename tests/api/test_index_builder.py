"""Indexes of large lists are built step by step while others write; large are here 20 objects, a step has 7."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest

from backends.storage import index_builder, index_writes
from backends.storage.indexes import BUILDING, READY, REFUSED
from tests.api.conftest import ClientMaker
from tests.api.test_indexes import BUCKET, COLLECTION, LIST, declare, expect_right_keys, fill
from tests.support.client import Client

BUILDER_OFF = {"kinto.index_builder": False}
FIELDS = '{"fields":["status","-count"]}'
UNIQUE = '{"unique":["email"]}'
SLEEP = "backends.storage.index_builder.sleep"
"""Of the builder alone: other threads of the process sleep too."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists count as large, and steps be short."""
    monkeypatch.setattr(index_writes, "BUILT_AT_ONCE", 20)
    monkeypatch.setattr(index_builder, "STEP", 7)


@pytest.fixture
def large(client_with: ClientMaker) -> Client:
    """Return a client of a service with a large list, in which no thread builds indexes."""
    client = client_with(BUILDER_OFF)
    client.put(BUCKET)
    client.put(COLLECTION)
    fill(client, *({"status": f"s{number % 3}", "count": number % 5, "email": number} for number in range(60)))
    return client


def build(client: Client, **more: Any) -> list[str]:
    """Build all indexes; return what is reported."""
    lines: list[str] = []
    client.app.extensions["kinto"].storage.build_indexes(lines.append, **more)
    return lines


def test_a_builder_continues_where_another_one_ended(large: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(large, {"fields": ["status", "-count"]})
    path = f"{LIST}?status=s1&_sort=-count"
    before = large.get(path).data

    class Killed(Exception):
        pass

    def die(seconds: float) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(SLEEP, die)
        with pytest.raises(Killed):
            build(large)
    halfway = expect_right_keys(large)
    large.put(f"{LIST}/r3", {"status": "s1", "count": 9})
    large.delete(f"{LIST}/r1")
    lines = build(large)

    assert (halfway, expect_right_keys(large)) == ([(FIELDS, BUILDING)], [(FIELDS, READY)])
    assert lines == [f"{LIST}: {FIELDS}: ready"]
    assert [record["id"] for record in large.get(path).data] == [
        "r3",
        *(record["id"] for record in before if record["id"] not in ("r1", "r3")),
    ]


def test_a_builder_leaves_a_list_to_another_one(large: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(large, {"fields": ["status", "-count"]})
    others: list[list[str]] = []

    def meet(seconds: float) -> None:
        if not others:
            others.append([])
            others[0] = build(large)

    monkeypatch.setattr(SLEEP, meet)
    lines = build(large)

    assert lines == []
    assert others == [[f"{LIST}: {FIELDS}: ready"]]
    assert expect_right_keys(large) == [(FIELDS, READY)]


def test_keys_are_right_after_writers_and_builders_have_raced(large: Client) -> None:
    declare(large, {"fields": ["status", "-count"]}, {"unique": ["email"]})

    def write(writer: int) -> None:
        for number in range(12):
            record = f"{LIST}/r{(writer * 17 + number * 7) % 70}"
            if number % 4 == 3:
                large.delete(record)
            else:
                large.patch(record, {"status": f"w{writer}", "count": number})
                large.put(f"{LIST}/w{writer}-{number}", {"status": "new", "email": f"{writer}-{number}"})

    with ThreadPoolExecutor(10) as threads:
        writing = [threads.submit(write, writer) for writer in range(8)]
        building = [threads.submit(build, large) for _ in range(2)]
        assert [future.result() for future in writing] == [None] * 8
        assert all(line.endswith("ready") for future in building for line in future.result())
    build(large)

    assert expect_right_keys(large) == [(FIELDS, READY), (UNIQUE, READY)]


def test_the_builder_refuses_duplicates_and_names_them(large: Client) -> None:
    large.put(f"{LIST}/twice", {"email": 5})
    declare(large, {"unique": ["email"]})

    refused = build(large)
    states = expect_right_keys(large)
    large.delete(f"{LIST}/twice")
    again, retried = build(large), build(large, retry=True)

    assert refused == [f"{LIST}: {UNIQUE}: refused: {LIST}/r5 and {LIST}/twice have the same values"]
    assert states == [(UNIQUE, REFUSED)]
    assert (again, retried) == ([], [f"{LIST}: {UNIQUE}: ready"])
    assert large.put(f"{LIST}/twice", {"email": 5}).status == 409


@pytest.fixture
def building(client_with: ClientMaker) -> Iterator[Client]:
    """Give a client of a service that builds indexes by itself."""
    client = client_with()
    client.put(BUCKET)
    client.put(COLLECTION)
    fill(client, *({"status": f"s{number % 3}"} for number in range(60)))
    yield client
    client.app.extensions["kinto"].indexing.join()


def test_the_declaration_of_an_index_starts_the_builder(building: Client) -> None:
    declare(building, {"fields": ["status"]})
    building.app.extensions["kinto"].indexing.join()

    assert expect_right_keys(building) == [('{"fields":["status"]}', READY)]


def test_a_page_starts_the_builder_for_an_index_that_is_wanted(large: Client, building: Client) -> None:
    """The process that declared it may have ended."""
    declare(large, {"fields": ["status"]})
    building.get(f"{LIST}?status=s1")
    building.app.extensions["kinto"].indexing.join()

    assert expect_right_keys(building) == [('{"fields":["status"]}', READY)]


def test_no_request_fails_where_the_builder_cannot_be_started(
    building: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have no thread left: what is committed is answered as done, and a later page tries again."""

    start = Thread.start

    def refuse(thread: Thread) -> None:
        if thread.name == "index-builder":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr("app.indexing.threading.Thread.start", refuse)
        declare(building, {"fields": ["status"]})
        assert building.get(f"{LIST}?status=s1").status == 200
    assert expect_right_keys(building) == [('{"fields":["status"]}', BUILDING)]
    building.get(f"{LIST}?status=s1")
    building.app.extensions["kinto"].indexing.join()

    assert expect_right_keys(building) == [('{"fields":["status"]}', READY)]


def test_one_of_many_writers_gets_a_unique_value(client: Client) -> None:
    client.put(BUCKET)
    client.put(COLLECTION, {"indexes": [{"unique": ["email"]}]})

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda number: client.put(f"{LIST}/r{number}", {"email": "a"}).status, range(16)))

    assert sorted(statuses) == [201, *[409] * 15]
    assert expect_right_keys(client) == [(UNIQUE, READY)]


def test_few_large_objects_are_a_large_list_too(client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step ends where its objects reach some size, and has one object at least."""
    client = client_with(BUILDER_OFF)
    client.put(BUCKET)
    client.put(COLLECTION)
    fill(client, *({"status": "s", "text": "x" * (5_000 if number == 3 else 300)} for number in range(9)))
    monkeypatch.setattr(index_writes, "MAX_BYTES", 1_000)
    pauses: list[float] = []
    monkeypatch.setattr(SLEEP, pauses.append)

    declare(client, {"fields": ["status"]})
    before = expect_right_keys(client)
    build(client)

    assert before == [('{"fields":["status"]}', BUILDING)]
    assert expect_right_keys(client) == [('{"fields":["status"]}', READY)]
    assert len(pauses) == 3
