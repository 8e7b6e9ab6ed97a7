"""The interface of checks on single rows, and the conditions that several of them have in common.

A check is a condition on a row, the words that report it, and a repair. The condition may look at other rows by scalar
subqueries (`is_missing`): the planner may turn EXISTS into a join that reads a whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import BigInteger, FromClause, Text, and_, bindparam, func, literal_column, not_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING
from backends.storage.tables import clocks, documents, parent_of

Row = Mapping[str, Any]
"""The columns of a row by name, without documents."""

LATEST_IN_RANGE: Final = bindparam("latest", type_=BigInteger)
NOW: Final = bindparam("now", type_=BigInteger)
ZERO: Final = literal_column("0", BigInteger)
ONE: Final = literal_column("1", BigInteger)
FOREVER: Final = literal_column(str(LIVING), BigInteger)
DAY_MS: Final = literal_column(str(24 * 3_600_000), BigInteger)
SLASH: Final = literal_column("'/'", Text)


class Mender(Protocol):
    """Repairs a row in a transaction that holds the locks of its lists. Methods return a description of the repair."""

    values: Mapping[str, Any]
    """The values of the bound parameters of conditions."""

    def execute(self, statement: Any, values: Mapping[str, Any] | None = None) -> Any:
        """Execute a statement; return its result."""

    def write_out(self, row: Row) -> None:
        """Write the row to the output, as a line of JSON, before it is deleted or overwritten."""

    def remove(self, row: Row) -> str:
        """Write the row out, and delete it."""

    def change(self, row: Row, **columns: Any) -> str:
        """Change columns of the row."""


@dataclass(frozen=True, slots=True)
class Check:
    """A fault that a row may have; `words` is a format string with the columns of the row.

    A row whose repair is `remove` is not checked further, so the checks after it may take for granted that it is sound.
    """

    wrong: ColumnElement[bool]
    words: str
    repair: Callable[[Mender, Row], str]


@dataclass(frozen=True, slots=True)
class RowChecks:
    """The checks on the rows of a table; `keys` are the columns of its key.

    `subject` is the column with the URI, or the list, with which reports begin, and whose lists are locked.
    """

    table: FromClause
    keys: tuple[str, ...]
    subject: str
    checks: tuple[Check, ...]


def remove(mender: Mender, row: Row) -> str:
    """Delete the row."""
    return mender.remove(row)


def is_missing(rows: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that no row meets conditions, which may name tables of the statements around it."""
    matching = select(ONE).select_from(rows).where(*conditions).correlate_except(rows)
    return matching.limit(ONE).scalar_subquery().is_(None)


def count_slashes(path: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the number of slashes in a path."""
    return func.length(path) - func.length(func.replace(path, "/", ""))


def begins_with(path: ColumnElement[Any], uri: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a path is below a URI."""
    above: ColumnElement[bool] = func.substr(path, ONE, func.length(uri) + ONE, type_=Text) == uri.concat(SLASH)
    return above


def is_in_wrong_bucket(table: FromClause) -> ColumnElement[bool]:
    """Return the condition that the row of an object is stored under none of its buckets (`keys.write_buckets`)."""
    bucket, uri = table.c.bucket, table.c.uri
    in_own = and_(count_slashes(bucket) == 2, or_(uri == bucket, begins_with(uri, bucket)))
    in_directory = and_(count_slashes(bucket) == 1, count_slashes(uri) == 2, begins_with(uri, bucket))
    return not_(or_(in_own, in_directory))


def is_list_in_wrong_bucket(table: FromClause) -> ColumnElement[bool]:
    """Return the condition that the row of a list is not stored under its bucket (`keys.bucket_of`)."""
    bucket, name = table.c.bucket, table.c.list
    at_top = and_(name == bucket, count_slashes(name) == 1)
    return not_(or_(at_top, and_(count_slashes(bucket) == 2, begins_with(name, bucket))))


def has_no_object(
    bucket: ColumnElement[Any], uri: ColumnElement[Any], *, or_tombstone: bool = False
) -> ColumnElement[bool]:
    """Return the condition that no object of a URI lives, neither in a bucket nor as one of two copies.

    With *or_tombstone* there is no tombstone either.
    """
    object_of = documents.alias()
    conditions = [] if or_tombstone else [~object_of.c.deleted]
    places = (bucket, parent_of(bucket), uri)
    return and_(
        *(is_missing(object_of, object_of.c.bucket == place, object_of.c.uri == uri, *conditions) for place in places)
    )


def is_orphan(table: FromClause) -> ColumnElement[bool]:
    """Return the condition that the object that contains the list of a row's object does not live."""
    parent = parent_of(parent_of(table.c.uri))
    return and_(parent != "", ~is_in_wrong_bucket(table), has_no_object(table.c.bucket, parent))


def clock_of(bucket: ColumnElement[Any], name: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the timestamp of the clock of a list, NULL without one."""
    clock = select(clocks.c.last_modified).where(clocks.c.bucket == bucket, clocks.c.list == name)
    return clock.correlate_except(clocks).scalar_subquery()
