"""The statements of writing transactions, in one database dialect: built once for each shape and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Delete,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    literal,
    literal_column,
    not_,
    or_,
    select,
    union_all,
)

from backends.storage import LIVING, at_top, bucket_of
from backends.storage.dialect import Dialect
from backends.storage.index_statements import IndexStatements
from backends.storage.inserts import Inserts
from backends.storage.intervals import Intervals
from backends.storage.plugin_statements import PluginStatements
from backends.storage.statements import Statement
from backends.storage.tables import ENTRIES, HELD_ANYWHERE, KEYS, TERMS, clocks, documents, grants, members
from backends.storage.trimming import Trimming

GRANTS, MEMBERSHIPS, MEMBERS = range(3)
"""The sources of the rows of holdings: grants to principals, memberships of users, members of groups."""

# Literals: in an INSERT of many rows only the values of the rows can be bound.
_ZERO, _LAST = (literal_column(str(number), BigInteger) for number in (0, LIVING - 1))
_CLOCK_COLUMNS: Final = ("bucket", "list", "last_modified", "floor", "count")
_BUCKET: Final = bindparam("of_bucket", type_=Text)


class WriteStatements:
    """The statements of writing transactions in one database dialect.

    `put_documents` has one statement for each set of columns for entries of indexes: others are not written.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.lock_clocks = Statement(_build_lock(dialect))
        self.timestamp_conflicts = Statement(_build_timestamp_conflicts(dialect))
        self.move_clocks = Inserts(_build_move(dialect, compares=True), _CLOCK_COLUMNS)
        self.lock_and_move_clocks = Inserts(_build_move(dialect, compares=False), _CLOCK_COLUMNS)
        self.start_clocks = Inserts(dialect.insert(clocks).on_conflict_do_nothing(), _CLOCK_COLUMNS)
        self.put_documents: Mapping[Sequence[str], Inserts] = {
            columns: _build_documents(dialect, ("last_modified", "deleted", "data", *columns))
            for columns in ((), KEYS, (TERMS,), ENTRIES)
        }
        self.indexes = IndexStatements(dialect)
        self.intervals = Intervals(dialect)
        self.holdings_by_name = Statement(_build_holdings_by_name(dialect))
        self.user_holdings = Statement(_build_user_holdings(dialect))
        self.of_plugins = PluginStatements()
        self.trimming = Trimming(dialect)


def _build_lock(dialect: Dialect) -> Select[Any]:
    """Return the statement that locks all clocks of a bucket in ranges of URIs, one range after the other.

    The end of a range is excluded.
    """
    ranges = dialect.bound_rows("ranges", [("first", Text()), ("end", Text())])
    in_bucket = (
        select(clocks.c.list, clocks.c.last_modified, clocks.c.count)
        .where(clocks.c.bucket == _BUCKET)
        .order_by(clocks.c.list)
        .with_for_update(key_share=True)
    )
    return dialect.look_up(in_bucket, ranges, clocks.c.list >= ranges.c.first, clocks.c.list < ranges.c.end)


def _build_timestamp_conflicts(dialect: Dialect) -> Select[Any]:
    requested = dialect.bound_rows("requested", [("list", Text()), ("last_modified", BigInteger())])
    # All objects, living or not: `deleted` stands before the timestamp in the index.
    in_bucket = select(documents.c.uri).where(
        documents.c.bucket == _BUCKET, documents.c.deleted.in_([literal_column("true"), literal_column("false")])
    )
    same = documents.c.list == requested.c.list, documents.c.last_modified == requested.c.last_modified
    return dialect.look_up(in_bucket, requested, *same)


def _build_move(dialect: Dialect, *, compares: bool) -> Any:
    """Return the upsert that moves clocks forward. The floor of its row tells what happens to a list:

    - 0: the list is locked, and its clock becomes that of the row.
    - the timestamp of the row: the list starts. If its clock has passed that timestamp meanwhile, another transaction
      has started it: the timestamp becomes NULL, which the column refuses. So the statement can be sent with the
      COMMIT.
    - below the timestamp of the row: the list is derived, and locked from here on. A list without a clock starts at the
      floor.

    One that *compares* moves the clock of a derived list to the timestamp of the row if it is still at the floor; else
    another transaction has moved it, and the timestamp becomes NULL too. One that does not moves it by as many ms as
    the list gets objects, at least to the timestamp of the row, and returns what the clocks have become.
    """
    statement = dialect.insert(clocks)
    new, starts = statement.excluded, statement.excluded.floor == statement.excluded.last_modified
    derived = and_(new.floor > _ZERO, new.floor < new.last_modified)
    # A clock at the end of the range has no next value: the list starts at the same timestamp.
    passed = and_(starts, clocks.c.last_modified >= new.last_modified, clocks.c.last_modified < _LAST)
    others = and_(derived, clocks.c.last_modified != new.floor)
    # Never below 0: objects can be deleted although a count is wrong (`kinto check` reports that).
    count = dialect.greatest(clocks.c.count + new.count, _ZERO)
    moved = {
        "last_modified": case((not_(or_(passed, others)), new.last_modified))
        if compares
        else case(
            (derived, dialect.greatest(new.last_modified, clocks.c.last_modified + new.count)),
            (not_(passed), new.last_modified),
        ),
        "floor": case((starts, new.last_modified), else_=clocks.c.floor),
        "count": case((starts, new.count), else_=count),
    }
    upsert = statement.on_conflict_do_update(index_elements=[clocks.c.bucket, clocks.c.list], set_=moved)
    return upsert if compares else upsert.returning(clocks.c.list, clocks.c.last_modified, clocks.c.count)


