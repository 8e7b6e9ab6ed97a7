"""The checks on the rows of clocks and of indexes: whether they belong to a list.

A clock outlives its list until a purge removes it (`backends.storage.dead_clocks`). It is a fault only when nothing is
left of the bucket, not even a tombstone, and nobody can need the clock any more.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, and_, func, literal_column, or_

from backends.storage.checks.check import (
    DAY_MS,
    NOW,
    Check,
    RowChecks,
    has_no_object,
    is_list_in_wrong_bucket,
    is_missing,
    remove,
)
from backends.storage.indexes import CONTAINS, TERM_SLOTS, TEXT
from backends.storage.tables import clocks, documents, indexes, members, parent_of

_NAME: Final = clocks.c.list
_LIMIT: Final = NOW - DAY_MS
_MEMBERSHIPS: Final = members.c.principal > _NAME.concat("/"), members.c.principal < _NAME.concat("0")
_OBJECTS: Final = documents.c.bucket == clocks.c.bucket, documents.c.list == _NAME
_IS_LEFT_OVER: Final = and_(
    parent_of(_NAME) != "",
    clocks.c.last_modified < _LIMIT,
    func.coalesce(clocks.c.former, literal_column("0", BigInteger)) < _LIMIT,
    has_no_object(clocks.c.bucket, clocks.c.bucket, or_tombstone=True),
    is_missing(documents, *_OBJECTS),
    is_missing(members, *_MEMBERSHIPS),
)

CLOCK_CHECKS: Final = RowChecks(
    clocks,
    ("bucket", "list"),
    "list",
    (
        Check(is_list_in_wrong_bucket(clocks), "its clock is stored under {bucket}", remove),
        Check(_IS_LEFT_OVER, "its clock is left over: the bucket does not exist", remove),
    ),
)

_HAS_TERMS: Final = or_(*(indexes.c.definition.like(f'{{"{kind}":%') for kind in (TEXT, CONTAINS)))

INDEX_CHECKS: Final = RowChecks(
    indexes,
    ("bucket", "list", "slot"),
    "list",
    (
        Check(is_list_in_wrong_bucket(indexes), "its index {definition} is stored under {bucket}", remove),
        Check(
            has_no_object(indexes.c.bucket, parent_of(indexes.c.list)),
            "its index {definition} is left over: the object that contains the list does not exist",
            remove,
        ),
        Check(
            (indexes.c.slot >= TERM_SLOTS[0]) != _HAS_TERMS,
            "its index {definition} has the slot {slot}, whose column it does not use",
            remove,
        ),
    ),
)
