"""Indexes that collections declare: their grammar, their keys, unique ones (docs/queries.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from backends.storage import Storage
from backends.storage.indexes import READY, REFUSED
from tests.api.conftest import on_sqlite
from tests.support.client import Client
from tests.support.tables import faults, read_tables, snapshot_engine

BUCKET = "/buckets/b"
COLLECTION = f"{BUCKET}/collections/c"
LIST = f"{COLLECTION}/records"
INDEXES = [{"fields": ["status", "-count"]}, {"unique": ["email"]}]
STRICT = {"Prefer": "return=minimal, handling=strict"}


@pytest.fixture
def collection(client: Client) -> Client:
    """Return a client of a service with an empty collection."""
    client.put(BUCKET)
    client.put(COLLECTION)
    return client


def _storage(client: Client) -> Any:
    storage: Storage = client.app.extensions["kinto"].storage
    return storage


def expect_right_keys(client: Client) -> list[tuple[str, str]]:
    """Assert that all rows keep the rules; return definition and state of each index."""
    with snapshot_engine(_storage(client).writing.url.render_as_string(hide_password=False)).connect() as connection:
        tables = read_tables(connection)
    assert faults(tables) == []
    return sorted((row.definition, row.state) for row in tables.indexes)


def declare(client: Client, *indexes: Any) -> None:
    """Declare the indexes of the collection."""
    assert client.patch(COLLECTION, {"indexes": list(indexes)}).status == 200


def fill(client: Client, *records: dict[str, Any]) -> None:
    """Create records r0, r1, ..."""
    members = [
        {"method": "PUT", "path": f"{LIST}/r{number}", "body": {"data": data}} for number, data in enumerate(records)
    ]
    for start in range(0, len(members), 25):
        client.batch(*members[start : start + 25])


@on_sqlite
@pytest.mark.parametrize(
    ("value", "place"),
    [
        pytest.param("status", "", id="no list"),
        pytest.param([["status"]], ".0", id="no object"),
        pytest.param([{"fields": ["a"]}, {"columns": ["a"]}], ".1", id="another kind"),
        pytest.param([{"fields": ["a"], "unique": ["b"]}], ".0", id="two kinds"),
        pytest.param([{"fields": "a"}], ".0.fields", id="a text of fields"),
        pytest.param([{"fields": []}], ".0.fields", id="no fields"),
        pytest.param([{"fields": list("abcde")}], ".0.fields", id="five fields"),
        pytest.param([{"fields": ["a", "-a"]}], ".0.fields", id="a field twice"),
        pytest.param([{"fields": ["a", 1]}], ".0.fields.1", id="a number as a name"),
        pytest.param([{"fields": ["a..b"]}], ".0.fields.0", id="an empty name"),
        pytest.param([{"unique": ["-a"]}], ".0.unique.0", id="a direction without an order"),
        pytest.param([{"fields": [name]} for name in "abcde"], "", id="five indexes"),
        pytest.param([{"text": [name]} for name in "abcde"], "", id="five indexes by text"),
        pytest.param([{"fields": ["a"]}, {"fields": ["a"]}], "", id="an index twice"),
    ],
)
def test_what_declares_no_index_is_data_unless_the_client_is_strict(collection: Client, value: Any, place: str) -> None:
    refused = collection.ask("PUT", COLLECTION, {"data": {"indexes": value}}, STRICT)
    patched = collection.ask("PATCH", COLLECTION, {"data": {"indexes": value}}, STRICT)
    stored = collection.put(COLLECTION, {"indexes": value})

    assert (refused.status, patched.status, stored.status) == (400, 400, 200)
    assert refused.json["details"][0]["name"] == f"data.indexes{place}"
    assert collection.get(COLLECTION).data["indexes"] == value
    assert expect_right_keys(collection) == []


def test_strict_handling_accepts_all_kinds_of_indexes(collection: Client) -> None:
    value = [*INDEXES, {"text": ["title", "body"]}, {"contains": ["tags"]}, *({"fields": [name]} for name in "ab")]

    assert collection.ask("PUT", COLLECTION, {"data": {"indexes": value}}, STRICT).status == 200
    assert len(expect_right_keys(collection)) == 6


RECORDS: Sequence[dict[str, Any]] = [
    {"status": "active", "count": 5, "email": "a@b.test"},
    {"status": "active", "count": 5.5},
    {"status": None, "count": [1], "email": None},
    {"count": {"a": 1}, "email": "b@b.test"},
    {},
]


def test_keys_follow_the_objects(collection: Client) -> None:
    fill(collection, *RECORDS)
    declare(collection, *INDEXES)
    built = expect_right_keys(collection)
    collection.put(f"{LIST}/r0", {"status": "done", "email": "c@b.test"})
    collection.patch(f"{LIST}/r1", {"status": "done"})
    collection.post(LIST, {"status": "new"})
    collection.delete(f"{LIST}/r3")
    collection.batch(
        {"method": "PUT", "path": f"{LIST}/r3", "body": {"data": {"email": "b@b.test"}}},
        {"method": "DELETE", "path": f"{LIST}/r2"},
        {"method": "PATCH", "path": f"{LIST}/r4", "body": {"data": {"count": -1e308}}},
    )

    assert built == [(text, READY) for text in ('{"fields":["status","-count"]}', '{"unique":["email"]}')]
    assert expect_right_keys(collection) == built


def test_indexes_of_one_batch_with_their_collection_and_records(client: Client) -> None:
    client.batch(
        {"method": "PUT", "path": BUCKET},
        {"method": "PUT", "path": COLLECTION, "body": {"data": {"indexes": INDEXES}}},
        {"method": "PUT", "path": f"{LIST}/r", "body": {"data": {"email": "a"}}},
        {"method": "PATCH", "path": COLLECTION, "body": {"data": {"indexes": [*INDEXES[1:], {"fields": ["count"]}]}}},
        {"method": "PUT", "path": f"{LIST}/s", "body": {"data": {"email": "b"}}},
    )

    assert expect_right_keys(client) == [('{"fields":["count"]}', READY), ('{"unique":["email"]}', READY)]
    assert client.put(f"{LIST}/t", {"email": "a"}).status == 409


@pytest.mark.parametrize("path", [COLLECTION, f"{BUCKET}/collections", BUCKET, "/buckets"])
def test_indexes_are_deleted_with_the_collection_and_not_inherited(collection: Client, path: str) -> None:
    declare(collection, *INDEXES)
    fill(collection, *RECORDS)

    assert collection.delete(path).status == 200
    assert expect_right_keys(collection) == []
    collection.put(BUCKET)
    collection.put(COLLECTION)
    fill(collection, {"email": "a"}, {"email": "a"})
    assert expect_right_keys(collection) == []


def test_an_index_that_is_declared_again_ignores_former_keys(collection: Client) -> None:
    declare(collection, {"fields": ["status"]})
    fill(collection, *RECORDS)
    declare(collection)
    collection.delete(f"{LIST}/r0")
    declare(collection, {"fields": ["status"]})

    assert expect_right_keys(collection) == [('{"fields":["status"]}', READY)]
    assert collection.head(f"{LIST}?status=active").headers["Total-Records"] == "1"


def test_flush_purge_and_the_removal_of_a_user_keep_keys_right(collection: Client) -> None:
    declare(collection, *INDEXES)
    fill(collection, *RECORDS)
    collection.delete(LIST)
    fill(collection, *RECORDS)
    collection.delete(f"{LIST}?status=active")
    _storage(collection).purge(["/buckets/%/collections/%/records"], 1)
    assert len(expect_right_keys(collection)) == 2

    _storage(collection).flush(["/buckets"])

    assert expect_right_keys(collection) == []


class TestUnique:
    """A unique index, checked under the lock of the list."""

    def test_another_object_with_the_same_value_is_a_conflict(self, collection: Client) -> None:
        declare(collection, *INDEXES)
        fill(collection, *RECORDS)

        answer = collection.put(f"{LIST}/new", {"email": "a@b.test"})

        assert (answer.status, answer.json["errno"]) == (409, 122)
        assert answer.json["details"] == {"field": "email", "existing": {"id": "r0"}}
        assert "Retry-After" not in answer.headers
        assert collection.get(f"{LIST}/new").status == 404
        assert collection.put(f"{LIST}/r0", {"email": "a@b.test", "n": 1}).status == 200

    def test_a_batch_may_swap_values_and_not_repeat_them(self, collection: Client) -> None:
        declare(collection, {"unique": ["email"]})
        fill(collection, {"email": "a"}, {"email": "b"})

        def put(*emails: str) -> int:
            return collection.batch(
                *(
                    {"method": "PUT", "path": f"{LIST}/r{number}", "body": {"data": {"email": email}}}
                    for number, email in enumerate(emails)
                )
            ).status

        assert (put("b", "a"), put("c", "d", "c"), put("a", "b", "c")) == (200, 409, 200)
        assert len(expect_right_keys(collection)) == 1

    def test_a_deleted_object_frees_its_value(self, collection: Client) -> None:
        declare(collection, {"unique": ["email", "kind"]})
        fill(collection, {"email": "a", "kind": 1}, {"email": "a", "kind": 2}, {"email": "a"}, {"email": "a"})
        collection.delete(f"{LIST}/r0")

        assert collection.put(f"{LIST}/new", {"email": "a", "kind": 1.0}).status == 201
        assert collection.put(f"{LIST}/other", {"email": "a", "kind": 1}).json["details"]["field"] == "email,kind"

    def test_an_index_of_duplicates_is_refused_and_enforces_nothing(self, collection: Client) -> None:
        fill(collection, {"email": "a"}, {"email": "b"}, {"email": "b"})
        declare(collection, {"unique": ["email"]})

        assert expect_right_keys(collection) == [('{"unique":["email"]}', REFUSED)]
        assert collection.put(f"{LIST}/new", {"email": "a"}).status == 201


def test_a_declared_index_makes_room_and_keeps_its_keys(collection: Client) -> None:
    declare(collection, *({"fields": [name]} for name in "abcd"))
    fill(collection, {"a": 1, "e": 2})
    declare(collection, *({"fields": [name]} for name in "ebad"))

    assert [text for text, _ in expect_right_keys(collection)] == [f'{{"fields":["{name}"]}}' for name in "abde"]


def test_an_index_shows_nobody_more_than_the_list_does(collection: Client) -> None:
    """A reader of single objects, and changes since a time, are not served by it."""
    declare(collection, {"fields": ["status"]})
    fill(collection, *({"status": "active"} for _ in range(4)))
    eve = collection.as_("eve")
    collection.patch(f"{LIST}/r1", permissions={"read": [eve.id]})
    collection.delete(f"{LIST}/r3")
    path = f"{LIST}?status=active"
    for _ in range(2):
        assert [record["id"] for record in collection.get(path).data] == ["r1", "r2", "r0"]
        assert [record["id"] for record in eve.get(path).data] == ["r1"]
        assert collection.as_(None).get(path).status == 401
        changed = collection.get(f"{LIST}?_since=1&not_status=done&_sort=status").data
        assert {record["id"] for record in changed} == {"r0", "r1", "r2", "r3"}
        assert [client.head(path).headers["Total-Records"] for client in (collection, eve)] == ["3", "1"]

    assert {record["id"] for record in collection.delete(path).data} == {"r0", "r1", "r2"}
    assert collection.get(path).data == []


def test_a_token_is_good_while_indexes_come_and_go(collection: Client) -> None:
    fill(collection, *({"status": "active", "count": number % 3} for number in range(9)))
    path, ids = f"{LIST}?status=active&_sort=-count&_limit=2", []
    for declared in ([{"fields": ["status", "-count"]}], [], [{"fields": ["-count"]}], [], []):
        declare(collection, *declared)
        answer = collection.get(path)
        ids += [record["id"] for record in answer.data]
        path = "/v1" + answer.headers.get("Next-Page", "").partition("/v1")[2]

    assert ids == ["r8", "r5", "r2", "r7", "r4", "r1", "r6", "r3", "r0"]
