"""The keys of indexes: bytes that compare as the objects are sorted, the same on every database.

    key = prefix || field || field ... || reversed(last_modified)        of a unique index without `last_modified`

- The prefix has 8 bytes: the version of this encoding, then 7 random bytes, drawn when the index is made. So all keys
  of an index are in one range of the column, and those that a former index left behind are outside of it.
- A field is its `values.order_key`, with all bits reversed where the field is descending. No such key is a prefix of
  another one, so that their concatenation compares as the values do, one after the other.
- A field that would be too long is cut, and the hash of the whole is added: keys are still equal for equal values only,
  and no key is a prefix of another, but two cut keys compare by their hashes where their beginnings are equal.
- A unique index has no key of an object in which one of its fields is missing or null: these values are free.

With the fields ["status", "-count"], an object whose status is "active" and whose count is 5:

    01 5b0e62c1a7d843 | 20 616374697665 00 | cd 7ffffffe ca ff | fffffe688bdf23fd
    prefix              text "active"        5, reversed         timestamp 1750000000002, reversed
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Final

from backends import Json
from backends.storage.indexes import UNIQUE, Index, IndexDefinition
from backends.storage.selections import Missing
from backends.storage.values import order_key, reverse_key, value_at

VERSION: Final = 1
"""The version of the encoding. A migration that changes it gives all indexes new prefixes, to be built again."""

MAX_BYTES: Final = 1_000
"""The greatest length of a key: PostgreSQL indexes rows of up to 2,704 bytes, which also have the bucket."""

_HASH_BYTES: Final = 16
_PREFIX_BYTES: Final = 8
_TIMESTAMP_BYTES: Final = 8
_NOT_IN_UNIQUE: Final = (type(None), Missing)


def new_prefix() -> bytes:
    """Return the prefix of the keys of a new index."""
    return bytes([VERSION]) + os.urandom(_PREFIX_BYTES - 1)


def object_key(index: Index, document: Json) -> tuple[bytes | None, bool]:
    """Return the key of an object in an index, None where the index does not have it, and whether it was cut."""
    definition = index.definition
    values = [value_at(document, each.path) for each in definition.fields]
    is_unique = definition.kind == UNIQUE
    if is_unique and any(isinstance(value, _NOT_IN_UNIQUE) for value in values):
        return None, False
    parts = [field_key(definition, place, value) for place, value in enumerate(values)]
    timestamp = b"" if is_unique else timestamp_key(document["last_modified"])
    return b"".join((index.prefix, *(part for part, _ in parts), timestamp)), any(is_cut for _, is_cut in parts)


def field_key(definition: IndexDefinition, place: int, value: Json | Missing) -> tuple[bytes, bool]:
    """Return the part of a key for the field number *place*, and whether it was cut."""
    part, longest = order_key(value), longest_field(definition)
    is_cut = len(part) > longest
    if is_cut:
        part = part[:longest] + hashlib.sha256(part).digest()[:_HASH_BYTES]
    return (reverse_key(part) if definition.fields[place].descending else part), is_cut


def longest_field(definition: IndexDefinition) -> int:
    """Return the greatest length of the part of one field that is not cut.

    Parts that are cut are longer than all others, so that they are no prefix of any.
    """
    return (MAX_BYTES - _PREFIX_BYTES - _TIMESTAMP_BYTES) // len(definition.fields) - _HASH_BYTES


def timestamp_key(timestamp: int) -> bytes:
    """Return the part of a key for the timestamp: later ones come first."""
    return reverse_key(timestamp.to_bytes(_TIMESTAMP_BYTES, "big"))


def end_of(beginning: bytes) -> bytes:
    """Return the least key after all keys that begin with *beginning*, which has other bytes than 255."""
    significant = beginning.rstrip(b"\xff")
    return significant[:-1] + bytes([significant[-1] + 1])


def keys_of(indexes: Sequence[Index], document: Json) -> tuple[dict[str, bytes | None], list[Index]]:
    """Return the keys of an object by column, and the indexes whose key was cut."""
    keys: dict[str, bytes | None] = {}
    cut_indexes = []
    for index in indexes:
        keys[f"k{index.slot}"], is_cut = object_key(index, document)
        if is_cut and index.definition.kind != UNIQUE:
            cut_indexes.append(index)
    return keys, cut_indexes
