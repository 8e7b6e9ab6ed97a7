"""Store objects in PostgreSQL (15 or newer): its engines, and its SQL, in which documents are JSONB.

An expression index serves filters by equality if it is written as in the statements: `(data #> '{name}'::text[])`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from psycopg2.errorcodes import LOCK_NOT_AVAILABLE
from psycopg2.extensions import STATUS_READY
from sqlalchemy import (
    ARRAY,
    Column,
    Engine,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    collate,
    event,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, Insert, insert
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ColumnElement

from backends import Json, Pool
from backends.codec import dumps
from backends.engines import pool_options, postgresql_url, renew_after_fork
from backends.storage import MISSING, Missing
from backends.storage.sql import SqlStorage
from backends.storage.waits import LIMIT, WAIT

_NETWORK: Final[Mapping[str, int]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""The limits after which libpq gives up a server that does not answer, in seconds; the last one in milliseconds."""

_LONGEST_MILLISECONDS: Final = 2**31 - 1


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the engine for reads, in autocommit, and of the engine for writes.

    Each gets half of the size of *pool*. A dead connection is detected by the statement that fails on it, which is
    tried again on a new one: a check before each use (`pool_pre_ping`) would cost a round trip per request.
    """
    reads, writes = (replace(pool, size=size, pre_ping=False) for size in ((pool.size + 1) // 2, pool.size // 2 or 1))
    database_url = postgresql_url(url)
    shared: dict[str, Any] = {
        "url": database_url,
        "hide_parameters": True,
        # Documents are bound as the JSON text that they are; SQLAlchemy would encode it again.
        "json_serializer": str,
        "connect_args": {name: value for name, value in _NETWORK.items() if name not in database_url.query},
        "execution_options": {LIMIT: pool.lock_timeout_seconds},
    }
    # A statement that has waited for a lock must see the rows that were written meanwhile, whatever the default level
    # of the server is. The driver sends the level in its BEGIN: this costs no message and no state of the session.
    return (
        {**shared, **pool_options(reads), "isolation_level": "AUTOCOMMIT"},
        {**shared, **pool_options(writes), "isolation_level": "READ COMMITTED"},
    )


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines; it connects at the first request."""
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        renew_after_fork(engine)
    event.listen(writing, "do_execute", _execute_with_lock_timeout)
    return SqlStorage(reading, writing, PostgresqlDialect())


