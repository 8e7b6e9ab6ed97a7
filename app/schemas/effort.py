"""Bound the effort of a JSON Schema: schemas come from users, and an exponential one would block a worker.

The bound is the number of subschemas that can apply to a value at a depth of the document, times the number of values
at that depth. If a schema refers to itself twice, the number of subschemas doubles with every level.

The unit is a usual keyword on a small value, some 0.1 to 0.2 microseconds. Keywords that compare a value with many
others, or exactly with a fraction, count as several units, and so does an integer with many digits.
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

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_FRACTION: Final = 20
"""The effort of comparing a number with a bound that is a fraction, which is exact: `1e-300` is a quotient."""

_NUMBER: Final = 4
"""The effort of comparing a value with a number that `enum` or `const` names."""

_UNIQUE: Final = 100
"""The effort of `uniqueItems` on a short array, of which each element is compared with each other."""

_LONG_INTEGER: Final = 2**63
_BITS: Final = 8
"""The bits of an integer beyond 64 bits that count as another value: its conversion takes long."""

_ANYTHING: Final[dict[str, Json]] = {}
_ANYTHING.update(items=_ANYTHING, additionalProperties=_ANYTHING)
"""A subschema that applies to all values below: `uniqueItems` reads them all."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A subschema with its own effort on a value, and the numbers of the subschemas that it applies.

    `here` apply to the value itself, `one_of` each to different members or elements, `each` to any of them.
    """

    weight: int
    here: list[int] = field(default_factory=list)
    one_of: list[int] = field(default_factory=list)
    each: list[int] = field(default_factory=list)


def efforts_by_depth(schema: Json, targets: Mapping[int, Sequence[Json]]) -> tuple[int, ...]:
    """Return the greatest effort of a schema on one value at depth 0, 1, 2, ... of a document.

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
            itself = node.weight if depth == 0 else 0
            weights[number] = min(itself + inner + sum(weights[other] for other in node.here), ENDLESS)
        efforts.append(weights[0])
        if weights == below:
            break
        below = weights
    return tuple(efforts)


def count_values(value: Json) -> list[int]:
    """Return the number of values at depth 0, 1, 2, ... of a value; depth 0 is the value itself.

    An integer beyond 64 bits counts as several values.
    """
    sizes, level = [], [value]
    while level:
        long = (each.bit_length() for each in level if type(each) is int and not -_LONG_INTEGER <= each < _LONG_INTEGER)
        sizes.append(len(level) + sum(long) // _BITS)
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
        node = _Node(_weight(schema))
        node.here.extend(map(number, _subschemas(schema, _HERE, _HERE_BY_NAME)))
        node.here.extend(number(target) for target in targets.get(id(schema), ()) if isinstance(target, dict))
        node.one_of.extend(map(number, _subschemas(schema, _ONE_OF, _ONE_OF_BY_NAME)))
        node.each.extend(map(number, _subschemas(schema, _EACH, _EACH_BY_NAME)))
        if schema.get("uniqueItems") is True:
            node.each.append(number(_ANYTHING))
        nodes.append(node)
    return nodes


def _weight(schema: Mapping[str, Json]) -> int:
    """Return the effort of a subschema on a value, without the subschemas that it applies."""
    weight = 1 + sum(_FRACTION for name in _BOUNDS if isinstance(schema.get(name), float))
    if schema.get("uniqueItems") is True:
        weight += _UNIQUE
    enum = schema.get("enum")
    weight += sum(map(_comparison, [enum if isinstance(enum, list) else [], schema.get("const")]))
    for name in ("dependencies", "dependentRequired"):
        dependent = schema.get(name)
        if isinstance(dependent, dict):
            weight += sum(isinstance(names, list) for names in dependent.values())
    return weight


def _comparison(named: Json) -> int:
    """Return the effort of comparing a value with one that a schema names, or with each of a list.

    Texts, booleans and null are looked up, unless there are other values among them.
    """
    levels, level = [], [named]
    while level := [member for outer in level for member in _members(outer)]:
        levels.append(level)
    values = [named, *(value for level in levels for value in level)]
    if all(value is None or isinstance(value, str | bool) for value in values[isinstance(named, list) :]):
        return 0
    return sum(_NUMBER if isinstance(value, int | float) else 1 for value in values)


def _subschemas(schema: Json, places: tuple[str, ...], by_name: tuple[str, ...]) -> Iterator[Json]:
    for place in places:
        value = schema.get(place)
        yield from (inner for inner in (value if isinstance(value, list) else [value]) if isinstance(inner, dict))
    for place in by_name:
        subschemas = schema.get(place)
        if isinstance(subschemas, dict):
            yield from (inner for inner in subschemas.values() if isinstance(inner, dict))
