"""Filters and sorting of a page as SQL: the same for every database, except for the fields inside documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Table, Text, and_, bindparam, false, func, literal, not_, or_, tuple_
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.storage import Filter, Order, Page
from backends.storage.dialect import Dialect

_Expressions = tuple[ColumnElement[Any], ...]
_LIMIT: Final = 2**63
_TIMESTAMP: Final = ("last_modified",)
_COLUMNS: Final[Mapping[tuple[str, ...], str]] = {("id",): "uri", _TIMESTAMP: "last_modified"}
_COMPARISONS: Final = ("eq", "gt", "min", "lt", "max")


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of the documents of a list. The id and the timestamp of an object are columns, which have indexes."""

    list: str
    path: tuple[str, ...]
    documents: Table
    dialect: Dialect

    @property
    def column(self) -> Column[Any] | None:
        """Return the column of the field, None for a field inside documents."""
        name = _COLUMNS.get(self.path)
        return None if name is None else self.documents.c[name]

    @property
    def data(self) -> Column[Any]:
        """Return the column of the documents."""
        return self.documents.c.data

    def key(self) -> _Expressions:
        """Return the expressions that the field is sorted by."""
        return self.dialect.sort_key(self.data, self.path) if self.column is None else (self.column,)

    def bind(self, value: Json) -> ColumnElement[Any] | None:
        """Return the value as the column stores it; None without a column, or where it cannot hold such a value."""
        if isinstance(value, _Parameter):
            return bindparam(value.name, type_=BigInteger)
        if self.path == ("id",) and isinstance(value, str):
            return literal(f"{self.list}/{value}", Text)
        if self.path == _TIMESTAMP and _is_timestamp(value):
            return literal(value, BigInteger)
        return None

    def sides(self, value: Json) -> tuple[_Expressions, _Expressions]:
        """Return the field and the value as two rows to compare."""
        bound = self.bind(value)
        if self.column is None or bound is None:
            return self.dialect.sort_key(self.data, self.path), self.dialect.sort_key_of(value)
        return (self.column,), (bound,)

    def equals(self, value: Json) -> ColumnElement[bool]:
        """Return the condition that the field has this value."""
        bound = self.bind(value)
        if self.column is None or bound is None:
            return self.dialect.equals(self.data, self.path, value)
        return self.column == bound

    def one_of(self, values: Sequence[Json]) -> ColumnElement[bool]:
        """Return the condition that the field has one of these values."""
        if self.path == ("id",) and all(isinstance(value, str) for value in values):
            return self.documents.c.uri.in_([f"{self.list}/{value}" for value in values])
        return self.dialect.one_of(self.data, self.path, values)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A value that is bound when the statement runs."""

    name: str


def replace_values(page: Page) -> tuple[Page, dict[str, Json]] | None:
    """Return the page with parameters in place of its values, and the values by parameter.

    Pages that differ only in these values share one statement, which is built once: polls (`_since`) and following
    pages in the order of time. None where a value determines the SQL.
    """
    filters = {f"filter_{number}": page_filter for number, page_filter in enumerate(page.filters)}
    after = {f"after_{number}": value for number, value in enumerate(page.after or ())}
    keys = [key.path for key in page.order] if page.after else []
    by_time = all(path == _TIMESTAMP for path in (*keys, *(page_filter.path for page_filter in page.filters)))
    comparable = all(
        page_filter.operator in _COMPARISONS and _is_timestamp(page_filter.value) for page_filter in page.filters
    )
    if not by_time or not comparable or not all(map(_is_timestamp, list(after.values())[:-1])):
        return None
    shape = replace(
        page,
        filters=tuple(replace(page_filter, value=_Parameter(name)) for name, page_filter in filters.items()),
        after=tuple(map(_Parameter, after)) or None,
    )
    return shape, {**{name: page_filter.value for name, page_filter in filters.items()}, **after}


def _is_timestamp(value: Json) -> bool:
    return type(value) is int and -_LIMIT <= value < _LIMIT


def conditions(page: Page, documents: Table, dialect: Dialect) -> list[ColumnElement[bool]]:
    """Return the conditions of a page except its list: living objects, its filters, after the last page."""
    living = [] if page.tombstones else [~documents.c.deleted]
    matching = [_condition(each, _Field(page.list, each.path, documents, dialect)) for each in page.filters]
    following = [] if page.after is None else [_after(page, page.after, documents, dialect)]
    return [*living, *matching, *following]


def ordering(page: Page, documents: Table, dialect: Dialect) -> list[tuple[ColumnElement[Any], bool]]:
    """Return the keys of the sort, each with whether it is descending; the last key is unique."""
    return [
        (expression, descending)
        for descending, expressions in _keys(page, documents, dialect)
        for expression in expressions
    ]


def in_direction(key: ColumnElement[Any], *, descending: bool) -> ColumnElement[Any]:
    """Return a key of the sort with ASC or DESC."""
    return key.desc() if descending else key.asc()


def _keys(page: Page, documents: Table, dialect: Dialect) -> list[tuple[bool, _Expressions]]:
    """Return each key as whether it is descending, and its expressions.

    The URI has the direction of the key before it, so that one index serves both.
    """
    keys = [(order.descending, _Field(page.list, order.path, documents, dialect).key()) for order in page.order]
    return [*keys, (keys[-1][0] if keys else False, (documents.c.uri,))]


def _bounds(
    order: Sequence[Order], after: Sequence[Json], page: Page, documents: Table, dialect: Dialect
) -> Iterator[Any]:
    for key, value in zip(order, after, strict=False):
        field = _Field(page.list, key.path, documents, dialect)
        bound = field.bind(value)
        if field.column is not None and bound is None:
            raise ValueError(f"{value!r} is no {'.'.join(key.path)}")
        yield dialect.sort_key_of(value) if bound is None else (bound,)
    uri = after[-1]
    yield (bindparam(uri.name, type_=Text) if isinstance(uri, _Parameter) else literal(uri, Text),)


def _after(page: Page, after: Sequence[Json], documents: Table, dialect: Dialect) -> ColumnElement[bool]:
    """Return the condition of the objects after the last one: it compares rows, one for each run of a direction."""
    keys = _keys(page, documents, dialect)
    bounds = list(_bounds(page.order, after, page, documents, dialect))
    pairs = [(descending, left, right) for (descending, left), right in zip(keys, bounds, strict=True)]
    following: ColumnElement[bool] | None = None
    for descending, group in reversed([(key, list(group)) for key, group in groupby(pairs, lambda pair: pair[0])]):
        left = _row([expression for _, expressions, _ in group for expression in expressions])
        right = _row([expression for _, _, expressions in group for expression in expressions])
        beyond = left < right if descending else left > right
        following = beyond if following is None else or_(beyond, and_(left == right, following))
    assert following is not None, "a page is sorted by its URIs at least"
    return following


def _row(expressions: Sequence[ColumnElement[Any]]) -> Any:
    return tuple_(*expressions) if len(expressions) > 1 else expressions[0]


def _compare(operator: Callable[[Any, Any], ColumnElement[bool]]) -> Callable[[_Field, Json], ColumnElement[bool]]:
    def condition(field: _Field, value: Json) -> ColumnElement[bool]:
        left, right = field.sides(value)
        return operator(_row(left), _row(right))

    return condition


def _negate(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the negation of a condition, which is true for a missing field (C-LIST-36)."""
    return not_(func.coalesce(condition, false()))


def _has(field: _Field, expected: Json) -> ColumnElement[bool]:
    present = field.dialect.is_present(field.data, field.path)
    return present if expected else not_(present)


_CONDITIONS: Final[Mapping[str, Callable[[_Field, Json], ColumnElement[bool]]]] = {
    "eq": _Field.equals,
    "not": lambda field, value: _negate(field.equals(value)),
    "gt": _compare(lambda left, right: left > right),
    "min": _compare(lambda left, right: left >= right),
    "lt": _compare(lambda left, right: left < right),
    "max": _compare(lambda left, right: left <= right),
    "in": _Field.one_of,
    "exclude": lambda field, values: _negate(field.one_of(values)),
    "like": lambda field, pattern: field.dialect.like(field.data, field.path, pattern),
    "has": _has,
    "contains": lambda field, values: field.dialect.contains(field.data, field.path, values, every=True),
    "contains_any": lambda field, values: field.dialect.contains(field.data, field.path, values, every=False),
}


def _condition(page_filter: Filter, field: _Field) -> ColumnElement[bool]:
    return _CONDITIONS[page_filter.operator](field, page_filter.value)
