"""`_search` and `contains_` on collections that declare indexes by texts and elements (docs/queries.md)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backends.storage import index_builder, index_writes
from backends.storage.indexes import BUILDING, READY
from tests.api.test_index_builder import build, large
from tests.api.test_indexes import LIST, _storage, collection, declare, expect_right_keys, fill
from tests.support.client import Client
from tests.test_budget import counted

__all__ = ["collection", "large"]

TEXT = {"text": ["title", "body.en"]}
TAGS = {"contains": ["tags", "kinds"]}
RECORDS: list[dict[str, Any]] = [
    {"title": "The red fox", "tags": ["a", "b"], "n": 0},
    {"title": "Red wine", "body": {"en": "A fox, a caf\u00e9"}, "tags": ["a"], "n": 1},
    {"title": "Foxes are RED", "tags": "a", "n": 2},
    {"title": ["red fox"], "tags": [["a"]], "n": 3},
    {"body": {"en": "CAFE\u0301 red FOX"}, "kinds": ["a", 1, {"x": None}], "n": 4},
]


def ids(client: Client, query: str, method: str = "GET") -> str:
    """Return the ids of the records of a page, `r` apart."""
    answer = client.ask(method, f"{LIST}?{query}")
    assert answer.status == 200
    return "".join(record["id"][1:] for record in answer.data)


def total(client: Client, query: str) -> str:
    """Return the total of a HEAD."""
    return client.head(f"{LIST}?{query}").headers["Total-Records"]


QUERIES = {
    "_search=fox": "410",
    "_search=red+FOX": "410",
    "_search=Caf%C3%A9,+red!": "41",
    "_search=red&_search=wine": "1",
    "_search=fo": "",
    "_search=": "43210",
    "_search=%00+-": "43210",
    "_search=fox&_sort=n": "014",
    "_search=fox&contains_tags=a": "10",
    "_search=fox&not_n=1&max_n=3": "0",
    "_search=nothing&contains_tags=a": "",
    "contains_tags=a": "10",
    'contains_tags=["a","b"]': "0",
    'contains_any_tags=["b",["a"]]': "30",
    'contains_kinds=[1.0,{"x":null}]': "4",
    "contains_kinds=a&contains_tags=a": "",
}


def test_records_are_found_by_words_and_elements(collection: Client) -> None:
    """By the first read of the process too, which does not know the indexes yet."""
    declare(collection, TEXT, TAGS)
    fill(collection, *RECORDS)

    for _ in range(2):
        assert {query: ids(collection, query) for query in QUERIES} == QUERIES
        assert {query: int(total(collection, query)) for query in QUERIES} == {
            query: len(expected) for query, expected in QUERIES.items()
        }
    assert [state for _, state in expect_right_keys(collection)] == [READY, READY]


def test_terms_follow_the_objects(collection: Client) -> None:
    fill(collection, *RECORDS)
    declare(collection, TEXT, TAGS)
    assert ids(collection, "_search=fox") == "410"
    collection.put(f"{LIST}/r0", {"title": "blue", "tags": ["c"]})
    collection.patch(f"{LIST}/r1", {"tags": ["c"]})
    collection.batch(
        {"method": "DELETE", "path": f"{LIST}/r4"},
        {"method": "PUT", "path": f"{LIST}/r5", "body": {"data": {"title": "fox"}}},
    )

    assert ids(collection, "_search=fox&_sort=id") == "15"
    assert ids(collection, "contains_tags=c&_sort=id") == "01"
    expect_right_keys(collection)
    with _storage(collection).reading.connect() as connection:
        tombstones = connection.exec_driver_sql("SELECT uri, terms FROM documents WHERE deleted").all()
    assert [tuple(row) for row in tombstones] == [(f"{LIST}/r4", None)]
    declare(collection, {"text": ["title"]})
    assert (ids(collection, "_search=fox"), ids(collection, "contains_tags=c&_sort=id")) == ("5", "01")
    expect_right_keys(collection)
    declare(collection)
    assert ids(collection, "_search=fox&_sort=id") == "01235"


def test_an_object_matches_by_any_index_by_texts(collection: Client) -> None:
    declare(collection, {"text": ["title"]}, {"text": ["body.en"]})
    fill(collection, *RECORDS)

    assert ids(collection, "_search=red+fox") == "40"


def test_readers_and_clients_that_poll_get_what_the_list_gives_them(collection: Client) -> None:
    declare(collection, TEXT, TAGS)
    fill(collection, *RECORDS)
    eve = collection.as_("eve")
    collection.patch(f"{LIST}/r1", permissions={"read": [eve.id]})
    collection.patch(f"{LIST}/r2", permissions={"read": [eve.id]})
    collection.delete(f"{LIST}/r4")
    for _ in range(2):
        assert [ids(eve, query) for query in ("_search=fox", "contains_tags=a")] == ["1", "1"]
        assert [total(eve, query) for query in ("_search=fox", "contains_tags=a")] == ["1", "1"]
        assert collection.as_(None).get(f"{LIST}?_search=fox").status == 401
        assert {*ids(collection, "_search=fox&_since=1")} == {"0", "1"}

    assert {*ids(collection, "_search=fox", "DELETE")} == {"0", "1"}
    assert ids(collection, "") == "23"


def test_pages_go_on_while_indexes_come_and_go(collection: Client) -> None:
    fill(collection, *({"title": f"word w{number}", "tags": ["x"], "n": number % 3} for number in range(9)))
    path, ids = f"{LIST}?_search=word&contains_tags=x&_sort=-n&_limit=2", []
    for declared in ([TEXT], [TAGS], [{"text": ["title"]}, TAGS], [], [TAGS]):
        declare(collection, *declared)
        answer = collection.get(path)
        ids += [record["id"] for record in answer.data]
        path = "/v1" + answer.headers.get("Next-Page", "").partition("/v1")[2]

    assert ids == ["r8", "r5", "r2", "r7", "r4", "r1", "r6", "r3", "r0"]


def test_too_many_words_are_refused_where_words_are_searched(collection: Client) -> None:
    """Elsewhere the parameter is unknown, and unknown parameters are ignored, as in Kinto 26.5."""
    path = f"{LIST}?_search={'+'.join(f'w{number}' for number in range(21))}"
    ignored = collection.get(path), collection.get(f"/buckets{path.removeprefix(LIST)}")
    declare(collection, TEXT)

    refused = collection.get(path)

    assert [answer.status for answer in ignored] == [200, 200]
    assert refused.status == 400
    assert refused.json["details"] == [
        {"location": "querystring", "name": "_search", "description": "More than 20 words"}
    ]
    assert collection.get(path.removesuffix("+w20")).status == 200


def test_an_explanation_names_the_terms_that_were_used(collection: Client) -> None:
    fill(collection, *RECORDS)
    missing = collection.get(f"{LIST}?contains_tags=a&_explain=true").json["explain"]
    declare(collection, TEXT, missing["suggestion"])
    words, elements = (
        collection.get(f"{LIST}?{query}&_explain=true").json["explain"] for query in ("_search=fox", "contains_tags=a")
    )

    assert (missing["index"], missing["reason"], missing["suggestion"]) == (None, "missing", {"contains": ["tags"]})
    assert (words["index"], words["rows"]) == (TEXT, 3)
    assert (elements["index"], elements["rows"]) == ({"contains": ["tags"]}, 2)


def test_a_search_is_one_statement(collection: Client) -> None:
    declare(collection, TEXT, TAGS)
    fill(collection, *RECORDS)
    ids(collection, "_search=fox")

    with counted(collection) as counter:
        ids(collection, "_search=fox&contains_tags=a")

    assert len(counter.statements) == 1


def test_a_write_sends_no_statement_more_for_terms(collection: Client) -> None:
    members = [{"method": "PUT", "path": f"{LIST}/n{number}", "body": {"data": RECORDS[0]}} for number in range(5)]
    sent = []
    for indexes in ([], [TEXT, TAGS]):
        declare(collection, *indexes)
        with counted(collection) as counter:
            collection.put(f"{LIST}/r", RECORDS[0])
            collection.batch(*members)
        sent.append(len(counter.statements))
        collection.delete(LIST)

    assert sent[0] == sent[1]
    assert sent[0] > 0


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists of 20 objects count as large, and steps be short."""
    monkeypatch.setattr(index_writes, "BUILT_AT_ONCE", 20)
    monkeypatch.setattr(index_builder, "STEP", 7)


