"""Describe the errors of values under a JSON Schema, with the texts that clients know (core contract, 10.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jsonschema_rs import ValidationError, ValidationErrorKind

from app.errors import Problem
from app.schemas.references import PATTERN
from backends import Json

Path = Sequence[str | int]

_ABSENT: Json = object()
_KEYWORDS: Mapping[str | int, str] = {PATTERN: "pattern"}


def validation_problem(error: ValidationError, schema: Json, document: Json) -> Problem:
    """Return the problem of a document from the error of a validator of *schema* (C-SCH-4, C-SCH-13)."""
    while isinstance(error.kind, ValidationErrorKind.PropertyNames):
        error = error.kind.error
    return Problem("body", _name(error, schema), describe_failure(error, schema, document))


def describe_failure(error: ValidationError, schema: Json, document: Json) -> str:
    """Return the description of an error; the text of the library for keywords without a text here."""
    keyword, operand = _KEYWORDS.get(error.kind.name, error.kind.name), _at(schema, error.schema_path)
    # The library sorts the keys of its copies; the document has them in the order of the request.
    value = _at(document, error.instance_path) if isinstance(error.instance, dict | list) else error.instance
    if keyword == "falseSchema" and _ends_with(error.schema_path, "additionalProperties"):
        # Under `additionalProperties` alone, the library reports the first property only.
        return f"Additional properties are not allowed {_list_extras(sorted(_at(document, error.instance_path)))}"
    if keyword in _FROM_KIND:
        return _FROM_KIND[keyword](error, schema, value)
    if operand is _ABSENT or keyword not in _FROM_VALUE:
        return error.message
    return _FROM_VALUE[keyword](value, operand)


def _name(error: ValidationError, schema: Json) -> Json:
    """Return the key or index of the invalid value; for the document itself, the missing member or the keyword."""
    if error.instance_path:
        return error.instance_path[-1]
    keyword = next((step for step in reversed(error.schema_path) if isinstance(step, str)), "schema")
    if keyword != "required":
        return _KEYWORDS.get(keyword, keyword)
    required = _at(schema, error.schema_path)
    return required[-1] if isinstance(required, list) and required else error.kind.as_dict().get("property", keyword)


def _at(schema: Json, path: Path) -> Json:
    """Return the value at a path; `_ABSENT` if the path of an error leads through an identifier."""
    for step in path:
        try:
            schema = schema[_KEYWORDS.get(step, step) if isinstance(schema, dict) and step not in schema else step]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return schema


def _ends_with(path: Path, *keywords: str) -> bool:
    return bool(path) and path[-1] in keywords


def _describe_required(error: ValidationError, schema: Json, value: Json) -> str:
    missing = error.kind.as_dict()["property"]
    if not _ends_with(error.schema_path, "dependencies", "dependentRequired"):
        return f"{missing!r} is a required property"
    dependencies = _at(schema, error.schema_path)
    if dependencies is _ABSENT:
        return error.message
    dependents = (name for name, required in dependencies.items() if name in value and missing in required)
    return f"{missing!r} is a dependency of {next(dependents, None)!r}"


def _describe_additional(error: ValidationError, schema: Json, _value: Json) -> str:
    extras = sorted(error.kind.as_dict()["unexpected"])
    patterns = _at(schema, [*error.schema_path[:-1], "patternProperties"])
    if patterns is _ABSENT:
        return f"Additional properties are not allowed {_list_extras(extras)}"
    verb = "does" if len(extras) == 1 else "do"
    return (
        f"{', '.join(map(repr, extras))} {verb} not match any of the regexes: {', '.join(map(repr, sorted(patterns)))}"
    )


def _describe_additional_items(error: ValidationError, _schema: Json, value: Json) -> str:
    return f"Additional items are not allowed {_list_extras(value[error.kind.as_dict()['limit'] :])}"


def _describe_one_of(error: ValidationError, _schema: Json, value: Json) -> str:
    if isinstance(error.kind, ValidationErrorKind.OneOfMultipleValid):
        return f"{value!r} is valid under more than one of the given schemas"
    return f"{value!r} is not valid under any of the given schemas"


def _list_extras(extras: Sequence[Json]) -> str:
    verb = "was" if len(extras) == 1 else "were"
    return f"({', '.join(map(repr, extras))} {verb} unexpected)"


def _types(operand: Json) -> str:
    return ", ".join(map(repr, operand if isinstance(operand, list) else [operand]))


_FROM_KIND: dict[str, Callable[[ValidationError, Json, Json], str]] = {
    "required": _describe_required,
    "additionalProperties": _describe_additional,
    "additionalItems": _describe_additional_items,
    "oneOf": _describe_one_of,
    "anyOf": lambda _error, _schema, value: f"{value!r} is not valid under any of the given schemas",
    "falseSchema": lambda _error, _schema, value: f"False schema does not allow {value!r}",
    "unevaluatedProperties": lambda error, _schema, _value: (
        f"Unevaluated properties are not allowed {_list_extras(error.kind.as_dict()['unexpected'])}"
    ),
}

_FROM_VALUE: dict[str, Callable[[Json, Json], str]] = {
    "type": lambda value, operand: f"{value!r} is not of type {_types(operand)}",
    "enum": lambda value, operand: f"{value!r} is not one of {operand!r}",
    "const": lambda _value, operand: f"{operand!r} was expected",
    "pattern": lambda value, operand: f"{value!r} does not match {operand!r}",
    "not": lambda value, operand: f"{value!r} should not be valid under {operand!r}",
    "contains": lambda value, _operand: f"None of {value!r} are valid under the given schema",
    "multipleOf": lambda value, operand: f"{value!r} is not a multiple of {operand!r}",
    "minimum": lambda value, operand: f"{value!r} is less than the minimum of {operand!r}",
    "maximum": lambda value, operand: f"{value!r} is greater than the maximum of {operand!r}",
    "exclusiveMinimum": lambda value, operand: f"{value!r} is less than or equal to the minimum of {operand!r}",
    "exclusiveMaximum": lambda value, operand: f"{value!r} is greater than or equal to the maximum of {operand!r}",
    "minLength": lambda value, operand: f"{value!r} {_too_little(operand, 'is too short')}",
    "minItems": lambda value, operand: f"{value!r} {_too_little(operand, 'is too short')}",
    "minProperties": lambda value, operand: f"{value!r} {_too_little(operand, 'does not have enough properties')}",
    "maxLength": lambda value, operand: f"{value!r} {_too_much(operand, 'is too long')}",
    "maxItems": lambda value, operand: f"{value!r} {_too_much(operand, 'is too long')}",
    "maxProperties": lambda value, operand: f"{value!r} {_too_much(operand, 'has too many properties')}",
    "uniqueItems": lambda value, _operand: f"{value!r} has non-unique elements",
}


def _too_little(minimum: Json, otherwise: str) -> str:
    return "should be non-empty" if minimum == 1 else otherwise


def _too_much(maximum: Json, otherwise: str) -> str:
    return "is expected to be empty" if maximum == 0 else otherwise
