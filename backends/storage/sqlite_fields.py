"""The SQL of SQLite for fields of documents: filters, sort keys, members.

SQLite's own JSON functions cannot address a name that contains a quote, take the first of two equal names, truncate
integers beyond 64 bits and define no order of values. Where that matters Python functions replace them
(`backends/storage/sqlite_functions.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import eq, ne
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    FromClause,
    Integer,
    LargeBinary,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.codec import dumps
from backends.storage import MISSING, Missing
from backends.storage.dialect import Typed
from backends.storage.selections import COMPARISONS
from backends.storage.sqlite_functions import LIMIT_OF_INTEGERS, MODES
from backends.storage.values import order_key

_MAX_NAMES: Final = 3
"""Fields below more names are found by Python, since SQLite calls itself for each name."""

_PLAIN_NAME: Final = re.compile(r'[^"\\\x00-\x1f]+')
"""A name that has no escape in a document."""

_PLAIN_TEXT: Final = re.compile(r"[ !#-)+-\[\]-~]+")
"""A part of a pattern that has neither an escape in a document nor a letter whose cases LIKE does not know."""

_WILDCARDS: Final = str.maketrans(dict.fromkeys("ik%_", "_"))
_MAX_PART: Final = 100
_TEXT: Final = Text()
_BLOB: Final = LargeBinary()
_OPERATORS: Final = {
    "eq": eq,
    "ne": ne,
    **COMPARISONS,
}


def _literal_key(value: Json | Missing) -> ColumnElement[Any]:
    """Return the order key of a value as a part of a statement."""
    return literal_column(f"x'{order_key(value).hex()}'", LargeBinary)


_TEXT_BEGINS, _ENDS = (literal_column(f"x'{each.hex()}'", Text) for each in (order_key("")[:-1], order_key("")[-1:]))
_NUMBER_BEGINS: Final = literal_column(f"x'{order_key(1)[:4].hex()}'", Text)
_CONSTANT_KEYS: Final = {
    name: _literal_key(value) for name, value in (("null", None), ("false", False), ("true", True))
}


def _blob(first: ColumnElement[Any], *others: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the bytes of texts, one after the other."""
    for each in others:
        first = first.op("||", return_type=Text())(each)
    return cast(first, LargeBinary)


def _part_of(pattern: str) -> str:
    """Return a pattern of LIKE for the documents that may have a text which matches a pattern of `matches_pattern`.

    LIKE knows the two cases of ASCII letters. Two other characters have small letters with an `i` or a `k` in them.
    """
    parts = _PLAIN_TEXT.findall(pattern.lower())
    longest: str = max(parts, key=len, default="")
    return f"%{longest[:_MAX_PART].translate(_WILDCARDS)}%"


