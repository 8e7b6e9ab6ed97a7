"""The indexes that the write of a collection declares for the list of its records. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.errors import Problem
from app.kinds import Data
from app.operation import Effect, Operation
from app.parsing.indexes import ATTRIBUTE, index_definitions, index_problem
from backends.storage import IndexDefinition, Stored

_MEMBER = f'"{ATTRIBUTE}"'


def index_problems(operation: Operation, data: Data | None, prefix: str) -> list[Problem]:
    """Return the problem of an attribute that declares no indexes, if the client asked for strict handling."""
    if not operation.strict or not operation.kind.indexed_lists or data is None:
        return []
    problem = index_problem(data, prefix)
    return [problem] if problem else []


def index_changes(effect: Effect) -> Iterator[tuple[str, tuple[IndexDefinition, ...]]]:
    """Yield the lists whose declared indexes change by an effect, with the new ones.

    Those of a deleted object go with its lists.
    """
    if not effect.kind.indexed_lists or effect.new.deleted:
        return
    before, after = _indexes_of(effect.old), _indexes_of(effect.new)
    if before != after:
        for name in effect.kind.indexed_lists:
            yield f"{effect.new.uri}/{name}", after


def _indexes_of(stored: Stored | None) -> tuple[IndexDefinition, ...]:
    """Return the indexes of an object. Only a document with the attribute is decoded."""
    return index_definitions(stored.data()) if stored is not None and _MEMBER in stored.text else ()
