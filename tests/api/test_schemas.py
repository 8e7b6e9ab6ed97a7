"""JSON schemas of collections and buckets, applied to what is written (docs/contract/core.md 10).

How failures are worded and which draft decides is tested in `tests/rules/test_validation.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.schemas import cache
from app.schemas.compiling import compile_text
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
ON = {"kinto.experimental_collection_schema_validation": "true"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["title"],
}


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Alice's client of a service that applies schemas, with a collection that has one and the record `r`."""
    client = client_with(ON)
    client.put(B)
    client.put(C, {"schema": SCHEMA})
    client.put(R, {"title": "one"})
    return client


def schema_of(client: Client, schema: Any) -> int:
    """Give the collection another schema; return the collection's timestamp."""
    answer = client.put(C, {"schema": schema})
    assert answer.status == 200, answer.json
    return answer.etag


def problem(answer: Answer) -> tuple[int, Any, Any, Any]:
    """Return status, and location, name and description of the first problem."""
    assert answer.json["errno"] == 107, answer.json
    detail = answer.json["details"][0]
    return answer.status, detail["location"], detail["name"], detail["description"]


@on_sqlite
def test_schemas_are_applied_only_when_the_setting_says_so(client_with: ClientMaker) -> None:
    """C-SCH-1, C-SCH-3."""
    off = client_with()
    off.put(B)
    off.put(C, {"schema": SCHEMA})

    answer = off.put(R, {"title": 5})

    assert answer.status == 201
    assert "schema" not in answer.data
    assert "schema" not in off.get("/").json["capabilities"]
    assert "schema" in client_with(ON).get("/").json["capabilities"]


@on_sqlite
@pytest.mark.parametrize("settings", [{}, ON], ids=["off", "on"])
def test_a_schema_that_is_none_is_refused_whether_validation_is(client_with: ClientMaker, settings: Any) -> None:
    """C-SCH-2, C-OBJ-66: by Draft 7, on collections and buckets."""
    client = client_with(settings)
    client.put(B)

    assert problem(client.put(C, {"schema": {"type": "washmachine"}}))[:3] == (400, "body", "data.schema")
    assert problem(client.put(B, {"record:schema": {"type": "washmachine"}}))[:3] == (400, "body", "data.record:schema")
    assert problem(client.put(C, {"schema": None}))[0] == 400


WRITES: dict[str, tuple[Any, ...]] = {
    "POST": ("POST", RECORDS, {"data": {"title": "new"}}),
    "PUT that creates": ("PUT", f"{RECORDS}/new", {"data": {"title": "new"}}),
    "PUT that replaces": ("PUT", R, {"data": {"title": "new"}}),
    "PATCH": ("PATCH", R, {"data": {"n": 1}}),
    "PATCH of nothing": ("PATCH", R, {"data": {}}),
    "PATCH of permissions": ("PATCH", R, {"permissions": {"read": ["system.Everyone"]}}),
}


@on_sqlite
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_valid_record_carries_the_timestamp_of_the_collection(client: Client, write: Any) -> None:
    """C-SCH-3, C-SCH-5."""
    current = schema_of(client, SCHEMA)

    answer = client.ask(*write)

    assert answer.status in (200, 201)
    assert answer.data["schema"] == current
    assert client.get(f"{RECORDS}/{answer.data['id']}").data["schema"] == current


INVALID: dict[str, tuple[Any, ...]] = {
    "POST": ("POST", RECORDS, {"data": {"title": 5}}),
    "PUT that creates": ("PUT", f"{RECORDS}/new", {"data": {"title": 5}}),
    "PUT that replaces": ("PUT", R, {"data": {"title": 5}}),
    "PATCH": ("PATCH", R, {"data": {"title": 5}}),
}


@on_sqlite
@pytest.mark.parametrize("write", INVALID.values(), ids=INVALID.keys())
def test_an_invalid_record_is_refused_and_nothing_stored(client: Client, write: Any) -> None:
    """C-SCH-4, C-SCH-5."""
    before = client.get(RECORDS)

    answer = client.ask(*write)

    assert problem(answer) == (400, "body", "title", "5 is not of type 'string'")
    assert (client.get(RECORDS).data, client.get(RECORDS).etag) == (before.data, before.etag)


