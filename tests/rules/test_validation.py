"""Validation: attributes with a meaning, JSON Schemas as they are stored, and objects against schemas."""

import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Problem
from app.schemas import validation
from app.schemas.attributes import validate_data
from app.schemas.cache import compile_schema
from backends.codec import dumps
from tests.support.examples import examples

INTEGER = {"properties": {"n": {"type": "integer"}}}


def validate(document: Any, schema: Any) -> Problem | None:
    compile_schema(dumps(schema))
    return validation.validate(document, schema)


def check_schema(schema: Any, name: str) -> Problem | None:
    compile_schema(dumps(schema))
    return validation.check_schema(schema, name)


def described(document: Any, schema: Any) -> tuple[Any, str]:
    problem = validate(document, schema)
    assert problem is not None
    assert problem.location == "body"
    return problem.name, problem.description


@pytest.mark.parametrize(
    ("member", "value", "description"),
    [
        ({"type": "integer"}, "1", "'1' is not of type 'integer'"),
        ({"type": ["null", "integer"]}, "1", "'1' is not of type 'null', 'integer'"),
        ({"type": "integer"}, None, "None is not of type 'integer'"),
        ({"enum": ["a", 1]}, True, "True is not one of ['a', 1]"),
        ({"const": {"a": 1}}, 1, "{'a': 1} was expected"),
        ({"pattern": "^a"}, "b", "'b' does not match '^a'"),
        ({"minimum": 2}, 1, "1 is less than the minimum of 2"),
        ({"maximum": 2.5}, 3, "3 is greater than the maximum of 2.5"),
        ({"exclusiveMinimum": 2}, 2, "2 is less than or equal to the minimum of 2"),
        ({"exclusiveMaximum": 2}, 2, "2 is greater than or equal to the maximum of 2"),
        ({"multipleOf": 2}, 1, "1 is not a multiple of 2"),
        ({"minLength": 1}, "", "'' should be non-empty"),
        ({"minLength": 3}, "ab", "'ab' is too short"),
        ({"maxLength": 1}, "ab", "'ab' is too long"),
        ({"minItems": 2}, [1], "[1] is too short"),
        ({"maxItems": 0}, [1], "[1] is expected to be empty"),
        ({"uniqueItems": True}, [1, 1], "[1, 1] has non-unique elements"),
        ({"contains": {"type": "string"}}, [1], "None of [1] are valid under the given schema"),
        ({"items": [{}], "additionalItems": False}, [1, 2], "Additional items are not allowed (2 was unexpected)"),
        ({"minProperties": 2}, {"a": 1}, "{'a': 1} does not have enough properties"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "{'a': 1, 'b': 2} has too many properties"),
        ({"required": ["a"]}, {}, "'a' is a required property"),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}, "'b' is a dependency of 'a'"),
        ({"additionalProperties": False}, {"x": 1}, "Additional properties are not allowed ('x' was unexpected)"),
        (
            {"additionalProperties": False},
            {"x": 1, "a": 2},
            "Additional properties are not allowed ('a', 'x' were unexpected)",
        ),
        (
            {"additionalProperties": False, "patternProperties": {"^a": {}}},
            {"x": 1},
            "'x' does not match any of the regexes: '^a'",
        ),
        ({"anyOf": [{"type": "null"}]}, 1, "1 is not valid under any of the given schemas"),
        ({"oneOf": [{"type": "null"}]}, 1, "1 is not valid under any of the given schemas"),
        ({"oneOf": [{}, {}]}, 1, "1 is valid under more than one of the given schemas"),
        ({"not": {"type": "integer"}}, 1, "1 should not be valid under {'type': 'integer'}"),
        (False, 1, "False schema does not allow 1"),
    ],
)
def test_a_member_is_refused_in_the_words_of_clients(member: Any, value: Any, description: str) -> None:
    """C-SCH-4."""
    assert described({"n": value}, {"properties": {"n": member}}) == ("n", description)


@pytest.mark.parametrize("document", [{}, {"n": 1}, {"n": 1.0}, {"n": 2**70}, {"other": "x"}])
def test_an_object_is_accepted_when_it_fits(document: Any) -> None:
    """C-SCH-3."""
    assert validate(document, INTEGER) is None


