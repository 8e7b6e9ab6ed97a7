"""The SQL that differs between databases: JSON inside a document, and little else. All other SQL is the same.

`document` is the column `documents.data`: JSONB on PostgreSQL, compact JSON text on SQLite. `path` has the names of
members from the outside in. Values are always bound, so statements that differ only in values are compiled once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, FromClause, Select, Table
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.storage import Missing


class Dialect(Protocol):
    """The SQL of one kind of database.

    A condition may be NULL where the field is missing, which WHERE treats as false.
    """

    def sort_key(self, document: ColumnElement[Any], path: Sequence[str]) -> tuple[ColumnElement[Any], ...]:
        """Return expressions that, compared one after the other, give the order of `values.order_key`. Never NULL."""

    def sort_key_of(self, value: Json | Missing) -> tuple[ColumnElement[Any], ...]:
        """Return the bound values that `sort_key` has for a field with this value."""

    def equals(self, document: ColumnElement[Any], path: Sequence[str], value: Json) -> ColumnElement[bool]:
        """Return the condition that a field exists and has this value and JSON type (C-LIST-7)."""

    def one_of(self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json]) -> ColumnElement[bool]:
        """Return the condition that a field exists and equals one of the values (C-LIST-11)."""

    def is_present(self, document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
        """Return the condition that a field exists, null included (C-LIST-17). Never NULL."""

    def like(self, document: ColumnElement[Any], path: Sequence[str], pattern: str) -> ColumnElement[bool]:
        """Return the condition that a field is a string that matches the pattern, ignoring case (C-LIST-16).

        Only `*` is special, and the pattern must match the whole string.
        """

    def contains(
        self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json], *, every: bool
    ) -> ColumnElement[bool]:
        """Return the condition that a field is an array with all, or any, of the values (C-LIST-18, C-LIST-19)."""

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Return the document's JSON text *without* the members that must not leave the storage."""

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the member of the document with a name, NULL where it is missing or no string."""

    def with_number(self, document: ColumnElement[Any], name: str, number: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the document with the member *name* set to a number."""

    def bound_rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return a table of bound values, which `bind_rows` fills by its *name*; *columns* are names and types."""

    def bind_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return the parameters that fill the table *name* with any number of *rows*; the SQL stays the same."""

    def look_up(self, query: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return the rows of *query* that match a row of *keys*; each key is looked up in an index by itself.

        *query* is a SELECT from one table; the *conditions* compare its columns with those of *keys*. The plan depends
        neither on statistics nor on the number of keys: it is right for new tables and in prepared statements.
        """

    def look_up_first(self, query: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Return each row of *keys* joined with the first rows of *query*, in the order *order*, up to *limit*.

        *query* is a SELECT from one table whose conditions compare its columns with those of *keys*.
        """

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Return the segment of a URI with a number, counted from 1; the empty string where there is none."""

    def json(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """Return a document that is a JSON string, so that `like` can be applied to it."""

    def row_in(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Return the condition, for a DELETE, that *columns* equal a row of *keys*, in the same order."""

    def without_index(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return a column for a condition that only a cluster needs, and by which no index should be chosen."""

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater of two values."""

    def is_busy(self, error: BaseException | None) -> bool:
        """Return whether the driver's error means that a lock was not available within the time limit."""

    def insert(self, table: Table) -> Any:
        """Return an INSERT that can have an ON CONFLICT clause, which is the same on both databases."""
