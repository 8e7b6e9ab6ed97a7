"""Read and write tables as rows that are the same for every database.

A row is a tuple with the columns of its table, in their order: text, integers, booleans and bytes. A document is its
JSON text, an array of integers is a JSON array. Rows are read in the order of their primary key, which compares bytes
on every database, by one statement whose rows are fetched as they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ARRAY, Column, Connection, Table, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.sql.elements import ColumnElement

from backends.storage.dialect import Dialect

Row = tuple[Any, ...]

_FETCH_SIZE: Final = 100
"""The number of rows that are fetched at once: so many large documents are in memory."""

_MAX_ROWS: Final = 2_000
_MAX_CHARACTERS: Final = 4_000_000
"""The greatest number of rows that are written at once, and of characters in them, the last row apart."""

_NOTE_INTERVAL: Final = 1_000

_POSTGRESQL: Final = PGDialect_psycopg2()  # type: ignore[no-untyped-call]  # SQLAlchemy's

_Item = TypeVar("_Item")


def is_json(column: Column[Any]) -> bool:
    """Return whether a column has JSON documents, which are text on SQLite."""
    return isinstance(column.type.dialect_impl(_POSTGRESQL), JSONB)


def is_array(column: Column[Any]) -> bool:
    """Return whether a column has arrays, which are JSON text on SQLite."""
    return isinstance(column.type.dialect_impl(_POSTGRESQL), ARRAY)


class TableRows:
    """The rows of one table in one dialect of SQL."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self.table = table
        self.keys = tuple(table.primary_key.columns)
        self.places = {column.name: place for place, column in enumerate(table.columns)}
        self._dialect = dialect
        self._columns = [dialect.portable(column).label(column.name) for column in table.columns]
        self._key_places = [self.places[column.name] for column in self.keys]
        self._delete = delete(table).where(*(column == _parameter(column) for column in self.keys))

    def key(self, row: Row) -> Row:
        """Return the primary key of a row."""
        return tuple([row[place] for place in self._key_places])

    def read(
        self, connection: Connection, *conditions: ColumnElement[bool], order: Sequence[ColumnElement[Any]] = ()
    ) -> Iterator[Row]:
        """Yield the rows that meet the conditions, in the order of their keys, or of other columns.

        The connection is that of a snapshot: a cursor of PostgreSQL needs a transaction that the driver knows.
        """
        rows = select(*self._columns).where(*conditions).order_by(*(order or self.keys))
        yield from map(tuple, connection.execute(rows, execution_options={"yield_per": _FETCH_SIZE}))

    def fetch(self, connection: Connection, *conditions: ColumnElement[bool]) -> list[Row]:
        """Return all rows that meet the conditions at once."""
        return [*map(tuple, connection.execute(select(*self._columns).where(*conditions)))]

    def count(self, connection: Connection) -> int:
        """Return the number of rows."""
        return connection.execute(select(func.count()).select_from(self.table)).scalar_one()

    def has_any(self, connection: Connection, *conditions: ColumnElement[bool]) -> bool:
        """Return whether a row meets the conditions."""
        return connection.execute(select(self.keys[0]).where(*conditions).limit(1)).first() is not None

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert rows, of which there are none yet with these keys."""
        if rows:
            self._dialect.insert_rows(connection, self.table, rows)

    def delete(self, connection: Connection, keys: Iterable[Row]) -> None:
        """Delete the rows with these keys, one after the other."""
        for key in keys:
            connection.execute(self._delete, dict(zip(map(_name, self.keys), key, strict=True)))


def _name(column: Column[Any]) -> str:
    return f"of_{column.name}"


def _parameter(column: Column[Any]) -> ColumnElement[Any]:
    return bindparam(_name(column), type_=column.type)


class RowBuffer:
    """Inserts rows of a table on a connection, as soon as there are many."""

    def __init__(self, rows: TableRows, connection: Connection) -> None:
        self._rows = rows
        self._connection = connection
        self._waiting: list[Row] = []
        self._characters = 0

    def add(self, row: Row) -> None:
        """Insert a row, at the latest with the next `flush`."""
        self._waiting.append(row)
        self._characters += _characters_of(row)
        if len(self._waiting) >= _MAX_ROWS or self._characters >= _MAX_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Insert the rows that wait."""
        self._rows.insert(self._connection, self._waiting)
        self._waiting, self._characters = [], 0


def _characters_of(row: Row) -> int:
    return sum([len(value) for value in row if isinstance(value, str)])


def batches(items: Iterable[_Item], row_of: Callable[[_Item], Row]) -> Iterator[list[_Item]]:
    """Yield items in lists that can be written at once; *row_of* returns the row of an item."""
    batch: list[_Item] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += _characters_of(row_of(item))
        if len(batch) >= _MAX_ROWS or characters >= _MAX_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def report_progress(items: Iterable[_Item], note: Callable[[int], object]) -> Iterator[_Item]:
    """Yield items, and call *note* with their number, a thousand at a time."""
    number = 0
    for number, item in enumerate(items, 1):
        yield item
        if number % _NOTE_INTERVAL == 0:
            note(_NOTE_INTERVAL)
    note(number % _NOTE_INTERVAL)
