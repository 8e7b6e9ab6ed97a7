"""Bound how long a JSON Schema can take: schemas come from users, and one that doubles itself would hang a worker.

The bound is how many subschemas can apply to a value at a depth of the document, times the values at that depth. Where
a schema refers to itself twice the number doubles with every level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Final

from app.parsing.bodies import MAX_DEPTH
from backends import Json

ENDLESS: Final = 10**9
"""The effort of a schema that never ends, or takes so long that it makes no difference."""

# Where subschemas stand in a schema. They apply to the value itself, ...
_HERE: Final = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf")
_HERE_BY_NAME: Final = ("dependencies", "dependentSchemas")
# ... to a member or element of it that no other of these applies to, ...
_ONE_OF: Final = (
    *("additionalProperties", "unevaluatedProperties"),
    *("items", "prefixItems", "additionalItems", "unevaluatedItems"),
)
_ONE_OF_BY_NAME: Final = ("properties",)
# ... or to a member or element that others apply to as well.
_EACH: Final = ("contains", "propertyNames")
_EACH_BY_NAME: Final = ("patternProperties",)


@dataclass(frozen=True, slots=True)
class _Node:
    """A subschema, as the numbers of those that it applies: to the value itself, or to what lies in it."""

    here: list[int] = field(default_factory=list)
    one_of: list[int] = field(default_factory=list)
    each: list[int] = field(default_factory=list)


def efforts(schema: Json, targets: Mapping[int, Sequence[Json]]) -> tuple[int, ...]:
    """Return how many subschemas may apply to one value at depth 0, 1, 2, ... of a document; the last holds beyond.

    *targets* are the subschemas that each subschema refers to, by its identity.
    """
    nodes = _nodes(schema, targets)
    try:
        order = tuple(TopologicalSorter({number: node.here for number, node in enumerate(nodes)}).static_order())
    except CycleError:
        return (ENDLESS,)
    found, below = [], [0] * len(nodes)
    for depth in range(MAX_DEPTH + 1):
        weights = [0] * len(nodes)
        for number in order:
            node = nodes[number]
            inner = max((below[other] for other in node.one_of), default=0) + sum(below[other] for other in node.each)
            itself = 1 if depth == 0 else 0
            weights[number] = min(itself + inner + sum(weights[other] for other in node.here), ENDLESS)
        found.append(weights[0])
        if weights == below:
            break
        below = weights
    return tuple(found)


def measure(value: Json) -> list[int]:
    """Return how many values lie at depth 0, 1, 2, ... of a value, itself first."""
    sizes, level = [], [value]
    while level:
        sizes.append(len(level))
        level = [member for outer in level for member in _members(outer)]
    return sizes


def measure_names(value: Json) -> int:
    """Return how many characters the names of members in a value have."""
    total, level = 0, [value]
    while level:
        total += sum(len(name) for outer in level if isinstance(outer, dict) for name in outer)
        level = [inner for outer in level for inner in _members(outer)]
    return total


def _members(value: Json) -> Iterator[Json]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _nodes(root: Json, targets: Mapping[int, Sequence[Json]]) -> list[_Node]:
    """Return the subschemas of a schema, itself first, as a graph."""
    numbers: dict[int, int] = {}
    schemas: list[Json] = []
    nodes: list[_Node] = []

    def number(schema: Json) -> int:
        if id(schema) not in numbers:
            numbers[id(schema)] = len(schemas)
            schemas.append(schema)
        return numbers[id(schema)]

    number(root)
    while len(nodes) < len(schemas):
        schema = schemas[len(nodes)]
        node = _Node()
        node.here.extend(map(number, _subschemas(schema, _HERE, _HERE_BY_NAME)))
        node.here.extend(number(target) for target in targets.get(id(schema), ()) if isinstance(target, dict))
        node.one_of.extend(map(number, _subschemas(schema, _ONE_OF, _ONE_OF_BY_NAME)))
        node.each.extend(map(number, _subschemas(schema, _EACH, _EACH_BY_NAME)))
        nodes.append(node)
    return nodes


def _subschemas(schema: Json, places: tuple[str, ...], by_name: tuple[str, ...]) -> Iterator[Json]:
    for place in places:
        value = schema.get(place)
        yield from (inner for inner in (value if isinstance(value, list) else [value]) if isinstance(inner, dict))
    for place in by_name:
        named = schema.get(place)
        if isinstance(named, dict):
            yield from (inner for inner in named.values() if isinstance(inner, dict))
