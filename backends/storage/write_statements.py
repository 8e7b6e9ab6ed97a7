"""The statements of writing transactions: built once for each shape, for one database dialect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Select,
    Text,
    and_,
    bindparam,
    case,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from backends.storage import (
    LIVING,
    at_top,
    bucket_of,
)
from backends.storage.dialect import Dialect
from backends.storage.inserts import Inserts
from backends.storage.intervals import Intervals
from backends.storage.tables import clocks, documents, grants, members

# Written out: what is bound beside the values of a row has no place in a statement of many rows.
_ZERO, _ONE, _LAST = (literal_column(str(number), BigInteger) for number in (0, 1, LIVING - 1))
_CLOCK = ("bucket", "list", "last_modified", "floor", "count")
_bucket = bindparam("of_bucket", type_=Text)


def _build_holdings(dialect: Dialect) -> CompoundSelect[Any]:
    """Make the statement of what a principal has; whoever holds `write` beside it makes an object not only its own."""
    holder, other = dialect.bound_rows("holder", [("value", Text())]), grants.alias("other")
    granted = select(grants.c.bucket, grants.c.uri, grants.c.permission, grants.c.principal).where(
        grants.c.until == LIVING
    )
    held = (
        dialect.look_up(granted, holder, grants.c.principal == holder.c.value).cte("held").prefix_with("MATERIALIZED")
    )
    # A value for each row, not EXISTS: of that the planner may make a join that reads all grants that there are.
    beside = (
        select(literal_column("1", BigInteger))
        .where(
            other.c.bucket == held.c.bucket,
            other.c.uri == held.c.uri,
            other.c.permission == "write",
            other.c.until == LIVING,
            other.c.principal != held.c.principal,
        )
        .limit(1)
        .scalar_subquery()
    )
    joined = select(literal("groups"), members.c.principal).where(members.c.until == LIVING)
    return union_all(
        select(literal("granted"), held.c.uri).distinct(),
        select(literal("sole"), held.c.uri).where(held.c.permission == "write", beside.is_(None)),
        dialect.look_up(joined, holder, members.c.user_id == holder.c.value),
    )


class Writes:
    """The statements of writing transactions in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.intervals = Intervals(dialect)
        self.documents = self._build_documents(dialect)
        self.clocks = self._build_clocks(dialect)
        self.lock = lru_cache(maxsize=64)(_build_lock)
        self.starts = Inserts(dialect.insert(clocks).on_conflict_do_nothing(), _CLOCK)
        self.taken = self._build_taken(dialect)
        self.held_by_name = _build_held(dialect)
        self.holdings = _build_holdings(dialect)

    @staticmethod
    def _build_documents(dialect: Dialect) -> Inserts:
        statement = dialect.insert(documents)
        replaced = {name: statement.excluded[name] for name in ("last_modified", "deleted", "data")}
        upsert = statement.on_conflict_do_update(index_elements=[documents.c.bucket, documents.c.uri], set_=replaced)
        return Inserts(upsert, [column.name for column in documents.c])

    @staticmethod
    def _build_clocks(dialect: Dialect) -> Inserts:
        """Make the upsert that moves clocks, never back, and starts those of new lists: rows with a floor."""
        statement = dialect.insert(clocks)
        new, starts = statement.excluded, statement.excluded.floor > _ZERO
        # A clock at the end of the range has no next value: the list starts at what is given.
        above = dialect.greatest(clocks.c.last_modified + _ONE, new.last_modified)
        started = case((clocks.c.last_modified < _LAST, above), else_=new.last_modified)
        # Where a count is wrong (`kinto check` reports it), objects can still be deleted.
        counted = dialect.greatest(clocks.c.count + new.count, _ZERO)
        moved = {
            "last_modified": case((starts, started), else_=new.last_modified),
            "floor": case((starts, started), else_=clocks.c.floor),
            "count": case((starts, new.count), else_=counted),
        }
        upsert = statement.on_conflict_do_update(index_elements=[clocks.c.bucket, clocks.c.list], set_=moved)
        returning = upsert.returning(clocks.c.list, clocks.c.last_modified)
        return Inserts(returning, _CLOCK)

    @staticmethod
    def _build_taken(dialect: Dialect) -> Select[Any]:
        asked = dialect.bound_rows("asked", [("list", Text()), ("last_modified", BigInteger())])
        found = select(documents.c.uri).where(
            documents.c.bucket == _bucket, documents.c.deleted.in_([literal_column("true"), literal_column("false")])
        )
        same = documents.c.list == asked.c.list, documents.c.last_modified == asked.c.last_modified
        return dialect.look_up(found, asked, *same)


def _build_lock(ranges: int) -> Select[Any]:
    """Make the statement that locks named lists of a bucket, and all lists in some ranges of URIs."""
    named = clocks.c.list.in_(bindparam("lists", expanding=True, type_=Text))
    below = [
        and_(
            clocks.c.list > bindparam(f"above_{number}", type_=Text),
            clocks.c.list < bindparam(f"below_{number}", type_=Text),
        )
        for number in range(ranges)
    ]
    return (
        select(clocks.c.list, clocks.c.last_modified, clocks.c.count)
        .where(clocks.c.bucket == _bucket, or_(named, *below))
        .order_by(clocks.c.list)
        .with_for_update(key_share=True)
    )


def _inside(column: Any, uri: str) -> Any:
    """Say that a URI lies below another: a range, since `_` and `%` in ids are no wildcards (C-OBJ-60)."""
    return and_(column > f"{uri}/", column < f"{uri}0")


def below(table: Any, uris: Sequence[str], copies: bool) -> Any:
    """Say that a row lies below one of the objects: all of its bucket with the *copies*, or a range of URIs in it."""
    tops = [uri for uri in uris if copies and at_top(uri)]
    ranges = [and_(table.c.bucket == bucket_of(uri), _inside(table.c.uri, uri)) for uri in uris if uri not in tops]
    return or_(table.c.bucket.in_(tops), *ranges) if tops else or_(*ranges)


def _granted() -> Select[Any]:
    return select(literal_column("0").label("source"), grants.c.uri, grants.c.permission, grants.c.principal)


def _joined(source: int) -> Select[Any]:
    third: Any = literal_column("''").label("third")
    return select(literal_column(str(source)).label("source"), members.c.user_id, members.c.principal, third)


def _build_held(dialect: Dialect) -> CompoundSelect[Any]:
    """Make the statement of what named principals hold, in all buckets, and of who is in the groups among them."""
    named = dialect.bound_rows("named", [("value", Text())])
    granted, joined, inside = _granted(), _joined(1), _joined(2)
    return union_all(
        dialect.look_up(granted.where(grants.c.until == LIVING), named, grants.c.principal == named.c.value),
        dialect.look_up(joined.where(members.c.until == LIVING), named, members.c.user_id == named.c.value),
        dialect.look_up(inside.where(members.c.until == LIVING), named, members.c.principal == named.c.value),
    )


def held_inside(uris: Sequence[str]) -> CompoundSelect[Any]:
    """Make the statement of what the groups inside objects hold, and of who is in them."""
    return union_all(
        _granted().where(or_(*(_inside(grants.c.principal, uri) for uri in uris)), grants.c.until == LIVING),
        _joined(2).where(or_(*(_inside(members.c.principal, uri) for uri in uris)), members.c.until == LIVING),
    )
