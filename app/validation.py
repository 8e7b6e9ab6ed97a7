"""Check what objects hold: attributes that have a meaning (core contract, 4.14, 4.15), and JSON Schemas (10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Never

import jsonschema_rs

from app import schema_effort
from app.bodies import not_a_mapping, not_iterable
from app.errors import Problem
from app.ids import principal_problem
from app.schema_wording import describe, problem
from backends import Json
from backends.codec import dumps, loads

Data = dict[str, Json]

MAX_VERDICT_EFFORT: Final = 5_000_000
"""How many times a subschema may be applied to find out whether a document is valid: well below a second."""

MAX_WORDING_EFFORT: Final = 50_000
"""The same for finding out why not, where alternatives are tried: every failure in every one of them is collected."""

_HARMLESS_EFFORT: Final = 100
_NEVER_SHOWN: Final = frozenset({"last_modified", "schema"})
_INTERNAL: Final = "__permissions__"

_DRAFTS: Final[Mapping[str, type[jsonschema_rs.Validator]]] = {
    # There is no validator for draft 3: draft 4 is the nearest that reads what the check on storing lets through.
    "json-schema.org/draft-03/schema": jsonschema_rs.Draft4Validator,
    "json-schema.org/draft-04/schema": jsonschema_rs.Draft4Validator,
    "json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
    "json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
}
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)


class _Annotation:
    """A keyword that says something and asserts nothing: drafts 6 and 7 leave `content...` open (as C-SCH-14)."""

    def __init__(self, parent_schema: Data, value: Json, schema_path: list[str | int]) -> None:
        pass

    def validate(self, instance: Json) -> None:
        """Accept any instance."""


# Typed loosely: the protocol that these implement exists for type checkers only.
_ANNOTATIONS: Final[dict[str, Json]] = {"contentMediaType": _Annotation, "contentEncoding": _Annotation}


def _refuse_to_fetch(uri: str) -> Never:
    """Keep the validator from reading files and URLs (C-SCH-18): without a retriever it does both."""
    raise LookupError(f"{uri} is not part of the schema")


_METASCHEMA: Final = jsonschema_rs.Draft7Validator(
    {"$ref": "http://json-schema.org/draft-07/schema#"}, retriever=_refuse_to_fetch, validate_formats=False
)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A schema ready for use: `hidden` members of a document are not shown to it, nor does it require them."""

    schema: Data
    hidden: frozenset[str]
    validator: jsonschema_rs.Validator
    efforts: tuple[int, ...]
    alternatives: bool

    def effort(self, document: Data) -> int:
        """Bound how many times a subschema is applied to a document."""
        levels, size = schema_effort.measure(document)
        return self.efforts[min(levels, len(self.efforts) - 1)] * size


def validate(document: Data, schema: Json) -> Problem | None:
    """Return why an object does not fit the schema of its collection or bucket (C-SCH-4), None when it fits.

    *document* is the object that would be stored; without `id` where the client did not choose it.
    """
    compiled = _compile(dumps(schema))
    if isinstance(compiled, Problem):
        return compiled
    shown = {name: value for name, value in document.items() if name not in compiled.hidden}
    if compiled.efforts[-1] > _HARMLESS_EFFORT and compiled.effort(shown) > MAX_VERDICT_EFFORT:
        return Problem("body", "schema", "The schema is too complex for this object")
    if compiled.validator.is_valid(shown):
        return None
    if compiled.effort(shown) > (MAX_WORDING_EFFORT if compiled.alternatives else MAX_VERDICT_EFFORT):
        return Problem("body", "schema", "The object is not valid under the schema")
    try:
        compiled.validator.validate(shown)
    except jsonschema_rs.ValidationError as error:
        return problem(error, compiled.schema, shown)
    return None


def check_schema(schema: Json, name: str) -> Problem | None:
    """Return why an attribute is no JSON Schema by the metaschema of Draft 7 (C-OBJ-66, C-SCH-2), None when it is."""
    if not isinstance(schema, dict):
        return not_a_mapping(name, schema)
    if _METASCHEMA.is_valid(schema):
        return None
    try:
        _METASCHEMA.validate(schema)
    except jsonschema_rs.ValidationError as error:
        place = error.instance_path[-1] if error.instance_path else ""
        return Problem("body", name, f"{place}{describe(error, None, schema)}")
    return None