def _build_documents(dialect: Dialect, columns: Sequence[str]) -> Inserts:
    """Return the upsert that writes documents; *columns* are those that change when a document is written again."""
    statement = dialect.insert(documents)
    replaced = {name: statement.excluded[name] for name in columns}
    upsert = statement.on_conflict_do_update(index_elements=[documents.c.bucket, documents.c.uri], set_=replaced)
    return Inserts(upsert, ("bucket", "uri", "list", "born", *columns))


def delete_below(table: Table, uris: Sequence[str], *, copies: bool) -> Delete:
    """Return the statement that deletes the rows below objects: URIs in a range, or all rows of a bucket.

    With *copies* all rows of the bucket of an object at the top are deleted, its copy there included.
    """
    whole_buckets = [uri for uri in uris if copies and at_top(uri)]
    ranges = [
        and_(table.c.bucket == bucket_of(uri), _is_below(table.c.uri, uri)) for uri in uris if uri not in whole_buckets
    ]
    return delete(table).where(
        or_(table.c.bucket.in_(whole_buckets), *ranges) if whole_buckets else or_(*ranges),
    )


def delete_rows(table: Table, bucket: str, uris: Sequence[str]) -> Delete:
    """Return the statement that deletes the rows of a plugin of objects in one bucket, and of all objects below."""
    in_bucket = delete(table).where(table.c.bucket == bucket)
    if bucket in uris:
        return in_bucket
    return in_bucket.where(or_(table.c.uri.in_(uris), *(_is_below(table.c.uri, uri) for uri in uris)))


def delete_copies(table: Table, uris: Sequence[str]) -> Delete:
    """Return the statement that deletes the copies of objects at the top in their own buckets."""
    # By both columns: by the bucket alone, the scan would pass rows of the bucket that have just been deleted.
    return delete(table).where(table.c.bucket.in_(uris), table.c.uri.in_(uris))


def _is_below(column: Any, uri: str) -> Any:
    """Return the condition that a URI lies below an object: a range, since `_` and `%` are no wildcards (C-OBJ-60)."""
    return and_(column > f"{uri}/", column < f"{uri}0")


def _grants() -> Select[Any]:
    source: Any = literal_column(str(GRANTS)).label("source")
    return select(source, grants.c.uri, grants.c.permission, grants.c.principal)


def _members(source: int) -> Select[Any]:
    empty: Any = literal_column("''").label("third")
    return select(literal_column(str(source)).label("source"), members.c.user_id, members.c.principal, empty)


def _build_holdings_by_name(dialect: Dialect) -> CompoundSelect[Any]:
    """Return the statement of the holdings of named principals, in all buckets, and of the members of the groups."""
    principals = dialect.bound_rows("named", [("value", Text())])
    granted, memberships, in_groups = _grants(), _members(MEMBERSHIPS), _members(MEMBERS)
    return union_all(
        dialect.look_up(granted.where(HELD_ANYWHERE), principals, grants.c.principal == principals.c.value),
        dialect.look_up(
            memberships.where(members.c.until == LIVING), principals, members.c.user_id == principals.c.value
        ),
        dialect.look_up(
            in_groups.where(members.c.until == LIVING), principals, members.c.principal == principals.c.value
        ),
    )


def holdings_inside(uris: Sequence[str]) -> CompoundSelect[Any]:
    """Return the statement of the holdings of all groups inside objects, and of the members of these groups."""
    return union_all(
        _grants().where(or_(*(_is_below(grants.c.principal, uri) for uri in uris)), HELD_ANYWHERE),
        _members(MEMBERS).where(or_(*(_is_below(members.c.principal, uri) for uri in uris)), members.c.until == LIVING),
    )


def _build_user_holdings(dialect: Dialect) -> CompoundSelect[Any]:
    """Return the statement of the objects and groups of one principal.

    Rows are ("granted", URI), ("sole", URI) for objects on which no other principal holds `write`, ("groups", URI).
    """
    holder, other = dialect.bound_rows("holder", [("value", Text())]), grants.alias("other")
    granted = select(grants.c.bucket, grants.c.uri, grants.c.permission, grants.c.principal).where(HELD_ANYWHERE)
    holder_grants = (
        dialect.look_up(granted, holder, grants.c.principal == holder.c.value).cte("held").prefix_with("MATERIALIZED")
    )
    # A scalar subquery, not EXISTS: the planner may turn EXISTS into a join that reads all grants.
    other_writer = (
        select(literal_column("1", BigInteger))
        .where(
            other.c.bucket == holder_grants.c.bucket,
            other.c.uri == holder_grants.c.uri,
            other.c.permission == "write",
            other.c.until == LIVING,
            other.c.principal != holder_grants.c.principal,
        )
        .limit(1)
        .scalar_subquery()
    )
    memberships = select(literal("groups"), members.c.principal).where(members.c.until == LIVING)
    return union_all(
        select(literal("granted"), holder_grants.c.uri).distinct(),
        select(literal("sole"), holder_grants.c.uri).where(
            holder_grants.c.permission == "write", other_writer.is_(None)
        ),
        dialect.look_up(memberships, holder, members.c.user_id == holder.c.value),
    )