def test_a_failure_below_the_top_is_named_by_its_last_step() -> None:
    """C-SCH-4, SCH-02: within a list it is the index, an integer."""
    nested = {"properties": {"o": INTEGER}}
    listed = {"properties": {"l": {"items": {"type": "string"}}}}

    assert described({"o": {"n": "1"}}, nested) == ("n", "'1' is not of type 'integer'")
    assert described({"l": ["a", 1]}, listed) == (1, "1 is not of type 'string'")


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"required": ["x", "y"]}, "y"),
        ({"allOf": [{"required": ["x"]}]}, "x"),
        ({"definitions": {"d": {"required": ["x", "z"]}}, "allOf": [{"$ref": "#/definitions/d"}]}, "z"),
        ({"type": "array"}, "type"),
        ({"enum": [1, 2]}, "enum"),
        ({"anyOf": [{"required": ["x"]}]}, "anyOf"),
        ({"oneOf": [{}, {}]}, "oneOf"),
        ({"not": {}}, "not"),
        ({"const": {"b": 1}}, "const"),
        ({"minProperties": 3}, "minProperties"),
        ({"maxProperties": 0}, "maxProperties"),
        ({"additionalProperties": False}, "additionalProperties"),
        ({"dependencies": {"a": ["b"]}}, "dependencies"),
        ({"propertyNames": {"pattern": "^b"}}, "pattern"),
        ({"if": {"required": ["a"]}, "then": False}, "then"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_failure_at_the_top_is_named_by_what_is_required_or_the_keyword(schema: Any, name: str) -> None:
    """C-SCH-13, SCH-03: of `required` the last, whichever is missing."""
    assert described({"a": 1}, schema)[0] == name


@pytest.mark.parametrize("member", ["id", "last_modified", "schema"])
def test_members_of_the_server_are_not_shown_and_not_required(member: str) -> None:
    """C-SCH-6."""
    closed = {"additionalProperties": False, "required": [member]}

    assert validate({member: 1}, closed) is None
    assert described({"x": 1}, {"required": [member, "t"]}) == ("t", "'t' is a required property")


def test_an_id_is_shown_when_the_schema_declares_it() -> None:
    """C-SCH-6: only `id` can be declared."""
    schema = {"properties": {"id": {"pattern": "^a"}, "schema": False, "last_modified": False}}

    assert validate({"id": "abc", "schema": 1, "last_modified": 2}, schema) is None
    assert described({"id": "b"}, schema) == ("id", "'b' does not match '^a'")


def test_a_draft_4_schema_stays_one_when_nothing_of_required_is_left() -> None:
    """C-SCH-6: draft 4 refuses an empty `required`, but Kinto does not; generators write it."""
    for required in (["id"], []):
        assert validate({}, {"$schema": "http://json-schema.org/draft-04/schema#", "required": required}) is None


@pytest.mark.parametrize(
    ("dialect", "fits"),
    [
        (None, False),
        ("http://example.com/unknown", False),
        ("http://json-schema.org/draft-03/schema#", False),
        ("http://json-schema.org/draft-04/schema#", False),
        ("http://json-schema.org/draft-06/schema#", False),
        ("http://json-schema.org/draft-07/schema", False),
        ("https://json-schema.org/draft/2019-09/schema", True),
        ("https://json-schema.org/draft/2020-12/schema", True),
    ],
)
def test_the_draft_is_that_of_the_schema_and_draft_7_without(dialect: str | None, fits: bool) -> None:
    """C-SCH-11: 2019-09 split `dependencies`; the newest drafts do not apply it as `dependentRequired`."""
    schema: dict[str, Any] = {"dependentRequired": {"a": ["b"]}, "items": {}}
    if dialect:
        schema["$schema"] = dialect

    assert (validate({"a": 1}, schema) is not None) is fits


def test_a_schema_of_draft_7_applies_when_newer_drafts_would_refuse_it() -> None:
    """C-SCH-12."""
    assert validate({"l": ["a"]}, {"properties": {"l": {"items": [{"type": "string"}]}}}) is None
    assert described({"l": [1]}, {"properties": {"l": {"items": [{"type": "string"}]}}})[0] == 0


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "items": [{}]},
        {"propertyNames": {"pattern": "("}},
        {"$ref": "#/definitions/none"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"$id": "http://127.0.0.1:9/a.json", "$ref": "b.json"},
        {"type": "washmachine"},
        "text",
    ],
    ids=[
        "its own draft refuses it (C-SCH-11)",
        "a broken pattern",
        "a reference to nothing (C-SCH-15)",
        "a reference to the network (C-SCH-18)",
        "a reference to a file (C-SCH-18)",
        "a reference beside itself (C-SCH-18)",
        "not a schema",
        "a text",
    ],
)
def test_an_object_is_refused_when_its_schema_cannot_be_used(schema: Any) -> None:
    assert described({"a": "x"}, schema)[0] == "schema"