def validate_data(kind_name: str, data: Data, prefix: str = "data.") -> tuple[Data, list[Problem]]:
    """Return the attributes of an object, completed and converted, with what is wrong with them.

    The names of problems begin with *prefix*: nothing for the result of a patch (core contract, 4.7).
    """
    received = {name: value for name, value in data.items() if name != _INTERNAL}
    check = _ATTRIBUTES.get(kind_name)
    return check(received, prefix) if check else (received, [])


@lru_cache(maxsize=256)
def _compile(text: str) -> _Compiled | Problem:
    """Make a schema ready for use, or say why it is none in its own draft (C-SCH-11, C-SCH-12, C-SCH-15)."""
    schema = loads(text)
    if not isinstance(schema, dict):
        return not_a_mapping("schema", schema)
    declared = schema.get("properties")
    hidden = _NEVER_SHOWN if isinstance(declared, dict) and "id" in declared else _NEVER_SHOWN | {"id"}
    schema = _without_required(schema, hidden)
    efforts = schema_effort.efforts(schema)
    if efforts[0] >= schema_effort.ENDLESS:
        return Problem("body", "schema", "The schema is too complex")
    try:
        validator = _draft(schema)(
            schema,
            validate_formats=False,
            retriever=_refuse_to_fetch,
            pattern_options=_PATTERNS,
            keywords=_ANNOTATIONS if any(name in text for name in _ANNOTATIONS) else None,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return Problem("body", "schema", str(error).partition("\n")[0])
    return _Compiled(schema, hidden, validator, efforts, '"anyOf"' in text or '"oneOf"' in text)


def _draft(schema: Data) -> type[jsonschema_rs.Validator]:
    """Choose by `$schema`; Draft 7 when it is absent or unknown, as that is what schemas are checked by on storing."""
    dialect = str(schema.get("$schema", "")).removeprefix("http://").removeprefix("https://").removesuffix("#")
    return _DRAFTS.get(dialect, jsonschema_rs.Draft7Validator)


def _without_required(schema: Data, hidden: frozenset[str]) -> Data:
    """Drop from `required` what is not shown (C-SCH-6); draft 4 has no empty `required`."""
    required = schema.get("required")
    if not isinstance(required, list):
        return schema
    kept = [name for name in required if not (isinstance(name, str) and name in hidden)]
    if kept == required:
        return schema
    others = {keyword: value for keyword, value in schema.items() if keyword != "required"}
    return others | {"required": kept} if kept else others


def _check_group(data: Data, prefix: str) -> tuple[Data, list[Problem]]:
    """Check `members`, a list of principals, empty by default (C-OBJ-62); everyone and groups are none (C-OBJ-63)."""
    members = data.get("members", [])
    name = f"{prefix}members"
    if not isinstance(members, list):
        return data, [not_iterable(name, members)]
    problems = (_check_member(member, f"{name}.{index}") for index, member in enumerate(members))
    return {**data, "members": members}, [problem for problem in problems if problem]


def _check_member(member: Json, name: str) -> Problem | None:
    malformed = principal_problem(member, name)
    if malformed is None and (member == "system.Everyone" or member.startswith("/buckets/")):
        return Problem("body", name, f"'{member}' is not a valid user ID.")
    return malformed


def _check_collection(data: Data, prefix: str) -> tuple[Data, list[Problem]]:
    """Check `schema` and convert `cache_expires` (C-OBJ-67)."""
    data, problems = _convert_cache_expires(data, f"{prefix}cache_expires")
    if "schema" in data:
        problems.append(check_schema(data["schema"], f"{prefix}schema"))
    return data, [problem for problem in problems if problem]


def _convert_cache_expires(data: Data, name: str) -> tuple[Data, list[Problem | None]]:
    given = data.get("cache_expires")
    if given is None or given in ("", [], {}):
        return {attribute: value for attribute, value in data.items() if attribute != "cache_expires"}, []
    try:
        return {**data, "cache_expires": int(given)}, []
    except (TypeError, ValueError):
        return data, [Problem("body", name, f'"{given}" is not a number')]


def _check_bucket(data: Data, prefix: str) -> tuple[Data, list[Problem]]:
    """Check the schemas for all that is in the bucket (C-OBJ-68)."""
    names = [f"{kind}:schema" for kind in ("record", "collection", "group")]
    problems = [check_schema(data[name], f"{prefix}{name}") for name in names if name in data]
    return data, [problem for problem in problems if problem]


_ATTRIBUTES: Final[Mapping[str, Callable[[Data, str], tuple[Data, list[Problem]]]]] = {
    "group": _check_group,
    "collection": _check_collection,
    "bucket": _check_bucket,
}