NAMED: dict[str, tuple[dict[str, Any], dict[str, Any], Any, str]] = {
    "C-SCH-4 a nested member": (
        {"properties": {"o": {"properties": {"n": {"type": "integer"}}}}},
        {"o": {"n": "1"}},
        "n",
        "'1' is not of type 'integer'",
    ),
    "C-SCH-4 an element of an array": (
        {"properties": {"a": {"items": {"type": "null"}}}},
        {"a": [None, 1]},
        1,
        "1 is not",
    ),
    "C-SCH-4 what is missing": ({"required": ["title"]}, {}, "title", "'title' is a required property"),
    "C-SCH-4 what is too much": (
        {"additionalProperties": False},
        {"x": 1},
        "additionalProperties",
        "'x' was unexpected",
    ),
    "C-SCH-13 a negation": ({"not": {"required": ["x"]}}, {"x": 1}, "not", ""),
    "C-SCH-13 too few members": ({"minProperties": 3}, {"x": 1}, "minProperties", ""),
    "C-SCH-13 another value": ({"const": {"x": 2}}, {"x": 1}, "const", ""),
    "C-SCH-15 a reference": (
        {"definitions": {"t": {"type": "string"}}, "properties": {"x": {"$ref": "#/definitions/t"}}},
        {"x": 1},
        "x",
        "1 is not of type 'string'",
    ),
    "C-SCH-15 a reference to nothing": ({"properties": {"x": {"$ref": "#/definitions/t"}}}, {"x": 1}, "schema", ""),
    "C-SCH-18 a reference to elsewhere": (
        {"properties": {"x": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        {"x": 1},
        "schema",
        "",
    ),
    "C-SCH-11 what Draft 7 says without another draft": (
        {"properties": {"a": {"items": [{"type": "string"}]}}},
        {"a": [1]},
        0,
        "1 is not of type 'string'",
    ),
    "C-SCH-11 what its own draft says": (
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"a": {"prefixItems": [{"type": "string"}]}},
        },
        {"a": [1]},
        0,
        "1 is not of type 'string'",
    ),
    "C-SCH-12 a schema that its own draft refuses": (
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"a": {"items": [{"type": "string"}]}},
        },
        {"a": [1]},
        "schema",
        "",
    ),
}


@on_sqlite
@pytest.mark.parametrize(("schema", "data", "name", "description"), NAMED.values(), ids=NAMED.keys())
def test_the_refusal_names(client: Client, schema: Any, data: Any, name: Any, description: str) -> None:
    schema_of(client, schema)

    status, location, named, described = problem(client.put(R, data))

    assert (status, location, named) == (400, "body", name)
    assert description in described


ACCEPTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "C-SCH-14 a format that is none": (
        {"properties": {"at": {"type": "string", "format": "date-time"}}},
        {"at": "never"},
    ),
    "C-SCH-6 no members but its own": ({"additionalProperties": False, "properties": {"title": {}}}, {"title": "x"}),
    "C-SCH-6 members that the service makes": (
        {"required": ["id", "last_modified", "schema", "title"]},
        {"title": "x"},
    ),
    "C-SCH-6 an id that is declared": (
        {"additionalProperties": False, "properties": {"id": {"type": "string", "minLength": 1}}},
        {},
    ),
    "C-SCH-3 an empty schema": ({}, {"anything": 1}),
    "C-SCH-16 a version of its own making": ({"properties": {"schema": False}}, {"schema": "mine"}),
}


