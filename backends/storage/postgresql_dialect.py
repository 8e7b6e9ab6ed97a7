"""The SQL of PostgreSQL: documents are JSONB.

An expression index serves equality when it is written as the statements are: `(data #> '{name}'::text[])`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg2.errorcodes import LOCK_NOT_AVAILABLE
from sqlalchemy import (
    ARRAY,
    Column,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    collate,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, Insert, insert
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ColumnElement

from backends import Json
from backends.codec import dumps
from backends.storage import MISSING, Missing

_TYPES: Final = ("null", "string", "number", "boolean", "array", "object")
_RANKS: Final[ColumnElement[Any]] = literal_column("ARRAY['" + "','".join(_TYPES) + "']")
_RANK_OF_MISSING: Final = len(_TYPES) + 1
_NULL: Final = literal_column("'null'::jsonb", JSONB)
_NO_VARIABLES: Final = literal_column("'{}'::jsonb", JSONB)
_NOTHING: Final = literal_column("''", Text)
_STRING: Final = literal_column("'string'", Text)
_ITSELF: Final = literal_column("'{}'", Text)
# What `#>` would take for the place of an element of an array. A strict JSON path takes it for a name only.
_INDEX: Final = re.compile(r"\s*[-+]?\d+\s*")
_ESCAPED: Final = str.maketrans({"!": "!!", "%": "!%", "_": "!_", "*": "%"})
_RANK_OF_TYPE: Final = {type(None): 1, str: 2, int: 3, float: 3, bool: 4, list: 5, dict: 6, Missing: _RANK_OF_MISSING}


def _bound(value: Json) -> ColumnElement[Any]:
    # Bound as text: a value bound as JSONB would be encoded once more.
    return cast(literal(dumps(value), Text), JSONB)


def _bound_array(values: Sequence[Json]) -> ColumnElement[Any]:
    return cast(literal([dumps(value) for value in values], ARRAY(Text)), ARRAY(JSONB))


def _at(document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    """Return the field as JSONB, NULL where it is missing (C-LIST-21)."""
    if any(map(_INDEX.fullmatch, path)):
        members = "".join(f".{dumps(name)}" for name in path)
        strictly = cast(literal(f"strict ${members}", Text), JSONPATH)
        return func.jsonb_path_query_first(document, strictly, _NO_VARIABLES, true(), type_=JSONB)
    return _get(document, path)


def _get(document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    return document.op("#>", return_type=JSONB())(literal(list(path), ARRAY(Text)))


def _type(value: ColumnElement[Any]) -> ColumnElement[str]:
    return func.jsonb_typeof(value, type_=Text)


def _string(value: ColumnElement[Any]) -> ColumnElement[str]:
    return value.op("#>>", return_type=Text())(_ITSELF)


class PostgresqlDialect:
    """The SQL of PostgreSQL."""

    def key(self, document: ColumnElement[Any], path: Sequence[str]) -> tuple[ColumnElement[Any], ...]:
        """Return rank of type, text, JSONB: alone, JSONB has another order, and text the database's own."""
        value = _at(document, path)
        kind = _type(value)
        rank = func.coalesce(func.array_position(_RANKS, kind), literal_column(str(_RANK_OF_MISSING)), type_=Integer)
        text = case((kind == _STRING, _string(value)), else_=_NOTHING)
        other = case((kind != _STRING, value), else_=_NULL)
        return rank, collate(text, "C"), other

    def key_of(self, value: Json | Missing) -> tuple[ColumnElement[Any], ...]:
        """Return rank, text and JSONB of a value."""
        text = value if isinstance(value, str) else ""
        other = None if isinstance(value, str) or value is MISSING else value
        return literal(_RANK_OF_TYPE[type(value)], Integer), literal(text, Text), _bound(other)

    def equals(self, document: ColumnElement[Any], path: Sequence[str], value: Json) -> ColumnElement[bool]:
        """Compare JSONB, which is strict by type."""
        return _at(document, path) == _bound(value)

    def one_of(self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json]) -> ColumnElement[bool]:
        """Compare JSONB with the elements of one bound array."""
        return _at(document, path) == any_(_bound_array(values))

    def present(self, document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
        """Look for NULL: JSON's null is none."""
        return _at(document, path).is_not(None)

    def like(self, document: ColumnElement[Any], path: Sequence[str], pattern: str) -> ColumnElement[bool]:
        """Use ILIKE with its own wildcards escaped; which letters have two cases is up to the database's language."""
        value = _at(document, path)
        return and_(
            _type(value) == _STRING, _string(value).ilike(literal(pattern.translate(_ESCAPED), Text), escape="!")
        )

    def contains(
        self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json], every: bool
    ) -> ColumnElement[bool]:
        """Compare elements as an array of JSONB: JSONB's own containment takes parts of inner values for the whole."""
        value = _at(document, path)
        is_array = _type(value) == literal_column("'array'", Text)
        array = case((is_array, value), else_=literal_column("'[]'::jsonb", JSONB))
        element = func.jsonb_array_elements(array, type_=JSONB).column_valued("element")
        held = func.array(select(element).scalar_subquery(), type_=ARRAY(JSONB))
        return and_(is_array, held.op("@>" if every else "&&", is_comparison=True)(_bound_array(values)))

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Have the text made by the database, or the driver would parse it."""
        shown = document.op("-", return_type=JSONB())(literal(list(without), ARRAY(Text))) if without else document
        return cast(shown, Text)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of JSONB that is a string."""
        value = _get(document, (name,))
        return case((_type(value) == _STRING, _string(value)))

    def with_number(self, document: ColumnElement[Any], name: str, number: ColumnElement[Any]) -> ColumnElement[Any]:
        """Put an object with the number over the document."""
        return document.op("||", return_type=JSONB())(func.jsonb_build_object(literal(name, Text), number, type_=JSONB))

    def rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return the values of one bound array for each column, side by side."""
        arrays = (cast(bindparam(f"{name}_{column}", type_=ARRAY(kind)), ARRAY(kind)) for column, kind in columns)
        return func.unnest(*arrays).table_valued(*(Column(*pair) for pair in columns), name=name).render_derived()

    def bind_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return the arrays."""
        return {f"{name}_{column}": [row[place] for row in rows] for place, column in enumerate(columns)}

    def look_up(self, found: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Run a subquery for each row of *keys*; OFFSET 0 keeps the planner from making a join of it.

        An equality is also said as BETWEEN, of which the planner expects few rows: from statistics it would expect the
        average, and read the whole table where few values are in most rows.
        """
        few = [
            condition.left.between(condition.right, condition.right)
            for condition in conditions
            if isinstance(condition, BinaryExpression) and condition.operator is operators.eq
        ]
        each = found.where(*conditions, *few).offset(literal_column("0")).lateral()
        return select(*each.c).select_from(keys.join(each, true()))

    def look_up_first(self, found: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Run a subquery for each row of *keys*."""
        each = found.order_by(order).limit(limit).lateral()
        return select(*keys.c, *each.c).select_from(keys.join(each, true()))

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Split the text; the first part is before the first slash."""
        return func.split_part(uri, literal_column("'/'"), literal_column(str(number + 1)), type_=Text)

    def json(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """Return the text as JSONB."""
        return func.to_jsonb(text, type_=JSONB)

    def among(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Compare one by one: the DELETE gets a USING."""
        return and_(*(column == key for column, key in zip(columns, keys.c, strict=True)))

    def beside(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the column: the planner looks up what is selective."""
        return column

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater value."""
        return func.greatest(one, other)

    def is_busy(self, error: BaseException | None) -> bool:
        """Look for SQLSTATE 55P03, `lock_not_available`."""
        return getattr(error, "pgcode", None) == LOCK_NOT_AVAILABLE

    def insert(self, table: Table) -> Insert:
        """Return an INSERT that can say what happens on conflict."""
        return insert(table)
