"""The SQL of SQLite beyond that for fields of documents (`backends/storage/sqlite_fields.py`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    FromClause,
    Join,
    LargeBinary,
    Select,
    Table,
    TableClause,
    Text,
    and_,
    bindparam,
    column,
    event,
    exists,
    func,
    literal_column,
    select,
    table,
    true,
    tuple_,
    type_coerce,
    union,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from backends import BackendError, Busy
from backends.codec import dumps, loads
from backends.storage.sqlite_fields import SqliteFields
from backends.storage.tables import CONTENTS, documents
from backends.storage.transfer.rows import is_array, is_json

BEGIN: Final = "BEGIN IMMEDIATE"
"""Takes the write lock at once: a transaction that reads first and writes later would fail instead of waiting."""

_TERMS: Final = table("terms", column("bucket", Text), column("term", BigInteger), column("uri", Text))
"""The terms of all documents, which triggers keep (`migrations/versions/0001_tables.py`)."""

_MANY: Final[ColumnElement[int]] = literal_column("1000")
"""The number of documents with a term from which on it counts as frequent."""


def is_busy(error: BaseException | None) -> bool:
    """Check for SQLITE_BUSY in the low byte, since an extended code has more bits."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _begin(connection: Any) -> None:
    """Take the write lock."""
    with translate_driver_errors():
        connection.connection.driver_connection.execute(BEGIN)


@contextmanager
def translate_driver_errors() -> Iterator[None]:
    """Raise `BackendError` in place of errors of the driver that SQLAlchemy does not handle."""
    try:
        yield
    except sqlite3.Error as error:
        failure = Busy if is_busy(error) else BackendError
        raise failure(f"{type(error).__name__}: {error}", error) from error


