"""The statement of `GET /permissions`: pages of the objects anywhere on which the readers hold a permission.

The index `grants_in_order` has the living grants of each principal on objects of one kind in the order of their URIs.
So for each principal of the readers, and each range of URIs that the page may come from, the statement looks up the
first objects of the range, with the names of the permissions, and takes the page from these. It reads as many rows as
the page has objects, times the principals, times the ranges. Only a count, and an order other than that of the URIs,
read all rows.

Grants end with their object, so no document is read. Where the settings grant a permission on every object of a kind,
the objects are read from `documents`: objects at the top in the order of their URIs, others list by list.

All fields of an entry are derived from its URI. They are text, or missing where the kind has no such field.
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
from backends.storage.branches import (
    LIVING_LITERAL,
    PERMISSIONS,
    TOTAL,
    Readers,
    bind_users,
    bind_values,
    branch,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.reads import collect
from backends.storage.tables import HELD_ANYWHERE, clocks, documents, grants, last_segment

_GRANTED_COLUMNS: Final = ("kind", "name", "pattern", "permissions", "first", "end")
_ALL_OBJECTS_COLUMNS: Final = ("kind", "list", "first", "end")
_RANKS: Final[Mapping[type, int]] = {type(None): 0, str: 1, Missing: 3}
_RANK_OF_OTHERS: Final = 2
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "gt": operator.gt,
    "min": operator.ge,
    "lt": operator.lt,
    "max": operator.le,
}

_Value = ColumnElement[Any]
"""The text of a field, NULL where the field is missing."""


class AccessiblePages:
    """The statements of these pages, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._cached = lru_cache(maxsize=16)(self._build)

    def run(self, connection: Connection, selection: AccessSelection) -> Snapshot:
        """Execute the one statement of a selection."""
        secret_fields, parameters = bind_users(self._dialect, selection.users)
        all_objects = [each for each in selection.ranges if each.all_objects]
        top = [_all_objects_range(each) for each in all_objects if len(each.lists) == 1]
        inside = [_all_objects_range(each) for each in all_objects if len(each.lists) > 1]
        parameters |= {
            "limit": selection.page.limit,
            **bind_values(self._dialect, "readers", selection.readers),
            **self._dialect.bind_rows("granted", _GRANTED_COLUMNS, list(map(_granted_range, selection.ranges))),
            **self._dialect.bind_rows("top", _ALL_OBJECTS_COLUMNS, top),
            **self._dialect.bind_rows("inside", _ALL_OBJECTS_COLUMNS, inside),
        }
        build = self._build if selection.page.filters or selection.page.after else self._cached
        shape = replace(selection, readers=(), ranges=(), users=(), page=replace(selection.page, limit=0))
        statement = build(shape, secret_fields, top=bool(top), inside=bool(inside))
        return collect(connection.execute(statement, parameters))

    def _build(
        self, selection: AccessSelection, secret_fields: tuple[str, ...], *, top: bool, inside: bool
    ) -> CompoundSelect[Any]:
        """Return the statement: the permissions on the objects of the page, or the number of objects.

        *top* and *inside* tell whether all objects count in ranges of objects at the top, and in other ranges.
        """
        candidates, page = self._candidates(selection, top=top, inside=inside), selection.page
        branches = list(user_branches(self._dialect, secret_fields))
        if page.count_only:
            total = select(func.count(distinct(candidates.c.uri))).scalar_subquery()
            return union_all(branch(TOTAL, n=total), *branches)
        fields = self._fields(selection, candidates.c.uri, candidates.c.kind)
        sort = [
            key.desc() if order.descending else key.asc() for order in page.order for key in _key(fields[order.path[0]])
        ]
        chosen = (
            select(candidates.c.uri)
            .group_by(candidates.c.uri, candidates.c.kind)
            .order_by(*sort, candidates.c.uri)
            .limit(bindparam("limit", type_=BigInteger))
            .subquery("chosen")
        )
        rows = branch(PERMISSIONS, a=candidates.c.uri, b=candidates.c.names).where(
            candidates.c.uri.in_(select(chosen.c.uri))
        )
        return union_all(rows, *branches)

    def _candidates(self, selection: AccessSelection, *, top: bool, inside: bool) -> CTE:
        """Return the objects that the page is taken from: kind, URI, names of permissions separated by spaces."""
        parts = [self._granted_objects(selection)]
        if top:
            ranges = self._dialect.bound_rows("top", [(name, Text()) for name in _ALL_OBJECTS_COLUMNS])
            parts.append(self._living_objects(selection, ranges, documents.c.bucket == ranges.c.list))
        if inside:
            patterns = self._dialect.bound_rows("inside", [(name, Text()) for name in _ALL_OBJECTS_COLUMNS])
            lists = (
                select(clocks.c.bucket, clocks.c.list, patterns.c.kind, patterns.c.first, patterns.c.end)
                .where(clocks.c.list.like(patterns.c.list, escape="\\"))
                .subquery("lists")
            )
            same = documents.c.bucket == lists.c.bucket, documents.c.list == lists.c.list
            parts.append(self._living_objects(selection, lists, *same))
        return union_all(*parts).cte("found").prefix_with("MATERIALIZED")

    def _granted_objects(self, selection: AccessSelection) -> Select[Any]:
        """Return the objects on which a reader holds a permission, once for each principal that holds one."""
        ranges = self._dialect.bound_rows("granted", [(name, Text()) for name in _GRANTED_COLUMNS])
        principals = Readers(self._dialect).principals
        pairs = select(principals.c.value.label("principal"), *ranges.c).join_from(principals, ranges, true())
        keys = pairs.subquery("holders")
        names_permission = literal_column("'% '", Text) + grants.c.permission + literal_column("' %'", Text)
        names = func.aggregate_strings(grants.c.permission, " ").label("names")
        granted = (
            select(grants.c.uri, names)
            .where(
                grants.c.principal == keys.c.principal,
                last_segment(grants.c.list) == keys.c.name,
                HELD_ANYWHERE,
                grants.c.uri.like(keys.c.pattern, escape="\\"),
                keys.c.permissions.like(names_permission),
            )
            .group_by(grants.c.uri)
        )
        return self._first_objects(selection, granted, grants.c.uri, keys)

    def _living_objects(
        self, selection: AccessSelection, keys: FromClause, *conditions: ColumnElement[bool]
    ) -> Select[Any]:
        """Return the living objects for each row of *keys*."""
        living = select(documents.c.uri, literal_column("''", Text).label("names"))
        return self._first_objects(selection, living.where(*conditions, ~documents.c.deleted), documents.c.uri, keys)

    def _first_objects(
        self, selection: AccessSelection, query: Select[Any], uri: ColumnElement[str], keys: FromClause
    ) -> Select[Any]:
        """Return the first objects of each range that match, all if the page is not in the order of the URIs."""
        page, fields = selection.page, self._fields(selection, uri, keys.c.kind)
        matching = [_condition(each, fields[each.path[0]], self._dialect) for each in page.filters]
        following = [] if page.after is None else [_after(page.order, page.after, fields)]
        in_range = query.where(uri >= keys.c.first, uri < keys.c.end, *matching, *following)
        direction = by_uri(page.order)
        limit: Any = LIVING_LITERAL if direction is None or page.count_only else bindparam("limit", type_=BigInteger)
        order = uri.asc() if direction is not None and not direction.descending else uri.desc()
        each = self._dialect.look_up_first(in_range, keys, order, limit).subquery()
        return select(each.c.kind, each.c.uri, each.c.names)

    def _fields(
        self, selection: AccessSelection, uri: ColumnElement[str], kind: ColumnElement[str]
    ) -> Mapping[str, _Value]:
        """Return the fields of an entry by name."""
        ids = {
            field.name: case((kind.in_(sorted(field.kinds)), self._dialect.segment(uri, 2 * field.position)))
            for field in selection.id_fields
        }
        return {"uri": uri, "resource_name": kind, "id": last_segment(uri), **ids}


