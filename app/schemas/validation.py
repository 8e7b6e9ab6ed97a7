"""Validate objects against JSON Schemas, and JSON Schemas themselves (core contract, 4.14, 10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import jsonschema_rs

from app.errors import Problem
from app.parsing.bodies import not_a_mapping
from app.schemas.compiling import METASCHEMA, TOO_COMPLEX, TOO_LARGE, Compiled, Refused, compiled
from app.schemas.wording import describe, problem
from backends import Json
from backends.codec import dumps

Data = dict[str, Json]

MAX_VERDICT_EFFORT: Final = 5_000_000
"""How many times a subschema may be applied to find out whether a document is valid: well below a second."""

MAX_WORDING_EFFORT: Final = 50_000
"""The same for finding out why not, where alternatives are tried: every failure in every one of them is collected."""

_HARMLESS_EFFORT: Final = 100


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
