"""The statement of `GET /permissions`: objects anywhere on which somebody holds a permission, page by page.

The index `grants_in_order` has what each principal holds on objects of one kind in the order of their URIs. So for
every principal of the readers and every range of URIs that the page may come from, the first objects of the range are
looked up, each with the names of the permissions, and the page is made of them: as many rows are looked at as the page
has objects, times the principals and the ranges. Only another order than that of the URIs, and a count, looks at all.

Grants end with their object, so no document is read. Where the settings give a permission on every object of a kind,
the objects are read from `documents`: those at the top in the order of their URIs, others list by list.

All fields of an entry follow from its URI. They are text, or missing where the kind has no such field.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Connection,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    distinct,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CompoundSelect

from backends import Json
from backends.storage import AccessSelection, Filter, KindRange, Missing, Order, Snapshot, like_pattern
from backends.storage.branches import LIVES, PERMISSIONS, TOTAL, Readers, bind_values, branch, by_secret, user_branches
from backends.storage.dialect import Dialect
from backends.storage.reads import collect
from backends.storage.tables import clocks, documents, grants, last_segment

_GRANTED: Final = ("kind", "name", "pattern", "permissions", "first", "end")
_EVERYTHING: Final = ("kind", "list", "first", "end")
_RANKS: Final[Mapping[type, int]] = {type(None): 0, str: 1, Missing: 3}
_RANK_OF_OTHERS: Final = 2
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "gt": operator.gt,
    "min": operator.ge,
    "lt": operator.lt,
    "max": operator.le,
}

_Value = ColumnElement[Any]
"""A text that is NULL where the field is missing."""


class AccessiblePages:
    """The statements of one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kept = lru_cache(maxsize=16)(self._build)

    def run(self, connection: Connection, wanted: AccessSelection) -> Snapshot:
        """Execute the one statement that reads *wanted*."""
        users, values = by_secret(self._dialect, wanted.users)
        everything = [each for each in wanted.ranges if each.everything]
        top = [_everything_row(each) for each in everything if len(each.lists) == 1]
        inside = [_everything_row(each) for each in everything if len(each.lists) > 1]
        values |= {
            "limit": wanted.page.limit,
            **bind_values(self._dialect, "readers", wanted.readers),
            **self._dialect.bind_rows("granted", _GRANTED, list(map(_granted_row, wanted.ranges))),
            **self._dialect.bind_rows("top", _EVERYTHING, top),
            **self._dialect.bind_rows("inside", _EVERYTHING, inside),
        }
        build = self._build if wanted.page.filters or wanted.page.after else self._kept
        shape = replace(wanted, readers=(), ranges=(), users=(), page=replace(wanted.page, limit=0))
        return collect(connection.execute(build(shape, users, bool(top), bool(inside)), values))

    def _build(self, wanted: AccessSelection, users: tuple[str, ...], top: bool, inside: bool) -> CompoundSelect[Any]:
        """Make the statement: the permissions on the objects of the page, or how many objects there are."""
        found, page = self._found(wanted, top, inside), wanted.page
        branches = list(user_branches(self._dialect, users))
        if page.counting:
            total = select(func.count(distinct(found.c.uri))).scalar_subquery()
            return union_all(branch(TOTAL, n=total), *branches)
        fields = self._fields(wanted, found.c.uri, found.c.kind)
        sort = [
            key.desc() if order.descending else key.asc() for order in page.order for key in _key(fields[order.path[0]])
        ]
        chosen = (
            select(found.c.uri)
            .group_by(found.c.uri, found.c.kind)
            .order_by(*sort, found.c.uri)
            .limit(bindparam("limit", type_=BigInteger))
            .subquery("chosen")
        )
        rows = branch(PERMISSIONS, a=found.c.uri, b=found.c.names).where(found.c.uri.in_(select(chosen.c.uri)))
        return union_all(rows, *branches)

    def _found(self, wanted: AccessSelection, top: bool, inside: bool) -> CTE:
        """Return the objects among which the page is: kind, URI, and the names of permissions between spaces."""
        parts = [self._granted(wanted)]
        if top:
            ranges = self._dialect.rows("top", [(name, Text()) for name in _EVERYTHING])
            parts.append(self._living(wanted, ranges, documents.c.bucket == ranges.c.list))
        if inside:
            patterns = self._dialect.rows("inside", [(name, Text()) for name in _EVERYTHING])
            lists = (
                select(clocks.c.bucket, clocks.c.list, patterns.c.kind, patterns.c.first, patterns.c.end)
                .where(clocks.c.list.like(patterns.c.list, escape="\\"))
                .subquery("lists")
            )
            same = documents.c.bucket == lists.c.bucket, documents.c.list == lists.c.list
            parts.append(self._living(wanted, lists, *same))
        return union_all(*parts).cte("found").prefix_with("MATERIALIZED")

    def _granted(self, wanted: AccessSelection) -> Select[Any]:
        """Return the objects on which a reader holds a permission, once for each principal that holds some."""
        ranges = self._dialect.rows("granted", [(name, Text()) for name in _GRANTED])
        principals = Readers(self._dialect).principals
        held = select(principals.c.value.label("principal"), *ranges.c).join_from(principals, ranges, true())
        keys = held.subquery("holders")
        known = literal_column("'% '", Text) + grants.c.permission + literal_column("' %'", Text)
        names = func.aggregate_strings(grants.c.permission, " ").label("names")
        granted = (
            select(grants.c.uri, names)
            .where(
                grants.c.principal == keys.c.principal,
                last_segment(grants.c.list) == keys.c.name,
                grants.c.until == LIVES,
                grants.c.uri.like(keys.c.pattern, escape="\\"),
                keys.c.permissions.like(known),
            )
            .group_by(grants.c.uri)
        )
        return self._first(wanted, granted, grants.c.uri, keys)

    def _living(self, wanted: AccessSelection, keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return the living objects for each of *keys*."""
        living = select(documents.c.uri, literal_column("''", Text).label("names"))
        return self._first(wanted, living.where(*conditions, ~documents.c.deleted), documents.c.uri, keys)

    def _first(
        self, wanted: AccessSelection, found: Select[Any], uri: ColumnElement[str], keys: FromClause
    ) -> Select[Any]:
        """Return the first objects of each range that match: all of them where the page is not in order of the URIs."""
        page, fields = wanted.page, self._fields(wanted, uri, keys.c.kind)
        matching = [_condition(given, fields[given.path[0]], self._dialect) for given in page.filters]
        following = [] if page.after is None else [_after(page.order, page.after, fields)]
        ranged = found.where(uri >= keys.c.first, uri < keys.c.end, *matching, *following)
        direction = by_uri(page.order)
        limit: Any = LIVES if direction is None or page.counting else bindparam("limit", type_=BigInteger)
        order = uri.asc() if direction is not None and not direction.descending else uri.desc()
        each = self._dialect.look_up_first(ranged, keys, order, limit).subquery()
        return select(each.c.kind, each.c.uri, each.c.names)

    def _fields(
        self, wanted: AccessSelection, uri: ColumnElement[str], kind: ColumnElement[str]
    ) -> Mapping[str, _Value]:
        """Return the fields of an entry by name."""
        ids = {
            name: case((kind.in_(sorted(kinds)), self._dialect.segment(uri, 2 * number)))
            for name, number, kinds in wanted.ids
        }
        return {"uri": uri, "resource_name": kind, "id": last_segment(uri), **ids}


def by_uri(order: Sequence[Order]) -> Order | None:
    """Return the key that sorts by the URI where only the kind comes before it, so that an index has the order."""
    key = next(key for key in order if key.path != ("resource_name",))
    return key if key.path == ("uri",) else None


def _granted_row(given: KindRange) -> tuple[str, ...]:
    pattern = f"{like_pattern(given.lists)}/%"
    return given.kind, given.lists[-1], pattern, f" {' '.join(given.permissions)} ", given.first, given.end


def _everything_row(given: KindRange) -> tuple[str, ...]:
    name = f"/{given.lists[0]}" if len(given.lists) == 1 else like_pattern(given.lists)
    return given.kind, name, given.first, given.end


def _key(value: _Value) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return what a field is sorted by: its rank among types, and the text. Text comes before what is missing."""
    return case((value.is_(None), _RANKS[Missing]), else_=_RANKS[str]), func.coalesce(value, literal_column("''"))


def _key_of(value: Json | Missing) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the key that a field of this value would have; those of other types than text are equal by their rank."""
    text = value if isinstance(value, str) else ""
    return literal(_RANKS.get(type(value), _RANK_OF_OTHERS), Integer), literal(text, Text)


def _after(order: Sequence[Order], after: Sequence[Json], fields: Mapping[str, _Value]) -> ColumnElement[bool]:
    """Return what follows the last entry of the page before."""
    following: ColumnElement[bool] = false()
    for key, value in reversed(list(zip(order, after, strict=False))):
        left, right = tuple_(*_key(fields[key.path[0]])), tuple_(*_key_of(value))
        beyond = left < right if key.descending else left > right
        following = or_(beyond, and_(left == right, following))
    return following


def _condition(given: Filter, value: _Value, dialect: Dialect) -> ColumnElement[bool]:
    """Return a filter on a text that may be missing (core contract, 6.3)."""
    wanted = given.value
    if given.operator in _COMPARISONS:
        return _COMPARISONS[given.operator](tuple_(*_key(value)), tuple_(*_key_of(wanted)))
    if given.operator == "has":
        return value.is_not(None) if wanted else value.is_(None)
    if given.operator == "like":
        return and_(value.is_not(None), dialect.like(dialect.json(value), (), wanted))
    if given.operator in ("contains", "contains_any"):
        return false()
    texts = [text for text in (wanted if isinstance(wanted, tuple) else (wanted,)) if isinstance(text, str)]
    if given.operator in ("eq", "in"):
        return value.in_(texts)
    return or_(value.is_(None), value.not_in(texts))
