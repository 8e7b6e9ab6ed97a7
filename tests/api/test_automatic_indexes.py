"""Indexes that the service makes for queries that large lists are often read by; large are here 20 objects."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from app import index_demand
from app.settings import load
from backends.storage import index_builder, index_suggestions, index_writes
from backends.storage.indexes import BUILDING, READY, read_definition
from backends.storage.tables import indexes
from tests.api.conftest import ClientMaker
from tests.api.test_indexes import BUCKET, COLLECTION, LIST, declare, expect_right_keys, fill
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, assemble_app

DAY_MS = 24 * 3_600_000
PAGE = f"{LIST}?kind=1&status=s1&_sort=-count&_limit=5"
FIELDS = '{"fields":["kind","status","-count"]}'
OTHERS = (f"{LIST}?status=s1", f"{LIST}?_sort=count", f"{LIST}?in_kind=1,2")


@pytest.fixture(autouse=True)
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists count as large, and pages as often read."""
    monkeypatch.setattr(index_suggestions, "MIN_OBJECTS", 20)
    monkeypatch.setattr(index_writes, "BUILT_AT_ONCE", 20)
    monkeypatch.setattr(index_demand, "TIMES", 3)


def filled(client: Client, records: int = 60) -> Client:
    """Return a client of a service with a list of records."""
    client.put(BUCKET)
    client.put(COLLECTION)
    fill(client, *({"status": f"s{n % 3}", "kind": n % 2, "count": n % 7} for n in range(records)))
    return client


@pytest.fixture
def large(client_with: ClientMaker) -> Client:
    """Return a client of a new process with a large list."""
    return filled(client_with(kept=False))


def read(client: Client, *paths: str, method: str = "GET") -> None:
    """Read each of the pages three times, and wait for the builder."""
    for path in paths:
        for _ in range(3):
            assert client.ask(method, path).status == 200
        client.app.extensions["kinto"].indexing.join()


def _next(answer: Answer) -> str:
    place = urlsplit(answer.headers["Next-Page"])
    return f"{place.path}?{place.query}"


def definitions(client: Client) -> list[str]:
    """Return the definitions of all indexes."""
    return [definition for definition, _ in expect_right_keys(client)]


def ages(client: Client, **values: Any) -> list[int]:
    """Return `since` of all indexes, after it was set to a value."""
    with client.app.extensions["kinto"].storage.writing.begin() as connection:
        if values:
            connection.execute(update(indexes).values(values))
        return list(connection.execute(select(indexes.c.since)).scalars())


def test_a_page_that_is_often_read_gets_an_index_that_gives_the_same_pages(large: Client) -> None:
    first = large.get(PAGE)
    second = large.get(_next(first)).data
    read(large, PAGE)
    by_index = large.get(PAGE)
    second_by_index = large.get(_next(by_index)).data
    states = expect_right_keys(large)
    large.put(f"{LIST}/new", {"status": "s1", "kind": 1, "count": 99})
    after_write = large.get(PAGE).data

    assert states == [(FIELDS, READY)]
    assert by_index.data == first.data != []
    assert (second_by_index, large.get(_next(first)).data) == (second, second)
    assert [record["id"] for record in after_write] == ["new", *(record["id"] for record in first.data[:4])]
    assert expect_right_keys(large) == [(FIELDS, READY)]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        pytest.param("status=s1&like_title=x", '["status"]', id="other filters are applied to what the index gives"),
        pytest.param("in_kind=1,2&status=s1", '["status","kind"]', id="one of some values"),
        pytest.param("min_count=2&_sort=count", '["count"]', id="a range of the sort"),
        pytest.param("_sort=count,-kind", '["count","-kind"]', id="a sort"),
        pytest.param("status=s1&_sort=last_modified", '["status","last_modified"]', id="the oldest first"),
    ],
)
def test_an_index_has_the_fields_of_the_query(large: Client, query: str, fields: str) -> None:
    read(large, f"{LIST}?{query}")

    assert definitions(large) == [f'{{"fields":{fields}}}']


