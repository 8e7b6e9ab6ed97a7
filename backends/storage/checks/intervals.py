"""The checks on the rows of grants and memberships, which are intervals from `since` until `until`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import BigInteger, Table, and_, case, func, literal, literal_column, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LATEST, LIVING, bucket_of, list_of
from backends.storage.checks.check import (
    FOREVER,
    LATEST_IN_RANGE,
    ONE,
    ZERO,
    Check,
    Mender,
    Row,
    RowChecks,
    clock_of,
    count_slashes,
    has_no_object,
    is_in_wrong_bucket,
    is_missing,
    is_orphan,
    remove,
)
from backends.storage.dialect import Dialect
from backends.storage.tables import clocks, documents, grants, members, parent_of

_GRANT: Final = grants.c
_OTHER: Final = grants.alias("other")
_IS_COPY: Final = _GRANT.bucket == _GRANT.uri
_LIVES: Final = _GRANT.until == FOREVER
_OBJECT_IS_GONE: Final = has_no_object(_GRANT.bucket, _GRANT.uri)
_PAIR: Final = ("uri", "permission", "principal")
_OF_GRANT: Final = "its grant of {permission} to {principal}"


def grant_checks(dialect: Dialect) -> RowChecks:
    """Return the checks on grants."""

    def add_copy(mender: Mender, row: Row) -> str:
        return _add_copy(mender, row, dialect)

    in_directory = and_(count_slashes(_GRANT.uri) == 2, ~_IS_COPY, ~_OBJECT_IS_GONE)
    checks = (
        Check(is_in_wrong_bucket(grants), f"{_OF_GRANT} is stored under {{bucket}}", remove),
        Check(_GRANT.list != parent_of(_GRANT.uri), f"{_OF_GRANT} names the list {{list}}", _set_list),
        Check(is_orphan(grants), f"{_OF_GRANT} is below an object that does not exist", remove),
        Check(and_(_IS_COPY, _OBJECT_IS_GONE), f"{_OF_GRANT} is stored twice although it does not exist", remove),
        *_interval_checks(grants, ("bucket", *_PAIR), _OF_GRANT, _GRANT.bucket, _GRANT.list),
        Check(
            and_(_LIVES, ~_IS_COPY, _OBJECT_IS_GONE),
            f"{_OF_GRANT} has not ended although it does not exist",
            _end_grant,
        ),
        Check(
            and_(_LIVES, in_directory, _is_alone(_GRANT.uri)),
            f"{_OF_GRANT} is missing in its own bucket",
            add_copy,
        ),
        Check(
            and_(_LIVES, _IS_COPY, ~_OBJECT_IS_GONE, _is_alone(parent_of(_GRANT.uri))),
            f"{_OF_GRANT} is in its own bucket alone",
            _end_grant,
        ),
    )
    return RowChecks(grants, ("bucket", *_PAIR, "since"), "uri", checks)


def membership_checks(dialect: Dialect) -> RowChecks:
    """Return the checks on memberships."""
    group, lives = members.c.principal, members.c.until == FOREVER
    first, second = (dialect.segment(group, number) for number in (1, 2))
    slash = literal_column("'/'", group.type)
    bucket = slash.concat(first).concat(slash).concat(second)
    lacks_group = has_no_object(bucket, group)
    document = documents.alias("group_document")
    names = dialect.elements(document.c.data, "members")
    is_named = ~is_missing(names, names.c.value == members.c.user_id)
    is_unnamed = is_missing(document, document.c.bucket == bucket, document.c.uri == group, is_named)
    words = "the membership of {user_id}"
    checks = (
        *_interval_checks(members, ("user_id", "principal"), words, bucket, parent_of(group)),
        Check(and_(lives, lacks_group), f"{words} has not ended although the group does not exist", _end_membership),
        Check(
            and_(lives, ~lacks_group, is_unnamed),
            f"{words} has not ended although the group does not name the user",
            _end_membership,
        ),
    )
    return RowChecks(members, ("user_id", "principal", "since"), "principal", checks)


def _interval_checks(
    table: Table, same: tuple[str, ...], words: str, bucket: ColumnElement[Any], name: ColumnElement[Any]
) -> Iterator[Check]:
    """Yield the checks on intervals; rows of one object, permission and principal have the same columns *same*."""
    other = table.alias("earlier")
    overlaps = (
        *(other.c[column] == table.c[column] for column in same),
        other.c.since < table.c.since,
        other.c.until > table.c.since,
    )
    clock = clock_of(bucket, name)
    is_ahead = or_(
        # What begins or ends while the clock stays has the timestamp after it.
        *(and_(end.between(0, LATEST_IN_RANGE), end - ONE > clock) for end in (table.c.since, table.c.until))
    )
    in_list = documents.alias()
    newer = (
        in_list.c.bucket == bucket,
        in_list.c.list == name,
        in_list.c.deleted.in_([False, True]),
        in_list.c.last_modified > clock,
    )
    # A clock that is behind its objects too is reported once (`backends.storage.checks.lists`).
    ahead = case((is_ahead, and_(clock >= ZERO, is_missing(in_list, *newer))), else_=False)

    def unite(mender: Mender, row: Row) -> str:
        """Extend the earliest interval that overlaps to the end of this one."""
        place = [table.c[column] == row[column] for column in same]
        earlier = select(func.min(table.c.since)).where(
            *place, table.c.since < row["since"], table.c.until > row["since"]
        )
        first = mender.execute(earlier).scalar_one()
        longer = update(table).where(*place, table.c.since == first, table.c.until < row["until"])
        mender.execute(longer.values(until=row["until"]))
        return mender.remove(row)

    def advance_clock(mender: Mender, row: Row) -> str:
        stamp = max(value for value in (row["since"], row["until"]) if value <= mender.values["latest"])
        place = _place_of_clock(row["uri" if table is grants else "principal"])
        mender.execute(update(clocks).where(*place, clocks.c.last_modified < stamp).values(last_modified=stamp))
        return f"clock {stamp}"

    yield Check(table.c.since > table.c.until, f"{words} ended before it began", remove)
    yield Check(
        and_(table.c.since <= table.c.until, ~is_missing(other, *overlaps)),
        f"two intervals of {words} overlap",
        unite,
    )
    yield Check(
        and_(table.c.since <= table.c.until, ahead),
        f"{words} has a timestamp that its list has not reached",
        advance_clock,
    )


def _is_alone(bucket: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that no such grant lives in another bucket."""
    same = (_OTHER.c[name] == _GRANT[name] for name in _PAIR)
    return is_missing(_OTHER, _OTHER.c.bucket == bucket, *same, _OTHER.c.until == FOREVER)


