"""The checks on the rows of objects and tombstones.

The two copies of an object at the top: the one in the directory is right, unless the other one is newer.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Text, and_, case, func, insert, literal, not_, or_, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from backends.codec import dumps
from backends.storage import id_of, list_of, read_bucket
from backends.storage.checks.check import (
    LATEST_IN_RANGE,
    Check,
    Mender,
    Row,
    RowChecks,
    clock_of,
    count_slashes,
    is_in_wrong_bucket,
    is_missing,
    is_orphan,
    remove,
)
from backends.storage.dialect import Dialect
from backends.storage.tables import CONTENTS, clocks, documents, last_segment, parent_of

_ROW: Final = documents.c
_LIST: Final = parent_of(_ROW.uri)
_IS_COPY: Final = _ROW.bucket == _ROW.uri
_OTHER: Final = documents.alias("other")
_IN_DIRECTORY: Final = and_(count_slashes(_ROW.uri) == 2, ~_IS_COPY)
_COPY_COLUMNS: Final = [column.name for column in CONTENTS if column.name not in ("bucket", "uri")]


def document_checks(dialect: Dialect) -> RowChecks:
    """Return the checks on objects and tombstones."""
    in_range = _ROW.last_modified.between(0, LATEST_IN_RANGE)
    object_id = dialect.member(_ROW.data, "id")
    timestamp = dialect.number(_ROW.data, "last_modified")
    is_marked = dialect.is_true(_ROW.data, "deleted")

    def set_id(mender: Mender, row: Row) -> str:
        return mender.change(row, data=dialect.with_member(_ROW.data, "id", last_segment(_ROW.uri)))

    def set_timestamp(mender: Mender, row: Row) -> str:
        return mender.change(row, data=dialect.with_member(_ROW.data, "last_modified", _ROW.last_modified))

    def renew_timestamp(mender: Mender, row: Row) -> str:
        return _renew_timestamp(mender, row, dialect)

    checks = (
        Check(is_in_wrong_bucket(documents), "its row is stored under {bucket}", remove),
        Check(_ROW.list != _LIST, "its row names the list {list}", _set_list),
        Check(is_orphan(documents), "the object that contains it does not exist", remove),
        Check(
            and_(~_IS_COPY, object_id.is_distinct_from(last_segment(_ROW.uri))), "its document has another id", set_id
        ),
        Check(
            and_(~_IS_COPY, in_range, timestamp.is_distinct_from(_ROW.last_modified)),
            "its document has another timestamp than its row, {last_modified}",
            set_timestamp,
        ),
        Check(and_(~_IS_COPY, _ROW.deleted, not_(is_marked)), "its document is no tombstone", _set_tombstone),
        Check(_lacks_copy(), "its copy in its own bucket is missing", _add_copy),
        Check(_differs_from_copy(), "its copy in its own bucket differs", _unite_copies),
        Check(_lacks_original(), "it is missing in the list {list}", _add_original),
        Check(_has_tombstone(), "it is deleted, and its copy in its own bucket is not", _unite_copies),
        Check(_lacks_clock(), "its list has no clock", _add_clock),
        Check(and_(in_range, _shares_timestamp()), "another object of its list has its timestamp", renew_timestamp),
    )
    return RowChecks(documents, ("bucket", "uri"), "uri", checks)


def _lacks_copy() -> ColumnElement[bool]:
    own = _OTHER.c.bucket == _ROW.uri, _OTHER.c.uri == _ROW.uri
    return and_(_IN_DIRECTORY, ~_ROW.deleted, is_missing(_OTHER, *own))


def _differs_from_copy() -> ColumnElement[bool]:
    differs = or_(*(_OTHER.c[name].is_distinct_from(_ROW[name]) for name in _COPY_COLUMNS))
    own = _OTHER.c.bucket == _ROW.uri, _OTHER.c.uri == _ROW.uri
    return and_(_IN_DIRECTORY, ~_ROW.deleted, ~is_missing(_OTHER, *own, differs))


def _lacks_original() -> ColumnElement[bool]:
    return and_(_IS_COPY, is_missing(_OTHER, _OTHER.c.bucket == _LIST, _OTHER.c.uri == _ROW.uri))


def _has_tombstone() -> ColumnElement[bool]:
    return and_(_IS_COPY, ~is_missing(_OTHER, _OTHER.c.bucket == _LIST, _OTHER.c.uri == _ROW.uri, _OTHER.c.deleted))


def _lacks_clock() -> ColumnElement[bool]:
    """Return the condition of the first row of a list without a clock."""
    order = ("deleted", "last_modified", "uri")
    is_before = tuple_(*(_OTHER.c[name] for name in order)) < tuple_(*(_ROW[name] for name in order))
    first = is_missing(_OTHER, _OTHER.c.bucket == _ROW.bucket, _OTHER.c.list == _ROW.list, is_before)
    has_no_clock = clock_of(_ROW.bucket, _ROW.list).is_(None)
    # By CASE, since the first row is looked for only where there is no clock.
    return and_(~_IS_COPY, _ROW.list == _LIST, case((has_no_clock, first), else_=False))


def _shares_timestamp() -> ColumnElement[bool]:
    """Return the condition that an object of the same list, earlier by its URI, has the same timestamp."""
    same = (
        _OTHER.c.bucket == _ROW.bucket,
        _OTHER.c.list == _ROW.list,
        # Both values, since they stand before the timestamp in the index.
        _OTHER.c.deleted.in_([False, True]),
        _OTHER.c.last_modified == _ROW.last_modified,
        _OTHER.c.uri < _ROW.uri,
    )
    return and_(~_IS_COPY, ~is_missing(_OTHER, *same))


def _set_list(mender: Mender, row: Row) -> str:
    return mender.change(row, list=list_of(row["uri"]))


def _set_tombstone(mender: Mender, row: Row) -> str:
    mender.write_out(row)
    object_id = id_of(row["uri"])
    return mender.change(
        row, data=dumps({"id": object_id, "last_modified": row["last_modified"], "deleted": True}), deleted=True
    )


def _add_copy(mender: Mender, row: Row) -> str:
    return _copy(mender, row, row["uri"])


def _add_original(mender: Mender, row: Row) -> str:
    return _copy(mender, row, read_bucket(row["uri"]))


def _copy(mender: Mender, row: Row, bucket: str) -> str:
    """Add a copy of the row in another bucket."""
    columns = [literal(bucket, Text), *(column for column in documents.c if column.name != "bucket")]
    copy = select(*columns).where(_ROW.bucket == row["bucket"], _ROW.uri == row["uri"])
    mender.execute(insert(documents).from_select([column.name for column in documents.c], copy))
    return f"copied to {bucket}"


def _unite_copies(mender: Mender, row: Row) -> str:
    """Replace the older one of two copies by the newer one; a tombstone has no copy."""
    uri = row["uri"]
    columns = [column for column in documents.c if column.name != "data"]
    both = mender.execute(select(*columns).where(_ROW.uri == uri, _ROW.bucket.in_([uri, read_bucket(uri)])))
    # At the same timestamp the one in the directory.
    newer, older = sorted(map(dict, both.mappings()), key=lambda copy: (-copy["last_modified"], copy["bucket"] == uri))
    message = mender.remove(older)
    if newer["deleted"] and newer["bucket"] != uri:
        return message
    return _copy(mender, newer, older["bucket"])


def _add_clock(mender: Mender, row: Row) -> str:
    """Start the clock of a list above all of its objects."""
    in_list = _ROW.bucket == row["bucket"], _ROW.list == row["list"]
    in_range = case((_ROW.last_modified <= mender.values["latest"], _ROW.last_modified))
    living = func.count(case((~_ROW.deleted, 1)))
    newest, count = mender.execute(select(func.max(in_range), living).where(*in_list)).one()
    stamp = max(mender.values["now"], (newest or 0) + 1)
    columns = {"last_modified": stamp, "floor": stamp, "count": count}
    mender.execute(insert(clocks).values(bucket=row["bucket"], list=row["list"], **columns))
    return f"clock {stamp}, floor {stamp}, count {count}"


def _renew_timestamp(mender: Mender, row: Row, dialect: Dialect) -> str:
    """Give an object the next timestamp of its list, in all its copies."""
    place = clocks.c.bucket == row["bucket"], clocks.c.list == row["list"]
    clock: int | None = mender.execute(select(clocks.c.last_modified).where(*place)).scalar()
    stamp = max(mender.values["now"], (clock or 0) + 1)
    mender.execute(update(clocks).where(*place).values(last_modified=stamp))
    columns: dict[str, Any] = {
        "last_modified": stamp,
        "data": dialect.with_member(_ROW.data, "last_modified", literal(stamp, clocks.c.last_modified.type)),
    }
    copies = _ROW.bucket.in_([row["bucket"], row["uri"]])
    mender.execute(update(documents).where(copies, _ROW.uri == row["uri"]).values(columns))
    return f"timestamp {stamp}"
