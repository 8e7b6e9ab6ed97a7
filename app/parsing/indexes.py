"""Parse the indexes that a collection declares in its attribute `indexes` (docs/queries.md).

    "indexes": [{"fields": ["status", "-count"]}, {"unique": ["email"]}, {"text": ["title"]}, {"contains": ["tags"]}]

A value that is not of this grammar is ordinary data, as every attribute of a collection is for Kinto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.errors import Problem
from app.parsing.bodies import MAX_DEPTH
from backends import Json
from backends.storage import IndexDefinition
from backends.storage.indexes import CONTAINS, FIELDS, KEYED, TEXT, UNIQUE, read_field

ATTRIBUTE: Final = "indexes"
MAX_INDEXES: Final = 4
"""The most indexes by fields, unique ones included, and the most indexes by texts and elements."""

MAX_FIELDS: Final = 4
"""The most fields of an index."""

_MAX_NAME: Final = 255


class _Ungrammatical(ValueError):
    """A value is not of the grammar. Its arguments are the place below the attribute, and a description."""


def index_definitions(data: Mapping[str, Json]) -> tuple[IndexDefinition, ...]:
    """Return the indexes that the data of a collection declares; none if the attribute is not of the grammar."""
    try:
        return _read(data.get(ATTRIBUTE, []))
    except _Ungrammatical:
        return ()


def index_problem(data: Mapping[str, Json], prefix: str) -> Problem | None:
    """Return why the attribute is not of the grammar, None if it is. *prefix* begins the names of problems."""
    try:
        _read(data.get(ATTRIBUTE, []))
    except _Ungrammatical as error:
        place, description = error.args
        return Problem("body", f"{prefix}{ATTRIBUTE}{place}", description)
    return None


def _read(value: Json) -> tuple[IndexDefinition, ...]:
    if not isinstance(value, list):
        raise _Ungrammatical("", "is not a list of indexes")
    definitions = tuple(_read_definition(item, f".{place}") for place, item in enumerate(value))
    for kinds in (KEYED, (TEXT, CONTAINS)):
        if sum(definition.kind in kinds for definition in definitions) > MAX_INDEXES:
            raise _Ungrammatical("", f"has more than {MAX_INDEXES} indexes of the kinds {', '.join(kinds)}")
    if len(set(definitions)) < len(definitions):
        raise _Ungrammatical("", "has the same index twice")
    return definitions


def _read_definition(item: Json, place: str) -> IndexDefinition:
    kinds = (FIELDS, UNIQUE, TEXT, CONTAINS)
    if not isinstance(item, dict) or len(item) != 1 or (kind := next(iter(item))) not in kinds:
        raise _Ungrammatical(place, f"is not an object with one member: {', '.join(kinds)}")
    names = item[kind]
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_FIELDS:
        raise _Ungrammatical(f"{place}.{kind}", f"is not a list of 1 to {MAX_FIELDS} names of fields")
    for number, name in enumerate(names):
        if not _is_name(name, may_descend=kind == FIELDS):
            raise _Ungrammatical(f"{place}.{kind}.{number}", "is not the name of a field")
    fields = tuple(map(read_field, names))
    if len({field.path for field in fields}) < len(fields):
        raise _Ungrammatical(f"{place}.{kind}", "has the same field twice")
    return IndexDefinition(kind, fields)


def _is_name(name: Json, *, may_descend: bool) -> bool:
    """Return whether a value is the name of a field; *may_descend*: `-` may stand before it."""
    if not isinstance(name, str) or len(name) > _MAX_NAME or (name.startswith("-") and not may_descend):
        return False
    parts = name.removeprefix("-").split(".")
    return all(parts) and not parts[0].startswith("-") and len(parts) <= MAX_DEPTH + 1
