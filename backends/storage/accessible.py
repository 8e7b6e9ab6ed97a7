"""The statement of `GET /permissions`: pages of the objects anywhere on which the readers hold a permission.

The index `grants_in_order` has the living grants of each principal on objects of one kind in the order of their URIs.
So for each principal of the readers, and each range of URIs that the page may come from, the statement looks up the
first objects of the range, with the names of the permissions, and takes the page from these. It reads as many rows as
the page has objects, times the principals, times the ranges. Only a count, and an order other than that of the URIs,
read all rows.

Grants end with their object, so no document is read. Where the settings grant a permission on every object of a kind,
the objects are read from `documents`: objects at the top in the order of their URIs, others list by list.

All fields of an entry are derived from its URI. They are text, or missing where the kind has no such field. Values of
filters and of the last page are bound, so that pages of the same shape share one statement, which is made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
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
    not_,
    or_,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.storage import AccessSelection, Filter, IdField, KindRange, Missing, Order, Snapshot, like_pattern
from backends.storage.branches import (
    LIVING_LITERAL,
    PERMISSIONS,
    TOTAL,
    VALUE,
    Readers,
    bind_users,
    bind_values,
    branch,
    integer,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.filters import after, in_direction
from backends.storage.reads import collect
from backends.storage.selections import COMPARISONS
from backends.storage.sessions import Session
from backends.storage.statements import Statement
from backends.storage.tables import HELD_ANYWHERE, clocks, documents, grants, last_segment

_GRANTED_COLUMNS: Final = ("kind", "name", "pattern", "permissions", "first", "end")
_ALL_OBJECTS_COLUMNS: Final = ("kind", "list", "first", "end")
_RANKS: Final[Mapping[type, int]] = {type(None): 0, str: 1, Missing: 3}
_RANK_OF_OTHERS: Final = 2

_Value = ColumnElement[Any]
"""The text of a field, NULL where the field is missing."""


class _FilterShape(NamedTuple):
    """A filter without its value: the name of the field, and a form of condition, which may be negated."""

    field: str
    form: str
    negated: bool = False


class _Shape(NamedTuple):
    """The parts of a selection that its SQL depends on.

    `top` and `inside` tell whether all objects count in ranges of objects at the top, and in other ranges;
    `secret_fields` has one item for each branch of users.
    """

    filters: tuple[_FilterShape, ...]
    order: tuple[Order, ...]
    has_after: bool
    count_only: bool
    id_fields: tuple[IdField, ...]
    secret_fields: tuple[str, ...]
    top: bool
    inside: bool


class AccessiblePages:
    """The statements of these pages, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._statements = lru_cache(maxsize=64)(self._build)

    def run(self, session: Session, selection: AccessSelection) -> Snapshot:
        """Execute the one statement of a selection."""
        secret_fields, parameters = bind_users(self._dialect, selection.users)
        all_objects = [each for each in selection.ranges if each.all_objects]
        top = [_all_objects_range(each) for each in all_objects if len(each.lists) == 1]
        inside = [_all_objects_range(each) for each in all_objects if len(each.lists) > 1]
        page = selection.page
        parameters |= {
            "limit": page.limit,
            **bind_values(self._dialect, "readers", selection.readers),
            **self._dialect.bind_rows("granted", _GRANTED_COLUMNS, list(map(_granted_range, selection.ranges))),
            **self._dialect.bind_rows("top", _ALL_OBJECTS_COLUMNS, top),
            **self._dialect.bind_rows("inside", _ALL_OBJECTS_COLUMNS, inside),
        }
        filters = tuple(self._describe(each, f"f{number}", parameters) for number, each in enumerate(page.filters))
        for number, value in enumerate(page.after or ()):
            parameters |= _bind_key(f"a{number}", value)
        shape = _Shape(
            filters,
            page.order,
            page.after is not None,
            page.count_only,
            selection.id_fields,
            secret_fields,
            bool(top),
            bool(inside),
        )
        return collect(self._statements(shape).rows(session, parameters))

    def _describe(self, page_filter: Filter, name: str, parameters: dict[str, Any]) -> _FilterShape:
        """Return the shape of a filter, and add the values that it binds to *parameters* (core contract, 6.3)."""
        field, value, form = page_filter.path[0], page_filter.value, page_filter.operator
        if form in COMPARISONS:
            parameters |= _bind_key(name, value)
        elif form == "has":
            return _FilterShape(field, form, negated=not value)
        elif form == "like":
            parameters[name] = self._dialect.encode_pattern(value)
        elif form in ("contains", "contains_any"):
            return _FilterShape(field, "never")
        else:
            values = value if isinstance(value, tuple) else (value,)
            texts = [(each,) for each in values if isinstance(each, str)]
            parameters |= self._dialect.bind_rows(name, ("value",), texts)
            return _FilterShape(field, "in", negated=form in ("not", "exclude"))
        return _FilterShape(field, form)

    def _build(self, shape: _Shape) -> Statement:
        """Return the statement: the permissions on the objects of the page, or the number of objects."""
        candidates = self._candidates(shape)
        branches = list(user_branches(self._dialect, shape.secret_fields))
        if shape.count_only:
            total = select(func.count(distinct(candidates.c.uri))).scalar_subquery()
            return Statement(union_all(branch(TOTAL, n=total), *branches))
        fields = self._fields(shape, candidates.c.uri, candidates.c.kind)
        sort = [
            in_direction(key, descending=order.descending)
            for order in shape.order
            for key in _key(fields[order.path[0]])
        ]
        first_objects = (
            select(candidates.c.uri)
            .group_by(candidates.c.uri, candidates.c.kind)
            .order_by(*sort, candidates.c.uri)
            .limit(bindparam("limit", type_=BigInteger))
            .subquery("first_objects")
        )
        rows = branch(PERMISSIONS, a=candidates.c.uri, b=candidates.c.names).where(
            candidates.c.uri.in_(select(first_objects.c.uri))
        )
        return Statement(union_all(rows, *branches))

    def _candidates(self, shape: _Shape) -> CTE:
        """Return the objects that the page is taken from: kind, URI, names of permissions separated by spaces."""
        parts = [self._granted_objects(shape)]
        if shape.top:
            ranges = self._dialect.bound_rows("top", [(name, Text()) for name in _ALL_OBJECTS_COLUMNS])
            parts.append(self._living_objects(shape, ranges, documents.c.bucket == ranges.c.list))
        if shape.inside:
            patterns = self._dialect.bound_rows("inside", [(name, Text()) for name in _ALL_OBJECTS_COLUMNS])
            lists = (
                select(clocks.c.bucket, clocks.c.list, patterns.c.kind, patterns.c.first, patterns.c.end)
                .where(clocks.c.list.like(patterns.c.list, escape="\\"))
                .subquery("lists")
            )
            same = documents.c.bucket == lists.c.bucket, documents.c.list == lists.c.list
            parts.append(self._living_objects(shape, lists, *same))
        return union_all(*parts).cte("candidates").prefix_with("MATERIALIZED")

    def _granted_objects(self, shape: _Shape) -> Select[Any]:
        """Return the objects on which a reader holds a permission, once for each principal that holds one."""
        ranges = self._dialect.bound_rows("granted", [(name, Text()) for name in _GRANTED_COLUMNS])
        principals = Readers(self._dialect).principals
        pairs = select(principals.c.value.label("principal"), *ranges.c).join_from(principals, ranges, true())
        keys = pairs.subquery("holders")
        names_permission = literal_column("'% '", Text) + grants.c.permission + literal_column("' %'", Text)
        # SQLAlchemy renders a separator that is a str only with all values of a statement.
        separator: Any = literal_column("' '", Text)
        names = func.aggregate_strings(grants.c.permission, separator).label("names")
        rows = (
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
        return self._first_objects(shape, rows, grants.c.uri, keys)

    def _living_objects(self, shape: _Shape, keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return the living objects for each row of *keys*."""
        living = select(documents.c.uri, literal_column("''", Text).label("names"))
        return self._first_objects(shape, living.where(*conditions, ~documents.c.deleted), documents.c.uri, keys)

    def _first_objects(
        self, shape: _Shape, query: Select[Any], uri: ColumnElement[str], keys: FromClause
    ) -> Select[Any]:
        """Return the first objects of each range that match, all if the page is not in the order of the URIs."""
        fields = self._fields(shape, uri, keys.c.kind)
        matching = [
            self._condition(each, fields[each.field], f"f{number}") for number, each in enumerate(shape.filters)
        ]
        following = [_after(shape.order, fields)] if shape.has_after else []
        in_range = query.where(uri >= keys.c.first, uri < keys.c.end, *matching, *following)
        direction = by_uri(shape.order)
        limit: Any = LIVING_LITERAL if direction is None or shape.count_only else bindparam("limit", type_=BigInteger)
        order = uri.asc() if direction is not None and not direction.descending else uri.desc()
        each = self._dialect.look_up_first(in_range, keys, order, limit).subquery()
        return select(each.c.kind, each.c.uri, each.c.names)

    def _condition(self, shape: _FilterShape, value: _Value, name: str) -> ColumnElement[bool]:
        """Return the condition of a filter on a text that may be missing. It is never NULL."""
        condition: ColumnElement[bool]
        if shape.form in COMPARISONS:
            condition = COMPARISONS[shape.form](tuple_(*_key(value)), tuple_(*_bound_key(name)))
        elif shape.form == "has":
            condition = value.is_not(None)
        elif shape.form == "like":
            condition = and_(value.is_not(None), self._dialect.like(value, bindparam(name, type_=Text)))
        elif shape.form == "in":
            texts = self._dialect.bound_rows(name, VALUE)
            condition = and_(value.is_not(None), value.in_(select(texts.c.value)))
        else:
            condition = false()
        return not_(condition) if shape.negated else condition

    def _fields(self, shape: _Shape, uri: ColumnElement[str], kind: ColumnElement[str]) -> Mapping[str, _Value]:
        """Return the fields of an entry by name."""
        ids = {}
        for field in shape.id_fields:
            has_field = or_(*(kind == literal(name, Text) for name in sorted(field.kinds)))
            ids[field.name] = case((has_field, self._dialect.segment(uri, 2 * field.position)))
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
    rank = case((value.is_(None), integer(_RANKS[Missing])), else_=integer(_RANKS[str]))
    return rank, func.coalesce(value, literal_column("''"))


def _bind_key(name: str, value: Json | Missing) -> dict[str, Any]:
    """Return the values of `_bound_key` for a field; values of types other than text are equal within their rank."""
    return {
        f"{name}_rank": _RANKS.get(type(value), _RANK_OF_OTHERS),
        f"{name}_text": value if isinstance(value, str) else "",
    }


def _bound_key(name: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the bound values that are compared with `_key`."""
    return bindparam(f"{name}_rank", type_=Integer), bindparam(f"{name}_text", type_=Text)


def _after(order: Sequence[Order], fields: Mapping[str, _Value]) -> ColumnElement[bool]:
    """Return the condition of the entries after the last one of the page before."""
    keys = [(key.descending, _key(fields[key.path[0]])) for key in order]
    return after(keys, [_bound_key(f"a{number}") for number in range(len(order))])
