"""Word why a value does not fit a JSON Schema, as clients know it (core contract, 10.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jsonschema_rs import ValidationError, ValidationErrorKind

from app.errors import Problem
from app.schemas.references import PATTERN
from backends import Json

Path = Sequence[str | int]

_ABSENT: Json = object()
_KEYWORDS: Mapping[str | int, str] = {PATTERN: "pattern"}


def problem(error: ValidationError, schema: Json, document: Json) -> Problem:
    """Return what is wrong with a document that a validator of *schema* refuses (C-SCH-4, C-SCH-13)."""
    while isinstance(error.kind, ValidationErrorKind.PropertyNames):
        error = error.kind.error
    return Problem("body", _name(error, schema), describe(error, schema, document))


def describe(error: ValidationError, schema: Json, document: Json) -> str:
    """Return the description of a failure; the library's own words for a keyword that has none here."""
    keyword, value = _KEYWORDS.get(error.kind.name, error.kind.name), _at(schema, error.schema_path)
    # The library sorts the keys of its copies; ours keeps them as they were sent.
    given = _at(document, error.instance_path) if isinstance(error.instance, dict | list) else error.instance
    if keyword == "falseSchema" and _ends_with(error.schema_path, "additionalProperties"):
        # Where only additional properties are spoken of, the library finds fault with the first of them.
        return f"Additional properties are not allowed {_unexpected(sorted(_at(document, error.instance_path)))}"
    if keyword in _FROM_KIND:
        return _FROM_KIND[keyword](error, schema, given)
    if value is _ABSENT or keyword not in _FROM_VALUE:
        return error.message
    return _FROM_VALUE[keyword](given, value)


def _name(error: ValidationError, schema: Json) -> Json:
    """Return the last step to the value that fails; for the document itself, what it lacks or the keyword."""
    if error.instance_path:
        return error.instance_path[-1]
    keyword = next((step for step in reversed(error.schema_path) if isinstance(step, str)), "schema")
    if keyword != "required":
        return _KEYWORDS.get(keyword, keyword)
    required = _at(schema, error.schema_path)
    return required[-1] if isinstance(required, list) and required else error.kind.as_dict().get("property", keyword)


def _at(schema: Json, path: Path) -> Json:
    """Return what stands at a path; `_ABSENT` where the path of a failure leads through an identifier."""
    for step in path:
        try:
            schema = schema[_KEYWORDS.get(step, step) if isinstance(schema, dict) and step not in schema else step]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return schema


def _ends_with(path: Path, *keywords: str) -> bool:
    return bool(path) and path[-1] in keywords


def _required(error: ValidationError, schema: Json, given: Json) -> str:
    lacking = error.kind.as_dict()["property"]
    if not _ends_with(error.schema_path, "dependencies", "dependentRequired"):
        return f"{lacking!r} is a required property"
    dependencies = _at(schema, error.schema_path)
    if dependencies is _ABSENT:
        return error.message
    needing = (name for name, needed in dependencies.items() if name in given and lacking in needed)
    return f"{lacking!r} is a dependency of {next(needing, None)!r}"


def _additional(error: ValidationError, schema: Json, given: Json) -> str:
    extras = sorted(error.kind.as_dict()["unexpected"])
    patterns = _at(schema, [*error.schema_path[:-1], "patternProperties"])
    if patterns is _ABSENT:
        return f"Additional properties are not allowed {_unexpected(extras)}"
    verb = "does" if len(extras) == 1 else "do"
    return (
        f"{', '.join(map(repr, extras))} {verb} not match any of the regexes: {', '.join(map(repr, sorted(patterns)))}"
    )


def _additional_items(error: ValidationError, schema: Json, given: Json) -> str:
    return f"Additional items are not allowed {_unexpected(given[error.kind.as_dict()['limit'] :])}"


def _one_of(error: ValidationError, schema: Json, given: Json) -> str:
    if isinstance(error.kind, ValidationErrorKind.OneOfMultipleValid):
        return f"{given!r} is valid under more than one of the given schemas"
    return f"{given!r} is not valid under any of the given schemas"


def _unexpected(extras: Sequence[Json]) -> str:
    verb = "was" if len(extras) == 1 else "were"
    return f"({', '.join(map(repr, extras))} {verb} unexpected)"


def _types(value: Json) -> str:
    return ", ".join(map(repr, value if isinstance(value, list) else [value]))


_FROM_KIND: dict[str, Callable[[ValidationError, Json, Json], str]] = {
    "required": _required,
    "additionalProperties": _additional,
    "additionalItems": _additional_items,
    "oneOf": _one_of,
    "anyOf": lambda error, _, given: f"{given!r} is not valid under any of the given schemas",
    "falseSchema": lambda error, _, given: f"False schema does not allow {given!r}",
    "unevaluatedProperties": lambda error, _, given: (
        f"Unevaluated properties are not allowed {_unexpected(error.kind.as_dict()['unexpected'])}"
    ),
}

_FROM_VALUE: dict[str, Callable[[Json, Json], str]] = {
    "type": lambda given, value: f"{given!r} is not of type {_types(value)}",
    "enum": lambda given, value: f"{given!r} is not one of {value!r}",
    "const": lambda given, value: f"{value!r} was expected",
    "pattern": lambda given, value: f"{given!r} does not match {value!r}",
    "not": lambda given, value: f"{given!r} should not be valid under {value!r}",
    "contains": lambda given, value: f"None of {given!r} are valid under the given schema",
    "multipleOf": lambda given, value: f"{given!r} is not a multiple of {value!r}",
    "minimum": lambda given, value: f"{given!r} is less than the minimum of {value!r}",
    "maximum": lambda given, value: f"{given!r} is greater than the maximum of {value!r}",
    "exclusiveMinimum": lambda given, value: f"{given!r} is less than or equal to the minimum of {value!r}",
    "exclusiveMaximum": lambda given, value: f"{given!r} is greater than or equal to the maximum of {value!r}",
    "minLength": lambda given, value: f"{given!r} {_too_little(value, 'is too short')}",
    "minItems": lambda given, value: f"{given!r} {_too_little(value, 'is too short')}",
    "minProperties": lambda given, value: f"{given!r} {_too_little(value, 'does not have enough properties')}",
    "maxLength": lambda given, value: f"{given!r} {_too_much(value, 'is too long')}",
    "maxItems": lambda given, value: f"{given!r} {_too_much(value, 'is too long')}",
    "maxProperties": lambda given, value: f"{given!r} {_too_much(value, 'has too many properties')}",
    "uniqueItems": lambda given, value: f"{given!r} has non-unique elements",
}


def _too_little(least: Json, otherwise: str) -> str:
    return "should be non-empty" if least == 1 else otherwise


def _too_much(most: Json, otherwise: str) -> str:
    return "is expected to be empty" if most == 0 else otherwise
