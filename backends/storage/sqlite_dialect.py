"""The SQL of SQLite: what it cannot say of JSON is said by functions in Python, which every connection must register.

SQLite's own JSON functions cannot address a name with a quote in it, take the first of two equal names, cut integers
beyond 64 bits and have no order of values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    FromClause,
    Join,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.codec import dumps, loads
from backends.storage import MISSING, Missing
from backends.storage.values import contains, encoded, likes, ordered, value_at

# A row is asked for several fields in a row, and all rows of a statement for the same paths and values.
_document: Final = lru_cache(maxsize=4)(loads)
_constant: Final = lru_cache(maxsize=256)(loads)
_encoded: Final = lru_cache(maxsize=256)(lambda text: encoded(loads(text)))


def register(connection: sqlite3.Connection) -> None:
    """Teach a new connection the functions that the statements of `SqliteDialect` call."""
    for name, arguments, function in (
        ("document_key", 2, _key),
        ("document_like", 3, _like),
        ("document_contains", 4, _contains),
        ("segment", 2, _segment),
    ):
        connection.create_function(name, arguments, function, deterministic=True)


def _key(document: str, path: str) -> bytes:
    return ordered(value_at(_document(document), _constant(path)))


def _like(document: str, path: str, pattern: str) -> bool:
    return likes(value_at(_document(document), _constant(path)), pattern)


def _contains(document: str, path: str, wanted: str, every: int) -> bool:
    return contains(value_at(_document(document), _constant(path)), _encoded(wanted), bool(every))


def _segment(path: str, number: int) -> str:
    parts = path.split("/", number + 1)
    return parts[number] if number < len(parts) else ""


def _bound(value: Json) -> ColumnElement[str]:
    return literal(dumps(value), Text)


class _CrossJoin(Join):
    """A join whose order SQLite keeps."""

    inherit_cache = True


@compiles(_CrossJoin)
def _compile_cross_join(join: _CrossJoin, compiler: Any, **options: Any) -> str:
    linter = options.get("from_linter")
    if linter is not None:
        # As SQLAlchemy does for its own joins: what is joined is no product by mistake.
        linter.edges.update(product(join.left._from_objects, join.right._from_objects))
    options = {**options, "asfrom": True}
    sides = (compiler.process(side, **options) for side in (join.left, join.right))
    return f"{' CROSS JOIN '.join(sides)} ON {compiler.process(join.onclause, **options)}"


class SqliteDialect:
    """The SQL of SQLite."""

    def key(self, document: ColumnElement[Any], path: Sequence[str]) -> tuple[ColumnElement[Any], ...]:
        """Return one BLOB that has the order of values."""
        return (func.document_key(document, _bound(list(path)), type_=LargeBinary),)

    def key_of(self, value: Json | Missing) -> tuple[ColumnElement[Any], ...]:
        """Return the BLOB of a value."""
        return (literal(ordered(value), LargeBinary),)

    def equals(self, document: ColumnElement[Any], path: Sequence[str], value: Json) -> ColumnElement[bool]:
        """Compare the BLOBs."""
        return self.key(document, path)[0] == self.key_of(value)[0]

    def one_of(self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json]) -> ColumnElement[bool]:
        """Look for the field's BLOB among those of the values."""
        return self.key(document, path)[0].in_([ordered(value) for value in values])

    def present(self, document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
        """Compare with the BLOB of a missing field."""
        return self.key(document, path)[0] != self.key_of(MISSING)[0]

    def like(self, document: ColumnElement[Any], path: Sequence[str], pattern: str) -> ColumnElement[bool]:
        """Ask Python: LIKE knows the case of ASCII only."""
        return func.document_like(document, _bound(list(path)), literal(pattern, Text), type_=Boolean)

    def contains(
        self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json], every: bool
    ) -> ColumnElement[bool]:
        """Ask Python."""
        return func.document_contains(
            document, _bound(list(path)), _bound(list(values)), literal(every, Boolean), type_=Boolean
        )

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Return the text as it is stored; `json_remove` leaves the rest of it as it is, long integers too."""
        if not without:
            return document
        return func.json_remove(document, *(literal(f'$."{name}"', Text) for name in without), type_=Text)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of JSON that is a string."""
        path = literal(f'$."{name}"', Text)
        kind = func.json_type(document, path, type_=Text)
        return case((kind == literal("text", Text), func.json_extract(document, path, type_=Text)))

    def with_number(self, document: ColumnElement[Any], name: str, number: ColumnElement[Any]) -> ColumnElement[Any]:
        """Set the number; `json_set` leaves the rest as it is, long integers too."""
        return func.json_set(document, literal(f'$."{name}"', Text), number, type_=Text)

    def rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return the elements of one bound JSON array of arrays."""
        each = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"{name}_each")
        return select(
            *(
                func.json_extract(each.c.value, literal_column(f"'$[{place}]'"), type_=kind).label(column)
                for place, (column, kind) in enumerate(columns)
            )
        ).subquery(name)

    def bind_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return the JSON array."""
        return {name: dumps([list(row) for row in rows])}

    def look_up(self, found: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Join with *keys* on the left: SQLite reads the left side of a CROSS JOIN first, whatever it expects."""
        [table] = (each for each in found.columns_clause_froms if each is not keys)
        return found.select_from(_CrossJoin(keys, table, and_(*conditions)))

    def look_up_first(self, found: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Make one JSON array of the rows for each row of *keys*, and read that as rows again.

        A subquery in FROM knows nothing of the tables beside it, a subquery in the place of a value does.
        """
        rows = found.order_by(order).limit(limit).correlate(keys).subquery()
        array = select(func.json_group_array(func.json_array(*rows.c))).scalar_subquery()
        each = func.json_each(array).table_valued("value")
        columns = [
            func.json_extract(each.c.value, literal_column(f"'$[{place}]'"), type_=column.type).label(column.name)
            for place, column in enumerate(rows.c)
        ]
        return select(*keys.c, *columns).select_from(_CrossJoin(keys, each, literal_column("1")))

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Ask Python."""
        return func.segment(uri, literal_column(str(number)), type_=Text)

    def json(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """Return the text in quotes."""
        return func.json_quote(text, type_=Text)

    def among(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Compare rows, since SQLite knows no USING."""
        return tuple_(*columns).in_(select(*keys.c))

    def beside(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the column with a plus in front, which SQLite takes for an expression that no index has."""
        return literal_column(f"+{column.table.name}.{column.name}", column.type)

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater value: SQLite's `max` of two is PostgreSQL's `greatest`."""
        return func.max(one, other)

    def is_busy(self, error: BaseException | None) -> bool:
        """Look for SQLITE_BUSY, of which extended codes have more bits."""
        return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY

    def insert(self, table: Table) -> Insert:
        """Return an INSERT that can say what happens on conflict."""
        return insert(table)
