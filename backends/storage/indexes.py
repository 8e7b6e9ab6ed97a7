"""The values that describe an index of a list: its definition, and how far it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from backends.codec import dumps, loads
from backends.storage.selections import Order

DECLARED, AUTOMATIC = "declared", "auto"
"""The origins of an index: a client declared it on the collection, or the service made it."""

BUILDING, BUILDING_LONG, READY, LONG, REFUSED = "building", "building-long", "ready", "long", "refused"
"""The states of an index.

- `building`: objects may lack their key or terms, which the index builder adds. `building-long`: it will be `long`.
- `ready`: every living object has its key, or its terms.
- `long`: as `ready`, but a value was so long that its key was cut: the keys are no longer in the order of the values.
- `refused`: two objects have the same values in a unique index.
"""

FIELDS, UNIQUE, TEXT, CONTAINS = "fields", "unique", "text", "contains"
"""The kinds of indexes. Those of `KEYED` have keys in the table of documents, the others terms."""

KEYED: Final = (FIELDS, UNIQUE)

KEY_SLOTS: Final = (1, 2, 3, 4)
"""The slots of indexes with keys: the numbers of the columns for keys."""

TERM_SLOTS: Final = (5, 6, 7, 8)
"""The slots of indexes with terms, which share one column."""


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """The fields of an index, in the order of the sort that it serves; the fields of a unique index have no order."""

    kind: str
    fields: tuple[Order, ...]

    @property
    def is_keyed(self) -> bool:
        """Return whether the index has keys; otherwise it has terms."""
        return self.kind in KEYED

    @property
    def slots(self) -> Sequence[int]:
        """Return the slots that an index of this kind may have."""
        return KEY_SLOTS if self.is_keyed else TERM_SLOTS

    def names(self) -> list[str]:
        """Return the names of the fields, `-` before a descending one."""
        return [("-" if each.descending else "") + ".".join(each.path) for each in self.fields]

    def text(self) -> str:
        """Return the definition as JSON, as clients declare it: `{"fields":["status","-count"]}`."""
        return dumps({self.kind: self.names()})


Declared = Mapping[str, Sequence[IndexDefinition]]
"""The indexes that clients declared for lists, by list."""

NOTHING_DECLARED: Final[Declared] = MappingProxyType({})


def assign_slots(definitions: Iterable[IndexDefinition]) -> list[int]:
    """Return the slots of the indexes of a list that had none: the first ones of their kinds."""
    slots = {True: iter(KEY_SLOTS), False: iter(TERM_SLOTS)}
    return [next(slots[definition.is_keyed]) for definition in definitions]


def read_definition(text: str) -> IndexDefinition:
    """Return the definition that `IndexDefinition.text` wrote."""
    [(kind, names)] = loads(text).items()
    return IndexDefinition(kind, tuple(map(read_field, names)))


def read_field(name: str) -> Order:
    """Return the field of a name, `-` before a descending one."""
    return Order(tuple(name.removeprefix("-").split(".")), name.startswith("-"))


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a list as the storage has it.

    - `slot` is the number of the column of its keys, `prefix` the 8 bytes with which they begin. An index without keys
      has one of `TERM_SLOTS`, and `prefix` is the key of the hash that makes its terms.
    - `done` is the URI of the last object that the builder has given its entry; of a refused index the URIs of two
      objects with the same values, separated by a space.
    - `since` is the time in ms when it was made; of an automatic index, when it was last noted as used.
    """

    list: str
    slot: int
    prefix: bytes
    definition: IndexDefinition
    origin: str = DECLARED
    state: str = READY
    done: str = field(default="", compare=False)
    since: int = field(default=0, compare=False)

    @property
    def is_built(self) -> bool:
        """Return whether every living object has its key or terms."""
        return self.state in (READY, LONG)

    @property
    def is_building(self) -> bool:
        """Return whether the index is being built."""
        return self.state in (BUILDING, BUILDING_LONG)


def duplicates(index: Index) -> Sequence[str]:
    """Return the URIs of two objects with the same values, for which a unique index is refused."""
    return index.done.split(" ") if index.state == REFUSED else ()