def _set_list(mender: Mender, row: Row) -> str:
    return mender.change(row, list=list_of(row["uri"]))


def _end_grant(mender: Mender, row: Row) -> str:
    return _end(mender, row, row["uri"])


def _end_membership(mender: Mender, row: Row) -> str:
    return _end(mender, row, row["principal"])


def _end(mender: Mender, row: Row, uri: str) -> str:
    """End an interval at the timestamp after the clock of its list."""
    return mender.change(row, until=max(row["since"], next_stamp(mender, uri)))


def next_stamp(mender: Mender, uri: str) -> int:
    """Return the timestamp at which an interval begins or ends in the list of an object, whose clock stays."""
    clock: int | None = mender.execute(select(clocks.c.last_modified).where(*_place_of_clock(uri))).scalar()
    return min((clock or 0) + 1, LATEST)


def _place_of_clock(uri: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the condition of the clock of an object's list; a text that is no URI has none."""
    name = uri.rpartition("/")[0]
    return clocks.c.bucket == bucket_of(name), clocks.c.list == name


def _add_copy(mender: Mender, row: Row, dialect: Dialect) -> str:
    """Store a living grant under the object's own bucket too."""
    bucket = bucket_of(row["uri"])
    statement = dialect.insert(grants).values({**row, "bucket": bucket, "until": literal(LIVING, BigInteger)})
    again = {"until": statement.excluded.until}
    mender.execute(statement.on_conflict_do_update(index_elements=list(grants.primary_key), set_=again))
    return f"copied to {bucket}"