@pytest.mark.parametrize(
    "schema",
    [
        {"definitions": {"d": INTEGER}, "allOf": [{"$ref": "#/definitions/d"}]},
        {"$id": "http://example.com/s.json", "definitions": {"d": INTEGER}, "$ref": "#/definitions/d"},
        {
            "$id": "http://example.com/s.json",
            "definitions": {"d": INTEGER},
            "allOf": [{"$ref": "s.json#/definitions/d"}],
        },
        {"definitions": {"a b/c": INTEGER}, "$ref": "#/definitions/a%20b~1c"},
        {"definitions": {"d": {"$id": "#here", **INTEGER}}, "allOf": [{"$ref": "#here"}]},
    ],
    ids=["by pointer", "with an identifier", "by its identifier", "escaped", "by anchor"],
)
def test_references_within_the_schema_are_followed(schema: Any) -> None:
    """C-SCH-15."""
    assert validate({"n": 1}, schema) is None
    assert described({"n": "1"}, schema)[0] == "n"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ({"format": "email"}, "nobody"),
        ({"contentMediaType": "application/json"}, "{"),
        ({"contentEncoding": "base64"}, "{"),
    ],
    ids=["format", "media type", "encoding"],
)
def test_formats_are_not_checked(member: Any, value: str) -> None:
    """C-SCH-14."""
    assert validate({"a": value}, {"properties": {"a": member}}) is None


def nested(levels: int, innermost: Any) -> Any:
    for _ in range(levels):
        innermost = {"a": innermost}
    return innermost


TWICE = [{"$ref": "#"}, {"$ref": "#"}]
DOUBLING = {
    f"d{i}": {"allOf": [{"$ref": f"#/definitions/d{i + 1}"}, {"$ref": f"#/definitions/d{i + 1}"}]} for i in range(50)
}
CHAIN = {f"d{i}": {"$ref": f"#/definitions/d{i + 1}"} for i in range(3000)}


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ({"$ref": "#"}, {"a": 1}),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 200 + "b"}),
        ({"properties": {"a": {"items": {"pattern": r"^(?=a)((a|aa)+)\1$"}}}}, {"a": ["a" * 200 + "b"] * 200}),
        ({"properties": {"a": {"pattern": "((a{1000}){1000}){1000}"}}}, {"a": "a"}),
        ({"properties": {"a": {"allOf": TWICE}}}, nested(90, {})),
        ({"properties": {"a": {"anyOf": TWICE}}, "type": "object"}, nested(90, 1)),
        ({"definitions": {**DOUBLING, "d50": {}}, "$ref": "#/definitions/d0"}, {"a": 1}),
        ({"definitions": {"x": {"$id": "y", "allOf": [{"$ref": "#/definitions/z"}] * 2}}, "$ref": "y"}, {}),
        ({"definitions": {**CHAIN, "d3000": {"type": "string"}}, "$ref": "#/definitions/d0"}, {"a": 1}),
        ({"anyOf": [{"properties": {"a": {"items": {"type": "null"}}}}] * 30, "type": "object"}, {"a": [1] * 20_000}),
        (INTEGER, nested(99, 1)),
    ],
    ids=[
        "it refers to itself",
        "a pattern that explodes",
        "a pattern that cannot be linear",
        "a pattern that is huge",
        "it doubles with every level",
        "its alternatives double with every level",
        "its definitions double",
        "a resource within it refers to nothing",
        "a long chain of references",
        "many alternatives fail many times",
        "the data is deep",
    ],
)
def test_a_schema_never_hangs_a_worker(schema: Any, document: Any) -> None:
    started = time.process_time()

    validate(document, schema)

    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}, "b": {"items": {"$ref": "#"}}}, "additionalProperties": False},
        {"properties": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}, "type": "object"},
    ],
    ids=["a tree", "an optional tree"],
)
def test_a_recursive_schema_applies_to_deep_data(schema: Any) -> None:
    assert validate(nested(90, {}), schema) is None
    assert validate(nested(90, {"x": 1} if "additionalProperties" in schema else 1), schema) is not None