def _execute_with_lock_timeout(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute a statement with a lock timeout where it needs one; return whether it was executed here.

    The first statement of a transaction, and each that locks clocks, sets the timeout in the same message: SET LOCAL
    costs no round trip and ends with the transaction, so that a pooler may pass the session to another client.
    """
    begins = cursor.connection.status == STATUS_READY and not cursor.connection.autocommit
    seconds = context.execution_options.get(WAIT, context.execution_options.get(LIMIT) if begins else None)
    if seconds is None:
        return False
    # 0 would mean no timeout.
    milliseconds = min(max(round(seconds * 1000), 1), _LONGEST_MILLISECONDS)
    cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}; {statement}", parameters)
    return True


def _configure(connection: Any, _: Any) -> None:
    """Switch off sequential scans and JIT, which the planner chooses wrongly; each statement has an index.

    With statistics that are older than the rows (after a purge, an import) it reads whole tables. On big tables JIT
    compilation takes a hundred times as long as the statement. Nothing relies on these settings: a pooler may pass the
    session to another client.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET jit = off")
    connection.commit()


_TYPES: Final = ("null", "string", "number", "boolean", "array", "object")
_RANKS: Final[ColumnElement[Any]] = literal_column("ARRAY['" + "','".join(_TYPES) + "']")
_RANK_OF_MISSING: Final = len(_TYPES) + 1
_NULL: Final = literal_column("'null'::jsonb", JSONB)
_NO_VARIABLES: Final = literal_column("'{}'::jsonb", JSONB)
_NOTHING: Final = literal_column("''", Text)
_STRING: Final = literal_column("'string'", Text)
_ITSELF: Final = literal_column("'{}'", Text)
# Names that `#>` would take for the index of an array element. A strict JSON path takes them for names only.
_INDEX: Final = re.compile(r"\s*[-+]?\d+\s*")
_ESCAPED: Final = str.maketrans({"!": "!!", "%": "!%", "_": "!_", "*": "%"})
_RANK_OF_TYPE: Final = {type(None): 1, str: 2, int: 3, float: 3, bool: 4, list: 5, dict: 6, Missing: _RANK_OF_MISSING}


def _bound(value: Json) -> ColumnElement[Any]:
    # Bound as text: a value bound as JSONB would be encoded again.
    return cast(literal(dumps(value), Text), JSONB)


def _bound_array(values: Sequence[Json]) -> ColumnElement[Any]:
    return cast(literal([dumps(value) for value in values], ARRAY(Text)), ARRAY(JSONB))


def _at(document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    """Return the field as JSONB, NULL where it is missing (C-LIST-21)."""
    if any(map(_INDEX.fullmatch, path)):
        members = "".join(f".{dumps(name)}" for name in path)
        strictly = cast(literal(f"strict ${members}", Text), JSONPATH)
        return func.jsonb_path_query_first(document, strictly, _NO_VARIABLES, true(), type_=JSONB)
    return _get(document, path)


def _get(document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[Any]:
    return document.op("#>", return_type=JSONB())(literal(list(path), ARRAY(Text)))


def _type(value: ColumnElement[Any]) -> ColumnElement[str]:
    return func.jsonb_typeof(value, type_=Text)


def _string(value: ColumnElement[Any]) -> ColumnElement[str]:
    return value.op("#>>", return_type=Text())(_ITSELF)


class PostgresqlDialect:
    """The SQL of PostgreSQL."""

    def sort_key(self, document: ColumnElement[Any], path: Sequence[str]) -> tuple[ColumnElement[Any], ...]:
        """Return the rank of the type, text, JSONB.

        JSONB alone orders types differently, and its strings by the database's collation.
        """
        value = _at(document, path)
        kind = _type(value)
        rank = func.coalesce(func.array_position(_RANKS, kind), literal_column(str(_RANK_OF_MISSING)), type_=Integer)
        text = case((kind == _STRING, _string(value)), else_=_NOTHING)
        other = case((kind != _STRING, value), else_=_NULL)
        return rank, collate(text, "C"), other

    def sort_key_of(self, value: Json | Missing) -> tuple[ColumnElement[Any], ...]:
        """Return the rank, text and JSONB of one value."""
        text = value if isinstance(value, str) else ""
        other = None if isinstance(value, str) or value is MISSING else value
        return literal(_RANK_OF_TYPE[type(value)], Integer), literal(text, Text), _bound(other)

    def equals(self, document: ColumnElement[Any], path: Sequence[str], value: Json) -> ColumnElement[bool]:
        """Compare JSONB, in which values of different types differ."""
        return _at(document, path) == _bound(value)

    def one_of(self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json]) -> ColumnElement[bool]:
        """Compare JSONB with the elements of one bound array."""
        return _at(document, path) == any_(_bound_array(values))

    def is_present(self, document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
        """Check for SQL's NULL, which JSON's null is not."""
        return _at(document, path).is_not(None)

    def like(self, document: ColumnElement[Any], path: Sequence[str], pattern: str) -> ColumnElement[bool]:
        """Use ILIKE with its own wildcards escaped; the database's locale decides which letters have two cases."""
        value = _at(document, path)
        return and_(
            _type(value) == _STRING, _string(value).ilike(literal(pattern.translate(_ESCAPED), Text), escape="!")
        )

    def contains(
        self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json], *, every: bool
    ) -> ColumnElement[bool]:
        """Compare the elements as an array of JSONB: JSONB's own `@>` also matches parts of inner values."""
        value = _at(document, path)
        is_array = _type(value) == literal_column("'array'", Text)
        array = case((is_array, value), else_=literal_column("'[]'::jsonb", JSONB))
        element = func.jsonb_array_elements(array, type_=JSONB).column_valued("element")
        elements = func.array(select(element).scalar_subquery(), type_=ARRAY(JSONB))
        return and_(is_array, elements.op("@>" if every else "&&", is_comparison=True)(_bound_array(values)))

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Cast in the database: the driver would parse JSONB."""
        public = document.op("-", return_type=JSONB())(literal(list(without), ARRAY(Text))) if without else document
        return cast(public, Text)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of a member that is a JSON string."""
        value = _get(document, (name,))
        return case((_type(value) == _STRING, _string(value)))

    def with_number(self, document: ColumnElement[Any], name: str, number: ColumnElement[Any]) -> ColumnElement[Any]:
        """Merge an object with the number into the document."""
        return document.op("||", return_type=JSONB())(func.jsonb_build_object(literal(name, Text), number, type_=JSONB))

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

    def json(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """Return the text as JSONB."""
        return func.to_jsonb(text, type_=JSONB)

    def row_in(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Compare the columns one by one: the DELETE gets a USING clause."""
        return and_(*(column == key for column, key in zip(columns, keys.c, strict=True)))

    def without_index(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the column: the planner chooses the index that is selective."""
        return column

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater value."""
        return func.greatest(one, other)

    def is_busy(self, error: BaseException | None) -> bool:
        """Check for SQLSTATE 55P03, `lock_not_available`."""
        return getattr(error, "pgcode", None) == LOCK_NOT_AVAILABLE

    def insert(self, table: Table) -> Insert:
        """Return an INSERT that can have an ON CONFLICT clause."""
        return insert(table)
