"""Compiled schemas: references in any spelling, what cannot be used, and what they take."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import Problem
from app.schemas.cache import MAX_CACHE_BYTES, NotCompiled, SchemaCache, compile_schema, compiled_schema
from app.schemas.compiling import Compiled
from app.schemas.keywords import MAX_SCHEMA_BYTES
from app.schemas.validation import check_schema, validate
from backends import Json
from backends.codec import dumps


def verdict(schema: Any, value: Any) -> str | None:
    """Return what is wrong with an object `{"n": value}`, None when it is valid."""
    compile_schema(dumps(schema))
    problem = validate({"n": value}, schema)
    return None if problem is None else problem.description


def schema_with(reference: str, **others: Any) -> dict[str, Any]:
    return {**others, "properties": {"n": {"$ref": reference}}}


INTEGER = {"type": "integer"}
SPELLINGS: dict[str, dict[str, Any]] = {
    "angle brackets": schema_with("#/definitions/Foo<Bar>", definitions={"Foo<Bar>": INTEGER}),
    "angle brackets, encoded": schema_with("#/definitions/Foo%3CBar%3E", definitions={"Foo<Bar>": INTEGER}),
    "a blank": schema_with("#/definitions/Foo Bar", definitions={"Foo Bar": INTEGER}),
    "accents": schema_with("#/definitions/Données", definitions={"Données": INTEGER}),
    "accents, encoded": schema_with("#/definitions/Donn%C3%A9es", definitions={"Données": INTEGER}),
    "brackets and bars": schema_with('#/definitions/A[]|{B}^`\\"', definitions={'A[]|{B}^`\\"': INTEGER}),
    "a slash and a tilde": schema_with("#/definitions/a~1b~0c", definitions={"a/b~c": INTEGER}),
    "a percent sign": schema_with("#/definitions/100%25", definitions={"100%": INTEGER}),
    "an index": {"definitions": {"l": {"allOf": [INTEGER]}}, "properties": {"n": {"$ref": "#/definitions/l/allOf/0"}}},
    "$defs in draft 7": schema_with("#/$defs/x", **{"$defs": {"x": INTEGER}}),
    "components": schema_with("#/components/schemas/x", components={"schemas": {"x": INTEGER}}),
    "an identifier that is no URI": schema_with(
        "#/definitions/x", **{"$id": "My Schema <1>"}, definitions={"x": INTEGER}
    ),
    "an identifier that is a broken URI": schema_with(
        "#/definitions/x", **{"$id": "http://["}, definitions={"x": INTEGER}
    ),
    "an inner identifier": schema_with("Item", definitions={"x": {"$id": "Item", **INTEGER}}),
    "an inner identifier of draft 4": schema_with(
        "Item", **{"$schema": "http://json-schema.org/draft-04/schema#"}, definitions={"x": {"id": "Item", **INTEGER}}
    ),
    "an identifier that is a pointer": {
        "$id": "http://example.com/a.json",
        "properties": {"m": {"$id": "#/properties/m", **INTEGER}, "n": {"$ref": "#/properties/m"}},
    },
    "another base below": schema_with(
        "http://example.com/b.json",
        definitions={
            "b": {
                "$id": "http://example.com/b.json",
                "definitions": {"i": INTEGER},
                "allOf": [{"$ref": "#/definitions/i"}],
            }
        },
    ),
    "the base itself below": {
        "definitions": {
            "t": {"$id": "http://e.x/t", "type": ["object", "integer"], "properties": {"n": {"$ref": "#"}}}
        },
        "properties": {"n": {"$ref": "http://e.x/t"}},
    },
    "an unknown dialect": {"$schema": "a dialect of mine", "properties": {"n": INTEGER}},
    "an unknown dialect below": {"properties": {"n": {"$schema": "of mine", "$id": "x", **INTEGER}}},
    "an anchor": schema_with("#here", definitions={"x": {"$id": "#here", **INTEGER}}),
    "a dynamic anchor": schema_with(
        "#node",
        **{
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {"x": {"$dynamicAnchor": "node", **INTEGER}},
        },
    ),
}


@pytest.mark.parametrize("schema", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_reference_is_followed_in_any_spelling(schema: Any) -> None:
    assert check_after_compiling(schema) is None
    assert verdict(schema, 1) is None
    assert verdict(schema, "x") is not None
    assert "leads nowhere" not in str(verdict(schema, "x"))


def check_after_compiling(schema: Any) -> Problem | None:
    compile_schema(dumps(schema))
    return check_schema(schema, "data.schema")


METASCHEMAS = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-04/schema",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
]


@pytest.mark.parametrize("uri", METASCHEMAS)
@pytest.mark.parametrize("dialect", [None, *METASCHEMAS])
def test_a_metaschema_is_known_in_every_draft(uri: str, dialect: str | None) -> None:
    schema = schema_with(uri, **({"$schema": dialect} if dialect else {}))

    assert verdict(schema, {"type": "object", "properties": {"a": {"items": {"minLength": 1}}}}) is None
    assert verdict(schema, {"type": "washmachine"}) is not None
    assert verdict(schema, {"properties": {"a": {"minLength": -1}}}) is not None


OF_DRAFT_3: list[Any] = [
    {},
    {"type": ["string", {"type": "object"}], "extends": [{"type": "any"}], "disallow": "x", "divisibleBy": 2},
    {"properties": {"a": {"required": True}}, "additionalProperties": False, "items": [{"type": "a"}]},
    {"dependencies": {"a": "b", "b": ["c"], "c": {"type": "x"}}, "exclusiveMinimum": True, "minimum": 1},
]
NOT_OF_DRAFT_3: list[Any] = [
    {"type": 5},
    {"properties": []},
    {"properties": {"a": {"required": []}}},
    {"items": {"minItems": -1}},
    {"divisibleBy": 0},
    {"exclusiveMinimum": True},
    {"dependencies": {"a": 5}},
    {"enum": []},
    {"additionalProperties": "x"},
    {"extends": "x"},
]


@pytest.mark.parametrize("dialect", [None, *METASCHEMAS])
def test_the_metaschema_of_draft_3_is_known_in_every_draft(dialect: str | None) -> None:
    """No validator reads draft 3: its metaschema is put in the words of draft 4."""
    schema = schema_with("http://json-schema.org/draft-03/schema#", **({"$schema": dialect} if dialect else {}))

    assert [each for each in OF_DRAFT_3 if verdict(schema, each) is not None] == []
    assert [each for each in NOT_OF_DRAFT_3 if verdict(schema, each) is None] == []


NOWHERE: dict[str, dict[str, Any]] = {
    "a pointer": {"$ref": "#/definitions/none"},
    "an anchor": {"$ref": "#none"},
    "another document": {"$ref": "other.json#/a"},
    "the network": {"$ref": "http://127.0.0.1:9/schema.json"},
    "a file": {"$ref": "file:///etc/hostname"},
    "no URI": {"$ref": "http://["},
    "a broken pattern": {"pattern": "("},
    "a pattern of no dialect": {"pattern": "a++"},
    "a name of no dialect": {"patternProperties": {"(": {}}},
}


@pytest.mark.parametrize("dialect", [None, *METASCHEMAS])
@pytest.mark.parametrize("unusable", NOWHERE.values(), ids=NOWHERE.keys())
def test_what_cannot_be_used_matters_only_where_it_applies(unusable: dict[str, Any], dialect: str | None) -> None:
    schema: dict[str, Any] = {"properties": {"n": {"items": unusable}}, "definitions": {"unused": unusable}}
    if dialect:
        schema["$schema"] = dialect

    assert verdict(schema, []) is None
    assert verdict(schema, 5) is None
    assert verdict(schema, ["x"]) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"$ref": "#/none"}},
        {"if": {"$ref": "#/none"}, "then": {}, "else": {}},
        {"oneOf": [{"$ref": "#/none"}, {}]},
        {"anyOf": [{"$ref": "#/none"}, {}]},
        {"properties": {"n": {"not": {"pattern": "("}}}},
        {"patternProperties": {"n": {"not": {"$ref": "#/none"}}}},
    ],
    ids=["not", "if", "oneOf", "anyOf", "a negated pattern", "a negated member"],
)
def test_no_object_is_valid_because_something_cannot_be_used(schema: Any) -> None:
    """A reference to nowhere is no failure that `not` could turn around."""
    assert verdict(schema, "x") is not None


def test_an_alternative_that_fits_first_hides_what_cannot_be_used() -> None:
    assert verdict({"anyOf": [{"required": ["n"]}, {"$ref": "#/none"}]}, 1) is None


@pytest.mark.parametrize("place", ["properties", "patternProperties", "definitions", "items", "not", "dependencies"])
@pytest.mark.parametrize("pattern", ["(", "a++b", r"\p{L}{200,280}"], ids=["broken", "no dialect", "too large"])
def test_a_pattern_that_cannot_be_used_is_refused_on_storing_with_its_text(place: str, pattern: str) -> None:
    inner: Any = {"pattern": pattern}
    schema = {place: inner if place in ("items", "not") else {"n": inner}}

    if place == "definitions":
        schema["$ref"] = "#/definitions/n"
    problem = check_after_compiling(schema)

    assert problem is not None
    assert problem.name == "data.schema"
    assert f"'{pattern}'" in problem.description


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#/definitions/a"}], "definitions": {"a": {"$ref": "#/definitions/a"}}},
        {"properties": {f"p{number}": {} for number in range(20_000)}},
    ],
    ids=["it refers to itself", "it loops", "it is too large"],
)
def test_a_schema_that_could_accept_nothing_is_refused_on_storing(schema: Any) -> None:
    assert check_after_compiling(schema) is not None


@pytest.mark.parametrize("keyword", ["kinto:pattern", "kinto:unusable"])
def test_keywords_of_compiled_schemas_mean_nothing_in_stored_ones(keyword: str) -> None:
    schema = {keyword: "(", "properties": {"n": {keyword: 5, "type": "integer"}}}

    assert check_after_compiling(schema) is None
    assert verdict(schema, 1) is None


@pytest.mark.parametrize("name", ["$ref", "$id", "$schema", "pattern", "patternProperties", "kinto:pattern"])
def test_members_that_are_called_like_keywords_are_members(name: str) -> None:
    schema = {"properties": {"n": {"properties": {name: {"type": "integer"}}, "enum": [{name: 1}, {name: "x"}]}}}

    assert check_after_compiling(schema) is None
    assert verdict(schema, {name: 1}) is None
    assert verdict(schema, {name: "x"}) == "'x' is not of type 'integer'"


def test_a_long_text_is_refused_before_a_slow_pattern_meets_it() -> None:
    """The pattern would take seconds: both its size and the text count."""
    schema = {"properties": {"n": {"pattern": "(a.{1,200}b.{1,200}){1,3}[^ab]"}}}

    assert verdict(schema, "ab" * 100_000) == "The schema is too complex for this object"
    assert verdict(schema, "ab" * 100) == f"{'ab' * 100!r} does not match '(a.{{1,200}}b.{{1,200}}){{1,3}}[^ab]'"


def test_a_long_text_is_refused_before_a_pattern_tries_too_much() -> None:
    schema = {"properties": {"n": {"pattern": r"(?=a)[ab]*a[ab]{200}Q"}}}

    assert verdict(schema, "ab" * 100_000) == "The schema is too complex for this object"


def test_long_names_are_refused_before_slow_patterns_meet_them() -> None:
    schema: Json = {"properties": {"n": {"patternProperties": {"(a.{1,200}b.{1,200}){1,3}[^ab]": {}}}}}

    assert verdict(schema, {"ab" * 100_000: 1}) == "The schema is too complex for this object"


ELEMENTS = 3_000
SQUARE: Mapping[str, tuple[Json, Json]] = {
    "numbers to choose from": ({"enum": [*range(ELEMENTS)]}, 0.5),
    "fractions to choose from": ({"enum": [each + 0.5 for each in range(ELEMENTS)]}, 0.5),
    "numbers among texts": ({"enum": ["x", *range(ELEMENTS)]}, "x"),
    "long integers to choose from": ({"enum": [10**30 + each for each in range(ELEMENTS)]}, 10**30),
    "arrays to choose from": ({"enum": [[each] for each in range(ELEMENTS)]}, [0]),
    "objects to choose from": ({"enum": [{"a": each} for each in range(ELEMENTS)]}, {"a": 0}),
    "texts in arrays to choose from": ({"enum": [[str(each)] for each in range(ELEMENTS)]}, ["0"]),
    "constants": ({"anyOf": [{"const": each + 0.5} for each in range(ELEMENTS // 2)]}, 0.5),
    "names that require others": ({"dependencies": {f"a{each}": ["b"] for each in range(ELEMENTS)}}, {}),
    "names that require others, later drafts": (
        {"dependentRequired": {f"a{each}": ["b"] for each in range(ELEMENTS)}},
        {},
    ),
    "lower bounds": ({"allOf": [{"minimum": 0.5}] * 100}, 1e-300),
    "upper bounds": ({"allOf": [{"exclusiveMaximum": 0.5}] * 100}, 1e-300),
    "factors": ({"allOf": [{"multipleOf": 1e-300}] * 100}, 1e300),
    "short arrays without equal elements": ({"allOf": [{"uniqueItems": True}] * 20}, [n + 0.5 for n in range(15)]),
    "long integers": ({"allOf": [{"minimum": 1}, *[{"maximum": 10**4000}] * 99]}, 10**4000),
    "long arrays without equal elements": ({"allOf": [{"uniqueItems": True}] * 100}, [n + 0.5 for n in range(100)]),
}


@pytest.mark.parametrize(("items", "element"), SQUARE.values(), ids=SQUARE.keys())
def test_what_compares_all_with_all_is_refused_before_it_takes_long(items: Json, element: Json) -> None:
    """Tens of kilobytes would take seconds or minutes: schema and document together count, as their product."""
    schema = {"properties": {"n": {"items": items}}}

    assert verdict(schema, [element] * ELEMENTS) == "The schema is too complex for this object"
    assert verdict(schema, [element]) != "The schema is too complex for this object"


USUAL: Mapping[str, tuple[Json, Json]] = {
    "one of 300 texts": ({"enum": [str(each) for each in range(300)]}, "7"),
    "one of 300 texts or null": ({"enum": [*(str(each) for each in range(300)), None, True]}, None),
    "one of 20 numbers": ({"enum": [each / 2 for each in range(20)]}, 0.5),
    "a version": ({"enum": [1, 2, "latest"]}, "latest"),
    "a price": ({"type": "number", "minimum": 0.01, "maximum": 99999.99, "multipleOf": 0.01}, 12.34),
    "labels": ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, ["a", "b", "c"]),
    "a payment": ({"dependencies": {"card": ["address"], "iban": ["name"]}}, {"card": 1, "address": 2}),
}


@pytest.mark.parametrize(("items", "element"), USUAL.values(), ids=USUAL.keys())
def test_ten_thousand_elements_under_a_usual_schema_are_not_too_many(items: Json, element: Json) -> None:
    assert verdict({"properties": {"n": {"items": items}}}, [element] * 10_000) is None


def test_a_schema_that_is_not_compiled_is_not_compiled_on_the_way() -> None:
    text = dumps({"title": "never seen"})

    with pytest.raises(NotCompiled) as caught:
        compiled_schema(text)
    compile_schema(caught.value.text)

    assert isinstance(compiled_schema(text), Compiled)


MEASURING = r"""
import json, resource
from app.schemas.cache import CACHE, compile_schema
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
compile_schema("{}")
before = peak()
for number in range(%d):
    compile_schema(json.dumps({"title": str(number), **%s}))
