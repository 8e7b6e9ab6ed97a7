"""Bound the effort of a JSON Schema: schemas come from users, and an exponential one would block a worker.

The effort is that of all subschemas on all values that they apply to. The first bound is cheap: the effort of the
subschemas that can apply to a value at a depth of the document, times the number of values at that depth. It doubles
with every level if a schema refers to itself twice, even if no document uses both references. Therefore, if the first
bound is too high, the second one follows the names and indexes of the document itself.

The unit is a usual keyword on a small value, some 0.1 to 0.2 microseconds. Keywords that compare a value with many
others, or exactly with a fraction, count as several units, and so does an integer with many digits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from itertools import chain, zip_longest
from typing import Final

from app.parsing.bodies import MAX_DEPTH
from backends import Json

ENDLESS: Final = 10**9
"""The effort of a schema that never ends, or takes too long by any measure."""

MAX_STEPS: Final = 100_000
"""The most pairs of a value and a subschema that the second bound considers: about 0.1 s."""

# Keywords whose subschemas apply to the value itself, ...
_HERE: Final = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf")
_HERE_BY_NAME: Final = ("dependencies", "dependentSchemas")
# ... to members that have no subschema of their own, ...
_OTHER_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
# ... and to elements: drafts differ in which of them have a subschema of their own, so all are counted.
_EACH_ELEMENT: Final = ("items", "additionalItems", "unevaluatedItems", "contains")

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

_Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """A subschema with its own effort on a value, and the numbers of the subschemas that it applies.

    `here` apply to the value itself, `members` and `elements` to the member of a name and the element at an index,
    `other_members` to members without one of `members`, `each_member` and `each_element` to all in addition.
    """

    weight: int
    here: _Numbers
    members: Mapping[str, int]
    other_members: _Numbers
    each_member: _Numbers
    elements: tuple[_Numbers, ...]
    each_element: _Numbers

    def below(self, key: str | int) -> _Numbers:
        """Return the subschemas that apply to the member of a name or the element at an index."""
        if isinstance(key, str):
            own = (self.members[key],) if key in self.members else self.other_members
            return own + self.each_member
        return (self.elements[key] if key < len(self.elements) else ()) + self.each_element

    def highest_below(self, weights: Sequence[int]) -> int:
        """Return the highest sum of weights of the subschemas that apply to one member or element."""
        one_of = (
            *((number,) for number in self.members.values()),
            self.other_members,
            *self.elements,
        )
        highest = max(sum(weights[number] for number in numbers) for numbers in one_of)
        return highest + sum(weights[number] for number in self.each_member + self.each_element)


class Efforts:
    """The efforts that the documents of one schema take."""

    def __init__(self, schema: Json, targets: Mapping[int, Sequence[Json]]) -> None:
        """Analyse a schema; *targets* are the subschemas that each subschema refers to, by its identity."""
        self._nodes = _nodes(schema, targets)
        try:
            order = [*TopologicalSorter({number: node.here for number, node in enumerate(self._nodes)}).static_order()]
        except CycleError:
            order = []
        self._by_depth = _efforts_by_depth(self._nodes, order) if order else (ENDLESS,)
        # A subschema has a lower rank than those that it applies to the same value.
        self._ranks = {number: rank for rank, number in enumerate(reversed(order))}

    @property
    def highest(self) -> int:
        """Return the greatest effort on one value."""
        return max(self._by_depth)

    @property
    def is_endless(self) -> bool:
        """Return whether the schema applies to itself without end, or takes too long by any measure."""
        return self._by_depth[0] >= ENDLESS

    def are_within(self, limit: int, document: Json) -> bool:
        """Return whether the validation of a document takes an effort of at most *limit*."""
        last = len(self._by_depth) - 1
        bound = sum(self._by_depth[min(depth, last)] * count for depth, count in enumerate(_count_values(document)))
        return bound <= limit or self._second_bound_is_within(limit, document)

    def _second_bound_is_within(self, limit: int, document: Json) -> bool:
        """Return whether the second bound is at most *limit*; False if its calculation takes too long."""
        effort = steps = 0
        queue: list[tuple[Json, Mapping[int, int]]] = [(document, {0: 1})]
        for value, entry_times in queue:
            times = self._times_here(entry_times)
            members = list(_members_by_key(value))
            effort += _size(value) * sum(self._nodes[number].weight * count for number, count in times.items())
            steps += len(times) * (1 + len(members))
            if effort > limit or steps > MAX_STEPS:
                return False
            inner = ((member, self._times_below(times, key)) for key, member in members)
            queue += [item for item in inner if item[1]]
        return True

    def _times_here(self, entry_times: Mapping[int, int]) -> Mapping[int, int]:
        """Return how often each subschema applies to a value, from the times of those that its container applies."""
        times = Counter(entry_times)
        queue = [(self._ranks[number], number) for number in entry_times]
        heapify(queue)
        while queue:
            _, number = heappop(queue)
            for inner in self._nodes[number].here:
                if inner not in times:
                    heappush(queue, (self._ranks[inner], inner))
                times[inner] += times[number]
        return times

    def _times_below(self, times: Mapping[int, int], key: str | int) -> Mapping[int, int]:
        """Return how often the subschemas of a value are applied to its member or element."""
        below: Counter[int] = Counter()
        for number, count in times.items():
            for inner in self._nodes[number].below(key):
                below[inner] += count
        return below


def _efforts_by_depth(nodes: Sequence[_Node], order: Iterable[int]) -> tuple[int, ...]:
    """Return the greatest effort on one value at depth 0, 1, 2, ... of a document.

    The last number applies to all greater depths. *order* has each subschema after those that it applies to the value.
    """
    efforts, below = [], [0] * len(nodes)
    for depth in range(MAX_DEPTH + 1):
        weights = [0] * len(nodes)
        for number in order:
            node = nodes[number]
            itself = node.weight if depth == 0 else 0
            inner = node.highest_below(below) + sum(weights[other] for other in node.here)
            weights[number] = min(itself + inner, ENDLESS)
        efforts.append(weights[0])
        if weights == below:
            break
        below = weights
    return tuple(efforts)


def _count_values(value: Json) -> list[int]:
    """Return the number of values at depth 0, 1, 2, ... of a value; depth 0 is the value itself.

    An integer beyond 64 bits counts as several values.
    """
    sizes, level = [], [value]
    while level:
        sizes.append(sum(map(_size, level)))
        level = [member for outer in level for member in _members(outer)]
    return sizes


def _size(value: Json) -> int:
    """Return the number of values that a value counts as, without its members or elements."""
    is_long = type(value) is int and not -_LONG_INTEGER <= value < _LONG_INTEGER
    return 1 + value.bit_length() // _BITS if is_long else 1


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


def _members_by_key(value: Json) -> Iterable[tuple[str | int, Json]]:
    """Return the members of a mapping with their names, the elements of a list with their indexes."""
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _nodes(root: Json, targets: Mapping[int, Sequence[Json]]) -> list[_Node]:
    """Return the graph of the subschemas of a schema; the schema itself is the first node."""
    numbers: dict[int, int] = {}
    schemas: list[Json] = []
    nodes: list[_Node] = []

    def number_all(subschemas: Iterable[Json]) -> _Numbers:
        """Return the numbers of subschemas; those of `true`, `false` and values that are no schema are left out."""
        mappings = [schema for schema in subschemas if isinstance(schema, dict)]
        for schema in mappings:
            if id(schema) not in numbers:
                numbers[id(schema)] = len(schemas)
                schemas.append(schema)
        return tuple(numbers[id(schema)] for schema in mappings)

    number_all([root])
    while len(nodes) < len(schemas):
        schema = schemas[len(nodes)]
        named = {name: inner for name, inner in _mapping(schema, "properties").items() if isinstance(inner, dict)}
        here = _subschemas(schema, _HERE), *(_mapping(schema, keyword).values() for keyword in _HERE_BY_NAME)
        by_pattern = _mapping(schema, "patternProperties").values()
        tuples = [each for each in map(schema.get, ("prefixItems", "items")) if isinstance(each, list)]
        anything = [_ANYTHING] if schema.get("uniqueItems") is True else []
        nodes.append(
            _Node(
                weight=_weight(schema),
                here=number_all(chain(*here, targets.get(id(schema), ()))),
                members=dict(zip(named, number_all(named.values()), strict=True)),
                other_members=number_all(schema.get(keyword) for keyword in _OTHER_MEMBERS),
                each_member=number_all(chain([schema.get("propertyNames")], by_pattern)),
                elements=tuple(map(number_all, zip_longest(*tuples))),
                each_element=number_all(chain(map(schema.get, _EACH_ELEMENT), anything)),
            )
        )
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


def _comparison(operand: Json) -> int:
    """Return the effort of comparing a value with one that a schema names, or with each of a list.

    Texts, booleans and null are looked up, unless there are other values among them.
    """
    levels, level = [], [operand]
    while level := [member for outer in level for member in _members(outer)]:
        levels.append(level)
    values = [operand, *(value for level in levels for value in level)]
    if all(value is None or isinstance(value, str | bool) for value in values[isinstance(operand, list) :]):
        return 0
    return sum(_NUMBER if isinstance(value, int | float) else 1 for value in values)


def _subschemas(schema: Json, keywords: Iterable[str]) -> Iterator[Json]:
    """Yield the subschemas of keywords whose value is a subschema or a list of them."""
    for keyword in keywords:
        value = schema.get(keyword)
        yield from value if isinstance(value, list) else (value,)


def _mapping(schema: Json, keyword: str) -> Mapping[str, Json]:
    """Return the subschemas by name of a keyword whose value is such a mapping."""
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}
