"""Digest the rows of each list, the same on every database: two lists with one digest have the same rows.

The digest of a list is the number of its rows and the sum of their hashes, so that the order of rows does not matter.
Every column of a row is hashed. A document is hashed by its value: PostgreSQL stores members in another order than
SQLite, numbers without exponent, and no negative zero.

    {"b": 1e2, "a": -0.0}      {"a": 0.0, "b": 100.0}      both have the hash of     {"a":0.0,"b":100.0}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, NamedTuple

import orjson

from backends import Json
from backends.codec import loads
from backends.storage.keys import list_of
from backends.storage.transfer.rows import Row, TableRows, is_json

_HASH_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _HASH_BYTES)
_EXPONENT: Final = re.compile(r"[0-9]e[-+0-9]")
_NEGATIVE_ZERO: Final = "-0.0"
"""Numbers that PostgreSQL writes differently, as our encoders write them."""

ByList = Mapping[str, "Digest"]


class Digest(NamedTuple):
    """The number of the rows of a list, and the sum of their hashes."""

    rows: int = 0
    sum: int = 0

    def text(self) -> str:
        """Return the checksum as it is printed."""
        return f"{self.sum:0{2 * _HASH_BYTES}x}"


class Digester:
    """Digests the rows of one table."""

    def __init__(self, rows: TableRows) -> None:
        self._rows = rows
        self._documents = [rows.places[column.name] for column in rows.table.columns if is_json(column)]
        self._list_of = _lists_of(rows)
        # The lists of a bucket are together; memberships are in the order of users.
        self._has_buckets = rows.keys[0].name == "bucket"

    def normalize(self, row: Row) -> Row:
        """Return a row in the form that is the same on every database."""
        if not self._documents:
            return row
        normal = list(row)
        for place in self._documents:
            normal[place] = normal_json(row[place])
        return tuple(normal)

    def hash(self, row: Row) -> int:
        """Return the hash of a row."""
        text = orjson.dumps(self.normalize(row), default=bytes.hex)
        return int.from_bytes(hashlib.blake2b(text, digest_size=_HASH_BYTES).digest(), "big")

    def by_bucket(self, rows: Iterable[Row]) -> Iterator[tuple[str, ByList]]:
        """Yield each bucket and the digests of its lists; *rows* are in the order of their keys.

        A table that does not begin with the bucket is one bucket without a name.
        """
        for bucket, in_bucket in groupby(rows, lambda row: row[0] if self._has_buckets else ""):
            digests: dict[str, Digest] = {}
            for row in in_bucket:
                name = self._list_of(row)
                count, total = digests.get(name, Digest())
                digests[name] = Digest(count + 1, (total + self.hash(row)) % _MODULUS)
            yield bucket, digests


def _lists_of(rows: TableRows) -> Callable[[Row], str]:
    """Return the function that names the list of a row: of a plugin's table, the bucket or the table."""
    for name in ("list", "bucket"):
        if name in rows.places:
            place = rows.places[name]
            return lambda row: str(row[place])
    if "principal" in rows.places:
        group = rows.places["principal"]
        return lambda row: list_of(row[group])
    return lambda _: rows.table.name


def differences(one: Iterator[tuple[str, ByList]], other: Iterator[tuple[str, ByList]]) -> Iterator[str]:
    """Yield the lists whose digests differ; both iterators have their buckets in order."""
    nothing: tuple[str, ByList] = ("", {})
    left, right = next(one, None), next(other, None)
    while left or right:
        first = min(each[0] for each in (left, right) if each)
        mine = left if left and left[0] == first else nothing
        theirs = right if right and right[0] == first else nothing
        yield from sorted(name for name in {*mine[1], *theirs[1]} if mine[1].get(name) != theirs[1].get(name))
        left = next(one, None) if mine is left else left
        right = next(other, None) if theirs is right else right


def normal_json(text: str) -> str:
    """Return a JSON text with sorted members, and with numbers as PostgreSQL returns them."""
    normal = _encode(loads(text))
    if _NEGATIVE_ZERO in normal or _EXPONENT.search(normal):
        return _encode(json.loads(text, parse_float=_to_number))
    return normal


def _encode(value: Json) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _to_number(digits: str) -> Any:
    number = float(digits)
    return int(Decimal(digits)) if "e+" in repr(number) else number + 0.0