class SqliteFields:
    """The SQL of SQLite for fields of documents."""

    def encode_path(self, path: Sequence[str]) -> tuple[str, ...]:
        """Return the names as one JSON array, and where SQLite itself finds the field, its path."""
        names = dumps(list(path))
        if len(path) <= _MAX_NAMES and all(map(_PLAIN_NAME.fullmatch, path)):
            return names, "".join(("$", *(f'."{name}"' for name in path)))
        return (names,)

    def sort_key(
        self, document: ColumnElement[Any], path: Sequence[ColumnElement[str]]
    ) -> tuple[ColumnElement[Any], ...]:
        """Return one BLOB, which compares as the values do.

        SQLite composes the bytes of `values.order_key` itself for most values. It would end a text at a zero character,
        and a 1 has two bytes in a key; both are escaped in the document.
        """
        names, *place = path
        in_python = func.document_key(document, names, type_=LargeBinary)
        if not place:
            return (in_python,)
        value = func.json_extract(document, *place)
        is_difficult = func.instr(document, literal_column(r"'\u000'")) > literal_column("0")
        text = case((is_difficult, in_python), else_=_blob(_TEXT_BEGINS, value, _ENDS))
        digits = func.char(func.length(value)), func.rtrim(value, literal_column("'0'"))
        is_positive = value.between(literal_column("1"), literal_column(str(LIMIT_OF_INTEGERS - 1)))
        integer = case((is_positive, _blob(_NUMBER_BEGINS, *digits, _ENDS)), else_=in_python)
        kinds = {"text": text, "integer": integer, "real": in_python, "array": in_python, "object": in_python}
        whens: list[tuple[ColumnElement[Any], ColumnElement[Any]]] = [
            (literal_column(f"'{kind}'"), key) for kind, key in (kinds | _CONSTANT_KEYS).items()
        ]
        return (case(*whens, value=func.json_type(document, *place), else_=_literal_key(MISSING)),)

    def bound_sort_key(self, name: str) -> Sequence[ColumnElement[Any]]:
        """Return the bound BLOB."""
        return (bindparam(f"{name}_0", type_=LargeBinary),)

    def encode_sort_key(self, value: Json | Missing) -> tuple[Any, ...]:
        """Return the BLOB of one value."""
        return (order_key(value),)

    def encode(
        self,
        operator: str,
        path: Sequence[str],  # noqa: ARG002  # the interface; the field is bound by itself
        value: Json,
    ) -> tuple[str, Sequence[Typed]]:
        """Return the form of a condition with the BLOB, or the JSON, that it binds.

        A document that has a string has its JSON too, which SQLite finds faster than it compares values: one encoder
        writes all documents. The text of `like` is found in them too (`_part_of`).
        """
        if operator == "eq" and isinstance(value, str):
            return "is", ((_BLOB, order_key(value)), (_TEXT, dumps(value)))
        if operator in _OPERATORS:
            return operator, ((_BLOB, order_key(value)),)
        if operator == "has":
            return ("ne" if value else "eq"), ((_BLOB, order_key(MISSING)),)
        if operator == "like":
            return "like", ((_TEXT, str(value)), (_TEXT, _part_of(str(value))))
        if operator == "in":
            return "in", ((_TEXT, dumps([order_key(each).hex() for each in value])),)
        return operator, ((_TEXT, dumps(list(value))),)

    def condition(
        self,
        form: str,
        document: ColumnElement[Any],
        path: Sequence[ColumnElement[str]],
        parameters: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Return the condition: a comparison of BLOBs, or a call of a function in Python."""
        [key] = self.sort_key(document, path)
        if form == "is":
            return and_(func.instr(document, parameters[1]) > literal_column("0"), key == parameters[0])
        if form in _OPERATORS:
            comparison: ColumnElement[bool] = _OPERATORS[form](key, parameters[0])
            return comparison
        if form == "in":
            each = func.json_each(parameters[0]).table_valued("value")
            return key.in_(select(func.from_hex(each.c.value, type_=LargeBinary)))
        if form == "like":
            return and_(
                document.like(parameters[1]), func.document_like(document, path[0], parameters[0], type_=Boolean)
            )
        mode: ColumnElement[int] = literal_column(str(MODES.index(form)))
        return func.document_contains(document, path[0], parameters[0], mode, type_=Boolean)

    def like(self, text: ColumnElement[str], pattern: ColumnElement[str]) -> ColumnElement[bool]:
        """Call Python: LIKE ignores the case of ASCII letters only."""
        return func.text_like(text, pattern, type_=Boolean)

    def encode_pattern(self, pattern: str) -> str:
        """Return the pattern."""
        return pattern

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Return the text as it is stored; `json_remove` keeps the other members unchanged, long integers too."""
        if not without:
            return document
        return func.json_remove(document, *(literal(f'$."{name}"', Text) for name in without), type_=Text)

    def size(self, text: ColumnElement[str]) -> ColumnElement[int]:
        """Return the bytes; SQLite has a function for them from 3.43 on."""
        return func.length(cast(text, LargeBinary), type_=Integer)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of a member that is a JSON string."""
        path = literal(f'$."{name}"', Text)
        kind = func.json_type(document, path, type_=Text)
        return case((kind == literal("text", Text), func.json_extract(document, path, type_=Text)))

    def number(self, document: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """Return the member where its type is that of integers."""
        path = literal(f'$."{name}"', Text)
        kind = func.json_type(document, path, type_=Text)
        return case((kind == literal("integer", Text), func.json_extract(document, path, type_=BigInteger)))

    def is_true(self, document: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Compare the type of the member."""
        kind = func.json_type(document, literal(f'$."{name}"', Text), type_=Text)
        return kind.is_not_distinct_from(literal("true", Text))

    def elements(self, document: ColumnElement[Any], name: str) -> FromClause:
        """Call `json_each` with an array of the strings of the array, if it is one."""
        strings = func.document_strings(document, literal(name, Text))
        return func.json_each(strings).table_valued(column("value", Text))

    def with_member(self, document: ColumnElement[Any], name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Set the member; `json_set` keeps the others unchanged, long integers too."""
        return func.json_set(document, literal(f'$."{name}"', Text), value, type_=Text)

    def encode_words(self, words: Sequence[str]) -> Any:
        """Return a JSON array."""
        return dumps(list(words))

    def has_words(
        self, document: ColumnElement[Any], paths: Sequence[Sequence[ColumnElement[str]]]
    ) -> ColumnElement[bool]:
        """Call Python."""
        fields = (names for names, *_ in paths)
        return func.document_has_words(document, bindparam("words", type_=Text), *fields, type_=Boolean)
