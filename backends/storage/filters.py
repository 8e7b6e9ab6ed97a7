"""Filters and sorting of a page as SQL, the same for every database except for the fields inside documents.

The SQL depends on the *shape* of filters and sort only: operators, kinds of values, directions. All values are bound,
names of fields too, so that pages of the same shape share one statement, which is made once (`describe`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, FromClause, Text, and_, bindparam, false, func, not_, or_, select, tuple_
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from backends import Json
from backends.storage import Filter, Page
from backends.storage.dialect import Dialect
from backends.storage.selections import COMPARISONS, WORDS

_LIMIT: Final = 2**63
_TIMESTAMP: Final = ("last_modified",)
_COLUMNS: Final[Mapping[tuple[str, ...], str]] = {("id",): "uri", _TIMESTAMP: "last_modified"}
_COLUMN_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {"uri": Text(), "last_modified": BigInteger()}
_NEGATED: Final = {"not": "eq", "exclude": "in"}
_VALUE: Final = (("value", Text()),)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {"eq": operator.eq, **COMPARISONS}


class FilterShape(NamedTuple):
    """A filter without its values.

    `column` is the one that it compares, None for a field inside documents, whose SQL the dialect makes by `form`.
    `types` are those of the bound values, `path_length` is the number of values that are bound for the field.
    """

    negated: bool
    form: str
    types: tuple[TypeEngine[Any], ...]
    column: str | None = None
    path_length: int = 0


class KeyShape(NamedTuple):
    """A key of the sort without the name of its field, and its direction."""

    descending: bool
    column: str | None = None
    path_length: int = 0


class QueryShape(NamedTuple):
    """The filters and the sort of a page without values: what their SQL depends on.

    `texts` has the number of values that are bound for each field of each index by texts, for a page with words.
    """

    filters: tuple[FilterShape, ...]
    texts: tuple[tuple[int, ...], ...]
    keys: tuple[KeyShape, ...]
    has_after: bool
    tombstones: bool

    @property
    def by_time(self) -> bool:
        """Return whether the sort begins with the timestamp."""
        return self.keys[0].column == "last_modified"

    @property
    def filters_by_time(self) -> bool:
        """Return whether no condition looks at anything but the timestamp."""
        return not self.texts and all(each.column == "last_modified" for each in self.filters)

    @property
    def is_narrowed(self) -> bool:
        """Return whether there are conditions beside the list and the position in it."""
        return bool(self.filters or self.texts)


def describe(page: Page, dialect: Dialect) -> tuple[QueryShape, dict[str, Any]]:
    """Return the shape of a page's filters and sort, and the values that its statement binds, by name.

    Raises ValueError for a value of `page.after` that its column cannot hold.
    """
    values: dict[str, Any] = {}
    filters = tuple(_describe_filter(page, each, f"f{n}", dialect, values) for n, each in enumerate(page.filters))
    texts: tuple[tuple[int, ...], ...] = ()
    if page.words:
        values["words"] = dialect.encode_words(page.words)
        texts = tuple(
            tuple(_add_path(path, f"t{number}_{place}", dialect, values) for place, path in enumerate(paths))
            for number, paths in enumerate(page.texts)
        )
    keys = []
    for number, order in enumerate(page.order):
        column = _COLUMNS.get(order.path)
        length = 0 if column else _add_path(order.path, f"k{number}", dialect, values)
        keys.append(KeyShape(order.descending, column, length))
    if page.after is not None:
        for number, (order, key, value) in enumerate(zip(page.order, keys, page.after, strict=False)):
            _add(f"a{number}", _sort_values(page, order.path, key, value, dialect), values)
        values["after_uri"] = page.after[-1]
    return QueryShape(filters, texts, tuple(keys), page.after is not None, page.tombstones), values


def _describe_filter(
    page: Page, page_filter: Filter, name: str, dialect: Dialect, values: dict[str, Any]
) -> FilterShape:
    path, value = page_filter.path, page_filter.value
    positive = _NEGATED.get(page_filter.operator, page_filter.operator)
    negated = page_filter.operator in _NEGATED
    column = _COLUMNS.get(path)
    if column is not None and positive in _COMPARE:
        stored = _column_value(page, path, value)
        if stored is not None:
            values[f"{name}_0"] = stored
            return FilterShape(negated, positive, (_COLUMN_TYPES[column],), column)
    if column == "uri" and positive == "in" and all(isinstance(each, str) for each in value):
        values |= dialect.bind_rows(f"{name}_ids", ("value",), [(f"{page.list}/{each}",) for each in value])
        return FilterShape(negated, "in", (), column)
    form, parameters = dialect.encode(positive, path, value)
    _add(name, [each for _, each in parameters], values)
    length = _add_path(path, name, dialect, values)
    return FilterShape(negated, form, tuple(kind for kind, _ in parameters), None, length)


def _add(name: str, new: Sequence[Any], values: dict[str, Any]) -> None:
    values.update({f"{name}_{place}": value for place, value in enumerate(new)})


def _add_path(path: Sequence[str], name: str, dialect: Dialect, values: dict[str, Any]) -> int:
    names = dialect.encode_path(path)
    _add(f"{name}_path", names, values)
    return len(names)


def _column_value(page: Page, path: tuple[str, ...], value: Json) -> Json | None:
    """Return a value as the column of a field stores it, None where it cannot hold such a value."""
    if path == ("id",):
        return f"{page.list}/{value}" if isinstance(value, str) else None
    return value if type(value) is int and -_LIMIT <= value < _LIMIT else None


def _sort_values(page: Page, path: tuple[str, ...], key: KeyShape, value: Json, dialect: Dialect) -> Sequence[Any]:
    if key.column is None:
        return dialect.encode_sort_key(value)
    stored = _column_value(page, path, value)
    if stored is None:
        raise ValueError(f"{value!r} is no {'.'.join(path)}")
    return (stored,)


def conditions(
    shape: QueryShape, documents: FromClause, dialect: Dialect, covered: Collection[int] = ()
) -> list[ColumnElement[bool]]:
    """Return the conditions of a page beside its list: living objects, filters, words, after the last page.

    *covered* are the numbers of filters that need no condition; `WORDS` is the number of the words.
    """
    living = [] if shape.tombstones else [~documents.c.deleted]
    matching = [
        _condition(each, f"f{number}", documents, dialect)
        for number, each in enumerate(shape.filters)
        if number not in covered
    ]
    if shape.texts and WORDS not in covered:
        matching.append(_has_words(shape.texts, documents, dialect))
    following = [_after_last(shape, documents, dialect)] if shape.has_after else []
    return [*living, *matching, *following]


def _has_words(texts: Sequence[Sequence[int]], documents: FromClause, dialect: Dialect) -> ColumnElement[bool]:
    """Return the condition that the fields of one of the *texts* have all words."""
    paths = [
        [_path(f"t{number}_{place}", length) for place, length in enumerate(lengths)]
        for number, lengths in enumerate(texts)
    ]
    return or_(*(dialect.has_words(documents.c.data, fields) for fields in paths))


def ordering(shape: QueryShape, documents: FromClause, dialect: Dialect) -> list[tuple[ColumnElement[Any], bool]]:
    """Return the keys of the sort, each with whether it is descending; the last key is unique."""
    return [
        (expression, descending)
        for descending, expressions in _keys(shape, documents, dialect)
        for expression in expressions
    ]


def in_direction(key: ColumnElement[Any], *, descending: bool) -> ColumnElement[Any]:
    """Return a key of the sort with ASC or DESC."""
    return key.desc() if descending else key.asc()


def _condition(shape: FilterShape, name: str, documents: FromClause, dialect: Dialect) -> ColumnElement[bool]:
    parameters = _parameters(name, shape.types)
    if shape.column is None:
        condition = dialect.condition(shape.form, documents.c.data, _path(name, shape.path_length), parameters)
    elif shape.form == "in":
        ids = dialect.bound_rows(f"{name}_ids", _VALUE)
        condition = documents.c[shape.column].in_(select(ids.c.value))
    else:
        condition = _COMPARE[shape.form](documents.c[shape.column], parameters[0])
    # A negated condition is true for a missing field (C-LIST-36).
    return not_(func.coalesce(condition, false())) if shape.negated else condition


def _parameters(name: str, types: Sequence[TypeEngine[Any]]) -> list[ColumnElement[Any]]:
    return [bindparam(f"{name}_{place}", type_=kind) for place, kind in enumerate(types)]


def _path(name: str, length: int) -> list[ColumnElement[str]]:
    return [bindparam(f"{name}_path_{place}", type_=Text) for place in range(length)]


def _keys(
    shape: QueryShape, documents: FromClause, dialect: Dialect
) -> list[tuple[bool, tuple[ColumnElement[Any], ...]]]:
    """Return each key as whether it is descending, and its expressions.

    The URI has the direction of the key before it, so that one index serves both.
    """
    keys: list[tuple[bool, tuple[ColumnElement[Any], ...]]] = []
    for number, key in enumerate(shape.keys):
        column: ColumnElement[Any] | None = documents.c[key.column] if key.column else None
        path = _path(f"k{number}", key.path_length)
        expressions = dialect.sort_key(documents.c.data, path) if column is None else (column,)
        keys.append((key.descending, expressions))
    return [*keys, (keys[-1][0] if keys else False, (documents.c.uri,))]


def _after_last(shape: QueryShape, documents: FromClause, dialect: Dialect) -> ColumnElement[bool]:
    """Return the condition of the objects after the last one of the page before."""
    bounds = [
        dialect.bound_sort_key(f"a{number}")
        if key.column is None
        else _parameters(f"a{number}", (_COLUMN_TYPES[key.column],))
        for number, key in enumerate(shape.keys)
    ]
    bounds.append([bindparam("after_uri", type_=Text)])
    return after(_keys(shape, documents, dialect), bounds)


def after(
    keys: Sequence[tuple[bool, Sequence[ColumnElement[Any]]]], bounds: Sequence[Sequence[ColumnElement[Any]]]
) -> ColumnElement[bool]:
    """Return the condition of the rows that come after a position in the order of *keys*.

    Each key is whether it is descending, and its expressions; *bounds* has their values at the position. Rows are
    compared, one for each run of keys of a direction.
    """
    pairs = [(descending, left, right) for (descending, left), right in zip(keys, bounds, strict=True)]
    following: ColumnElement[bool] | None = None
    for descending, group in reversed([(key, list(group)) for key, group in groupby(pairs, lambda pair: pair[0])]):
        left = _row([expression for _, expressions, _ in group for expression in expressions])
        right = _row([expression for _, _, expressions in group for expression in expressions])
        beyond = left < right if descending else left > right
        following = beyond if following is None else or_(beyond, and_(left == right, following))
    assert following is not None, "an order has a key"
    return following


def _row(expressions: Sequence[ColumnElement[Any]]) -> Any:
    return tuple_(*expressions) if len(expressions) > 1 else expressions[0]
