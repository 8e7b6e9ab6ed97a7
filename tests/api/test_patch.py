"""PATCH in its three forms, and how short its answer may be (sections 4.7 to 4.10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, user_id

BOB, CAROL, DAVE = user_id("bob"), user_id("carol"), user_id("dave")
B, C = "/buckets/b", "/buckets/b/collections/c"
R = f"{C}/records/r"
PLAIN, MERGE, PATCH = "application/json", "application/merge-patch+json", "application/json-patch+json"
DATA = {"a": 1, "o": {"x": 1, "y": {"z": 1}}, "l": [1, 2], "n": None}


@pytest.fixture
def owner(client_with: ClientMaker) -> Client:
    """Return alice's client; she owns record r, which bob may read and dave may write."""
    client = client_with()
    for uri in (B, C):
        client.put(uri)
    client.put(R, DATA, {"read": [BOB], "write": [DAVE]})
    return client


def patch(client: Client, body: Any, media_type: str = PLAIN, uri: str = R, **headers: str) -> Answer:
    return client.ask("PATCH", uri, body, {"Content-Type": media_type, **headers})


def others(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that clients choose."""
    return {name: value for name, value in data.items() if name not in ("id", "last_modified")}


def lists(answer: Answer) -> dict[str, set[str]]:
    return {name: set(principals) for name, principals in answer.json["permissions"].items()}


def op(operation: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": operation, "path": path, **{name.rstrip("_"): value for name, value in more.items()}}


CHANGES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "C-OBJ-22 a member of its own": (PLAIN, {"b": 2}, {**DATA, "b": 2}),
    "C-OBJ-22 a member in place of another": (PLAIN, {"a": [3]}, {**DATA, "a": [3]}),
    "C-OBJ-22 an object is not merged": (PLAIN, {"o": {"w": 0}}, {**DATA, "o": {"w": 0}}),
    "C-OBJ-22 null is kept": (PLAIN, {"a": None}, {**DATA, "a": None}),
    "C-OBJ-24 no member": (PLAIN, {}, DATA),
    "C-OBJ-27 objects are merged": (MERGE, {"o": {"y": {"w": 2}}}, {**DATA, "o": {"x": 1, "y": {"z": 1, "w": 2}}}),
    "C-OBJ-27 null removes": (MERGE, {"a": None, "o": {"y": None}}, {"o": {"x": 1}, "l": [1, 2], "n": None}),
    "C-OBJ-27 lists are replaced": (MERGE, {"l": [3]}, {**DATA, "l": [3]}),
    "C-OBJ-27 nulls in a new object": (MERGE, {"w": {"v": None}}, {**DATA, "w": {}}),
    "C-OBJ-27 no member": (MERGE, {}, DATA),
    "C-OBJ-30 an object onto a scalar": (MERGE, {"a": {"x": 1, "y": None}}, {**DATA, "a": {"x": 1}}),
    "C-OBJ-30 an object onto a list": (MERGE, {"l": {"x": 1}}, {**DATA, "l": {"x": 1}}),
    "C-OBJ-30 an object onto null": (MERGE, {"n": {"x": {"y": 1}}}, {**DATA, "n": {"x": {"y": 1}}}),
    "C-OBJ-29 a merge with parameters": (f"{MERGE}; charset=utf-8", {"a": None}, {k: DATA[k] for k in "oln"}),
}


@on_sqlite
@pytest.mark.parametrize(("media_type", "data", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_a_patch_changes_the_members_that_it_names(
    owner: Client, media_type: str, data: Any, expected: Mapping[str, Any]
) -> None:
    before = owner.get(R)

    answer = patch(owner, {"data": data}, media_type)

    assert answer.status == 200
    assert others(answer.data) == expected
    assert answer.etag == answer.data["last_modified"] > before.etag
    assert lists(answer) == {"read": {BOB}, "write": {owner.id, DAVE}}
    assert owner.get(R).json == answer.json


OPERATIONS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "C-OBJ-31 add": ([op("add", "/data/b", value={"c": 1})], {**DATA, "b": {"c": 1}}),
    "C-OBJ-31 add to a list": (
        [op("add", "/data/l/1", value=9), op("add", "/data/l/-", value=8)],
        {**DATA, "l": [1, 9, 2, 8]},
    ),
    "C-OBJ-31 remove": ([op("remove", "/data/o/y"), op("remove", "/data/a")], {"o": {"x": 1}, "l": [1, 2], "n": None}),
    "C-OBJ-31 replace": ([op("replace", "/data/a", value=None)], {**DATA, "a": None}),
    "C-OBJ-31 move": ([op("move", "/data/b", from_="/data/o/x")], {**DATA, "b": 1, "o": {"y": {"z": 1}}}),
    "C-OBJ-31 copy": ([op("copy", "/data/b", from_="/data/o")], {**DATA, "b": DATA["o"]}),
    "C-OBJ-31 test": ([op("test", "/data/l", value=[1, 2]), op("add", "/data/a", value=2)], {**DATA, "a": 2}),
    "C-OBJ-31 escapes": ([op("add", "/data/x~1y~0z", value=1)], {**DATA, "x/y~z": 1}),
    "C-OBJ-31 all data": ([op("replace", "/data", value={"only": 1})], {"only": 1}),
    "C-OBJ-31 nothing": ([], DATA),
}


@on_sqlite
@pytest.mark.parametrize(("operations", "expected"), OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_json_patch_does_its_operations_in_order(
    owner: Client, operations: list[Any], expected: Mapping[str, Any]
) -> None:
    before = owner.get(R)

    answer = patch(owner, operations, PATCH)

    assert answer.status == 200
    assert others(answer.data) == expected
    assert answer.data["id"] == "r"
    assert answer.etag > before.etag
    assert owner.get(R).json == answer.json


GROUP = "/buckets/b/groups/g"
PERMISSIONS: dict[str, tuple[str, Any, Mapping[str, set[str]]]] = {
    "C-OBJ-23 a list replaces its list": (PLAIN, {"read": [CAROL]}, {"read": {CAROL}, "write": {DAVE}}),
    "C-OBJ-23 an empty list empties": (PLAIN, {"read": []}, {"write": {DAVE}}),
    "C-OBJ-23 null stays": (PLAIN, {"read": None, "write": [CAROL]}, {"read": {BOB}, "write": {CAROL}}),
    "C-OBJ-24 no list": (PLAIN, {}, {"read": {BOB}, "write": {DAVE}}),
    "C-OBJ-28 null clears": (MERGE, {"read": None}, {"write": {DAVE}}),
    "C-OBJ-28 an empty list clears": (MERGE, {"write": []}, {"read": {BOB}}),
    "C-OBJ-28 a list replaces": (MERGE, {"read": [CAROL]}, {"read": {CAROL}, "write": {DAVE}}),
    "C-OBJ-32 one is added": (
        PATCH,
        [op("add", f"/permissions/read/{CAROL}")],
        {"read": {BOB, CAROL}, "write": {DAVE}},
    ),
    "C-OBJ-32 a value is ignored": (
        PATCH,
        [op("add", f"/permissions/read/{CAROL}", value="x")],
        {"read": {BOB, CAROL}, "write": {DAVE}},
    ),
    "C-OBJ-32 one is removed": (PATCH, [op("remove", f"/permissions/read/{BOB}")], {"write": {DAVE}}),
    "C-OBJ-32 a group": (
        PATCH,
        [op("add", "/permissions/write/" + GROUP.replace("/", "~1"))],
        {"read": {BOB}, "write": {DAVE, GROUP}},
    ),
    "C-OBJ-32 a whole list": (
        PATCH,
        [op("replace", "/permissions/read", value={CAROL: 1})],
        {"read": {CAROL}, "write": {DAVE}},
    ),
    "C-OBJ-32 an emptied list": (PATCH, [op("add", "/permissions/read", value={})], {"write": {DAVE}}),
    "C-OBJ-32 a removed list": (PATCH, [op("remove", "/permissions/read")], {"write": {DAVE}}),
}


@pytest.mark.parametrize("who", ["dave", "alice"], ids=["dave sees them", "alice does not"])
@pytest.mark.parametrize(("media_type", "change", "expected"), PERMISSIONS.values(), ids=PERMISSIONS.keys())
@on_sqlite
def test_a_patch_changes_the_permissions_that_it_names_and_no_others(
    owner: Client, who: str, media_type: str, change: Any, expected: Mapping[str, set[str]]
) -> None:
    """C-OBJ-38: also by somebody who may write, by what the bucket says, and may not see them."""
    owner.put(R, permissions={"read": [BOB], "write": [DAVE]})
    owner.as_("dave").patch(R, permissions={"write": [DAVE]})
    client = owner.as_(who)

    answer = patch(client, change if media_type == PATCH else {"permissions": change}, media_type)

    assert answer.status == 200
    assert lists(answer) == {**expected, "write": expected.get("write", set()) | {client.id}}
    assert client.get(R).json == answer.json
    assert others(answer.data) == DATA


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        pytest.param(MERGE, {"data": {"a": 2}}, id="C-OBJ-28 a merge patch of data"),
        pytest.param(PATCH, [op("replace", "/data/a", value=2)], id="C-OBJ-38 a JSON patch of data"),
        pytest.param(PATCH, [op("add", f"/permissions/read/{CAROL}")], id="C-OBJ-38 a JSON patch of a permission"),
    ],
)
def test_permissions_that_the_writer_may_not_see_stay(owner: Client, media_type: str, body: Any) -> None:
    owner.patch(B, permissions={"write": [user_id("eve")]})

    answer = patch(owner.as_("eve"), body, media_type)

    added = {CAROL} if media_type == PATCH and "permissions" in json.dumps(body) else set()
    assert lists(answer) == {"read": {BOB} | added, "write": {owner.id, DAVE, user_id("eve")}}
    assert owner.as_("bob").get(R).status == 200


NOTHING = ("data", "Provide at least one of data or permissions")
UNKNOWN = ("permissions", '"admin" is not one of read, write')
REFUSED: dict[str, tuple[str, Any, tuple[str | None, str]]] = {
    "C-OBJ-24 nothing": (PLAIN, {}, NOTHING),
    "C-OBJ-24 nothing to merge": (MERGE, {}, NOTHING),
    "C-OBJ-26 another id": (PLAIN, {"data": {"id": "s"}}, ("id", "Object id does not match existing object")),
    "C-OBJ-26 another id merged": (MERGE, {"data": {"id": "s"}}, ("id", "Object id does not match existing object")),
    "C-OBJ-26 another id by operation": (
        PATCH,
        [op("replace", "/data/id", value="s")],
        ("id", "Object id does not match existing object"),
    ),
    "C-OBJ-33 remove what is not there": (PATCH, [op("remove", "/data/zz")], (None, "JSON Patch operation failed: ")),
    "C-OBJ-33 a test that fails": (
        PATCH,
        [op("add", "/data/a", value=7), op("test", "/data/a", value=8)],
        (None, "JSON Patch operation failed: "),
    ),
    "C-OBJ-33 remove who is not in the list": (
        PATCH,
        [op("remove", f"/permissions/read/{CAROL}")],
        (None, "JSON Patch operation failed: "),
    ),
    "C-OBJ-34 no list": (PATCH, {"data": {"a": 2}}, ("", "\"{'data': {'a': 2}}\" is not iterable")),
    "C-OBJ-34 an unknown operation": (
        PATCH,
        [op("mix", "/data/a")],
        ("0.op", '"mix" is not one of test, add, remove, replace, move, copy'),
    ),
    "C-OBJ-34 a path without slash": (
        PATCH,
        [op("add", "/data/a", value=1), op("add", "data/a", value=1)],
        ("1.path", "String does not match expected pattern"),
    ),
    "C-OBJ-34 no path": (PATCH, [{"op": "remove"}], ("0.path", "Required")),
    "C-OBJ-34 an unknown member": (PATCH, [op("remove", "/data/a", x=1)], ("0", "Unrecognized keys in mapping: ")),
    "C-OBJ-35 another path": (PATCH, [op("add", "/x", value=1)], (None, "JSON Patch operation failed: ")),
    "C-OBJ-35 from another path": (PATCH, [op("copy", "/data/a", from_="/x")], (None, "JSON Patch operation failed: ")),
    "C-OBJ-37 remove the data": (PATCH, [op("remove", "/data")], (None, "JSON Patch operation failed: ")),
    "C-OBJ-37 a list as data": (PATCH, [op("replace", "/data", value=[1])], (None, "JSON Patch operation failed: ")),
    "C-OBJ-37 null as data": (PATCH, [op("add", "/data", value=None)], (None, "JSON Patch operation failed: ")),
    "C-OBJ-39 an unknown permission": (PATCH, [op("add", f"/permissions/admin/{BOB}", value="x")], UNKNOWN),
    "C-OBJ-39 a list of an unknown permission": (PATCH, [op("add", "/permissions/admin", value={BOB: 1})], UNKNOWN),
}


@on_sqlite
@pytest.mark.parametrize(("media_type", "body", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_a_patch_that_is_refused_changes_nothing(
    owner: Client, media_type: str, body: Any, problem: tuple[str | None, str]
) -> None:
    before, clock = owner.get(R).json, owner.get(f"{C}/records").etag

    answer = patch(owner, body, media_type)

    assert (answer.status, answer.json["errno"], answer.json["error"]) == (400, 107, "Invalid parameters")
    detail = answer.json["details"][0]
    assert (detail["location"], detail["name"]) == ("body", problem[0])
    assert detail["description"].startswith(problem[1])
    assert (owner.get(R).json, owner.get(f"{C}/records").etag) == (before, clock)


@on_sqlite
@pytest.mark.parametrize("parameters", ["; charset=utf-8", ";charset=UTF-8", " ; x=1"])
def test_a_json_patch_with_parameters_is_a_json_patch(owner: Client, parameters: str) -> None:
    """C-OBJ-36."""
    answer = patch(owner, [op("replace", "/data/a", value=2)], f"{PATCH}{parameters}")

    assert (answer.status, answer.data["a"]) == (200, 2)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [(PLAIN, {"data": {}}), (MERGE, {"data": {}}), (PATCH, [])],
    ids=["plain", "merge", "JSON patch"],
)
@pytest.mark.parametrize("uri", ["/buckets/none", f"{B}/groups/none", f"{B}/collections/none", f"{C}/records/none"])
@on_sqlite
def test_what_is_not_there_cannot_be_patched(owner: Client, uri: str, media_type: str, body: Any) -> None:
    """C-OBJ-25."""
    answer = patch(owner, body, media_type, uri)

    assert (answer.status, answer.json["errno"]) == ((403, 121) if uri == "/buckets/none" else (404, 110))
    assert owner.get(uri).status == answer.status


@pytest.mark.parametrize(
    ("uri", "data", "name"),
    [
        (f"{B}/groups/g", {"members": ["system.Everyone"]}, "members.0"),
        (f"{B}/groups/g", {"members": 1}, "members"),
        (C, {"schema": {"type": "x"}}, "schema"),
        (C, {"cache_expires": "x"}, "cache_expires"),
        (B, {"record:schema": None}, "record:schema"),
    ],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.parametrize("media_type", [PLAIN, PATCH], ids=["plain", "JSON patch"])
@on_sqlite
def test_what_a_patch_makes_is_checked_under_names_without_data(
    owner: Client, uri: str, data: Mapping[str, Any], name: str, media_type: str
) -> None:
    """C-OBJ-22, C-OBJ-31."""
    owner.put(f"{B}/groups/g")
    operations = [op("add", f"/data/{member}", value=value) for member, value in data.items()]

    answer = patch(owner, operations if media_type == PATCH else {"data": data}, media_type, uri)

    assert (answer.status, answer.json["details"][0]["name"]) == (400, name)


BEHAVIOURS: dict[str, tuple[str, str, Any, Any]] = {
    "C-OBJ-41 what changed": ("light", PLAIN, {"data": {"a": 1, "b": 3, "l": [2]}}, {"b": 3, "l": [2]}),
    "C-OBJ-41 nothing changed": ("light", PLAIN, {"data": {"a": 1}}, {}),
    "C-OBJ-41 permissions": ("light", PLAIN, {"permissions": {"read": []}}, {}),
    "C-OBJ-41 a merge": ("light", MERGE, {"data": {"o": {"x": 2}}}, {"o": {"x": 2, "y": {"z": 1}}}),
    "C-OBJ-44 a merge that removes": ("light", MERGE, {"data": {"a": None, "b": 1}}, {"b": 1}),
    "C-OBJ-42 what was taken as sent": ("diff", PLAIN, {"data": {"a": 2, "b": 3}}, {}),
    "C-OBJ-42 a timestamp that was not taken": ("diff", PLAIN, {"data": {"last_modified": 1}}, {"last_modified": int}),
    "C-OBJ-41 a JSON patch names all": (
        "light",
        PATCH,
        [op("replace", "/data/a", value=2)],
        {"a": 2, "last_modified": int},
    ),
    "C-OBJ-42 a JSON patch": ("diff", PATCH, [op("replace", "/data/a", value=2)], {"last_modified": int}),
}


@on_sqlite
@pytest.mark.parametrize(("behaviour", "media_type", "body", "expected"), BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
def test_the_answer_is_as_short_as_asked_for(
    owner: Client, behaviour: str, media_type: str, body: Any, expected: Mapping[str, Any]
) -> None:
    answer = patch(owner, body, media_type, **{"Response-Behavior": behaviour})

    stored = owner.get(R)
    filled = {name: stored.etag if value is int else value for name, value in expected.items()}
    assert (answer.status, answer.json) == (200, {"data": filled})
    assert (answer.etag, answer.headers["Last-Modified"]) == (stored.etag, stored.headers["Last-Modified"])


@on_sqlite
@pytest.mark.parametrize("headers", [{}, {"Response-Behavior": "full"}, {"Response-Behavior": ""}], ids=str)
def test_the_answer_is_the_whole_object_by_default(owner: Client, headers: Mapping[str, str]) -> None:
    """C-OBJ-40, and for an empty header C-OBJ-43."""
    answer = patch(owner, {"data": {"b": 2}}, **headers)

    assert answer.json == owner.get(R).json
    assert others(answer.data) == {**DATA, "b": 2}
    assert answer.json.keys() == {"data", "permissions"}


@pytest.mark.parametrize("behaviour", ["Light", "FULL", "none", "light, diff"])
@on_sqlite
def test_a_behaviour_that_nobody_knows_is_refused(owner: Client, behaviour: str) -> None:
    """C-OBJ-43."""
    answer = patch(owner, {"data": {"b": 2}}, **{"Response-Behavior": behaviour})

    assert (answer.status, answer.json["details"][0]["name"]) == (400, "Response-Behavior")
    assert "b" not in owner.get(R).data
