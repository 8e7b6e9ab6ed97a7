"""Count all objects and tombstones, by the kinds of lists that they are in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from backends.storage.dialect import Dialect
from backends.storage.tables import documents


def count_by_lists(dialect: Dialect, depth: int) -> Select[*tuple[Any, ...]]:
    """Return the statement that counts objects and tombstones by the names of their lists, up to a depth of lists.

    The copy of an object at the top in its own bucket does not count.
    """
    names = [dialect.segment(documents.c.list, 2 * number + 1) for number in range(depth)]
    query = select(*names, documents.c.deleted, func.count()).where(documents.c.bucket != documents.c.uri)
    return query.group_by(*names, documents.c.deleted)