def by_uri(order: Sequence[Order]) -> Order | None:
    """Return the key of the URI if only the kind comes before it in the sort, so that an index has the order."""
    key = next(key for key in order if key.path != ("resource_name",))
    return key if key.path == ("uri",) else None


def _granted_range(kind_range: KindRange) -> tuple[str, ...]:
    """Return a row of `_GRANTED_COLUMNS`; a space stands before and after each permission."""
    pattern = f"{like_pattern(kind_range.lists)}/%"
    permissions = f" {' '.join(kind_range.permissions)} "
    return kind_range.kind, kind_range.lists[-1], pattern, permissions, kind_range.first, kind_range.end


def _all_objects_range(kind_range: KindRange) -> tuple[str, ...]:
    """Return a row of `_ALL_OBJECTS_COLUMNS`, with the list at the top, else the pattern of the lists."""
    lists = kind_range.lists
    name = f"/{lists[0]}" if len(lists) == 1 else like_pattern(lists)
    return kind_range.kind, name, kind_range.first, kind_range.end


def _key(value: _Value) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the sort key of a field: the rank of its type, and the text. Text sorts before a missing field."""
    return case((value.is_(None), _RANKS[Missing]), else_=_RANKS[str]), func.coalesce(value, literal_column("''"))


def _key_of(value: Json | Missing) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the sort key of a field with this value; values of types other than text are equal within their rank."""
    text = value if isinstance(value, str) else ""
    return literal(_RANKS.get(type(value), _RANK_OF_OTHERS), Integer), literal(text, Text)


def _after(order: Sequence[Order], after: Sequence[Json], fields: Mapping[str, _Value]) -> ColumnElement[bool]:
    """Return the condition of the entries after the last one of the page before."""
    following: ColumnElement[bool] = false()
    for key, value in reversed(list(zip(order, after, strict=False))):
        left, right = tuple_(*_key(fields[key.path[0]])), tuple_(*_key_of(value))
        beyond = left < right if key.descending else left > right
        following = or_(beyond, and_(left == right, following))
    return following


def _condition(page_filter: Filter, value: _Value, dialect: Dialect) -> ColumnElement[bool]:
    """Return the condition of a filter on a text that may be missing (core contract, 6.3)."""
    expected = page_filter.value
    if page_filter.operator in _COMPARISONS:
        return _COMPARISONS[page_filter.operator](tuple_(*_key(value)), tuple_(*_key_of(expected)))
    if page_filter.operator == "has":
        return value.is_not(None) if expected else value.is_(None)
    if page_filter.operator == "like":
        return and_(value.is_not(None), dialect.like(value, literal(dialect.encode_pattern(expected), Text)))
    if page_filter.operator in ("contains", "contains_any"):
        return false()
    texts = [text for text in (expected if isinstance(expected, tuple) else (expected,)) if isinstance(text, str)]
    if page_filter.operator in ("eq", "in"):
        return value.in_(texts)
    return or_(value.is_(None), value.not_in(texts))