def test_a_count_gets_an_index_too(large: Client) -> None:
    read(large, f"{LIST}?gt_count=3", method="GET")
    of_pages = definitions(large)
    read(large, f"{LIST}?gt_count=3", method="HEAD")

    assert of_pages == [], "no index has a range of one field in the order of the timestamp"
    assert definitions(large) == ['{"fields":["count"]}']


def test_a_list_has_at_most_two_and_declared_ones_take_their_place(large: Client) -> None:
    read(large, *OTHERS)
    automatic = definitions(large)
    declare(large, {"fields": ["count"]}, {"fields": ["a"]}, {"fields": ["b"]}, {"unique": ["c"]})
    large.app.extensions["kinto"].indexing.join()

    assert automatic == ['{"fields":["count"]}', '{"fields":["status"]}']
    assert definitions(large) == [f'{{"fields":["{name}"]}}' for name in ["a", "b", "count"]] + ['{"unique":["c"]}']
    read(large, *OTHERS)
    assert len(definitions(large)) == 4


def test_an_index_that_no_page_uses_is_dropped_and_one_in_use_is_kept(large: Client) -> None:
    read(large, PAGE)
    [made] = ages(large)
    ages(large, since=made - 31 * DAY_MS)
    read(large, PAGE)
    [touched] = ages(large)
    ages(large, since=made - 31 * DAY_MS)
    read(large, OTHERS[0])

    assert touched >= made
    assert expect_right_keys(large) == [('{"fields":["status"]}', READY)]


def test_several_processes_make_one_index_and_none_for_a_deleted_collection(large: Client) -> None:
    storage = large.app.extensions["kinto"].storage
    missing = [(LIST, read_definition(FIELDS))]
    with ThreadPoolExecutor(4) as processes:
        list(processes.map(lambda _: storage.change_automatic_indexes(missing, (), 0), range(4)))
    states = expect_right_keys(large)
    large.delete(COLLECTION)
    storage.build_indexes(lambda line: None)
    deleted = definitions(large)
    storage.change_automatic_indexes(missing, (), 0)

    assert states == [(FIELDS, BUILDING)]
    assert deleted == definitions(large) == []


@pytest.mark.parametrize("setting", ["automatic_indexes=false", "index_builder=false", "readonly=true"])
def test_nothing_is_made_where_a_setting_forbids_it(large: Client, setting: str) -> None:
    name, _, value = setting.partition("=")
    storage = large.app.extensions["kinto"].storage
    url = storage.writing.url.render_as_string(hide_password=False)
    limited = load({**BASICAUTH, "kinto.storage_url": url, f"kinto.{name}": value})
    read(Client(assemble_app(limited, storage)), PAGE)
    of_limited = definitions(large)
    read(large, PAGE)

    assert (of_limited, definitions(large)) == ([], [FIELDS])


def test_a_collection_that_is_deleted_while_its_index_is_built_leaves_nothing(
    large: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[list[tuple[str, str]]] = []

    def delete(seconds: float) -> None:
        pauses.append(expect_right_keys(large))
        large.delete(COLLECTION)

    monkeypatch.setattr(index_builder, "STEP", 7)
    monkeypatch.setattr(index_builder, "sleep", delete)
    storage = large.app.extensions["kinto"].storage
    storage.change_automatic_indexes([(LIST, read_definition(FIELDS))], (), 0)
    storage.build_indexes(lambda line: None)

    assert (pauses, definitions(large)) == ([[(FIELDS, BUILDING)]], [])


def test_pages_that_the_client_has_want_no_index(large: Client) -> None:
    etag = large.get(PAGE).headers["ETag"]
    statuses = {large.ask("GET", PAGE, headers={"If-None-Match": etag}).status for _ in range(4)}
    large.app.extensions["kinto"].indexing.join()

    assert (statuses, definitions(large)) == ({304}, [])


def test_small_lists_and_readers_of_single_records_get_no_index(client_with: ClientMaker) -> None:
    client = filled(client_with(kept=False), records=20)
    read(client, PAGE)
    small = definitions(client)
    client.put(f"{LIST}/more", {"status": "s1", "kind": 1}, permissions={"read": ["system.Everyone"]})
    read(client.as_(None), PAGE)
    shared = definitions(client)
    read(client, PAGE)

    assert (small, shared, definitions(client)) == ([], [], [FIELDS])
