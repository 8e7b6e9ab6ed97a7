"""What databases do differently: JSON inside a document, and little else. Everything else is the same SQL for all.

`document` is the column `documents.data`: JSONB on PostgreSQL, compact JSON text on SQLite. `path` names members from
the outside in. Values are always bound, so statements that differ in values only are compiled once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, FromClause, Select, Table
from sqlalchemy.sql.elements import ColumnElement

from backends import Json
from backends.storage import Missing


class Dialect(Protocol):
    """The SQL of one kind of database. Conditions may be NULL where the field is missing, which WHERE takes for no."""

    def key(self, document: ColumnElement[Any], path: Sequence[str]) -> tuple[ColumnElement[Any], ...]:
        """Return expressions that, compared one after the other, give the order of `values.ordered`. Never NULL."""

    def key_of(self, value: Json | Missing) -> tuple[ColumnElement[Any], ...]:
        """Return the bound values that `key` would have for a field with this value."""

    def equals(self, document: ColumnElement[Any], path: Sequence[str], value: Json) -> ColumnElement[bool]:
        """Say that a field is there and has this value and JSON type (C-LIST-7)."""

    def one_of(self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json]) -> ColumnElement[bool]:
        """Say that a field is there and equals one of the values (C-LIST-11)."""

    def present(self, document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
        """Say that a field is there, null included (C-LIST-17). Never NULL."""

    def like(self, document: ColumnElement[Any], path: Sequence[str], pattern: str) -> ColumnElement[bool]:
        """Say that a field is text that the pattern covers, whatever the case; only `*` is special (C-LIST-16)."""

    def contains(
        self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json], every: bool
    ) -> ColumnElement[bool]:
        """Say that a field is an array that holds every one, or any one, of the values (C-LIST-18, C-LIST-19)."""

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Return the document's JSON text, without the members that must not leave the storage."""

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return a string that the document holds under a name, NULL where it holds none."""

    def with_number(self, document: ColumnElement[Any], name: str, number: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the document with another number under a name."""

    def rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return a table of bound values: *columns* are names and types, *name* is how `bind_rows` finds it."""

    def bind_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return the parameters that fill the table *name*, any number of *rows* of it, in a fixed text of SQL."""

    def look_up(self, found: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return the rows of *found* that meet a row of *keys*, each of which is looked up in an index by itself.

        *found* is a SELECT from one table; the *conditions* compare its columns with those of *keys*. The plan depends
        neither on statistics nor on the number of keys: it holds on new tables and in prepared statements.
        """

    def look_up_first(self, found: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Return for each row of *keys* the first rows of *found*, by *order*, beside it.

        *found* is a SELECT from one table whose conditions compare its columns with those of *keys*.
        """

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Return the text between two slashes of a URI; the first is number 1. Empty where there is none."""

    def json(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """Return a document that is nothing but a text, so that `like` can be asked of it."""

    def among(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Say, in a DELETE, that *columns* are a row of *keys*, in the same order."""

    def beside(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return a column for a condition that is there for a cluster alone: no index is to be chosen by it."""

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater of two values."""

    def is_busy(self, error: BaseException | None) -> bool:
        """Say whether the driver's error means that a lock was not available within the time limit."""

    def insert(self, table: Table) -> Any:
        """Return an INSERT that can say what happens on conflict; both databases spell that the same."""
