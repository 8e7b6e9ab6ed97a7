"""The table of quotas: a row for each bucket, with all that is in it, and for each collection."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    ScalarSelect,
    Table,
    Text,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

NUMBERS: Final = ("collection_count", "record_count", "storage_size")
"""The columns that are counted, by the names of Kinto."""

quotas: Final = Table(
    "quotas",
    MetaData(),
    Column("bucket", Text, primary_key=True),
    Column("uri", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in NUMBERS),
)

_BUCKET: Final = bindparam("of_bucket", type_=Text)
_COLLECTIONS: Final = bindparam("collections", type_=Text, expanding=True)
_ZERO: Final = literal_column("0", BigInteger)
_rows: Final = insert(quotas)
_deleted: Final = quotas.alias("deleted")


def _total_of_deleted(name: str) -> ScalarSelect[Any]:
    """Return the sum of a column over the rows of *collections*."""
    of_deleted = _deleted.c.bucket == _BUCKET, _deleted.c.uri.in_(_COLLECTIONS)
    return select(func.coalesce(func.sum(_deleted.c[name]), _ZERO)).where(*of_deleted).scalar_subquery()


add: Final = _rows.on_conflict_do_update(
    index_elements=[quotas.c.bucket, quotas.c.uri],
    set_={name: quotas.c[name] + _rows.excluded[name] for name in NUMBERS},
)
"""Adds to rows, which start at 0."""

add_and_return: Final = add.returning(quotas.c.uri, *(quotas.c[name] for name in NUMBERS))
"""Does the same and returns the rows as they are then."""

remove_collections: Final = (
    update(quotas)
    .where(quotas.c.bucket == _BUCKET, or_(quotas.c.uri == _BUCKET, quotas.c.uri.in_(_COLLECTIONS)))
    .values(
        {
            name: case(
                (
                    quotas.c.uri == _BUCKET,
                    quotas.c[name] - _total_of_deleted(name) + bindparam(f"more_{name}", type_=BigInteger),
                ),
                else_=_ZERO,
            )
            for name in NUMBERS
        }
    )
)
"""Subtracts the numbers of *collections* from their bucket, adds `more_...` to it, and sets the collections to 0.

The rows of the collections cannot change meanwhile: the transaction has locked their lists. The row of the bucket is
read under its lock.
"""

remove_zeros: Final = delete(quotas).where(*(quotas.c[name] == _ZERO for name in NUMBERS))
"""Deletes the rows of collections that were deleted. Others, also those that start again, have bytes."""

any_row: Final = select(quotas.c.uri).where(quotas.c.bucket == "").limit(1)
"""Selects nothing, from a table that exists."""

stored_buckets: Final = select(quotas.c.bucket).distinct()
"""Selects the buckets that have rows."""

remove_buckets: Final = delete(quotas).where(quotas.c.bucket.in_(bindparam("buckets", type_=Text, expanding=True)))
"""Deletes the rows of *buckets* and of the collections in them, whose lists the transaction has locked."""