def _encode_documents(row: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    """Return a row whose values at *places*, which are documents, are as our encoder writes them."""
    values = list(row)
    for place in places:
        values[place] = dumps(loads(row[place]))
    return values


def _uris_with_any_term(bucket: ColumnElement[str], terms: ColumnElement[str]) -> Select[Any]:
    """Return the URIs of the documents in a bucket that have one of the terms of a JSON array."""
    each = func.json_each(terms).table_valued("value")
    return select(_TERMS.c.uri).where(_TERMS.c.bucket == bucket, _TERMS.c.term.in_(select(each.c.value))).distinct()


def _uris_with_every_term(bucket: ColumnElement[str], terms: ColumnElement[str]) -> Select[Any]:
    """Return the URIs of the documents in a bucket that have all terms of a JSON array.

    Those with the rarest term are looked up, and the other terms of each.
    """
    each, other = (func.json_each(terms).table_valued("value", name=name) for name in ("each_term", "other_term"))
    one: ColumnElement[int] = literal_column("1")
    few = select(one).where(_TERMS.c.bucket == bucket, _TERMS.c.term == each.c.value).limit(_MANY)
    count = select(func.count()).select_from(few.correlate(each).subquery()).scalar_subquery()
    rarest = select(each.c.value).order_by(count, each.c.value).limit(one).scalar_subquery()
    same = _TERMS.alias("same")
    has_other = select(one).where(same.c.bucket == bucket, same.c.term == other.c.value, same.c.uri == _TERMS.c.uri)
    lacks_one = select(one).select_from(other).where(~exists(has_other.correlate(other, _TERMS)))
    has_rarest = _TERMS.c.bucket == bucket, _TERMS.c.term == rarest
    return select(_TERMS.c.uri).where(*has_rarest, ~exists(lacks_one.correlate(_TERMS)))


class _CrossJoin(Join):
    """A join whose left side SQLite reads first."""

    inherit_cache = True


@compiles(_CrossJoin)
def _compile_cross_join(join: _CrossJoin, compiler: Any, **options: Any) -> str:
    linter = options.get("from_linter")
    if linter is not None:
        # As SQLAlchemy does for its own joins: the linter warns of tables that are not joined.
        sides = (side._from_objects for side in (join.left, join.right))  # noqa: SLF001  # as SQLAlchemy's own compiler does
        linter.edges.update(product(*sides))
    options = {**options, "asfrom": True}
    left, right = (compiler.process(side, **options) for side in (join.left, join.right))
    return f"{left} CROSS JOIN {right} ON {compiler.process(join.onclause, **options)}"


class SqliteDialect(SqliteFields):
    """The SQL of SQLite."""

    terms_table: TableClause | None = _TERMS

    def transactional(self, engine: Engine, lock_timeout_seconds: float) -> Engine:  # noqa: ARG002  # the driver's own
        """Return an engine whose transactions begin with the write lock."""
        migrating = engine.execution_options()
        event.listen(migrating, "begin", _begin)
        return migrating

    def bound_rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return the elements of one bound JSON array of arrays; bytes are in it as hexadecimal digits."""
        each = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"{name}_each")

        def element(place: int, kind: Any) -> ColumnElement[Any]:
            value = func.json_extract(each.c.value, literal_column(f"'$[{place}]'"), type_=kind)
            return func.from_hex(value, type_=kind) if isinstance(kind, LargeBinary) else value

        return select(*(element(place, kind).label(column) for place, (column, kind) in enumerate(columns))).subquery(
            name
        )

    def bind_rows(
        self,
        name: str,
        columns: Sequence[str],  # noqa: ARG002  # of the interface; JSON arrays have no names
        rows: Sequence[Sequence[Any]],
    ) -> Mapping[str, Any]:
        """Return the JSON array."""
        return {name: dumps([[value.hex() if isinstance(value, bytes) else value for value in row] for row in rows])}

    def look_up(self, query: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Join with *keys* on the left: SQLite always reads the left side of a CROSS JOIN first."""
        [table] = (each for each in query.columns_clause_froms if each is not keys)
        return query.select_from(_CrossJoin(keys, table, and_(*conditions)))

    def look_up_first(self, query: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Collect the rows for each row of *keys* in one JSON array, and read that array as rows.

        A subquery in FROM cannot refer to the other tables in FROM, but a scalar subquery can.
        """
        rows = query.order_by(order).limit(limit).correlate(keys).subquery()
        array = select(func.json_group_array(func.json_array(*rows.c))).scalar_subquery()
        each = func.json_each(array).table_valued("value")
        columns = [
            func.json_extract(each.c.value, literal_column(f"'$[{place}]'"), type_=column.type).label(column.name)
            for place, column in enumerate(rows.c)
        ]
        return select(*keys.c, *columns).select_from(_CrossJoin(keys, each, literal_column("1")))

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Call Python."""
        return func.segment(uri, literal_column(str(number)), type_=Text)

    def row_in(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Compare row values, since SQLite has no USING in a DELETE."""
        return tuple_(*columns).in_(select(*keys.c))

    def without_index(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the column with a unary plus, which makes it an expression for which SQLite uses no index."""
        return literal_column(f"+{column.table.name}.{column.name}", column.type)

    def is_own_row(self, table: Table) -> ColumnElement[bool]:  # noqa: ARG002  # as in Dialect
        """Return true: a transaction has locked the whole database."""
        return true()

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater value: SQLite's `max` with two arguments is PostgreSQL's `greatest`."""
        return func.max(one, other)

    def documents_with_terms(self, bucket: ColumnElement[str], names: Sequence[str], *, every: bool) -> Select[Any]:
        """Look up the URIs in the table of terms, then the documents by them."""
        find = _uris_with_every_term if every else _uris_with_any_term
        parts = [find(bucket, bindparam(name, type_=Text)) for name in names]
        uris = (parts[0] if len(parts) == 1 else union(*parts)).subquery("candidates")
        rows = select(*CONTENTS).where(documents.c.bucket == bucket)
        return self.look_up(rows, uris, documents.c.uri == uris.c.uri)

    def encode_terms(self, terms: Sequence[int]) -> str | None:
        """Return a JSON array, which triggers split into rows of the table `terms`."""
        return dumps(list(terms)) if terms else None

    def is_busy(self, error: BaseException | None) -> bool:
        """Check the code of the error."""
        return is_busy(error)

    def insert(self, table: Table) -> Insert:
        """Return an INSERT that can have an ON CONFLICT clause."""
        return insert(table)

    @contextmanager
    def snapshot(self, engine: Engine) -> Iterator[Connection]:
        """Begin a transaction: it sees the moment of its first read."""
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    def portable(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the text of JSON and of arrays."""
        return type_coerce(column, Text) if is_json(column) or is_array(column) else column

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Execute one INSERT for all rows. Documents are encoded anew: filters expect the text of our encoder."""
        columns = list(table.columns)
        places = [place for place, column in enumerate(columns) if is_json(column)]
        names, marks = ", ".join(f'"{column.name}"' for column in columns), ", ".join("?" * len(columns))
        with translate_driver_errors():
            connection.connection.driver_connection.executemany(  # type: ignore[union-attr]  # the driver's
                f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})',
                (_encode_documents(row, places) for row in rows),
            )

    def update_statistics(self, connection: Connection, tables: Iterable[Table]) -> None:
        """Do nothing: statistics mislead SQLite (`backends.storage.sqlite`)."""
