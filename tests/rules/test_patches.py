"""Patches: what the three forms make of data and permissions, what they refuse, and what a short answer shows."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Invalid, Problem
from app.parsing import patches
from app.parsing.patches import JsonPatch, Patch, merge_recursive, parse_json_patch, parse_merge, parse_shallow
from backends import Json
from tests.support.examples import examples

NAMES = ("read", "write")
ALICE, BOB, CAROL = "basicauth:alice", "basicauth:bob", "basicauth:carol"
GROUP = "/buckets/b/groups/g"
PERMISSIONS = {"read": frozenset({BOB}), "write": frozenset({ALICE})}
UNTOUCHED = {"read": {BOB}, "write": {ALICE}}


def json_patch(*operations: Any) -> JsonPatch:
    patch = parse_json_patch(list(operations), NAMES)
    assert isinstance(patch, JsonPatch)
    return patch


def after(patch: Patch | tuple[Problem, ...], data: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(patch, Patch)
    return patch.apply(data, PERMISSIONS)[0]


def granted(patch: Patch | tuple[Problem, ...]) -> dict[str, set[str]]:
    assert isinstance(patch, Patch)
    return {name: set(principals) for name, principals in patch.apply({}, PERMISSIONS)[1].items()}


def refusal(*operations: Any, data: dict[str, Any] | None = None) -> Problem:
    with pytest.raises(Invalid) as caught:
        json_patch(*operations).apply(data or {"a": 1}, PERMISSIONS)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("parse", [parse_shallow, parse_merge], ids=["plain", "merge"])
def test_a_patch_is_refused_when_it_gives_nothing(parse: Any) -> None:
    """C-OBJ-24."""
    with pytest.raises(Invalid) as refused:
        parse({}).apply({"a": 1}, PERMISSIONS)

    assert refused.value.problems == [Problem("body", "data", "Provide at least one of data or permissions")]


@pytest.mark.parametrize("body", [{"data": {}}, {"permissions": {}}], ids=["no members", "no lists"])
@pytest.mark.parametrize("parse", [parse_shallow, parse_merge], ids=["plain", "merge"])
def test_a_patch_changes_nothing_when_it_names_nothing(parse: Any, body: dict[str, Any]) -> None:
    """C-OBJ-24."""
    assert parse(body).apply({"a": 1}, PERMISSIONS) == ({"a": 1}, PERMISSIONS)


def test_a_plain_patch_replaces_members_one_level_deep() -> None:
    """C-OBJ-22."""
    patch = parse_shallow({"data": {"o": {"y": 2}, "n": None}})

    assert after(patch, {"a": 1, "o": {"x": 1}}) == {"a": 1, "o": {"y": 2}, "n": None}


def test_a_plain_patch_replaces_the_lists_it_gives() -> None:
    """C-OBJ-23."""
    assert granted(parse_shallow({"permissions": {"read": [CAROL, CAROL]}})) == {"read": {CAROL}, "write": {ALICE}}
    assert granted(parse_shallow({"permissions": {"read": [], "write": None}})) == {"read": set(), "write": {ALICE}}


# RFC 7396, appendix A, those whose patch or target a member of `data` can be.
MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), MERGES)
def test_a_merge_does_what_its_rfc_prints(target: Any, patch: Any, result: Any) -> None:
    """C-OBJ-27."""
    before = copy.deepcopy(target)

    assert merge_recursive(target, patch) == result
    assert target == before


@pytest.mark.parametrize("scalar", [1, "x", [1], None], ids=["a number", "a text", "a list", "null"])
def test_a_merge_replaces_what_is_no_mapping(scalar: Any) -> None:
    """C-OBJ-30."""
    assert after(parse_merge({"data": {"a": {"b": 1, "c": None}}}), {"a": scalar}) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"read": None}, {"read": set(), "write": {ALICE}}),
        ({"read": []}, {"read": set(), "write": {ALICE}}),
        ({"read": [CAROL]}, {"read": {CAROL}, "write": {ALICE}}),
    ],
    ids=["null clears", "an empty list clears", "a list replaces"],
)
def test_a_merge_changes_the_lists_it_names(lists: dict[str, Any], expected: dict[str, Any]) -> None:
    """C-OBJ-28."""
    assert granted(parse_merge({"permissions": lists})) == expected


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/data/b", "value": 2}, {"a": 1, "l": [1], "b": 2}),
        ({"op": "add", "path": "/data/l/-", "value": 2}, {"a": 1, "l": [1, 2]}),
        ({"op": "remove", "path": "/data/a"}, {"l": [1]}),
        ({"op": "replace", "path": "/data/a", "value": None}, {"a": None, "l": [1]}),
        ({"op": "move", "from": "/data/a", "path": "/data/c"}, {"c": 1, "l": [1]}),
        ({"op": "copy", "from": "/data/l", "path": "/data/m"}, {"a": 1, "l": [1], "m": [1]}),
        ({"op": "test", "path": "/data/a", "value": 1}, {"a": 1, "l": [1]}),
        ({"op": "replace", "path": "/data", "value": {"z": 0}}, {"z": 0}),
        ({"op": "add", "path": "/data/x~1y~0z", "value": 0}, {"a": 1, "l": [1], "x/y~z": 0}),
    ],
    ids=["add", "append", "remove", "replace", "move", "copy", "test", "replace all", "escaped names"],
)
def test_a_json_patch_operates_on_data(operation: dict[str, Any], result: dict[str, Any]) -> None:
    """C-OBJ-31."""
    assert after(json_patch(operation), {"a": 1, "l": [1]}) == result


def test_a_json_patch_changes_nothing_when_it_is_empty() -> None:
    """C-OBJ-31: an empty list is a touch."""
    assert json_patch().apply({"a": 1}, PERMISSIONS) == ({"a": 1}, PERMISSIONS)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": f"/permissions/read/{CAROL}"}, {"read": {BOB, CAROL}, "write": {ALICE}}),
        ({"op": "add", "path": f"/permissions/read/{CAROL}", "value": 7}, {"read": {BOB, CAROL}, "write": {ALICE}}),
        ({"op": "add", "path": f"/permissions/read/{BOB}"}, UNTOUCHED),
        ({"op": "add", "path": "/permissions/write/~1buckets~1b~1groups~1g"}, {"read": {BOB}, "write": {ALICE, GROUP}}),
        ({"op": "remove", "path": f"/permissions/read/{BOB}"}, {"read": set(), "write": {ALICE}}),
        ({"op": "remove", "path": "/permissions/read"}, {"read": set(), "write": {ALICE}}),
        ({"op": "replace", "path": "/permissions/read", "value": {CAROL: 1}}, {"read": {CAROL}, "write": {ALICE}}),
        ({"op": "add", "path": "/permissions/read", "value": {}}, {"read": set(), "write": {ALICE}}),
        ({"op": "replace", "path": "/permissions", "value": {"read": {CAROL: 1}}}, {"read": {CAROL}, "write": {ALICE}}),
        ({"op": "test", "path": f"/permissions/read/{BOB}"}, UNTOUCHED),
        (
            {"op": "move", "from": f"/permissions/read/{BOB}", "path": f"/permissions/write/{BOB}"},
            {"read": set(), "write": {ALICE, BOB}},
        ),
    ],
    ids=[
        "add without a value",
        "add with a value",
        "add what is there",
        "add a group",
        "remove",
        "remove a list",
        "replace a list",
        "empty a list",
        "replace the lists that are named",
        "test",
        "move",
    ],
)
def test_a_json_patch_operates_on_sets_of_principals(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    """C-OBJ-32."""
    assert granted(json_patch(operation)) == expected


def test_a_json_patch_leaves_permissions_that_it_does_not_name() -> None:
    """C-OBJ-38."""
    assert granted(json_patch({"op": "add", "path": "/data/b", "value": 2})) == UNTOUCHED


def test_a_json_patch_finds_what_it_put_in_before() -> None:
    patch = json_patch(
        {"op": "replace", "path": "/permissions/read", "value": {CAROL: "x"}},
        {"op": "test", "path": f"/permissions/read/{CAROL}"},
        {"op": "remove", "path": f"/permissions/read/{CAROL}"},
    )

    assert granted(patch)["read"] == set()


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": 2},
        {"op": "test", "path": "/data/a", "value": True},
        {"op": "test", "path": "/data/none", "value": 1},
        {"op": "add", "path": "/data/b"},
        {"op": "add", "path": "/data/a/b/c", "value": 1},
        {"op": "add", "path": "/data/~2", "value": 1},
        {"op": "move", "path": "/data/b"},
        {"op": "move", "from": "/data", "path": "/data/b"},
        {"op": "copy", "from": "/data/none", "path": "/data/b"},
        {"op": "remove", "path": "/data/none"},
        {"op": "remove", "path": f"/permissions/read/{CAROL}"},
        {"op": "test", "path": f"/permissions/read/{CAROL}"},
        {"op": "add", "path": f"/permissions/read/{BOB}/x", "value": 1},
        {"op": "add", "path": "/other", "value": 1},
        {"op": "add", "path": "/", "value": 1},
        {"op": "copy", "from": "/other", "path": "/data/b"},
        {"op": "remove", "path": "/data"},
        {"op": "replace", "path": "/data", "value": [1]},
        {"op": "remove", "path": "/permissions"},
    ],
    ids=[
        "another value",
        "true is not one",
        "a test of what is missing",
        "add without a value",
        "add into a number",
        "a bad escape",
        "move without a source",
        "move into itself",
        "copy what is missing",
        "remove what is missing",
        "remove a principal that is missing",
        "test a principal that is missing",
        "add below a principal",
        "outside data and permissions (C-OBJ-35)",
        "the empty name at the top (C-OBJ-35)",
        "from outside (C-OBJ-35)",
        "remove the data (C-OBJ-37)",
        "data that is no mapping (C-OBJ-37)",
        "remove all permissions",
    ],
)
def test_a_json_patch_is_refused_when_an_operation_fails(operation: dict[str, Any]) -> None:
    """C-OBJ-33."""
    problem = refusal(operation)

    assert (problem.location, problem.name) == ("body", None)
    assert problem.description.startswith("JSON Patch operation failed: ")


def test_a_failed_test_tells_both_values() -> None:
    """C-OBJ-33, OBJ-14."""
    assert refusal({"op": "test", "path": "/data/a", "value": 2}).description == (
        "JSON Patch operation failed: 1 (<class 'int'>) is not equal to tested value 2 (<class 'int'>)"
    )


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": f"/permissions/admin/{BOB}"},
        {"op": "add", "path": "/permissions/admin", "value": {}},
        {"op": "replace", "path": "/permissions", "value": {"admin": {}}},
    ],
    ids=["a principal", "a list", "all lists"],
)
def test_a_json_patch_is_refused_when_it_names_an_unknown_permission(operation: dict[str, Any]) -> None:
    """C-OBJ-39, C-ERR-21."""
    assert refusal(operation) == Problem("body", "permissions", '"admin" is not one of read, write')


@pytest.mark.parametrize(
    ("principal", "description"), [("", "Required"), ("x" * 1025, "Longer than 1024 bytes")], ids=["empty", "long"]
)
def test_a_json_patch_is_refused_when_it_adds_what_is_no_principal(principal: str, description: str) -> None:
    """C-PERM-30."""
    problem = refusal({"op": "add", "path": f"/permissions/read/{principal}"})

    assert problem == Problem("body", "permissions.read.1", description)


def test_a_json_patch_is_refused_when_a_list_becomes_something_else() -> None:
    problem = refusal({"op": "replace", "path": "/permissions/read", "value": "x"})

    assert (problem.name, problem.description.split(":")[0]) == ("permissions.read", '"x" is not iterable')


@pytest.mark.parametrize(
    ("operation", "name", "description"),
    [
        ({"op": "mix", "path": "/data"}, "0.op", '"mix" is not one of test, add, remove, replace, move, copy'),
        ({"path": "/data"}, "0.op", "Required"),
        ({"op": "add"}, "0.path", "Required"),
        ({"op": "add", "path": ""}, "0.path", "Required"),
        ({"op": "add", "path": "data"}, "0.path", "String does not match expected pattern"),
        ({"op": "add", "path": 1}, "0.path", "1 is not a string: {'path': ''}"),
        ({"op": 1, "path": "/data"}, "0.op", "1 is not a string: {'op': ''}"),
        ({"op": "move", "path": "/data/a", "from": "b"}, "0.from", "String does not match expected pattern"),
        ({"op": "add", "path": "/data/a", "x": 1}, "0", "Unrecognized keys in mapping: \"{'x': 1}\""),
        (1, "0", '"1" is not a mapping type: Does not implement dict-like functionality.'),
    ],
    ids=[
        "unknown operation",
        "no operation",
        "no path",
        "empty path",
        "path without slash",
        "path that is no text",
        "an operator that is no text",
        "source without slash",
        "unknown member",
        "no mapping",
    ],
)
def test_a_json_patch_is_refused_when_an_operation_is_malformed(operation: Any, name: str, description: str) -> None:
    """C-OBJ-34."""
    assert parse_json_patch([operation], NAMES) == (Problem("body", name, description),)


def test_a_json_patch_is_refused_when_it_is_no_list() -> None:
    """Core contract, 3.5."""
    assert parse_json_patch({}, NAMES) == (Problem("body", "", '"{}" is not iterable'),)


def test_a_json_patch_is_refused_when_its_copies_would_fill_the_memory() -> None:
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/{index}"} for index in range(60)]

    assert (
        refusal(*doubling, data={"a": "x" * 100_000}).description == "JSON Patch operation failed: too much is copied"
    )


def test_a_json_patch_is_refused_when_its_result_is_nested_too_deeply() -> None:
    deeper = [{"op": "add", "path": "/data" + "/x" * depth, "value": {}} for depth in range(1, 110)]

    assert refusal(*deeper).description == "JSON Patch operation failed: /data is nested more than 100 levels deep"
    assert refusal(
        *[{"op": "add", "path": "/data" + "/x" * depth, "value": {}} for depth in range(1, 1500)],
        {"op": "copy", "from": "/data/x", "path": "/data/y"},
    ).description.startswith("JSON Patch operation failed: ")


def test_a_json_patch_does_the_same_when_it_is_applied_again() -> None:
    """A write that has to start again applies its patch again."""
    patch = json_patch(
        {"op": "add", "path": "/data/o", "value": {}},
        {"op": "add", "path": "/data/o/l", "value": []},
        {"op": "add", "path": "/data/o/l/-", "value": 1},
    )
    data = {"a": {"b": [1]}}

    first = patch.apply(data, PERMISSIONS)

    assert patch.apply(data, PERMISSIONS) == first
    assert data == {"a": {"b": [1]}}


BEFORE = {"id": "r", "last_modified": 10, "a": 1, "b": 2, "c": 3}


def reply_of(patch: Patch | tuple[Problem, ...], behaviour: str, **changed: Any) -> dict[str, Any]:
    """Return what an answer shows; *changed* is what the server makes different from the patched object."""
    assert isinstance(patch, Patch)
    patched, _ = patch.apply(BEFORE, PERMISSIONS)
    return patch.reply_members(behaviour, BEFORE, patched, patched | {"last_modified": 20} | changed)


def test_a_light_answer_shows_members_that_were_named_and_changed() -> None:
    """C-OBJ-41, OBJ-10."""
    assert reply_of(parse_shallow({"data": {"a": 1, "b": 3}}), "light") == {"b": 3}


def test_a_light_answer_shows_a_change_from_one_to_true() -> None:
    """C-OBJ-41."""
    assert reply_of(parse_shallow({"data": {"a": True}}), "light") == {"a": True}


def test_a_light_answer_leaves_out_what_a_merge_removed() -> None:
    """C-OBJ-44."""
    assert reply_of(parse_merge({"data": {"a": None, "b": 3}}), "light") == {"b": 3}


def test_a_light_answer_is_empty_when_only_permissions_were_given() -> None:
    """C-OBJ-41."""
    assert reply_of(parse_shallow({"permissions": {"read": []}}), "light") == {}


def test_a_light_answer_to_a_json_patch_shows_the_timestamp() -> None:
    """C-OBJ-41: every member of the patched document counts as named."""
    assert reply_of(json_patch({"op": "replace", "path": "/data/b", "value": 3}), "light") == {
        "b": 3,
        "last_modified": 20,
    }


def test_a_diff_answer_is_empty_when_the_server_changed_nothing() -> None:
    """C-OBJ-42, OBJ-11."""
    assert reply_of(parse_shallow({"data": {"a": 1, "b": 3}}), "diff") == {}


def test_a_diff_answer_shows_a_timestamp_that_was_not_accepted() -> None:
    """C-OBJ-42."""
    assert reply_of(parse_shallow({"data": {"b": 3, "last_modified": 5}}), "diff") == {"last_modified": 20}


def test_a_diff_answer_shows_what_the_server_converted() -> None:
    """C-OBJ-42, C-OBJ-67."""
    assert reply_of(parse_shallow({"data": {"cache_expires": "12"}}), "diff", cache_expires=12) == {"cache_expires": 12}


def test_a_diff_answer_to_a_json_patch_shows_the_timestamp() -> None:
    """C-OBJ-42."""
    assert reply_of(json_patch({"op": "replace", "path": "/data/b", "value": 3}), "diff") == {"last_modified": 20}


POINTERS = st.lists(
    st.sampled_from(["data", "permissions", "read", "admin", "a", "l", "0", "-", "01", "x~1y", "~2", "", BOB]),
    max_size=4,
).map(lambda tokens: "".join(f"/{token}" for token in tokens))
VALUES: st.SearchStrategy[Json] = st.sampled_from(
    [None, True, 1, "x", [], [1], {}, {"a": 1}, {BOB: 1}, {"read": {}}, {"read": 1}]
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(patches.OPERATIONS), "path": POINTERS}, optional={"from": POINTERS, "value": VALUES}
)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(OPERATIONS, max_size=4))
def test_a_json_patch_is_done_or_refused_whatever_it_says(operations: list[dict[str, Any]]) -> None:
    """C-OBJ-33: never another error, never half of it."""
    data = {"a": {"a": 1}, "l": [1, 2]}
    patch = parse_json_patch(operations, NAMES)
    if not isinstance(patch, JsonPatch):
        return

    try:
        result, permissions = patch.apply(data, PERMISSIONS)
    except Invalid:
        result, permissions = {}, PERMISSIONS

    assert data == {"a": {"a": 1}, "l": [1, 2]}
    assert isinstance(result, dict)
    assert set(permissions) == set(NAMES)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/permissions/read", "value": [CAROL]}], {"read": {CAROL}, "write": {ALICE}}),
        (
            [{"op": "replace", "path": "/permissions/read", "value": [CAROL, CAROL]}],
            {"read": {CAROL}, "write": {ALICE}},
        ),
        ([{"op": "add", "path": "/permissions/read", "value": []}], {"read": set(), "write": {ALICE}}),
        ([{"op": "add", "path": "/permissions", "value": {"read": [CAROL]}}], {"read": {CAROL}, "write": {ALICE}}),
        ([{"op": "add", "path": "/permissions", "value": {}}], UNTOUCHED),
        ([{"op": "add", "path": "/permissions", "value": None}], UNTOUCHED),
        ([{"op": "replace", "path": "/permissions", "value": []}], UNTOUCHED),
        (
            [
                {"op": "add", "path": "/permissions/read", "value": [CAROL]},
                {"op": "remove", "path": f"/permissions/read/{CAROL}"},
            ],
            {"read": set(), "write": {ALICE}},
        ),
        ([{"op": "move", "from": "/permissions/read", "path": "/permissions/write"}], {"read": set(), "write": {BOB}}),
        ([{"op": "copy", "from": "/data/l", "path": "/permissions/read"}], {"read": {CAROL}, "write": {ALICE}}),
        ([{"op": "add", "path": "/data/a", "from": None, "value": 1}], UNTOUCHED),
        ([{"op": "add", "path": "/data/a", "from": "", "value": 1}], UNTOUCHED),
    ],
    ids=str,
)
def test_a_json_patch_takes_lists_of_principals(operations: list[Any], expected: dict[str, Any]) -> None:
    """As Kinto 26.5 does: an array or an object, one list or several; a list that is not named stays."""
    permissions = json_patch(*operations).apply({"l": [CAROL]}, PERMISSIONS)[1]

    assert {name: set(principals) for name, principals in permissions.items()} == expected


@pytest.mark.parametrize(
    ("value", "name", "description"),
    [
        ([1], "permissions.read.0", "1 is not a string: {'': ''}"),
        ([CAROL, 0], "permissions.read.1", "Required"),
        ([None], "permissions.read.0", "Required"),
        ([["x"]], "permissions.read.0", "['x'] is not a string: {'': ''}"),
        ("x", "permissions.read", '"x" is not iterable'),
        (7, "permissions.read", '"7" is not iterable'),
        (None, "permissions.read", '"None" is not iterable'),
        (True, "permissions.read", '"True" is not iterable'),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/permissions/read", "/permissions"])
def test_a_json_patch_refuses_what_is_no_list_of_principals(value: Any, name: str, description: str, path: str) -> None:
    value = {"read": value} if path == "/permissions" else value

    assert refusal({"op": "add", "path": path, "value": value}) == Problem("body", name, description)


@pytest.mark.parametrize(
    "source", ["/data/l/-", "/data/l/2", "/data/l/01", "/data/l/x", "/data/l/-1", "/data/s/0", "/data/n/x"]
)
@pytest.mark.parametrize("operator", ["copy", "move"])
def test_a_json_patch_is_refused_when_its_source_is_no_value(source: str, operator: str) -> None:
    problem = refusal({"op": operator, "from": source, "path": "/data/b"}, data={"l": [1, 2], "s": "text", "n": None})

    assert problem.description.startswith("JSON Patch operation failed: ")


def test_copies_are_bounded_by_the_size_of_object_and_patch() -> None:
    patch = json_patch(*[{"op": "copy", "from": "/data", "path": f"/data/{number}"} for number in range(20)])

    with pytest.raises(Invalid, match="too much is copied"):
        patch.apply({"a": "x" * 1000}, PERMISSIONS)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/data/l/0", "value": 1},
        {"op": "remove", "path": "/data/l/0"},
        {"op": "move", "from": "/data/l/0", "path": "/data/l/-"},
        {"op": "move", "from": "/data/l/999", "path": "/data/l/0"},
        {"op": "copy", "from": "/data/n", "path": "/data/l/0"},
    ],
    ids=lambda operation: f"{operation['op']} {operation.get('from', '')}",
)
def test_shifts_in_arrays_are_bounded_by_the_size_of_object_and_patch(
    monkeypatch: pytest.MonkeyPatch, operation: Any
) -> None:
    """Each of n operations would move all of n elements."""
    monkeypatch.setattr(patches, "MAX_SHIFTED_FACTOR", 5)
    data = {"l": [0] * 2000, "n": 1}

    with pytest.raises(Invalid, match="too many elements of arrays are shifted"):
        json_patch(*[operation] * 500).apply(data, PERMISSIONS)
    json_patch(*[operation] * 5).apply(data, PERMISSIONS)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/data/l/-", "value": 1},
        {"op": "replace", "path": "/data/l/0", "value": 1},
        {"op": "test", "path": "/data/l/0", "value": 0},
        {"op": "copy", "from": "/data/l/0", "path": "/data/l/-"},
        {"op": "add", "path": "/data/o/0", "value": 1},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path']}",
)
def test_operations_that_shift_nothing_are_not_bounded(monkeypatch: pytest.MonkeyPatch, operation: Any) -> None:
    monkeypatch.setattr(patches, "MAX_SHIFTED_FACTOR", 5)
    data = {"l": [0] * 2000, "o": {}}

    assert len(after(json_patch(*[operation] * 500), data)["l"]) in (2000, 2500)