def test_a_large_object_is_refused_with_the_reason() -> None:
    schema = {"properties": {"l": {"items": {"type": "integer"}}}}

    assert described({"l": [1] * 50_000 + ["x"]}, schema) == (50_000, "'x' is not of type 'integer'")


@pytest.mark.parametrize("schema", [{}, INTEGER, {"type": ["object", "null"]}, {"x-own": [1], "format": "unknown"}])
def test_a_schema_is_accepted_when_draft_7_does(schema: Any) -> None:
    """C-OBJ-66."""
    assert check_schema(schema, "data.schema") is None


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "object",
        [],
        True,
        {"type": "washmachine"},
        {"properties": {"a": {"minLength": "1"}}},
        {"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": True, "minimum": 1},
        {"required": True},
    ],
    ids=[
        "null",
        "a text",
        "a list",
        "true",
        "an unknown type",
        "a wrong keyword inside",
        "a draft 4 boolean",
        "draft 3",
    ],
)
def test_a_schema_is_refused_when_draft_7_does(schema: Any) -> None:
    """C-OBJ-66, C-SCH-2."""
    problem = check_schema(schema, "data.schema")

    assert problem is not None
    assert (problem.location, problem.name) == ("body", "data.schema")


def test_a_broken_schema_is_described_as_clients_know_it() -> None:
    """C-OBJ-66, OBJ-25."""
    problem = check_schema({"type": "washmachine"}, "data.schema")

    assert problem is not None
    assert problem.description == "type'washmachine' is not valid under any of the given schemas"


def test_members_of_a_group_are_an_empty_list_by_default() -> None:
    """C-OBJ-62."""
    assert validate_data("group", {"a": 1}) == ({"a": 1, "members": []}, [])


def test_members_of_a_group_are_any_principals_as_they_were_sent() -> None:
    """C-OBJ-65: unknown users, everybody who is authenticated; duplicates stay."""
    members = ["basicauth:x", "basicauth:x", "system.Authenticated", "nobody"]

    assert validate_data("group", {"members": members}) == ({"members": members}, [])


@pytest.mark.parametrize(
    ("members", "name", "description"),
    [
        (["a", "system.Everyone"], "data.members.1", "'system.Everyone' is not a valid user ID."),
        (["/buckets/b/groups/g"], "data.members.0", "'/buckets/b/groups/g' is not a valid user ID."),
        ([1], "data.members.0", "1 is not a string: {'': ''}"),
        ([""], "data.members.0", "Required"),
        ("x", "data.members", '"x" is not iterable'),
        (None, "data.members", '"None" is not iterable'),
        ({}, "data.members", '"{}" is not iterable'),
    ],
    ids=["everyone", "a group", "a number", "empty", "a text", "null", "a mapping"],
)
def test_members_of_a_group_are_refused(members: Any, name: str, description: str) -> None:
    """C-OBJ-63, OBJ-23."""
    assert validate_data("group", {"members": members})[1] == [Problem("body", name, description)]


def test_all_wrong_members_of_a_group_are_told() -> None:
    """C-ERR-15."""
    assert len(validate_data("group", {"members": ["system.Everyone", "a", 1]})[1]) == 2


@pytest.mark.parametrize(
    ("lifetime", "stored"),
    [(12, 12), ("12", 12), (1.7, 1), (0, 0), ("0", 0), (-5, -5), (2**31 - 1, 2**31 - 1)],
    ids=["an integer", "a text", "a fraction", "zero", "zero as text", "a negative one", "68 years"],
)
def test_the_cache_lifetime_of_a_collection_becomes_an_integer(lifetime: Any, stored: int) -> None:
    """C-OBJ-67."""
    data, problems = validate_data("collection", {"cache_expires": lifetime, "other": "x"})

    assert (data, problems) == ({"cache_expires": stored, "other": "x"}, [])
    assert type(data["cache_expires"]) is int


@pytest.mark.parametrize("lifetime", [None, ""], ids=["null", "an empty text"])
def test_the_cache_lifetime_of_a_collection_is_dropped_when_it_is_nothing(lifetime: Any) -> None:
    """C-OBJ-67."""
    assert validate_data("collection", {"cache_expires": lifetime}) == ({}, [])


