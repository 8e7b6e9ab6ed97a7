"""The answer to `_explain=true`: how the page of a list was read (docs/queries.md). Pure."""

from __future__ import annotations

from app.kinds import Data
from backends import Json
from backends.storage import Index, IndexDefinition, id_of
from backends.storage.indexes import duplicates
from backends.storage.snapshots import Explanation


def describe(explanation: Explanation) -> Data:
    """Return an explanation as clients see it."""
    return {
        "index": explanation.index and _definition(explanation.index.definition),
        "reason": explanation.reason,
        "suggestion": explanation.suggestion and _definition(explanation.suggestion),
        "rows": explanation.rows,
        "milliseconds": round(explanation.milliseconds, 2),
        "indexes": [_index(index) for index in explanation.indexes],
    }


def _definition(definition: IndexDefinition) -> dict[str, Json]:
    """Return a definition as it is declared."""
    return {definition.kind: definition.names()}


def _index(index: Index) -> dict[str, Json]:
    """Return an index with its state, and the ids of two objects for which it is refused."""
    state = "building" if index.is_building else index.state
    description = {**_definition(index.definition), "origin": index.origin, "state": state}
    ids = [id_of(uri) for uri in duplicates(index)]
    return {**description, "duplicates": ids} if ids else description
