"""Validate objects against JSON Schemas, and JSON Schemas themselves (core contract, 4.14, 10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import jsonschema_rs

from app.errors import Problem
from app.parsing.bodies import not_a_mapping
from app.schemas.cache import compiled_schema
from app.schemas.compiling import METASCHEMA, TOO_COMPLEX, TOO_LARGE, Compiled
from app.schemas.keywords import Undecidable
from app.schemas.wording import describe_failure, validation_problem
from backends import Json
from backends.codec import dumps

Data = dict[str, Json]

MAX_VERDICT_EFFORT: Final = 5_000_000
"""The most applications of subschemas to decide whether a document is valid: well below a second."""

MAX_WORDING_EFFORT: Final = 50_000
"""The same for finding the error if there are alternatives: every error in each of them is collected."""

_HARMLESS_EFFORT: Final = 100


def validate(document: Data, schema: Json) -> Problem | None:
    """Return the problem of an object under the schema of its collection or bucket (C-SCH-4), None if it is valid.

    *document* is the object as it would be stored, without `id` if the client did not choose it. Raises NotCompiled if
    the schema is not in the cache (`app.schemas.cache`).
    """
    entry = compiled_schema(dumps(schema))
    if isinstance(entry, Problem):
        return entry
    members = {name: value for name, value in document.items() if name not in entry.ignored_members}
    try:
        return _find_problem(entry, members)
    except Undecidable as error:
        return Problem("body", "schema", str(error))


def _find_problem(schema: Compiled, document: Data) -> Problem | None:
    if schema.efforts.highest > _HARMLESS_EFFORT and not schema.efforts.are_within(MAX_VERDICT_EFFORT, document):
        raise Undecidable("The schema is too complex for this object")
    if schema.accepts(document):
        return None
    if not schema.efforts.are_within(MAX_WORDING_EFFORT if schema.has_alternatives else MAX_VERDICT_EFFORT, document):
        return Problem("body", "schema", "The object is not valid under the schema")
    error = schema.find_error(document)
    return validation_problem(error, schema.schema, document) if error else None


def check_schema(schema: Json, name: str) -> Problem | None:
    """Return the problem of an attribute that is no JSON Schema of Draft 7 (C-OBJ-66, C-SCH-2), else None.

    A schema that no object could ever be validated against is a problem too: it is too large, endless, or has a
    pattern of no dialect. Raises NotCompiled as `validate` does.
    """
    if not isinstance(schema, dict):
        return not_a_mapping(name, schema)
    try:
        METASCHEMA.validate(schema)
    except jsonschema_rs.ValidationError as error:
        place = error.instance_path[-1] if error.instance_path else ""
        return Problem("body", name, f"{place}{describe_failure(error, None, schema)}")
    entry = compiled_schema(dumps(schema))
    if isinstance(entry, Problem):
        return replace(entry, name=name) if entry in (TOO_COMPLEX, TOO_LARGE) else None
    if entry.unusable_pattern is not None:
        return Problem("body", name, f"The pattern '{entry.unusable_pattern}' cannot be used")
    return None
