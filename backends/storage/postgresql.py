"""Keep objects in PostgreSQL (15 or newer): its engines, and its SQL, in which documents are JSONB.

An expression index serves equality when it is written as the statements are: `(data #> '{name}'::text[])`.
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
"""When libpq gives up a server that is no longer there, in seconds, the last one in milliseconds."""

_LONGEST_MILLISECONDS: Final = 2**31 - 1


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what makes the engine for reads, in autocommit, and the one for writes: they share the pool's size.

    A connection that died is noticed by the statement that fails on it, which is tried again on a new one: asking
    before each use (`pool_pre_ping`) would cost a round trip a request.
    """
    reads, writes = (replace(pool, size=size, pre_ping=False) for size in ((pool.size + 1) // 2, pool.size // 2 or 1))
    place = postgresql_url(url)
    shared: dict[str, Any] = {
        "url": place,
        "hide_parameters": True,
        # Documents are bound as the text that they are; SQLAlchemy would encode it once more.
        "json_serializer": str,
        "connect_args": {name: value for name, value in _NETWORK.items() if name not in place.query},
        "execution_options": {LIMIT: pool.lock_timeout_seconds},
    }
    # Who waited for a lock must see what was written meanwhile, whatever the server's default is. The driver says it in
    # its BEGIN, so that it costs no message and needs nothing of the session.
    return (
        {**shared, **pool_options(reads), "isolation_level": "AUTOCOMMIT"},
        {**shared, **pool_options(writes), "isolation_level": "READ COMMITTED"},
    )


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines; it connects at the first request."""
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        renew_after_fork(engine)
    event.listen(writing, "do_execute", _execute)
    return SqlStorage(reading, writing, PostgresqlDialect())


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute a statement; tell SQLAlchemy whether that was done here.

    The first statement of a transaction, and each that locks clocks, says in the same message how long it may wait for
    a lock: SET LOCAL costs no round trip and ends with the transaction, so that poolers may hand on the session.
    """
    begins = cursor.connection.status == STATUS_READY and not cursor.connection.autocommit
    seconds = context.execution_options.get(WAIT, context.execution_options.get(LIMIT) if begins else None)
    if seconds is None:
        return False
    # 0 would mean no limit.
    milliseconds = min(max(round(seconds * 1000), 1), _LONGEST_MILLISECONDS)
    cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}; {statement}", parameters)
    return True


def _configure(connection: Any, _: Any) -> None:
    """Switch off what the planner gets wrong for these statements; each of them has an index.

    It reads whole tables where its statistics are older than the rows: after a purge, an import. Statements compiled
    for big tables take a hundred times as long as they run. Nothing relies on it: a pooler may hand the session to
    somebody else.
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
# What `#>` would take for the place of an element of an array. A strict JSON path takes it for a name only.
_INDEX: Final = re.compile(r"\s*[-+]?\d+\s*")
_ESCAPED: Final = str.maketrans({"!": "!!", "%": "!%", "_": "!_", "*": "%"})
_RANK_OF_TYPE: Final = {type(None): 1, str: 2, int: 3, float: 3, bool: 4, list: 5, dict: 6, Missing: _RANK_OF_MISSING}


def _bound(value: Json) -> ColumnElement[Any]:
    # Bound as text: a value bound as JSONB would be encoded once more.
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

    def key(self, document: ColumnElement[Any], path: Sequence[str]) -> tuple[ColumnElement[Any], ...]:
        """Return rank of type, text, JSONB: alone, JSONB has another order, and text the database's own."""
        value = _at(document, path)
        kind = _type(value)
        rank = func.coalesce(func.array_position(_RANKS, kind), literal_column(str(_RANK_OF_MISSING)), type_=Integer)
        text = case((kind == _STRING, _string(value)), else_=_NOTHING)
        other = case((kind != _STRING, value), else_=_NULL)
        return rank, collate(text, "C"), other

    def key_of(self, value: Json | Missing) -> tuple[ColumnElement[Any], ...]:
        """Return rank, text and JSONB of a value."""
        text = value if isinstance(value, str) else ""
        other = None if isinstance(value, str) or value is MISSING else value
        return literal(_RANK_OF_TYPE[type(value)], Integer), literal(text, Text), _bound(other)

    def equals(self, document: ColumnElement[Any], path: Sequence[str], value: Json) -> ColumnElement[bool]:
        """Compare JSONB, which is strict by type."""
        return _at(document, path) == _bound(value)

    def one_of(self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json]) -> ColumnElement[bool]:
        """Compare JSONB with the elements of one bound array."""
        return _at(document, path) == any_(_bound_array(values))

    def present(self, document: ColumnElement[Any], path: Sequence[str]) -> ColumnElement[bool]:
        """Look for NULL: JSON's null is none."""
        return _at(document, path).is_not(None)

    def like(self, document: ColumnElement[Any], path: Sequence[str], pattern: str) -> ColumnElement[bool]:
        """Use ILIKE with its own wildcards escaped; which letters have two cases is up to the database's language."""
        value = _at(document, path)
        return and_(
            _type(value) == _STRING, _string(value).ilike(literal(pattern.translate(_ESCAPED), Text), escape="!")
        )

    def contains(
        self, document: ColumnElement[Any], path: Sequence[str], values: Sequence[Json], every: bool
    ) -> ColumnElement[bool]:
        """Compare elements as an array of JSONB: JSONB's own containment takes parts of inner values for the whole."""
        value = _at(document, path)
        is_array = _type(value) == literal_column("'array'", Text)
        array = case((is_array, value), else_=literal_column("'[]'::jsonb", JSONB))
        element = func.jsonb_array_elements(array, type_=JSONB).column_valued("element")
        held = func.array(select(element).scalar_subquery(), type_=ARRAY(JSONB))
        return and_(is_array, held.op("@>" if every else "&&", is_comparison=True)(_bound_array(values)))

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Have the text made by the database, or the driver would parse it."""
        shown = document.op("-", return_type=JSONB())(literal(list(without), ARRAY(Text))) if without else document
        return cast(shown, Text)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of JSONB that is a string."""
        value = _get(document, (name,))
        return case((_type(value) == _STRING, _string(value)))

    def with_number(self, document: ColumnElement[Any], name: str, number: ColumnElement[Any]) -> ColumnElement[Any]:
        """Put an object with the number over the document."""
        return document.op("||", return_type=JSONB())(func.jsonb_build_object(literal(name, Text), number, type_=JSONB))

    def rows(self, name: str, columns: Sequence[tuple[str, Any]]) -> FromClause:
        """Return the values of one bound array for each column, side by side."""
        arrays = (cast(bindparam(f"{name}_{column}", type_=ARRAY(kind)), ARRAY(kind)) for column, kind in columns)
        return func.unnest(*arrays).table_valued(*(Column(*pair) for pair in columns), name=name).render_derived()

    def bind_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return the arrays."""
        return {f"{name}_{column}": [row[place] for row in rows] for place, column in enumerate(columns)}

    def look_up(self, found: Select[Any], keys: FromClause, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Run a subquery for each row of *keys*; OFFSET 0 keeps the planner from making a join of it.

        An equality is also said as BETWEEN, of which the planner expects few rows: from statistics it would expect the
        average, and read the whole table where few values are in most rows.
        """
        few = [
            condition.left.between(condition.right, condition.right)
            for condition in conditions
            if isinstance(condition, BinaryExpression) and condition.operator is operators.eq
        ]
        each = found.where(*conditions, *few).offset(literal_column("0")).lateral()
        return select(*each.c).select_from(keys.join(each, true()))

    def look_up_first(self, found: Select[Any], keys: FromClause, order: ColumnElement[Any], limit: Any) -> Select[Any]:
        """Run a subquery for each row of *keys*."""
        each = found.order_by(order).limit(limit).lateral()
        return select(*keys.c, *each.c).select_from(keys.join(each, true()))

    def segment(self, uri: ColumnElement[str], number: int) -> ColumnElement[str]:
        """Split the text; the first part is before the first slash."""
        return func.split_part(uri, literal_column("'/'"), literal_column(str(number + 1)), type_=Text)

    def json(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """Return the text as JSONB."""
        return func.to_jsonb(text, type_=JSONB)

    def among(self, columns: Sequence[Column[Any]], keys: FromClause) -> ColumnElement[bool]:
        """Compare one by one: the DELETE gets a USING."""
        return and_(*(column == key for column, key in zip(columns, keys.c, strict=True)))

    def beside(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return the column: the planner looks up what is selective."""
        return column

    def greatest(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the greater value."""
        return func.greatest(one, other)

    def is_busy(self, error: BaseException | None) -> bool:
        """Look for SQLSTATE 55P03, `lock_not_available`."""
        return getattr(error, "pgcode", None) == LOCK_NOT_AVAILABLE

    def insert(self, table: Table) -> Insert:
        """Return an INSERT that can say what happens on conflict."""
        return insert(table)
