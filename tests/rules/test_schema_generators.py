"""Schemas as generators and people write them, with verdicts on objects that Kinto 26.5 gave over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.schemas.cache import compile_schema
from app.schemas.validation import check_schema, validate
from backends.codec import dumps

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "json_schema_generators.json").read_text())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_objects_are_accepted_and_refused_as_by_kinto(case: dict[str, Any]) -> None:
    schema = case["schema"]
    compile_schema(dumps(schema))

    assert check_schema(schema, "data.schema") is None
    assert [[record, validate(record, schema) is None] for record, _ in case["records"]] == case["records"]


def test_an_expression_of_some_depth_is_not_too_complex() -> None:
    """A union of alternatives that refer to it doubles, fourfold here, with every level."""
    operations = [
        {
            "type": "object",
            "properties": {
                "op": {"const": operator},
                "l": {"$ref": "#/definitions/E"},
                "r": {"$ref": "#/definitions/E"},
            },
            "required": ["op", "l", "r"],
        }
        for operator in "+-*/"
    ]
    schema = {
        "definitions": {"E": {"oneOf": [{"type": "number"}, *operations]}},
        "properties": {"e": {"$ref": "#/definitions/E"}},
    }
    expression: Any = 1
    for _ in range(8):
        expression = {"op": "+", "l": expression, "r": 2}
    compile_schema(dumps(schema))

    assert validate({"e": expression}, schema) is None
    assert validate({"e": {**expression, "op": "?"}}, schema) is not None
