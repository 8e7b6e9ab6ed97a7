"""Filters and sorting of a page as SQL: the same for every database, with a dialect for what is inside documents."""

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
_COMPARED: Final = ("eq", "gt", "min", "lt", "max")


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of the documents of a list. An object's id and timestamp are columns, which indexes serve."""

    list: str
    path: tuple[str, ...]
    documents: Table
    dialect: Dialect

    @property
    def column(self) -> Column[Any] | None:
        name = _COLUMNS.get(self.path)
        return None if name is None else self.documents.c[name]

    @property
    def data(self) -> Column[Any]:
        return self.documents.c.data

    def key(self) -> _Expressions:
        """Return what the field is sorted by."""
        return self.dialect.key(self.data, self.path) if self.column is None else (self.column,)

    def bind(self, value: Json) -> ColumnElement[Any] | None:
        """Return the value as the column has it, None where there is no column or it cannot have such a value."""
        if isinstance(value, _Named):
            return bindparam(value.name, type_=BigInteger)
        if self.path == ("id",) and isinstance(value, str):
            return literal(f"{self.list}/{value}", Text)
        if self.path == _TIMESTAMP and _is_timestamp(value):
            return literal(value, BigInteger)
        return None

    def sides(self, value: Json) -> tuple[_Expressions, _Expressions]:
        """Return the field and the value as two rows to be compared."""
        bound = self.bind(value)
        if self.column is None or bound is None:
            return self.dialect.key(self.data, self.path), self.dialect.key_of(value)
        return (self.column,), (bound,)

    def equals(self, value: Json) -> ColumnElement[bool]:
        """Say that the field has this value."""
        bound = self.bind(value)
        if self.column is None or bound is None:
            return self.dialect.equals(self.data, self.path, value)
        return self.column == bound

    def one_of(self, values: Sequence[Json]) -> ColumnElement[bool]:
        """Say that the field has one of these values."""
        if self.path == ("id",) and all(isinstance(value, str) for value in values):
            return self.documents.c.uri.in_([f"{self.list}/{value}" for value in values])
        return self.dialect.one_of(self.data, self.path, values)


@dataclass(frozen=True, slots=True)
class _Named:
    """A value that is given when the statement runs."""

    name: str


def named(page: Page) -> tuple[Page, dict[str, Json]] | None:
    """Return a page with names in the place of its values, and the values by name.

    Pages that differ in them alone share one statement, which is then built once: what changed since, and the page
    after. None where a value says what the SQL is.
    """
    filters = {f"filter_{number}": given for number, given in enumerate(page.filters)}
    after = {f"after_{number}": value for number, value in enumerate(page.after or ())}
    keys = [key.path for key in page.order] if page.after else []
    timed = all(path == _TIMESTAMP for path in (*keys, *(given.path for given in page.filters)))
    compared = all(given.operator in _COMPARED and _is_timestamp(given.value) for given in page.filters)
    if not timed or not compared or not all(map(_is_timestamp, list(after.values())[:-1])):
        return None
    shape = replace(
        page,
        filters=tuple(replace(given, value=_Named(name)) for name, given in filters.items()),
        after=tuple(map(_Named, after)) or None,
    )
    return shape, {**{name: given.value for name, given in filters.items()}, **after}


def _is_timestamp(value: Json) -> bool:
    return type(value) is int and -_LIMIT <= value < _LIMIT


def conditions(page: Page, documents: Table, dialect: Dialect) -> list[ColumnElement[bool]]:
    """Return what holds for the objects of a page, beside being in its list: alive, matching, after the last page."""
    living = [] if page.tombstones else [~documents.c.deleted]
    matching = [_condition(given, _Field(page.list, given.path, documents, dialect)) for given in page.filters]
    following = [] if page.after is None else [_after(page, page.after, documents, dialect)]
    return [*living, *matching, *following]


def ordering(page: Page, documents: Table, dialect: Dialect) -> list[tuple[ColumnElement[Any], bool]]:
    """Return the keys of the sort and whether each descends; the last of them is unique."""
    return [
        (expression, descending)
        for descending, expressions in _keys(page, documents, dialect)
        for expression in expressions
    ]


def directed(key: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    """Return a key of a sort in its direction."""
    return key.desc() if descending else key.asc()


def _keys(page: Page, documents: Table, dialect: Dialect) -> list[tuple[bool, _Expressions]]:
    """Return direction and expressions of each key. The URI goes the way of the key before: one index serves both."""
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
        yield dialect.key_of(value) if bound is None else (bound,)
    uri = after[-1]
    yield (bindparam(uri.name, type_=Text) if isinstance(uri, _Named) else literal(uri, Text),)


def _after(page: Page, after: Sequence[Json], documents: Table, dialect: Dialect) -> ColumnElement[bool]:
    """Return what follows the last object: a comparison of rows for each run of keys of one direction."""
    keys = _keys(page, documents, dialect)
    bounds = list(_bounds(page.order, after, page, documents, dialect))
    pairs = [(descending, left, right) for (descending, left), right in zip(keys, bounds, strict=True)]
    following: ColumnElement[bool] | None = None
    for descending, group in reversed([(way, list(group)) for way, group in groupby(pairs, lambda pair: pair[0])]):
        left = _row([expression for _, expressions, _ in group for expression in expressions])
        right = _row([expression for _, _, expressions in group for expression in expressions])
        beyond = left < right if descending else left > right
        following = beyond if following is None else or_(beyond, and_(left == right, following))
    assert following is not None, "a page is sorted by its URIs at least"
    return following


def _row(expressions: Sequence[ColumnElement[Any]]) -> Any:
    return tuple_(*expressions) if len(expressions) > 1 else expressions[0]


def _compare(is_met: Callable[[Any, Any], ColumnElement[bool]]) -> Callable[[_Field, Json], ColumnElement[bool]]:
    def condition(field: _Field, value: Json) -> ColumnElement[bool]:
        left, right = field.sides(value)
        return is_met(_row(left), _row(right))

    return condition


def _unless(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the opposite, true of a missing field (C-LIST-36)."""
    return not_(func.coalesce(condition, false()))


def _has(field: _Field, wanted: Json) -> ColumnElement[bool]:
    present = field.dialect.present(field.data, field.path)
    return present if wanted else not_(present)


_CONDITIONS: Final[Mapping[str, Callable[[_Field, Json], ColumnElement[bool]]]] = {
    "eq": _Field.equals,
    "not": lambda field, value: _unless(field.equals(value)),
    "gt": _compare(lambda left, right: left > right),
    "min": _compare(lambda left, right: left >= right),
    "lt": _compare(lambda left, right: left < right),
    "max": _compare(lambda left, right: left <= right),
    "in": _Field.one_of,
    "exclude": lambda field, values: _unless(field.one_of(values)),
    "like": lambda field, pattern: field.dialect.like(field.data, field.path, pattern),
    "has": _has,
    "contains": lambda field, values: field.dialect.contains(field.data, field.path, values, every=True),
    "contains_any": lambda field, values: field.dialect.contains(field.data, field.path, values, every=False),
}


def _condition(given: Filter, field: _Field) -> ColumnElement[bool]:
    return _CONDITIONS[given.operator](field, given.value)
