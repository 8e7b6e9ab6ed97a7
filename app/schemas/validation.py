"""Check what objects hold: attributes that have a meaning (core contract, 4.14, 4.15), and JSON Schemas (10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import jsonschema_rs

from app.errors import Problem
from app.parsing.bodies import not_a_mapping, not_iterable
from app.parsing.ids import principal_problem
from app.schemas.compiling import METASCHEMA, TOO_COMPLEX, TOO_LARGE, Compiled, Refused, compiled
from app.schemas.wording import describe, problem
from backends import Json
from backends.codec import dumps

Data = dict[str, Json]

MAX_VERDICT_EFFORT: Final = 5_000_000
"""How many times a subschema may be applied to find out whether a document is valid: well below a second."""

MAX_WORDING_EFFORT: Final = 50_000
"""The same for finding out why not, where alternatives are tried: every failure in every one of them is collected."""

MAX_AGE_SECONDS: Final = 2**31 - 1
"""The longest time that caches must be able to keep something (RFC 9111, section 1.2.2): 68 years."""

_HARMLESS_EFFORT: Final = 100
_INTERNAL: Final = "__permissions__"


def validate(document: Data, schema: Json) -> Problem | None:
    """Return why an object does not fit the schema of its collection or bucket (C-SCH-4), None when it fits.

    *document* is the object that would be stored; without `id` where the client did not choose it. Raises NotCompiled
    when the schema has not been compiled (`app.schemas.compiling`).
    """
    entry = compiled(dumps(schema))
    if isinstance(entry, Problem):
        return entry
    shown = {name: value for name, value in document.items() if name not in entry.hidden}
    try:
        return _failure(entry, shown)
    except Refused as refusal:
        return Problem("body", "schema", str(refusal))


def _failure(schema: Compiled, document: Data) -> Problem | None:
    if max(schema.efforts) > _HARMLESS_EFFORT and schema.effort(document) > MAX_VERDICT_EFFORT:
        raise Refused("The schema is too complex for this object")
    if schema.accepts(document):
        return None
    if schema.effort(document) > (MAX_WORDING_EFFORT if schema.alternatives else MAX_VERDICT_EFFORT):
        return Problem("body", "schema", "The object is not valid under the schema")
    error = schema.failure(document)
    return problem(error, schema.schema, document) if error else None


def check_schema(schema: Json, name: str) -> Problem | None:
    """Return why an attribute is no JSON Schema by the metaschema of Draft 7 (C-OBJ-66, C-SCH-2), None when it is.

    A schema that nothing could ever be held against is refused as well: one that is too large or never ends, or has a
    pattern that is in no dialect. Raises NotCompiled as `validate` does.
    """
    if not isinstance(schema, dict):
        return not_a_mapping(name, schema)
    try:
        METASCHEMA.validate(schema)
    except jsonschema_rs.ValidationError as error:
        place = error.instance_path[-1] if error.instance_path else ""
        return Problem("body", name, f"{place}{describe(error, None, schema)}")
    entry = compiled(dumps(schema))
    if isinstance(entry, Problem):
        return replace(entry, name=name) if entry in (TOO_COMPLEX, TOO_LARGE) else None
    if entry.unusable is not None:
        return Problem("body", name, f"The pattern '{entry.unusable}' cannot be used")
    return None


def validate_data(kind_name: str, data: Data, prefix: str = "data.") -> tuple[Data, list[Problem]]:
    """Return the attributes of an object, completed and converted, with what is wrong with them.

    The names of problems begin with *prefix*: nothing for the result of a patch (core contract, 4.7).
    """
    received = {name: value for name, value in data.items() if name != _INTERNAL}
    check = _ATTRIBUTES.get(kind_name)
    return check(received, prefix) if check else (received, [])


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
        seconds = None if isinstance(given, bool) else int(given)
    except (TypeError, ValueError):
        seconds = None
    if seconds is None:
        return data, [Problem("body", name, f'"{given}" is not a number')]
    if seconds > MAX_AGE_SECONDS:
        return data, [Problem("body", name, f"{seconds} is greater than maximum value {MAX_AGE_SECONDS}")]
    return {**data, "cache_expires": seconds}, []


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
