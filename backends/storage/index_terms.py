"""The terms of indexes by texts and elements: 64-bit hashes by which the objects that have them are found.

An index by texts has a term for each word of its fields (`backends.storage.words`), one by elements for each element of
the arrays in its fields. Each is a hash with a key of its own, the prefix of the index: so the terms of all indexes of
all lists are in one column, and those that a former index left behind are never looked up.

    {"text": ["title", "body"]}     hash(word), in whichever of the fields the word is
    {"contains": ["tags", "kinds"]}     hash(number of the field || `values.order_key` of the element)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from backends import Json
from backends.storage.indexes import TEXT, Index
from backends.storage.values import order_key, value_at
from backends.storage.words import words_at

_TERM_BYTES: Final = 8


def word_terms(index: Index, words: Iterable[str]) -> set[int]:
    """Return the terms of words in an index by texts."""
    return {_term(index, word.encode()) for word in words}


def element_terms(index: Index, place: int, elements: Iterable[Json]) -> set[int]:
    """Return the terms of elements of the field number *place* of an index by elements."""
    return {_term(index, bytes([place]) + order_key(element)) for element in elements}


def terms_of(indexes: Iterable[Index], document: Json) -> Sequence[int]:
    """Return the terms of an object in indexes by texts and elements, in ascending order."""
    terms: set[int] = set()
    for index in indexes:
        paths = [field.path for field in index.definition.fields]
        if index.definition.kind == TEXT:
            terms |= word_terms(index, words_at(document, paths))
            continue
        for place, path in enumerate(paths):
            value = value_at(document, path)
            terms |= element_terms(index, place, value if isinstance(value, list) else ())
    return sorted(terms)


def _term(index: Index, value: bytes) -> int:
    digest = blake2b(value, digest_size=_TERM_BYTES, key=index.prefix).digest()
    return int.from_bytes(digest, "big", signed=True)
