"""The effort of a schema on a document: never underestimated, and not overestimated for what is small."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import jsonschema_specifications
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from referencing.jsonschema import DRAFT7, DRAFT201909, DRAFT202012

from app.schemas.cache import compile_schema
from app.schemas.effort import Efforts
from app.schemas.references import follow_references
from app.schemas.validation import validate
from backends.codec import dumps
from tests.support.examples import examples

COUNTED = "x-counted"
REFERENCES = [{"$ref": f"#/definitions/{name}", COUNTED: True} for name in "de"]
DATA = st.recursive(
    st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _schemas(tuples: str, others: str) -> st.SearchStrategy[Any]:
    """Return schemas that use every keyword with subschemas; *tuples* and *others* are the keywords of elements."""

    def outer(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=2)
        named = st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2)
        alone = ("not", "if", "then", "else", "additionalProperties", "propertyNames", "contains", others)
        return st.fixed_dictionaries(
            {COUNTED: st.just(True)},
            optional={
                **dict.fromkeys(alone, inner),
                **dict.fromkeys(("allOf", "anyOf", "oneOf", tuples), several),
                **dict.fromkeys(("properties", "patternProperties"), named),
            },
        )

    return st.recursive(st.sampled_from([{COUNTED: True}, *REFERENCES]), outer, max_leaves=6)


def _efforts(schema: Any, draft: Any) -> Efforts:
    links = follow_references(schema, draft)
    assert links is not None
    return Efforts(schema, links.targets)


def _count(schema: Any, document: Any, validator: Any) -> int:
    """Return how often the validator of Kinto applies a subschema."""
    applied: list[Any] = []
    counting = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        validator, {COUNTED: lambda _validator, _value, instance, _schema: applied.append(instance)}
    )
    list(counting(schema).iter_errors(document))
    return len(applied)


@pytest.mark.parametrize(
    ("validator", "draft", "schemas"),
    [
        (jsonschema.Draft7Validator, DRAFT7, _schemas("items", "additionalItems")),
        (jsonschema.Draft202012Validator, DRAFT202012, _schemas("prefixItems", "items")),
    ],
    ids=["draft 7", "draft 2020-12"],
)
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data(), document=DATA)
def test_a_schema_applies_no_more_often_than_the_bounds_say(
    validator: Any, draft: Any, schemas: st.SearchStrategy[Any], data: st.DataObject, document: Any
) -> None:
    schema = {**data.draw(schemas), "definitions": {name: data.draw(schemas) for name in "de"}}

    efforts = _efforts(schema, draft)
    assume(not efforts.is_endless)

    assert not efforts.are_within(_count(schema, document, validator) - 1, document)


D, E = REFERENCES
TWICE_D, TWICE_E = {"allOf": [D, D]}, {"allOf": [E, E]}


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        pytest.param({"allOf": [TWICE_D, D], "definitions": {"d": TWICE_E, "e": {}}}, None, id="one by several ways"),
        pytest.param({"allOf": [E, TWICE_D], "definitions": {"d": TWICE_E, "e": {}}}, None, id="ways of other lengths"),
        pytest.param(
            {"properties": {"a": D}, "allOf": [{"properties": {"a": D}}], "definitions": {"d": {}}},
            {"a": 1},
            id="one for a member by several ways",
        ),
        pytest.param({"items": [{}, D], "additionalItems": D, "definitions": {"d": {}}}, [1, 2, 3], id="elements"),
        pytest.param({"items": D, "contains": D, "definitions": {"d": {}}}, [1, 2], id="elements of two keywords"),
        pytest.param(
            {"items": [True, TWICE_D], "additionalItems": D, "definitions": {"d": {}}}, [1, 2], id="a subschema `true`"
        ),
        pytest.param(
            {"prefixItems": [{}], "items": TWICE_D, "definitions": {"d": {}}}, [1, 2], id="a keyword of other drafts"
        ),
        pytest.param(
            {"patternProperties": {"a": TWICE_D, ".": D}, "definitions": {"d": {}}},
            {"a": 1, "b": 2},
            id="members by patterns",
        ),
        pytest.param(
            {"properties": {"a": {}}, "additionalProperties": D, "definitions": {"d": TWICE_E, "e": {}}},
            {"a": 1, "b": 2},
            id="other members",
        ),
    ],
)
def test_the_bounds_hold_where_subschemas_meet(schema: Any, document: Any) -> None:
    schema = copy.deepcopy(schema)
    _let_count(schema)
    efforts = _efforts(schema, DRAFT201909)

    assert not efforts.are_within(_count(schema, document, jsonschema.Draft201909Validator) - 1, document)


def _let_count(schema: Any) -> None:
    """Let a schema and all its subschemas be counted, those with `$ref` too."""
    for inner in DRAFT201909.subresources_of(schema):
        if isinstance(inner, dict):
            _let_count(inner)
    schema[COUNTED] = True


OPERATORS = (
    "==",
    "!=",
    "<",
    ">",
    "!",
    "and",
    "or",
    "if",
    "in",
    "cat",
    "+",
    "-",
    "*",
    "/",
    "map",
    "all",
    "none",
    "some",
)
JSON_LOGIC = {
    "definitions": {
        "rule": {
            "anyOf": [
                {"type": ["string", "number", "boolean", "null"]},
                *(
                    {
                        "type": "object",
                        "properties": {operator: {"type": "array", "items": {"$ref": "#/definitions/rule"}}},
                        "required": [operator],
                        "additionalProperties": False,
                    }
                    for operator in OPERATORS
                ),
            ]
        }
    },
    "properties": {"n": {"$ref": "#/definitions/rule"}},
}
"""A rule of JsonLogic, which is an operator with rules as its operands."""


def _rule(levels: int, innermost: Any) -> Any:
    for level in range(levels):
        innermost = {OPERATORS[level % len(OPERATORS)]: [innermost, {"==": [level, "x"]}]}
    return innermost


def _is_valid(schema: Any, value: Any) -> bool:
    compile_schema(dumps(schema))
    problem = validate({"n": value}, schema)
    assert "too complex" not in str(problem)
    return problem is None


@pytest.mark.parametrize("levels", [1, 4, 12, 45])
def test_alternatives_for_members_of_other_names_do_not_count(levels: int) -> None:
    assert _is_valid(JSON_LOGIC, _rule(levels, 1))
    assert not _is_valid(JSON_LOGIC, _rule(levels, {"unknown": []}))


@pytest.mark.parametrize("uri", sorted(uri for uri in jsonschema_specifications.REGISTRY if "draft-03" not in uri))
def test_a_metaschema_is_a_schema_like_others(uri: str) -> None:
    """C-SCH-3: of a list of schemas, each of which is a record."""
    schema = jsonschema_specifications.REGISTRY.contents(uri)
    record: Any = {"type": "object"}
    for _ in range(6):
        record = {"type": "object", "properties": {"a": record, "b": {"items": {"type": "string"}}}}

    compile_schema(dumps(schema))

    assert validate(record, schema) is None
