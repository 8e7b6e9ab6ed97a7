"""Declare the indexes that collections of Kinto ask for: to it, their attribute `indexes` was ordinary data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from backends.codec import loads
from backends.storage.index_keys import new_prefix
from backends.storage.indexes import BUILDING, DECLARED, IndexDefinition, assign_slots
from backends.storage.tables import indexes
from backends.storage.takeover_options import Takeover

_collections_with_indexes = text("""
    SELECT collections.bucket, collections.uri || '/records', collections.data::text
    FROM documents AS collections
    WHERE collections.list = collections.bucket || '/collections' AND NOT deleted AND data ? 'indexes'
    ORDER BY collections.uri
""")


def declare_indexes(connection: Connection, options: Takeover, now: int) -> int:
    """Declare the indexes that collections ask for, to be built as those of large lists are; return their number."""
    rows = [
        row
        for bucket, name, document in connection.execute(_collections_with_indexes).all()
        for row in _index_rows(bucket, name, options.declared_indexes(loads(document)), now)
    ]
    if rows:
        connection.execute(indexes.insert(), rows)
    return len(rows)


def _index_rows(bucket: str, name: str, definitions: Sequence[IndexDefinition], now: int) -> list[dict[str, Any]]:
    """Return the rows of the declared indexes of a list."""
    return [
        {
            "bucket": bucket,
            "list": name,
            "slot": slot,
            "prefix": new_prefix().hex(),
            "definition": definition.text(),
            "origin": DECLARED,
            "state": BUILDING,
            "done": "",
            "since": now,
        }
        for definition, slot in zip(definitions, assign_slots(definitions), strict=True)
    ]
