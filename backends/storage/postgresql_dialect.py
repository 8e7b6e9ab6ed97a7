"""The SQL of PostgreSQL beyond that for fields of documents (`backends/storage/postgresql_fields.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from psycopg2 import Error as DriverError
from psycopg2.errorcodes import LOCK_NOT_AVAILABLE
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    FromClause,
    Select,
    Table,
    TableClause,
    Text,
    and_,
    bindparam,
    case,
    cast,
    collate,
    event,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ColumnElement

from backends import BackendError, IntegrityError
from backends.storage.postgresql_fields import PostgresqlFields
from backends.storage.prepared import set_lock_timeout
from backends.storage.tables import CONTENTS, documents
from backends.storage.transfer.copy_text import copy_stream
from backends.storage.transfer.rows import is_array, is_json

_TRANSACTION: Final = "pg_current_xact_id_if_assigned()::xid"
_TERMS: Final = ARRAY(BigInteger)

_CONSTRAINTS: Final = "23"
"""The beginning of the SQLSTATE of violated constraints."""


class PostgresqlDialect(PostgresqlFields):
    """The SQL of PostgreSQL."""

    terms_table: TableClause | None = None

    def transactional(self, engine: Engine, lock_timeout_seconds: float) -> Engine:
        """Return an engine that is not in autocommit and begins by setting the lock timeout."""
        migrating = engine.execution_options(isolation_level="READ COMMITTED")

        @event.listens_for(migrating, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(set_lock_timeout(lock_timeout_seconds))

        return migrating

    def bound_rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return a table made of one bound array for each column."""
        arrays = (cast(bindparam(f"{name}_{column}", type_=ARRAY(kind)), ARRAY(kind)) for column, kind in columns)
        return func.unnest(*arrays).table_valued(*(Column(*pair) for pair in columns), name=name).render_derived()

    def bind_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return one array for each column."""
        return {f"{name}_{column}": [row[place] for row in rows] for place, column in enumerate(columns)}

    def look_up(self, query: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Run a subquery for each row of *keys*; OFFSET 0 keeps the planner from turning it into a join.

        An equality is repeated as BETWEEN, for which the planner expects few rows. For the equality alone it would
        expect the average of its statistics, and read the whole table where few values are in most rows.
        """
        few = [
            condition.left.between(condition.right, condition.right)
            for condition in conditions
            if isinstance(condition, BinaryExpression) and condition.operator is operators.eq
        ]
        each = query.where(*conditions, *few).offset(literal_column("0")).lateral()
        return select(*each.c).select_from(keys.join(each, true()))

    def look_up_first(self, query: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Run a subquery for each row of *keys*."""
        each = query.order_by(order).limit(limit).lateral()
        return select(*keys.c, *each.c).select_from(keys.join(each, true()))

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Split the text at slashes; the first part is the one before the first slash."""
        return func.split_part(uri, literal_column("'/'"), literal_column(str(number + 1)), type_=Text)

    def row_in(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Compare the columns one by one: the DELETE gets a USING clause."""
        return and_(*(column == key for column, key in zip(columns, keys.c, strict=True)))

    def without_index(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the column: the planner chooses the index that is selective."""
        return column

    def is_own_row(self, table: Table) -> ColumnElement[bool]:
        """Compare the transaction that has locked the row, and the one that has written it, with this one.

        A row that others have locked as well is nobody's: then the transaction starts again (`Writer.lock`).
        """
        return or_(*(literal_column(f"{table.name}.{each} = {_TRANSACTION}", Boolean) for each in ("xmax", "xmin")))

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater value."""
        return func.greatest(one, other)

    def documents_with_terms(self, bucket: ColumnElement[str], names: Sequence[str], *, every: bool) -> Select[Any]:
        """Use the GIN index: no other one serves these conditions.

        Bitmap scans are off (`backends.storage.postgresql`), so the planner would prefer the primary key, and read the
        whole bucket, or where the table is small read all of it, by a plan that a prepared statement keeps when the
        table has grown. Therefore the condition on the bucket has another collation than the column (both compare
        bytes), and a condition that is true for all terms seems to cost much for each row that is read.
        """
        operator = "@>" if every else "&&"
        terms = (cast(bindparam(name, type_=_TERMS), _TERMS) for name in names)
        has_terms = or_(*(documents.c.terms.op(operator, is_comparison=True)(each) for each in terms))
        in_bucket = documents.c.bucket == collate(bucket, "POSIX")
        many = func.generate_series(literal_column("1"), literal_column("1000000000000")).alias("many")
        costly = select(func.count() > documents.c.born).select_from(many).scalar_subquery()
        seems_costly = case((documents.c.terms.is_not(None), true()), else_=costly)
        return select(*CONTENTS).where(has_terms, in_bucket, seems_costly)

    def encode_terms(self, terms: Sequence[int]) -> str | None:
        """Return the text of an array."""
        return f"{{{','.join(map(str, terms))}}}" if terms else None

    def is_busy(self, error: BaseException | None) -> bool:
        """Check for SQLSTATE 55P03, `lock_not_available`."""
        return getattr(error, "pgcode", None) == LOCK_NOT_AVAILABLE

    def insert(self, table: Table) -> Insert:
        """Return an INSERT that can have an ON CONFLICT clause."""
        return insert(table)

    @contextmanager
    def snapshot(self, engine: Engine) -> Iterator[Connection]:
        """Begin a transaction of the level at which all statements see the same moment."""
        reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with reading.connect() as connection:
            yield connection

    def portable(self, column: Column[Any]) -> ColumnElement[Any]:
        """Convert JSON and arrays in the database."""
        if is_array(column):
            return cast(func.array_to_json(column), Text)
        return cast(column, Text) if is_json(column) else column

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Use COPY."""
        arrays = [is_array(column) for column in table.columns]
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        cursor: Any = connection.connection.cursor()
        try:
            with cursor:
                cursor.copy_expert(f'COPY "{table.name}" ({names}) FROM STDIN', copy_stream(rows, arrays))
        except DriverError as error:
            kind = IntegrityError if (error.pgcode or "").startswith(_CONSTRAINTS) else BackendError
            # The other lines quote the row.
            raise kind(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", error) from error

    def update_statistics(self, connection: Connection, tables: Iterable[Table]) -> None:
        """Have PostgreSQL sample the rows: autovacuum would do so a minute later."""
        for table in tables:
            connection.exec_driver_sql(f'ANALYZE "{table.name}"')
