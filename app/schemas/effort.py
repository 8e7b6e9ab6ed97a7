"""Bound the effort of a JSON Schema: schemas come from users, and an exponential one would block a worker.

The bound is the number of subschemas that can apply to a value at a depth of the document, times the number of values
at that depth. If a schema refers to itself twice, the number of subschemas doubles with every level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Final

from app.parsing.bodies import MAX_DEPTH
from backends import Json

ENDLESS: Final = 10**9
"""The effort of a schema that never ends, or takes too long by any measure."""

# Keywords with subschemas. These apply to the value itself, ...
_HERE: Final = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf")
_HERE_BY_NAME: Final = ("dependencies", "dependentSchemas")
# ... these to a member or element, each to at most one of them, ...
_ONE_OF: Final = (
    *("additionalProperties", "unevaluatedProperties"),
    *("items", "prefixItems", "additionalItems", "unevaluatedItems"),
)
_ONE_OF_BY_NAME: Final = ("properties",)
# ... and these to a member or element in addition to others.
_EACH: Final = ("contains", "propertyNames")
_EACH_BY_NAME: Final = ("patternProperties",)


@dataclass(frozen=True, slots=True)
class _Node:
    """A subschema with the numbers of the subschemas that it applies.

    `here` apply to the value itself, `one_of` each to different members or elements, `each` to any of them.
    """

    here: list[int] = field(default_factory=list)
    one_of: list[int] = field(default_factory=list)
    each: list[int] = field(default_factory=list)


def efforts_by_depth(schema: Json, targets: Mapping[int, Sequence[Json]]) -> tuple[int, ...]:
    """Return the most subschemas that may apply to one value at depth 0, 1, 2, ... of a document.

    The last number applies to all greater depths. *targets* are the subschemas that each subschema refers to, by its
    identity.
    """
    nodes = _nodes(schema, targets)
    try:
        order = tuple(TopologicalSorter({number: node.here for number, node in enumerate(nodes)}).static_order())
    except CycleError:
        return (ENDLESS,)
    efforts, below = [], [0] * len(nodes)
    for depth in range(MAX_DEPTH + 1):
        weights = [0] * len(nodes)
        for number in order:
            node = nodes[number]
            inner = max((below[other] for other in node.one_of), default=0) + sum(below[other] for other in node.each)
            itself = 1 if depth == 0 else 0
            weights[number] = min(itself + inner + sum(weights[other] for other in node.here), ENDLESS)
        efforts.append(weights[0])
        if weights == below:
            break
        below = weights
    return tuple(efforts)


def count_values(value: Json) -> list[int]:
    """Return the number of values at depth 0, 1, 2, ... of a value; depth 0 is the value itself."""
    sizes, level = [], [value]
    while level:
        sizes.append(len(level))
        level = [member for outer in level for member in _members(outer)]
    return sizes


def count_name_characters(value: Json) -> int:
    """Return the number of characters in all names of members in a value."""
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
    """Return the graph of the subschemas of a schema; the schema itself is the first node."""
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
        subschemas = schema.get(place)
        if isinstance(subschemas, dict):
            yield from (inner for inner in subschemas.values() if isinstance(inner, dict))