@on_sqlite
@pytest.mark.parametrize(("schema", "data"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_record_is_valid_with(client: Client, schema: Any, data: Any) -> None:
    """C-SCH-3, C-SCH-16: and says by which version of the schema."""
    current = schema_of(client, schema)

    answer = client.put(R, data)

    assert (answer.status, answer.data["schema"]) == (200, current)
    assert set(answer.data) == {"id", "last_modified", "schema", *data}


@on_sqlite
def test_an_id_that_is_declared_is_validated(client: Client) -> None:
    """C-SCH-6: and one that the server makes is not."""
    schema_of(client, {"properties": {"id": {"type": "string", "maxLength": 3}}})

    assert problem(client.put(f"{RECORDS}/long-id", {}))[:3] == (400, "body", "id")
    assert client.put(f"{RECORDS}/abc", {}).status == 201
    assert client.post(RECORDS, {}).status == 201


@on_sqlite
def test_a_record_is_left_alone_when_the_schema_changes_until_it_is_written(client: Client) -> None:
    """C-SCH-7."""
    before = client.get(R)

    schema_of(client, {"required": ["n"]})

    assert client.get(R).data == before.data
    assert client.patch(R, {"title": "two"}).status == 400
    assert client.patch(R, {"n": 1}).status == 200


@on_sqlite
def test_posting_a_record_that_is_there_is_not_validated(client: Client) -> None:
    """C-SCH-17."""
    answer = client.post(RECORDS, {"id": "r", "title": 5})

    assert (answer.status, answer.data["title"]) == (200, "one")


@on_sqlite
def test_a_collection_without_schema_adds_nothing_to_its_records(client: Client) -> None:
    """C-SCH-3."""
    client.put(C, {})

    assert set(client.put(R, {"a": 1}).data) == {"id", "last_modified", "a"}


@on_sqlite
def test_a_schema_of_the_bucket_applies_to_all_its_records(client: Client) -> None:
    """C-SCH-8, C-SCH-10: after the collection's own, and without a version."""
    client.put(B, {"record:schema": {"properties": {"title": {"maxLength": 5}, "n": {"type": "integer"}}}})
    client.put(f"{B}/collections/d")

    assert problem(client.put(f"{B}/collections/d/records/r", {"n": "x"}))[2] == "n"
    assert problem(client.put(R, {"title": "too long", "n": 1}))[2] == "title"
    assert problem(client.put(R, {"n": "x"}))[3] == "'title' is a required property"
    other = client.put(f"{B}/collections/d/records/r", {"n": 1})
    assert (other.status, "schema" in other.data) == (201, False)
    assert client.put(R, {"title": "short"}).data["schema"] == client.get(C).etag


@on_sqlite
@pytest.mark.parametrize(("kind", "plural"), [("collection", "collections"), ("group", "groups")])
def test_a_schema_of_the_bucket_applies_to_its(client: Client, kind: str, plural: str) -> None:
    """C-SCH-9, C-SCH-10: on every way of writing, and not to other kinds."""
    client.put(B, {f"{kind}:schema": {"properties": {"a": {"type": "integer"}}}})
    other = "groups" if plural == "collections" else "collections"

    assert problem(client.put(f"{B}/{plural}/new", {"a": "x"}))[:3] == (400, "body", "a")
    assert problem(client.post(f"{B}/{plural}", {"a": "x"}))[2] == "a"
    made = client.put(f"{B}/{plural}/new", {"a": 1})
    assert (made.status, "schema" in made.data) == (201, False)
    assert problem(client.patch(f"{B}/{plural}/new", {"a": "x"}))[2] == "a"
    assert client.put(f"{B}/{other}/new", {"a": "x"}).status == 201


@on_sqlite
@pytest.mark.parametrize("plural", ["collections", "groups"])
def test_nothing_is_written_below_a_bucket_that_is_not_there(client_with: ClientMaker, plural: str) -> None:
    """C-SCH-9: 404 for those whom a setting lets create (10.4)."""
    client = client_with({**ON, f"kinto.{plural[:-1]}_create_principals": "system.Everyone"})

    answer = client.put(f"/buckets/none/{plural}/x")

    assert (answer.status, answer.json["errno"]) == (404, 111)
    assert answer.json["details"] == {"id": "none", "resource_name": "bucket"}


@on_sqlite
def test_a_schema_that_a_batch_changes_applies_to_what_follows(client: Client) -> None:
    """C-SCH-5, C-BATCH-21: it is read afresh (docs/contract/core.md 8.5)."""
    changed, refused, valid = client.batch(
        {"method": "PATCH", "path": C, "body": {"data": {"schema": {"required": ["n"]}}}},
        {"method": "PUT", "path": R, "body": {"data": {"title": "two"}}},
        {"method": "PUT", "path": R, "body": {"data": {"n": 1}}},
    ).json["responses"]

    assert (refused["status"], valid["status"]) == (400, 200)
    assert valid["body"]["data"]["schema"] == changed["body"]["data"]["last_modified"]


def store(client: Client, place: str, schema: Any) -> Answer:
    """Let a schema apply to all records of the collection: as its own, or as the bucket's."""
    if place == "schema":
        return client.put(C, {"schema": schema})
    client.put(C, {})
    return client.put(B, {place: schema})


PLACES = ["schema", "record:schema"]


@on_sqlite
@pytest.mark.parametrize("place", PLACES)
def test_a_reference_to_nowhere_fails_the_records_that_use_it(client: Client, place: str) -> None:
    """C-SCH-15."""
    assert store(client, place, {"properties": {"a": {"$ref": "#/definitions/none"}}}).status == 200

    assert client.put(R, {"b": 1}).status == 200
    assert problem(client.put(R, {"a": 1}))[:3] == (400, "body", "schema")
    assert "#/definitions/none" in problem(client.patch(R, {"a": 1}))[3]


@on_sqlite
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pattern", ["(", "a++b", "\\p{L}{200,280}"], ids=["broken", "of no dialect", "too large"])
@pytest.mark.parametrize("way", ["PUT", "POST", "PATCH", "merge patch", "JSON Patch", "batch"])
def test_a_schema_whose_pattern_cannot_be_used_is_refused(client: Client, place: str, pattern: str, way: str) -> None:
    """C-SCH-2: on every way of storing it; the pattern is named."""
    schema = {"properties": {"a": {"pattern": pattern}}}
    uri, body = (C if place == "schema" else B), {"data": {place: schema}}

    if way == "JSON Patch":
        patch = [{"op": "add", "path": f"/data/{place}", "value": schema}]
        answer = client.ask("PATCH", uri, patch, {"Content-Type": "application/json-patch+json"})
    elif way == "merge patch":
        answer = client.ask("PATCH", uri, body, {"Content-Type": "application/merge-patch+json"})
    elif way == "batch":
        entry = client.batch({"method": "PUT", "path": uri, "body": body}).json["responses"][0]
        assert (entry["status"], pattern in str(entry["body"]["details"][0]["description"])) == (400, True)
        return
    elif way == "POST":
        answer = client.ask("POST", uri.rpartition("/")[0], {"data": {"id": "new", place: schema}})
    else:
        answer = client.ask(way, uri, body)

    assert answer.status == 400
    assert f"'{pattern}'" in problem(answer)[3]
    assert place in problem(answer)[2]


@on_sqlite
@pytest.mark.parametrize("place", PLACES)
def test_a_pattern_of_pythons_dialect_applies(client: Client, place: str) -> None:
    assert store(client, place, {"properties": {"a": {"pattern": "(?i)^(?P<x>a)(?P=x)\\Z"}}}).status == 200

    assert client.put(R, {"a": "aA"}).status == 200
    assert problem(client.put(R, {"a": "ab"}))[2] == "a"


def test_a_batch_stores_schemas_and_records_in_turn(client: Client) -> None:
    """Each schema is compiled on the way, and nothing of the batch is done twice or lost."""
    entries: list[dict[str, Any]] = []
    for number in range(8):
        schema = {"properties": {"n": {"const": number, "title": client.app.name + str(number)}}}
        entries.append({"method": "PATCH", "path": C, "body": {"data": {"schema": schema}}})
        entries.append({"method": "PUT", "path": f"{RECORDS}/r{number}", "body": {"data": {"n": number}}})
        entries.append({"method": "PUT", "path": f"{RECORDS}/wrong", "body": {"data": {"n": -1}}})

    answers = client.batch(*entries).json["responses"]

    assert [answer["status"] for answer in answers] == [200, 201, 400] * 8
    assert {record["n"] for record in client.get(RECORDS).data if "n" in record} == set(range(8))


def test_a_schema_is_compiled_while_nothing_is_locked(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once: the next write of a record takes as many transactions as without a schema."""
    storage = client.app.extensions["kinto"].storage
    compiling = compile_text
    used: list[int] = []

    def watch(text: str) -> Any:
        used.append(storage.writing.pool.checkedout())
        return compiling(text)

    monkeypatch.setattr(cache, "compile_text", watch)
    fresh = {"title": "compiled while nothing is locked", "properties": {"a": {"pattern": "^x"}}}
    cache.CACHE.clear()

    assert client.put(C, {"schema": fresh}).status == 200
    cache.CACHE.clear()
    assert client.put(R, {"a": "x"}).status == 200
    assert client.put(R, {"a": "y"}).status == 400
    cache.CACHE.clear()
    patch = [{"op": "add", "path": "/data/schema/title", "value": "by JSON Patch"}]
    assert client.ask("PATCH", C, patch, {"Content-Type": "application/json-patch+json"}).status == 200
    assert client.put(R, {"a": "x"}).status == 200

    assert used == [0, 0, 0]