@pytest.mark.parametrize("lifetime", [2**31, 10**12, 10**400, 1e308, str(10**12)], ids=str)
def test_the_cache_lifetime_of_a_collection_is_refused_when_it_is_longer_than_caches_can_keep(lifetime: Any) -> None:
    """RFC 9111, section 1.2.2: a header and a date are made of it."""
    problem = validate_data("collection", {"cache_expires": lifetime})[1][0]

    assert problem.name == "data.cache_expires"
    assert problem.description.endswith(" is greater than maximum value 2147483647")


@pytest.mark.parametrize(
    "lifetime", ["abc", "1.7", [1], True, False], ids=["a word", "a fraction as text", "a list", "true", "false"]
)
def test_the_cache_lifetime_of_a_collection_is_refused_when_it_is_no_number(lifetime: Any) -> None:
    """C-OBJ-67."""
    problem = Problem("body", "data.cache_expires", f'"{lifetime}" is not a number')

    assert validate_data("collection", {"cache_expires": lifetime})[1] == [problem]


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("collection", "schema"),
        ("bucket", "record:schema"),
        ("bucket", "collection:schema"),
        ("bucket", "group:schema"),
    ],
)
def test_attributes_that_are_schemas_are_checked(kind: str, attribute: str) -> None:
    """C-OBJ-66, C-OBJ-68."""
    compile_schema(dumps(INTEGER))

    assert validate_data(kind, {attribute: INTEGER}) == ({attribute: INTEGER}, [])
    assert [problem.name for problem in validate_data(kind, {attribute: None})[1]] == [f"data.{attribute}"]


@pytest.mark.parametrize(
    ("kind", "data", "name"),
    [
        ("group", {"members": [1]}, "members.0"),
        ("collection", {"schema": 1}, "schema"),
        ("bucket", {"record:schema": 1}, "record:schema"),
    ],
)
def test_names_lack_their_prefix_after_a_patch(kind: str, data: Any, name: str) -> None:
    """Core contract, 4.7."""
    assert [problem.name for problem in validate_data(kind, data, prefix="")[1]] == [name]


@pytest.mark.parametrize("kind", ["bucket", "collection", "group", "record", "mushroom"])
def test_all_other_attributes_are_plain_data(kind: str) -> None:
    """C-OBJ-4, C-OBJ-69, C-OBJ-74; the internal name of Kinto is dropped (C-OBJ-73)."""
    data = {"displayFields": ["a"], "sort": 1, "": None, "a.b": {}, "deleted": True, "members": []}

    assert validate_data(kind, data | {"__permissions__": {"read": ["x"]}}) == (data, [])


def test_received_attributes_are_not_changed() -> None:
    data = {"cache_expires": "12"}

    validate_data("collection", data)

    assert data == {"cache_expires": "12"}


LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.5, "", "a", "ab", "é"])
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
COUNTS = st.integers(0, 3)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": inner,
            "dependencies": st.dictionaries(st.sampled_from("ab"), st.just(["c"]) | inner, max_size=1),
            "items": inner | several,
            "contains": inner,
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    )


SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "enum": st.lists(LEAVES, min_size=1, max_size=3, unique_by=repr),
            "const": LEAVES,
            "minimum": st.integers(-3, 3),
            "exclusiveMaximum": st.integers(-3, 3),
            "minLength": COUNTS,
            "maxLength": COUNTS,
            "minItems": COUNTS,
            "maxProperties": COUNTS,
            "uniqueItems": st.booleans(),
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        },
    ),
    _schemas,
    max_leaves=5,
)


@settings(max_examples=examples(200), deadline=None)
@given(SCHEMAS, st.dictionaries(st.sampled_from("abc"), DATA, max_size=3))
def test_verdicts_are_those_of_the_validator_of_kinto(schema: Any, document: Any) -> None:
    """C-SCH-4."""
    problem = validate(document, schema)

    assert (problem is None) is jsonschema.Draft7Validator(schema).is_valid(document)


@settings(max_examples=examples(200), deadline=None)
@given(SCHEMAS, st.dictionaries(st.sampled_from("abc"), DATA, max_size=3))
def test_names_and_words_are_those_of_a_failure_that_the_validator_of_kinto_finds(schema: Any, document: Any) -> None:
    """C-SCH-4, core contract 10.3."""
    problem = validate(document, schema)
    if problem is None:
        return

    failures = list(jsonschema.Draft7Validator(schema).iter_errors(document))
    messages = {failure.message for failure in failures}
    assert problem.description in messages or "is valid under more than one" in problem.description