print(json.dumps([peak() - before, CACHE.size_bytes]))
"""
PATTERNS = r"""{"properties": {p: {"pattern": p} for p in [r"%s" %% (number %% 40, other) for other in range(%d)]}}"""


@pytest.mark.parametrize(
    ("schemas", "schema"),
    [
        (40, PATTERNS % (r"\\p{L}{10%d,14%d}", 10)),
        (60, PATTERNS % (r"\\p{L}{1,5}%d%d", 40)),
        (36, PATTERNS % (r"^.{1,20%d}%d$", 10)),
        (12, PATTERNS % (r"^a%d,%d$", 2000)),
        (12, '{"enum": [{"a": n} for n in range(14_000)]}'),
    ],
    ids=["too large", "large", "long", "many", "objects to choose from"],
)
def test_compiled_schemas_take_a_bounded_amount_of_memory(schemas: int, schema: str) -> None:
    """Measured in a separate process: cached schemas, one being compiled, and as much again for the allocator."""
    script = MEASURING % (schemas, schema)
    # Linux begins with the peak of the process that starts another: a small one is between it and this one.
    starting = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
    run = subprocess.run([*starting, sys.executable, "-c", script], capture_output=True, text=True, check=True)
    growth_mib, kept_bytes = json.loads(run.stdout)

    assert kept_bytes <= MAX_CACHE_BYTES
    assert growth_mib * 2**20 <= 2 * (MAX_CACHE_BYTES + MAX_SCHEMA_BYTES)


def test_the_oldest_schemas_go_when_the_bytes_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [dumps({"title": "t" * 1000, "description": str(number)}) for number in range(4)]
    sizes = [entry.size_bytes for text in texts if isinstance(entry := compile_schema(text), Compiled)]
    monkeypatch.setattr("app.schemas.cache.MAX_CACHE_BYTES", sum(sizes[:3]))
    cache = SchemaCache()

    for text in texts[:3]:
        cache.put(text, compile_schema(text))
    assert cache.get(texts[0]) is not None
    cache.put(texts[3], compile_schema(texts[3]))

    assert [cache.get(text) is not None for text in texts] == [True, False, True, True]
    assert cache.size_bytes <= sum(sizes[:3])
