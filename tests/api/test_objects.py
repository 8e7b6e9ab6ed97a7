"""Objects of the four kinds: shapes, ids, POST, PUT, GET, DELETE, and who becomes a writer (sections 4.1 to 4.16)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from backends import Json
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, user_id

BOB, CAROL = user_id("bob"), user_id("carol")
B, C = "/buckets/b", "/buckets/b/collections/c"
LISTS = {"bucket": "/buckets", "collection": f"{B}/collections", "group": f"{B}/groups", "record": f"{C}/records"}
RECORDS, R = f"{C}/records", f"{C}/records/r"
JSON = {"Content-Type": "application/json"}

every_kind = pytest.mark.parametrize("kind", LISTS)


@pytest.fixture
def owner(client_with: ClientMaker) -> Client:
    """Return alice's client; she owns bucket b with collection c in it, and may read what there is of buckets."""
    client = client_with({"kinto.bucket_read_principals": user_id("alice")})
    for uri in (B, C):
        client.put(uri)
    return client


def others(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that clients choose."""
    return {name: value for name, value in data.items() if name not in ("id", "last_modified")}


@every_kind
def test_an_object_is_created_read_listed_and_deleted_in_its_shapes(owner: Client, kind: str) -> None:
    """C-OBJ-1, C-OBJ-2, C-OBJ-3, C-OBJ-13, C-OBJ-21, C-OBJ-45, C-OBJ-46."""
    uri, started = f"{LISTS[kind]}/x", int(time.time() * 1000)

    created = owner.put(uri, {"a": 1}, {"read": [BOB]})
    got, listed, replaced = owner.get(uri), owner.get(LISTS[kind]), owner.put(uri, {"a": 2})
    deleted, again = owner.delete(uri), owner.delete(uri)

    assert [answer.status for answer in (created, got, listed, replaced, deleted)] == [201, 200, 200, 200, 200]
    assert created.json.keys() == {"data", "permissions"}
    assert created.data["id"] == "x"
    assert isinstance(created.data["last_modified"], int)
    assert started <= created.data["last_modified"] <= time.time() * 1000 + 1000
    assert created.json["permissions"] == {"read": [BOB], "write": [owner.id]}
    assert got.json == created.json
    assert (got.etag, got.headers["Last-Modified"]) == (created.etag, created.headers["Last-Modified"])
    assert got.etag == created.data["last_modified"]
    assert listed.json.keys() == {"data"}
    assert created.data in listed.data
    assert replaced.etag > created.etag
    assert deleted.json == {"data": {"id": "x", "last_modified": deleted.etag, "deleted": True}}
    assert deleted.etag > replaced.etag
    assert "Last-Modified" in deleted.headers
    assert (again.status, again.json["errno"]) == (404, 110)
    assert again.json["details"] == {"id": "x", "resource_name": kind}


STRANGE: Json = {
    "": "an empty name",
    "a.b": {"c.d": []},
    'é " \\ \n \u2028 \U0001f600': 'é " \\ \n \u2028 \U0001f600',
    "null": None,
    "numbers": [0, -1, 1.5, 1e-7, 1e22, 2**53 + 1, 2**63],
    "truth": [True, False],
    "nested": {"a": [{"b": [[]]}, {}]},
    "deleted": True,
    "schema_": 1,
}


@every_kind
def test_any_json_is_kept_as_it_is(owner: Client, kind: str) -> None:
    """C-OBJ-4, and for `deleted` C-OBJ-74."""
    uri = f"{LISTS[kind]}/x"
    expected = {**STRANGE, "members": []} if kind == "group" else STRANGE

    created = owner.put(uri, STRANGE)

    assert others(created.data) == expected
    assert others(owner.get(uri).data) == expected
    assert [others(each) for each in owner.get(f"{LISTS[kind]}?id=x").data] == [expected]
    assert others(owner.put(uri, {}, if_match='"1"').json["details"]["existing"]) == expected
    assert owner.get(uri).status == 200


@pytest.mark.parametrize("object_id", ["a", "0", "Z9-_-", "x" * 255], ids=["letter", "digit", "all characters", "long"])
def test_an_id_is_letters_digits_dashes_and_underscores(owner: Client, object_id: str) -> None:
    """C-OBJ-5, C-OBJ-8."""
    for kind, uri in LISTS.items():
        posted = owner.post(uri, {"id": object_id, "of": kind})

        assert (posted.status, posted.data["id"]) == (201, object_id)
        assert owner.put(f"{uri}/{object_id}").data == {**posted.data, "last_modified": owner.get(uri).etag}


@on_sqlite
@pytest.mark.parametrize(
    "object_id",
    ["-a", "_a", "a.b", "a b", "é", "a\n", "x" * 256, 12, None, "", [], {}, True],
    ids=lambda value: repr(value)[:12],
)
def test_any_other_id_is_refused(owner: Client, object_id: Any) -> None:
    """C-OBJ-5 with the length of docs/contract/DECISIONS.md, C-OBJ-8."""
    problem = {"location": "path", "name": None, "description": "Invalid object id"}

    for uri in LISTS.values():
        answers = [owner.post(uri, {"id": object_id})]
        if isinstance(object_id, str) and object_id:
            answers.append(owner.put(f"{uri}/{object_id}".replace("\n", "%0A")))

        assert {answer.status for answer in answers} == {400}
        assert all(answer.json["details"] == [problem] for answer in answers)


NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{7}"
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@every_kind
@pytest.mark.parametrize("raw", [b"", b"{}", b'{"data": {}}'], ids=["no body", "no data", "no attributes"])
def test_a_post_without_id_creates_an_object_with_a_generated_one(owner: Client, kind: str, raw: bytes) -> None:
    """C-OBJ-6, C-OBJ-9, C-OBJ-12."""
    first, second = (owner.ask("POST", LISTS[kind], raw=raw, headers=JSON) for _ in range(2))

    assert (first.status, second.status) == (201, 201)
    assert re.fullmatch(UUID4 if kind == "record" else NAME, first.data["id"])
    assert first.data["id"] != second.data["id"]
    assert others(first.data) in ({}, {"members": []})
    assert first.json["permissions"] == {"write": [owner.id]}
    assert first.etag == first.data["last_modified"]
    assert "Location" not in first.headers
    assert owner.get(f"{LISTS[kind]}/{first.data['id']}").json == first.json


@on_sqlite
@every_kind
def test_a_setting_chooses_who_makes_ids_and_which_are_accepted(client_with: ClientMaker, kind: str) -> None:
    """C-OBJ-7."""
    owner = client_with({f"kinto.{kind}_id_generator": "kinto.core.storage.generators.UUID4"})
    for uri in {"bucket": [], "record": [B, C]}.get(kind, [B]):
        owner.put(uri)

    refused = owner.put(f"{LISTS[kind]}/ABCDEF00-0000-4000-8000-000000000000")

    assert (refused.status, refused.json["message"]) == (400, "path: Invalid object id")
    assert re.fullmatch(UUID4, owner.post(LISTS[kind]).data["id"])


@every_kind
def test_a_post_of_a_known_id_answers_the_object_and_changes_nothing(owner: Client, kind: str) -> None:
    """C-OBJ-10, C-OBJ-11."""
    created = owner.put(f"{LISTS[kind]}/x", {"a": 1}, {"read": [BOB]})
    clock = owner.get(LISTS[kind]).etag

    again = owner.post(LISTS[kind], {"id": "x", "a": 2}, {"read": [CAROL]})
    reader = owner.as_("bob").post(LISTS[kind], {"id": "x"})

    assert (again.status, again.json, again.etag) == (200, created.json, created.etag)
    assert (reader.status, reader.json) == (200, {"data": created.data, "permissions": {}})
    assert owner.as_("carol").post(LISTS[kind], {"id": "x"}).status == 403
    assert owner.as_(None).post(LISTS[kind], {"id": "x"}).status == 401
    assert owner.get(LISTS[kind]).etag == clock


@every_kind
def test_put_refuses_another_id_in_its_body(owner: Client, kind: str) -> None:
    """C-OBJ-14."""
    uri = f"{LISTS[kind]}/x"
    assert owner.put(uri, {"id": "x"}).status == 201

    answer = owner.put(uri, {"id": "y"})

    problem = {"location": "body", "name": "id", "description": "Object id does not match existing object"}
    assert (answer.status, answer.json["details"]) == (400, [problem])


@every_kind
def test_put_with_data_replaces_all_attributes(owner: Client, kind: str) -> None:
    """C-OBJ-15, C-OBJ-18."""
    uri = f"{LISTS[kind]}/x"
    defaults: Json = {"members": []} if kind == "group" else {}
    first = owner.put(uri, {"a": 1, "o": {"x": 1}}, {"read": [BOB]})

    second = owner.put(uri, {"b": 2})
    third = owner.put(uri, {})

    assert others(second.data) == {"b": 2, **defaults}
    assert others(third.data) == defaults
    assert first.etag < second.etag < third.etag
    assert third.json["permissions"] == first.json["permissions"]
    assert owner.get(uri).json == third.json


@every_kind
@pytest.mark.parametrize("raw", [b"", b"{}", b'{"permissions": {}}'], ids=["no body", "nothing", "no permissions"])
def test_put_without_data_keeps_the_attributes_and_ticks(owner: Client, kind: str, raw: bytes) -> None:
    """C-OBJ-16, C-OBJ-17, C-OBJ-20: a group that is created so has no members at all."""
    uri = f"{LISTS[kind]}/x"

    empty = owner.ask("PUT", f"{LISTS[kind]}/y", raw=raw, headers=JSON)
    first = owner.put(uri, {"a": 1}, {"read": [BOB]})
    touched = owner.ask("PUT", uri, raw=raw, headers=JSON)

    assert (empty.status, others(empty.data)) == (201, {})
    assert empty.json["permissions"] == {"write": [owner.id]}
    assert (touched.status, others(touched.data)) == (200, others(first.data))
    assert touched.etag > first.etag
    assert touched.json["permissions"] == first.json["permissions"]


BOTH = {"read": [BOB], "write": [BOB]}


@pytest.mark.parametrize(
    ("permissions", "kept"),
    [
        pytest.param({"read": [CAROL]}, {"read": {CAROL}}, id="C-OBJ-19 one list"),
        pytest.param({"read": []}, {}, id="C-OBJ-19 an empty list empties all"),
        pytest.param({"read": [CAROL], "write": None}, {"read": {CAROL}}, id="C-OBJ-19 null beside a list"),
        pytest.param({"write": [CAROL, CAROL]}, {"write": {CAROL}}, id="C-OBJ-19 duplicates are one"),
        pytest.param({}, BOTH, id="C-OBJ-20 no list"),
        pytest.param({"read": None}, BOTH, id="C-OBJ-20 only nulls"),
        pytest.param({"read": None, "write": None}, BOTH, id="C-OBJ-20 only nulls for all"),
    ],
)
def test_put_with_a_list_of_principals_replaces_all_permissions(
    owner: Client, permissions: Mapping[str, Any], kept: Mapping[str, Any]
) -> None:
    owner.put(R, {"a": 1}, BOTH)

    answer = owner.put(R, permissions=permissions)

    expected = {name: set(principals) for name, principals in kept.items()}
    expected["write"] = expected.get("write", set()) | {owner.id}
    assert {name: set(principals) for name, principals in answer.json["permissions"].items()} == expected
    assert len(answer.json["permissions"]["write"]) == len(expected["write"])
    assert others(answer.data) == {"a": 1}
    assert owner.get(R).json == answer.json


@pytest.mark.parametrize(
    ("wish", "used"),
    [
        pytest.param("{future}", True, id="C-OBJ-47 later than the object"),
        pytest.param('"{future}"', True, id="C-OBJ-48 later and quoted"),
        pytest.param("{own}", False, id="C-OBJ-47 that of the object"),
        pytest.param("{past}", False, id="C-OBJ-47 earlier"),
        pytest.param("1.5", None, id="C-OBJ-48 a fraction"),
        pytest.param("abc", None, id="C-OBJ-48 a text"),
        pytest.param("", None, id="C-OBJ-48 nothing"),
        pytest.param('"1', None, id="C-OBJ-48 half a quotation"),
    ],
)
def test_a_deletion_time_is_used_when_it_is_later_than_the_object(owner: Client, wish: str, used: bool | None) -> None:
    own = owner.put(R).etag
    wish = wish.format(future=own + 100_000, own=own, past=own - 5)

    answer = owner.delete(f"{R}?last_modified={wish}")

    if used is None:
        assert (answer.status, answer.json["errno"]) == (400, 107)
        assert answer.json["details"][0]["location"] == "querystring"
        assert owner.get(R).status == 200
    else:
        assert answer.status == 200
        assert (answer.etag == own + 100_000) == used
        assert answer.etag > own
        assert answer.data["last_modified"] == answer.etag


def test_a_deletion_time_below_that_of_the_list_leaves_the_list_alone(owner: Client) -> None:
    """C-OBJ-47."""
    owner.put(R, {"last_modified": 1000})
    clock = owner.put(f"{RECORDS}/s").etag

    answer = owner.delete(f"{R}?last_modified=2000")

    assert answer.etag == 2000
    assert owner.get(RECORDS).etag == clock


@every_kind
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_deleted_object_is_created_anew(owner: Client, kind: str, method: str) -> None:
    """C-OBJ-49."""
    uri = f"{LISTS[kind]}/x"
    owner.put(uri, {"a": 1}, {"read": [BOB]})
    tombstone = owner.delete(uri).data

    answer = owner.put(uri, {"b": 2}) if method == "PUT" else owner.post(LISTS[kind], {"id": "x", "b": 2})

    assert answer.status == 201
    assert "a" not in answer.data
    assert answer.etag > tombstone["last_modified"]
    assert answer.json["permissions"] == {"write": [owner.id]}
    assert owner.as_("bob").get(uri).status == 403
    changed = owner.get(f"{LISTS[kind]}?_since={tombstone['last_modified'] - 1}&id=x").data
    assert changed == [answer.data]


@every_kind
def test_a_list_is_deleted_into_tombstones(owner: Client, kind: str) -> None:
    """C-OBJ-50, C-OBJ-51, C-OBJ-52."""
    for object_id in ("x", "y", "old"):
        owner.put(f"{LISTS[kind]}/{object_id}", {"n": object_id}, {"read": [BOB]})
    old = owner.delete(f"{LISTS[kind]}/old").data

    deleted = owner.delete(f"{LISTS[kind]}?in_id=x,y,old")
    nothing = owner.delete(f"{LISTS[kind]}?in_id=x,y,old&_since=0")

    assert deleted.status == 200
    assert sorted(each["id"] for each in deleted.data) == ["x", "y"]
    assert all(each.keys() == {"id", "last_modified", "deleted"} for each in deleted.data)
    assert deleted.etag == max(each["last_modified"] for each in deleted.data) > old["last_modified"]
    assert (nothing.status, nothing.json, nothing.etag) == (200, {"data": []}, deleted.etag)
    tombstones = owner.get(f"{LISTS[kind]}?_since=0&deleted=true").data
    assert sorted(tombstones, key=lambda each: each["id"]) == sorted([*deleted.data, old], key=lambda each: each["id"])
    assert owner.as_("bob").get(f"{LISTS[kind]}/x").status == 403


@pytest.mark.parametrize(
    ("query", "left"),
    [
        pytest.param("n=1", {"b", "c", "d"}, id="C-OBJ-50 a filter"),
        pytest.param("min_n=2&n=3", {"a", "b", "d"}, id="C-OBJ-50 filters"),
        pytest.param("_limit=2", {"a", "b"}, id="C-OBJ-50 the newest"),
        pytest.param("_sort=n&_limit=3", {"d"}, id="C-OBJ-50 the first of a sort"),
        pytest.param("_fields=n", set(), id="C-OBJ-50 fields are ignored"),
    ],
)
def test_of_a_list_is_deleted_what_the_query_chooses(owner: Client, query: str, left: set[str]) -> None:
    for number, object_id in enumerate("abcd", 1):
        owner.put(f"{RECORDS}/{object_id}", {"n": number})

    answer = owner.delete(f"{RECORDS}?{query}")

    assert {each["id"] for each in answer.data} == {"a", "b", "c", "d"} - left
    assert {each["id"] for each in owner.get(RECORDS).data} == left
    assert all(each["deleted"] is True for each in answer.data)
    assert ("Next-Page" in answer.headers) == ("_limit" in query)


@pytest.mark.parametrize("sort", ["", "_sort=n&", "_sort=-n&", "_sort=missing,n&", "_sort=last_modified&"])
def test_a_list_is_deleted_page_by_page_under_any_sort(owner: Client, sort: str) -> None:
    """C-OBJ-50, C-OBJ-53, C-OBJ-54: a token works once."""
    for number, object_id in enumerate("abcde"):
        owner.put(f"{RECORDS}/{object_id}", {"n": number % 3})
    pages, path = [], f"{RECORDS}?{sort}_limit=2"

    answer = owner.delete(path)
    pages.append(answer.data)
    while "Next-Page" in answer.headers:
        path = answer.headers["Next-Page"].partition("localhost")[2]
        answer = owner.delete(path)
        pages.append(answer.data)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(each["id"] for page in pages for each in page) == ["a", "b", "c", "d", "e"]
    assert owner.get(RECORDS).data == []
    again = owner.delete(path)
    assert (again.status, again.json["message"]) == (400, "querystring: _token was already used or has expired.")


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
SCHEMAS = {"schema": "collection", "record:schema": "bucket", "collection:schema": "bucket", "group:schema": "bucket"}


@on_sqlite
@pytest.mark.parametrize("schema", [SCHEMA, {}], ids=["a schema", "an empty one"])
def test_a_schema_is_kept_although_objects_are_not_checked(owner: Client, schema: Any) -> None:
    """C-OBJ-66, C-OBJ-68."""
    for name, kind in SCHEMAS.items():
        uri = f"{LISTS[kind]}/x"

        assert owner.put(uri, {name: schema}).status in (200, 201)
        assert owner.patch(uri, {name: schema}).status == 200
        assert owner.get(uri).data[name] == schema


@on_sqlite
@pytest.mark.parametrize(
    "schema",
    [{"type": "washmachine"}, {"properties": {"a": {"minLength": -1}}}, None, "x", []],
    ids=["an unknown type", "deep inside", "null", "a text", "a list"],
)
def test_what_is_no_schema_is_refused_although_objects_are_not_checked(owner: Client, schema: Any) -> None:
    """C-OBJ-66, C-OBJ-68."""
    for name, kind in SCHEMAS.items():
        uri = f"{LISTS[kind]}/x"

        put, posted = owner.put(uri, {name: schema}), owner.post(LISTS[kind], {name: schema})
        owner.put(uri, {})
        patched = owner.patch(uri, {name: schema})

        assert [put.status, posted.status, patched.status] == [400, 400, 400]
        assert [each.json["details"][0]["name"] for each in (put, patched)] == [f"data.{name}", name]


@on_sqlite
@pytest.mark.parametrize(
    ("lifetime", "kept"),
    [(60, 60), ("12", 12), (1.7, 1), (0, 0), (None, None), ("abc", ValueError), ([1], ValueError), ("1.5", ValueError)],
    ids=["integer", "numeric text", "fraction", "zero", "null", "text", "list", "text of a fraction"],
)
def test_the_cache_lifetime_of_a_collection_becomes_an_integer(owner: Client, lifetime: Any, kept: Any) -> None:
    """C-OBJ-67."""
    answer = owner.put(C, {"cache_expires": lifetime})

    if kept is ValueError:
        problem = {"location": "body", "name": "data.cache_expires", "description": f'"{lifetime}" is not a number'}
        assert (answer.status, answer.json["details"]) == (400, [problem])
    else:
        assert others(answer.data) == ({} if kept is None else {"cache_expires": kept})


@on_sqlite
@pytest.mark.parametrize("kind", ["bucket", "collection", "group", "record"])
def test_what_the_admin_page_keeps_in_objects_is_plain_data(owner: Client, kind: str) -> None:
    """C-OBJ-69: a name that has a meaning elsewhere has none here."""
    plain: dict[str, Any] = {"displayFields": 1, "sort": ["-a"], "attachment": None, "uiSchema": "x", "Schema": None}
    plain |= {} if kind == "collection" else {"schema": "none", "cache_expires": "abc"}
    plain |= {} if kind == "bucket" else {"record:schema": "none"}
    plain |= {} if kind == "group" else {"members": "none"}

    answer = owner.put(f"{LISTS[kind]}/x", plain)

    assert answer.status == 201
    assert others(answer.data).items() >= plain.items()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("right", ["the collection", "the bucket", "a group", "a setting"])
def test_whoever_writes_an_object_becomes_one_of_its_writers(client_with: ClientMaker, right: str, method: str) -> None:
    """C-OBJ-70: whatever their right came from."""
    owner = client_with({"kinto.record_write_principals": BOB} if right == "a setting" else {})
    owner.put(B, permissions={"write": [BOB]} if right == "the bucket" else None)
    owner.put(C, permissions={"write": [{"the collection": BOB, "a group": f"{B}/groups/g"}.get(right, owner.id)]})
    owner.put(f"{B}/groups/g", {"members": [BOB] if right == "a group" else []})
    owner.put(R, {"a": 1})

    answer = owner.as_("bob").ask(method, R, {"data": {"a": 2}})

    assert answer.status == 200
    assert set(answer.json["permissions"]["write"]) == {BOB, owner.id}
    assert owner.get(R).json["permissions"] == answer.json["permissions"]


def test_a_writer_without_credentials_makes_everyone_a_writer(client_with: ClientMaker) -> None:
    """C-OBJ-71."""
    owner = client_with({"kinto.bucket_create_principals": "system.Everyone"})
    nobody = owner.as_(None)
    owner.put(B, permissions={"write": ["system.Everyone"]})
    owner.put(C)
    owner.put(R)

    created = [nobody.put("/buckets/open"), nobody.post("/buckets"), nobody.put(f"{RECORDS}/s")]
    updated = [nobody.put(R, {"a": 1}), nobody.patch(C, {"a": 1})]

    assert {answer.status for answer in created} == {201}
    assert all(answer.json["permissions"] == {"write": ["system.Everyone"]} for answer in created)
    assert {answer.status for answer in updated} == {200}
    assert all("system.Everyone" in answer.json["permissions"]["write"] for answer in updated)


def test_nobody_becomes_a_writer_when_permissions_are_not_explicit(client_with: ClientMaker) -> None:
    """C-OBJ-72."""
    client = client_with({"kinto.explicit_permissions": "false"})

    lost = client.put("/buckets/lost")
    client.put(B, permissions={"write": [BOB]})
    bob = client.as_("bob")

    assert (lost.status, lost.json["permissions"]) == (201, {})
    assert client.get("/buckets/lost").status == 403
    assert client.get(B).status == 403
    assert bob.put(B, {"a": 1}).json["permissions"] == {"write": [BOB]}
    assert bob.put(C).json["permissions"] == {}
    assert bob.post(RECORDS).json["permissions"] == {}
    assert bob.put(R).json["permissions"] == {}
    assert bob.patch(R, {"a": 1}).json["permissions"] == {}


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "merge", "JSON patch"])
def test_permissions_inside_the_data_are_dropped(owner: Client, method: str) -> None:
    """C-OBJ-73."""
    smuggled = {"__permissions__": {"write": [BOB], "nope": [BOB]}, "a": 1}
    if method != "POST":
        owner.put(R)
    body: Any = {"data": {"id": "r", **smuggled} if method == "POST" else smuggled}
    if method == "JSON patch":
        body = [{"op": "add", "path": f"/data/{name}", "value": value} for name, value in smuggled.items()]
    media_type = {"merge": "application/merge-patch+json", "JSON patch": "application/json-patch+json"}

    answer = owner.ask(
        {"merge": "PATCH", "JSON patch": "PATCH"}.get(method, method),
        RECORDS if method == "POST" else R,
        raw=json.dumps(body).encode(),
        headers={"Content-Type": media_type.get(method, "application/json")},
    )

    assert answer.status in (200, 201)
    assert (others(answer.data), answer.json["permissions"]) == ({"a": 1}, {"write": [owner.id]})
    assert owner.get(R).json == answer.json
    assert owner.as_("bob").get(R).status == 403


@pytest.mark.parametrize("wish", ["x", 1.5, None, True, [], {}], ids=repr)
@on_sqlite
def test_a_timestamp_that_is_no_integer_is_dropped(owner: Client, wish: Any) -> None:
    """C-OBJ-75."""
    started = int(time.time() * 1000)

    answers = [
        owner.put(R, {"last_modified": wish}),
        owner.put(R, {"last_modified": wish}),
        owner.patch(R, {"last_modified": wish}),
        owner.post(RECORDS, {"last_modified": wish}),
    ]

    assert [answer.status for answer in answers] == [201, 200, 200, 201]
    assert all(answer.data["last_modified"] == answer.etag >= started for answer in answers)
