"""Compile a JSON Schema: choose its draft, check it, rewrite references and patterns, and make a validator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Never

import jsonschema_rs
from referencing import Specification
from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7, DRAFT201909, DRAFT202012

from app.errors import Problem
from app.parsing.bodies import not_a_mapping
from app.schemas.effort import Efforts, count_name_characters
from app.schemas.keywords import (
    MAX_MATCHING,
    MAX_SCHEMA_BYTES,
    STATE,
    SUBSCHEMA_BYTES,
    PatternKeywords,
    Undecidable,
)
from app.schemas.patterns import pattern_options
from app.schemas.references import REGISTRY, follow_references, rewrite_references
from backends import Json
from backends.codec import loads

Data = dict[str, Json]

TOO_COMPLEX: Final = Problem("body", "schema", "The schema is too complex")
TOO_LARGE: Final = Problem("body", "schema", "The schema is too large")

CHARACTER_BYTES: Final = 24
"""The memory per character of a schema's text, by the estimate."""

_ARRAY_BYTES: Final = 300
"""The memory of an array in a schema, which `enum` may have many of; that of a mapping is `SUBSCHEMA_BYTES`."""

_SERVER_MEMBERS: Final = frozenset({"last_modified", "schema"})
"""Members that the service sets: schemas do not apply to them."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A draft of JSON Schema; `siblings`: keywords beside `$ref` apply."""

    validator: type[jsonschema_rs.Validator]
    specification: Specification[Json]
    siblings: bool = False


_DRAFT_7: Final = _Draft(jsonschema_rs.Draft7Validator, DRAFT7)
_DRAFTS: Final[Mapping[str, _Draft]] = {
    # There is no validator for draft 3; draft 4 is the nearest one for schemas that pass the check on storing.
    "json-schema.org/draft-03/schema": _Draft(jsonschema_rs.Draft4Validator, DRAFT4),
    "json-schema.org/draft-04/schema": _Draft(jsonschema_rs.Draft4Validator, DRAFT4),
    "json-schema.org/draft-06/schema": _Draft(jsonschema_rs.Draft6Validator, DRAFT6),
    "json-schema.org/draft-07/schema": _DRAFT_7,
    "json-schema.org/draft/2019-09/schema": _Draft(jsonschema_rs.Draft201909Validator, DRAFT201909, siblings=True),
    "json-schema.org/draft/2020-12/schema": _Draft(jsonschema_rs.Draft202012Validator, DRAFT202012, siblings=True),
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema ready for use: `ignored_members` of a document are neither validated nor required.

    `schema` is as it was sent, for the texts of problems. `efforts` are explained in `app.schemas.effort`. `name_cost`
    is the cost of all `patternProperties` for each character of a name. `unusable_pattern` is the first pattern that is
    in no dialect or too large. `size_bytes` is the estimated memory.
    """

    schema: Data
    ignored_members: frozenset[str]
    validator: jsonschema_rs.Validator
    efforts: Efforts
    has_alternatives: bool
    name_cost: int
    unusable_pattern: str | None
    size_bytes: int

    def accepts(self, document: Json) -> bool:
        """Return whether a document is valid. Raises Undecidable."""
        STATE.start()
        if self.name_cost and self.name_cost * count_name_characters(document) > MAX_MATCHING:
            raise Undecidable("The schema is too complex for this object")
        valid = self.validator.is_valid(document)
        if STATE.reason:
            raise Undecidable(STATE.reason)
        return valid

    def find_error(self, document: Json) -> jsonschema_rs.ValidationError | None:
        """Return the first error of a document, None if it is valid. Raises Undecidable."""
        STATE.start()
        try:
            self.validator.validate(document)
        except jsonschema_rs.ValidationError as error:
            if STATE.reason:
                raise Undecidable(STATE.reason) from error
            return error
        return None


def compile_text(text: str) -> Compiled | Problem:
    """Compile a schema, or return the problem by its own draft (C-SCH-11, C-SCH-12, C-SCH-15)."""
    original, schema = loads(text), loads(text)
    if not isinstance(schema, dict):
        return not_a_mapping("schema", schema)
    properties = schema.get("properties")
    ignored = _SERVER_MEMBERS if isinstance(properties, dict) and "id" in properties else _SERVER_MEMBERS | {"id"}
    schema, original = _drop_required(schema, ignored), _drop_required(original, ignored)
    draft = _draft(schema)
    try:
        _METASCHEMAS[draft.validator].validate(schema)
    except jsonschema_rs.ValidationError as error:
        return Problem("body", "schema", str(error).partition("\n")[0])
    links = follow_references(schema, draft.specification)
    if links is None:
        return TOO_LARGE
    efforts = Efforts(schema, links.targets)
    if efforts.is_endless:
        return TOO_COMPLEX
    rewrite_references(links, siblings=draft.siblings)
    mappings = max(len(links.subschemas), text.count("{"))
    patterns = PatternKeywords(
        CHARACTER_BYTES * len(text) + _ARRAY_BYTES * text.count("[") + SUBSCHEMA_BYTES * mappings
    )
    name_cost = sum(patterns.rewrite(subschema) for subschema in links.own)
    if patterns.size_bytes > MAX_SCHEMA_BYTES:
        return TOO_LARGE
    try:
        validator = draft.validator(
            schema,
            validate_formats=False,
            retriever=_refuse_to_fetch,
            registry=_REGISTRY,
            pattern_options=pattern_options(),
            keywords=patterns.keywords(),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return Problem("body", "schema", str(error).partition("\n")[0])
    return Compiled(
        original,
        ignored,
        validator,
        efforts,
        '"anyOf"' in text or '"oneOf"' in text,
        name_cost,
        patterns.unusable_pattern,
        patterns.size_bytes,
    )


def _refuse_to_fetch(uri: str) -> Never:
    """Prevent the validator from reading files and URLs (C-SCH-18): it does both without a retriever."""
    raise LookupError(f"{uri} is not part of the schema")


_REGISTRY: Final = jsonschema_rs.Registry(
    [(uri, REGISTRY.contents(uri)) for uri in REGISTRY], retriever=_refuse_to_fetch
)
_METASCHEMAS: Final = {
    draft.validator: draft.validator(
        {"$ref": f"{scheme}{place}"}, retriever=_refuse_to_fetch, registry=_REGISTRY, validate_formats=False
    )
    for place, draft in _DRAFTS.items()
    for scheme in ("https://" if draft.siblings else "http://",)
    if "draft-03" not in place
}


def _draft(schema: Data) -> _Draft:
    """Return the draft that `$schema` names.

    Draft 7 if it is absent or unknown: schemas are checked by the metaschema of Draft 7 when they are stored.
    """
    dialect = str(schema.get("$schema", "")).strip().removeprefix("http://").removeprefix("https://").rstrip("#")
    return _DRAFTS.get(dialect, _DRAFT_7)


def _drop_required(schema: Data, ignored_members: frozenset[str]) -> Data:
    """Remove ignored members from `required` (C-SCH-6), and an empty `required`, which draft 4 does not allow."""
    required = schema.get("required")
    if not isinstance(required, list):
        return schema
    remaining = [name for name in required if not (isinstance(name, str) and name in ignored_members)]
    if remaining and remaining == required:
        return schema
    without = {keyword: value for keyword, value in schema.items() if keyword != "required"}
    return without | {"required": remaining} if remaining else without


METASCHEMA: Final = _METASCHEMAS[_DRAFT_7.validator]
"""The metaschema by which every schema is checked when it is stored."""
