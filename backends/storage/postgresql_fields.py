"""The SQL of PostgreSQL for fields of documents, which are JSONB: filters, sort keys, members.

Filters by equality are written as containment, which a GIN index on `documents.data` serves (`jsonb_path_ops`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    FromClause,
    Numeric,
    Select,
    Text,
    all_,
    and_,
    any_,
    bindparam,
    case,
    cast,
    collate,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.codec import dumps
from backends.storage import Missing
from backends.storage.dialect import Typed
from backends.storage.selections import COMPARISONS
from backends.storage.words import pattern_of

_NOTHING: Final = literal_column("''", Text)
_BLANK: Final = literal_column("' '", Text)
_STRING: Final = literal_column("'string'", Text)
_STRINGS: Final = """'$[*] ? (@.type() == "string")'"""
_ARRAY: Final = literal_column("'array'", Text)
_NUMBER: Final = literal_column("'number'", Text)
_NULL: Final = literal_column("'null'::jsonb", JSONB)
_ANY_STRING: Final = literal_column("'\"\"'::jsonb", JSONB)
_ITSELF: Final = literal_column("'{}'", Text)
_NO_VARIABLES: Final = literal_column("'{}'::jsonb", JSONB)
_ESCAPED: Final = str.maketrans({"!": "!!", "%": "!%", "_": "!_", "*": "%"})
_BOOLEAN: Final = Boolean()
_TEXT: Final = Text()
_TEXTS: Final = ARRAY(Text)

_FEW_VALUES: Final = 10
"""How many values of a filter are compared one by one."""

_CHAINED_NAMES: Final = 3
"""How many names of a path are bound one by one: more of them would make statements of any length."""

_Build = Callable[[ColumnElement[Any], ColumnElement[Any], Sequence[ColumnElement[Any]]], ColumnElement[bool]]


def _json(text: ColumnElement[Any]) -> ColumnElement[Any]:
    # Bound as text: a value bound as JSONB would be encoded again.
    return cast(text, JSONB)


def _jsons(texts: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(texts, ARRAY(JSONB))


def _at(document: ColumnElement[Any], path: Sequence[ColumnElement[str]]) -> ColumnElement[Any]:
    """Return the field as JSONB, NULL where it is missing (C-LIST-21). Text never is the index of an array element.

    *path* is bound as `encode_path` returns it.
    """
    for name in path[:_CHAINED_NAMES]:
        document = document.op("->", return_type=JSONB())(cast(name, Text))
    for others in path[_CHAINED_NAMES:]:
        # Silent: an array or a scalar on the way is no error, the field is missing.
        document = func.jsonb_path_query_first(document, cast(others, JSONPATH), _NO_VARIABLES, true(), type_=JSONB())
    return document


def _type(value: ColumnElement[Any]) -> ColumnElement[str]:
    return func.jsonb_typeof(value, type_=Text)


def _string(value: ColumnElement[Any]) -> ColumnElement[str]:
    return value.op("#>>", return_type=Text())(_ITSELF)


def _document_with(path: Sequence[str], value: Json) -> Json:
    """Return the smallest document that has a value at a path."""
    for name in reversed(path):
        value = {name: value}
    return value


def _texts(values: Iterable[Json]) -> list[str]:
    return [dumps(value) for value in values]


class PostgresqlFields:
    """The SQL of PostgreSQL for fields of documents."""

    def encode_path(self, path: Sequence[str]) -> tuple[str, ...]:
        """Return the first names, each bound by itself, and one JSON path with all others.

        A strict path takes no name for the index of an array element, and looks for none inside arrays.
        """
        names, others = tuple(path[:_CHAINED_NAMES]), path[_CHAINED_NAMES:]
        return (*names, f"strict $.{'.'.join(map(dumps, others))}") if others else names

    def sort_key(
        self, document: ColumnElement[Any], path: Sequence[ColumnElement[str]]
    ) -> tuple[ColumnElement[Any], ...]:
        """Return whether the field is missing; its JSONB, in which all strings are equal; its text.

        JSONB compares strings by the collation of the database.
        """
        value = _at(document, path)
        is_string = _type(value) == _STRING
        jsonb = case((is_string, _ANY_STRING), else_=func.coalesce(value, _NULL, type_=JSONB))
        return value.is_(None), jsonb, collate(case((is_string, _string(value)), else_=_NOTHING), "C")

    def bound_sort_key(self, name: str) -> Sequence[ColumnElement[Any]]:
        """Return the three bound values."""
        missing: ColumnElement[Any] = bindparam(f"{name}_0", type_=Boolean)
        return missing, _json(bindparam(f"{name}_1", type_=Text)), bindparam(f"{name}_2", type_=Text)

    def encode_sort_key(self, value: Json | Missing) -> tuple[Any, ...]:
        """Return whether a value is missing, its JSON, its text."""
        if isinstance(value, str):
            return False, '""', value
        missing = isinstance(value, Missing)
        return missing, dumps(None if missing else value), ""

    def encode(self, operator: str, path: Sequence[str], value: Json) -> tuple[str, Sequence[Typed]]:
        """Return the form of a condition with the JSON that it binds.

        Equality is containment, which copies nothing out of the document and which a GIN index serves: exact for
        scalars, for arrays and objects followed by `=`. Numbers and the like are compared as JSONB, strings by the sort
        key.
        """
        if operator == "eq":
            document: Typed = (_TEXT, dumps(_document_with(path, value)))
            if isinstance(value, list | dict):
                return "equal", (document, (_TEXT, dumps(value)))
            return "is", (document,)
        if operator in COMPARISONS:
            if value is None or isinstance(value, bool | int | float):
                return f"{operator} json", ((_TEXT, dumps(value)),)
            return f"{operator} key", tuple(zip((_BOOLEAN, _TEXT, _TEXT), self.encode_sort_key(value), strict=True))
        if operator == "has":
            return ("present" if value else "missing"), ()
        if operator == "like":
            return "like", ((_TEXT, self.encode_pattern(str(value))),)
        texts: Typed = (_TEXTS, _texts(value))
        if len(value) > _FEW_VALUES:
            return f"{operator} many", (texts,)
        return operator, (texts, (_TEXT, dumps(list(value)))) if operator == "contains" else (texts,)

    def condition(
        self,
        form: str,
        document: ColumnElement[Any],
        path: Sequence[ColumnElement[str]],
        parameters: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Return the condition; it may be NULL where the field is missing."""
        value = _at(document, path)
        operator, _, operand = form.partition(" ")
        if operand == "key":
            missing, jsonb, text = parameters
            after: ColumnElement[bool] = COMPARISONS[operator](
                tuple_(*self.sort_key(document, path)), tuple_(missing, _json(jsonb), text)
            )
            return after
        if operand == "json":
            comparison: ColumnElement[bool] = COMPARISONS[operator](value, _json(parameters[0]))
            # A missing field is greater than every value.
            return or_(comparison, value.is_(None)) if operator in ("gt", "min") else comparison
        return _CONDITIONS[form](document, value, parameters)

    def like(self, text: ColumnElement[str], pattern: ColumnElement[str]) -> ColumnElement[bool]:
        """Use ILIKE with its own wildcards escaped; the database's locale decides which letters have two cases."""
        return text.ilike(pattern, escape="!")

    def encode_pattern(self, pattern: str) -> str:
        """Return the pattern of ILIKE."""
        return pattern.translate(_ESCAPED)

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Cast in the database: the driver would parse JSONB."""
        public = document.op("-", return_type=JSONB())(literal(list(without), ARRAY(Text))) if without else document
        return cast(public, Text)

    def size(self, text: ColumnElement[str]) -> ColumnElement[int]:
        """Return the bytes, which PostgreSQL knows without looking at the text."""
        return func.octet_length(text)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of a member that is a JSON string."""
        value = _at(document, (literal(name, Text),))
        return case((_type(value) == _STRING, _string(value)))

    def number(self, document: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """Convert the text of a member that is a JSON number."""
        value = _at(document, (literal(name, Text),))
        return case((_type(value) == _NUMBER, cast(_string(value), Numeric)))

    def is_true(self, document: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Use containment."""
        return _within(document, literal(f'{{"{name}": true}}', Text))

    def elements(self, document: ColumnElement[Any], name: str) -> FromClause:
        """Expand the strings of the array, if it is one."""
        value = _at(document, (literal(name, Text),))
        strings = func.jsonb_path_query_array(value, literal_column(_STRINGS, JSONPATH))
        array = case((_type(value) == _ARRAY, strings), else_=literal_column("'[]'::jsonb", JSONB))
        return func.jsonb_array_elements_text(array).table_valued(Column("value", Text))

    def with_member(self, document: ColumnElement[Any], name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Merge an object with the member into the document."""
        return document.op("||", return_type=JSONB())(func.jsonb_build_object(literal(name, Text), value, type_=JSONB))

    def encode_words(self, words: Sequence[str]) -> Any:
        """Return a regular expression for each word."""
        return [pattern_of(word) for word in words]

    def has_words(
        self, document: ColumnElement[Any], paths: Sequence[Sequence[ColumnElement[str]]]
    ) -> ColumnElement[bool]:
        """Compare all texts together with each regular expression."""
        values = (_at(document, path) for path in paths)
        texts = [case((_type(value) == _STRING, _string(value))) for value in values]
        text = collate(func.concat_ws(_BLANK, *texts, type_=Text), "C")
        return text.op("~", is_comparison=True)(all_(cast(bindparam("words", type_=_TEXTS), _TEXTS)))


def _is_one_of(value: ColumnElement[Any], values: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a value is one of many. As a CASE it is no join: their hash table is made once."""
    operands = func.unnest(_jsons(values), type_=JSONB).column_valued("listed")
    return case((value.in_(select(operands)), true()), (value.is_not(None), false()))


def _elements(value: ColumnElement[Any], values: ColumnElement[Any]) -> tuple[Any, Select[Any]]:
    """Return a column of the elements of an array that are among *values*, none of another value, and their SELECT.

    The elements themselves are compared: JSONB's own `@>` also matches parts of inner values. The time grows with the
    number of elements and values, not with their product.
    """
    array = case((_type(value) == _ARRAY, value), else_=literal_column("'[]'::jsonb", JSONB))
    element = func.jsonb_array_elements(array, type_=JSONB).column_valued("element")
    return element, select(element).where(_is_one_of(element, values))


def _contains_any(value: ColumnElement[Any], values: ColumnElement[Any]) -> ColumnElement[bool]:
    _, elements = _elements(value, values)
    return and_(_type(value) == _ARRAY, elements.exists())


def _contains_all(value: ColumnElement[Any], values: ColumnElement[Any]) -> ColumnElement[bool]:
    element, elements = _elements(value, values)
    operands = func.unnest(_jsons(values), type_=JSONB).column_valued("listed")
    number = elements.with_only_columns(func.count(element.distinct())).scalar_subquery()
    return and_(_type(value) == _ARRAY, number == select(func.count(operands.distinct())).scalar_subquery())


def _within(value: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
    return value.op("@>", is_comparison=True)(_json(text))


_CONDITIONS: Final[Mapping[str, _Build]] = {
    "is": lambda document, _, parameters: _within(document, parameters[0]),
    "equal": lambda document, value, parameters: and_(_within(document, parameters[0]), value == _json(parameters[1])),
    "in": lambda _, value, parameters: value == any_(_jsons(parameters[0])),
    "in many": lambda _, value, parameters: _is_one_of(value, parameters[0]),
    "present": lambda _, value, __: value.is_not(None),
    "missing": lambda _, value, __: value.is_(None),
    "like": lambda _, value, parameters: and_(_type(value) == _STRING, _string(value).ilike(parameters[0], escape="!")),
    # Containment takes few values at little cost, and most objects lack one of them.
    "contains": lambda _, value, parameters: and_(_within(value, parameters[1]), _contains_all(value, parameters[0])),
    "contains many": lambda _, value, parameters: _contains_all(value, parameters[0]),
    "contains_any": lambda _, value, parameters: _contains_any(value, parameters[0]),
    "contains_any many": lambda _, value, parameters: _contains_any(value, parameters[0]),
}