@pytest.mark.usefixtures("small_steps")
def test_words_are_found_before_and_after_their_index_is_built(large: Client) -> None:
    declare(large, {"text": ["status"]}, {"contains": ["tags"]})
    large.put(f"{LIST}/r3", {"status": "S1 new", "tags": [1]})
    queries = ("_search=s1&_sort=id&_limit=7", "contains_tags=1", "_search=new+s1")
    before = [collection_state(large, query) for query in queries]
    states = expect_right_keys(large)
    build(large)

    assert {state for _, state in states} == {BUILDING}
    assert {state for _, state in expect_right_keys(large)} == {READY}
    assert [collection_state(large, query) for query in queries] == before
    assert [count for count, _ in before] == ["21", "1", "1"]


def collection_state(client: Client, query: str) -> tuple[str, str]:
    """Return the total and the records of a query."""
    return total(client, query), ids(client, query)


@pytest.mark.usefixtures("small_steps")
def test_terms_are_right_after_writers_have_raced_with_declarations(large: Client) -> None:
    def write(writer: int) -> None:
        for number in range(12):
            record = f"{LIST}/r{(writer * 17 + number * 7) % 70}"
            if number % 4 == 3:
                large.delete(record)
            else:
                large.patch(record, {"status": f"w{writer} all", "tags": [writer, number]})
                large.put(f"{LIST}/w{writer}-{number}", {"status": "new all", "tags": [number]})

    def change() -> None:
        for definitions in ([{"text": ["status"]}], [{"contains": ["tags"]}], [], [{"contains": ["tags"]}]):
            declare(large, *definitions)
            build(large)
        declare(large, {"text": ["status"]}, {"contains": ["tags"]})

    with ThreadPoolExecutor(9) as threads:
        changing = threads.submit(change)
        assert list(threads.map(write, range(8))) == [None] * 8
        assert changing.result() is None
    build(large)

    assert {state for _, state in expect_right_keys(large)} == {READY}
    stored = large.get(f"{LIST}?_limit=1000").data
    assert total(large, "_search=all") == str(sum("all" in record["status"] for record in stored))
    assert total(large, "contains_tags=5") == str(sum(5 in record.get("tags", []) for record in stored))
