"""The SQL that differs between databases: JSON inside a document, and little else. All other SQL is the same.

`document` is the column `documents.data`: JSONB on PostgreSQL, compact JSON text on SQLite. A path has the names of
members from the outside in. Values are always bound, names of fields too, so that statements that differ only in values
are made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Column, Connection, Engine, FromClause, Select, Table, TableClause
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from backends import Json
from backends.storage import Missing

Typed = tuple[TypeEngine[Any], Any]
"""A value with its SQL type."""


class Dialect(Protocol):
    """The SQL of one kind of database.

    A condition may be NULL where the field is missing, which WHERE treats as false. `terms_table` is the table in which
    triggers keep the terms of documents, None where an index has them.
    """

    terms_table: TableClause | None

    def transactional(self, engine: Engine, lock_timeout_seconds: float) -> Engine:
        """Return an engine for statements of SQLAlchemy in its own transactions, for migrations."""

    def encode_path(self, path: Sequence[str]) -> tuple[str, ...]:
        """Return the values that are bound for a field: the `path` of `sort_key` and `condition` has as many."""

    def sort_key(
        self, document: ColumnElement[Any], path: Sequence[ColumnElement[str]]
    ) -> tuple[ColumnElement[Any], ...]:
        """Return expressions that, compared one after the other, give the order of `values.order_key`. Never NULL."""

    def bound_sort_key(self, name: str) -> Sequence[ColumnElement[Any]]:
        """Return the bound values *name*_0, *name*_1, ... that are compared with `sort_key`."""

    def encode_sort_key(self, value: Json | Missing) -> tuple[Any, ...]:
        """Return the values of `bound_sort_key` for a field with this value."""

    def encode(self, operator: str, path: Sequence[str], value: Json) -> tuple[str, Sequence[Typed]]:
        """Return the form of a filter's condition, and the values that it binds, each with its type.

        *operator* is one of `backends.storage.OPERATORS` but `not` and `exclude`. Filters of one form with the same
        number of values have the same SQL.
        """

    def condition(
        self,
        form: str,
        document: ColumnElement[Any],
        path: Sequence[ColumnElement[str]],
        parameters: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Return the condition of a filter that `encode` gave this form.

        - `eq`: the field exists and has this value and JSON type (C-LIST-7); `in`: one of these values (C-LIST-11).
        - `gt`, `min`, `lt`, `max`: in the order of `values.order_key`, in which a missing field comes last (C-LIST-35).
        - `has`: the field exists, null included, or does not (C-LIST-17).
        - `like`: the field is a string that matches a pattern as a whole, ignoring case, where only `*` is special
          (C-LIST-16).
        - `contains`, `contains_any`: the field is an array with all, or any, of the values (C-LIST-18, C-LIST-19).
        """

    def like(self, text: ColumnElement[str], pattern: ColumnElement[str]) -> ColumnElement[bool]:
        """Return the condition of `like` for a text that is no JSON; *pattern* is encoded by `encode_pattern`."""

    def encode_pattern(self, pattern: str) -> str:
        """Return a pattern as `like` takes it."""

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Return the document's JSON text *without* the members that must not leave the storage."""

    def size(self, text: ColumnElement[str]) -> ColumnElement[int]:
        """Return the size of a text in bytes, or about that."""

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the member of the document with a name, NULL where it is missing or no string."""

    def number(self, document: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """Return the member of the document with a name, NULL where it is missing or no integer."""

    def is_true(self, document: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that the member of the document with a name is `true`; never NULL."""

    def elements(self, document: ColumnElement[Any], name: str) -> FromClause:
        """Return the strings in an array of a document as a table with the column `value`."""

    def with_member(self, document: ColumnElement[Any], name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the document with the member *name* set to a number or a text."""

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

    def row_in(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Return the condition, for a DELETE, that *columns* equal a row of *keys*, in the same order."""

    def without_index(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return a column for a condition that only a cluster needs, and by which no index should be chosen."""

    def is_own_row(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that this transaction has locked or written a row of *table*."""

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater of two values."""

    def encode_words(self, words: Sequence[str]) -> Any:
        """Return the value `words` that `has_words` binds."""

    def has_words(
        self, document: ColumnElement[Any], paths: Sequence[Sequence[ColumnElement[str]]]
    ) -> ColumnElement[bool]:
        """Return the condition that the texts in the fields *paths* have all the bound `words` (`words.words_at`)."""

    def documents_with_terms(self, bucket: ColumnElement[str], names: Sequence[str], *, every: bool) -> Select[Any]:
        """Return the `CONTENTS` of documents in a bucket that have *every* term of one of the bound *names*, or any.

        They are found by the index of terms, whatever the planner knows about the tables. Other conditions and an order
        belong into a query around this one, from which a LIMIT separates it.
        """

    def encode_terms(self, terms: Sequence[int]) -> str | None:
        """Return terms as they are bound, None without any: a value of `documents.terms`."""

    def is_busy(self, error: BaseException | None) -> bool:
        """Return whether the driver's error means that a lock was not available within the time limit."""

    def insert(self, table: Table) -> Any:
        """Return an INSERT that can have an ON CONFLICT clause, which is the same on both databases."""

    def snapshot(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Return a connection whose reads all see the same moment, while others write."""

    def portable(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the value of a column as it is in a row of `backends.storage.transfer.rows`."""

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of `backends.storage.transfer.rows` in the fastest way. Raises BackendError."""

    def update_statistics(self, connection: Connection, tables: Iterable[Table]) -> None:
        """Have the planner know tables that were filled."""
