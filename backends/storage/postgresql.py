"""Store objects in PostgreSQL (15 or newer): its engines, and its SQL, in which documents are JSONB.

Filters by equality are written as containment, which a GIN index on `documents.data` serves (`jsonb_path_ops`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
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
    ExceptionContext,
    FromClause,
    Numeric,
    Select,
    Table,
    TableClause,
    Text,
    all_,
    and_,
    any_,
    bindparam,
    case,
    cast,
    collate,
    event,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, Insert, insert
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ColumnElement

from backends import BackendError, IntegrityError, Json, Pool
from backends.codec import dumps
from backends.deadlines import DeadlineCursor
from backends.engines import pool_options, postgresql_url, renew_after_fork
from backends.storage import Missing
from backends.storage.dialect import Typed
from backends.storage.prepared import PREPARE, PostgresqlSession, Preparing, is_read_only, set_lock_timeout
from backends.storage.sql import SqlStorage
from backends.storage.tables import CONTENTS, documents
from backends.storage.transfer.copy_text import copy_stream
from backends.storage.transfer.rows import is_array, is_json
from backends.storage.waits import LIMIT
from backends.storage.words import pattern_of

_NETWORK: Final[Mapping[str, int]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""The limits after which libpq gives up a server that does not answer, in seconds; the last one in milliseconds."""


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the engine for reads and of the engine for writes.

    Both are in autocommit: a session begins its transaction itself (`backends.storage.prepared`). Each gets half of the
    size of *pool*. A dead connection is detected by the statement that fails on it, which is tried again on a new one:
    a check before each use (`pool_pre_ping`) would cost a round trip per request.
    """
    reads, writes = (replace(pool, size=size, pre_ping=False) for size in ((pool.size + 1) // 2, pool.size // 2 or 1))
    database_url = postgresql_url(url)
    options: dict[str, Any] = {
        "url": database_url,
        "hide_parameters": True,
        # Documents are bound as the JSON text that they are; SQLAlchemy would encode it again.
        "json_serializer": str,
        "connect_args": {
            **{name: value for name, value in _NETWORK.items() if name not in database_url.query},
            "cursor_factory": DeadlineCursor,
        },
        "isolation_level": "AUTOCOMMIT",
        "execution_options": {LIMIT: pool.lock_timeout_seconds, PREPARE: pool.prepare},
    }
    return {**options, **pool_options(reads)}, {**options, **pool_options(writes)}


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines; it connects at the first request."""
    preparing = Preparing(enabled=writing.get_execution_options().get(PREPARE, True))
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        event.listen(engine, "handle_error", _leave_former_primary)
        renew_after_fork(engine)
    return SqlStorage(reading, writing, PostgresqlDialect(), partial(PostgresqlSession, preparing=preparing))


def _leave_former_primary(context: ExceptionContext) -> None:
    """Close a connection that has turned out to be read-only, as `PostgresqlSession.translate` does."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def _configure(connection: Any, _: Any) -> None:
    """Switch off sequential and bitmap scans and JIT, which the planner chooses wrongly; each statement has an index.

    Prepared statements are planned once (`backends.storage.prepared`).

    With statistics that are older than the rows (after a purge, an import) it reads whole tables, or sorts all rows of
    a range whose first rows an index gives in order. On big tables JIT compilation takes a hundred times as long as the
    statement. Nothing relies on these settings: a pooler may pass the session to another client.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; "
            "SET plan_cache_mode = force_generic_plan"
        )
    connection.commit()


_TRANSACTION: Final = "pg_current_xact_id_if_assigned()::xid"
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
_TERMS: Final = ARRAY(BigInteger)
_OPERATORS: Final = {"gt": operators.gt, "min": operators.ge, "lt": operators.lt, "max": operators.le}
_CONSTRAINTS: Final = "23"
"""The beginning of the SQLSTATE of violated constraints."""

_FEW_VALUES: Final = 10
"""How many values of a filter are compared one by one."""

_CHAINED_NAMES: Final = 3
"""How many names of a path are bound one by one: more of them would make statements of any length."""


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


class PostgresqlDialect:
    """The SQL of PostgreSQL."""

    terms_table: TableClause | None = None

    def transactional(self, engine: Engine, lock_timeout_seconds: float) -> Engine:
        """Return an engine that is not in autocommit and begins by setting the lock timeout."""
        migrating = engine.execution_options(isolation_level="READ COMMITTED")

        @event.listens_for(migrating, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(set_lock_timeout(lock_timeout_seconds))

        return migrating

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
        if operator in _OPERATORS:
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
        bound: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Return the condition; it may be NULL where the field is missing."""
        value = _at(document, path)
        operator, _, operand = form.partition(" ")
        if operand == "key":
            missing, jsonb, text = bound
            after: ColumnElement[bool] = _OPERATORS[operator](
                tuple_(*self.sort_key(document, path)), tuple_(missing, _json(jsonb), text)
            )
            return after
        if operand == "json":
            comparison: ColumnElement[bool] = _OPERATORS[operator](value, _json(bound[0]))
            # A missing field is greater than every value.
            return or_(comparison, value.is_(None)) if operator in ("gt", "min") else comparison
        return _CONDITIONS[form](document, value, bound)

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

    def documents_with_terms(self, bucket: ColumnElement[str], names: Sequence[str], *, every: bool) -> Select[Any]:
        """Use the GIN index: no other one serves these conditions.

        Bitmap scans are off (`_configure`), so the planner would prefer the primary key, and read the whole bucket, or
        where the table is small read all of it, by a plan that a prepared statement keeps when the table has grown.
        Therefore the condition on the bucket has another collation than the column (both compare bytes), and a
        condition that is true for all terms seems to cost much for each row that is read.
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


_Build = Callable[[ColumnElement[Any], ColumnElement[Any], Sequence[ColumnElement[Any]]], ColumnElement[bool]]


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
    "is": lambda document, _, bound: _within(document, bound[0]),
    "equal": lambda document, value, bound: and_(_within(document, bound[0]), value == _json(bound[1])),
    "in": lambda _, value, bound: value == any_(_jsons(bound[0])),
    "in many": lambda _, value, bound: _is_one_of(value, bound[0]),
    "present": lambda _, value, __: value.is_not(None),
    "missing": lambda _, value, __: value.is_(None),
    "like": lambda _, value, bound: and_(_type(value) == _STRING, _string(value).ilike(bound[0], escape="!")),
    # Containment takes few values at little cost, and most objects lack one of them.
    "contains": lambda _, value, bound: and_(_within(value, bound[1]), _contains_all(value, bound[0])),
    "contains many": lambda _, value, bound: _contains_all(value, bound[0]),
    "contains_any": lambda _, value, bound: _contains_any(value, bound[0]),
    "contains_any many": lambda _, value, bound: _contains_any(value, bound[0]),
}
