"""Keep objects in a SQLite file: the embedded database, which makes and upgrades its tables by itself.

SQLite's own JSON functions cannot address a name with a quote in it, take the first of two equal names, cut integers
beyond 64 bits and have no order of values. Functions in Python, registered with every connection, replace them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    FromClause,
    Join,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    event,
    func,
    literal,
    literal_column,
    make_url,
    select,
    tuple_,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from backends import BackendError, Busy, Json, Pool
from backends.codec import dumps, loads
from backends.engines import renew_after_fork
from backends.storage import MISSING, Missing
from backends.storage.sql import SqlStorage
from backends.storage.turn import Turn
from backends.storage.values import contains, encoded, likes, ordered, value_at
from backends.storage.waits import LIMIT


def temporary_url() -> str:
    """Return the URL of a database in a new temporary folder, which is removed when this process exits."""
    folder = tempfile.mkdtemp(prefix="kinto-")
    atexit.register(_remove, folder, os.getpid())
    return f"sqlite:///{folder}/kinto.sqlite"


def _remove(folder: str, owner: int) -> None:
    """Remove a folder if *owner* is this process: forked workers inherit this call, and share the folder."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what makes the engine for reads, in autocommit, and the one for writes.

    Raises ValueError for what SQLite calls a URI: what it names in memory would be a file in the current folder.
    """
    place = make_url(url)
    if "uri" in place.query or "mode" in place.query or (place.database or "").startswith("file:"):
        raise ValueError("sqlite:/// is followed by the path of a file, not by a URI of SQLite")
    file = Path(place.database or "").resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "url": place.set(database=str(file)),
        "hide_parameters": True,
        "connect_args": {"timeout": pool.lock_timeout_seconds, "check_same_thread": False},
        "execution_options": {LIMIT: pool.lock_timeout_seconds},
        "pool_size": pool.size,
        "max_overflow": pool.max_overflow,
        "pool_timeout": pool.timeout_seconds,
        "echo": pool.echo,
    }
    return shared, dict(shared)


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines of one file, and make its tables when they are not there."""
    for engine in (reading, writing):
        event.listen(engine, "connect", _prepare)
        renew_after_fork(engine)
    event.listen(writing, "begin", _begin)
    file = writing.url.database or ""
    turn = Turn(f"{file}.lock")
    storage = SqlStorage(reading, writing, _DIALECT, turn, embedded=True)
    with turn(storage.waits.limit_seconds):
        _prepare_file(file, storage.waits.limit_seconds)
    storage.migrate(False, lambda line: None)
    return storage


def _prepare_file(file: str, seconds: float) -> None:
    """Switch the file to a write-ahead log, where it stays, and drop what ANALYZE left. Call this in turn.

    Readers and a writer work side by side then; SQLite does not wait for others here. With statistics it reads whole
    tables in order to make Bloom filters; the statements are written for an index each.
    """
    with _driver_errors(), closing(sqlite3.connect(file, timeout=seconds)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in ("sqlite_stat1", "sqlite_stat4"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    """Leave transactions to us, each statement commits by itself; a commit waits until it is on the disk.

    With NORMAL in place of FULL a power cut would lose the latest writes, after they were answered.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")
    register(connection)


def _begin(connection: Any) -> None:
    """Take the write lock at once: a reader that becomes a writer later would fail instead of waiting."""
    with _driver_errors():
        connection.connection.driver_connection.execute("BEGIN IMMEDIATE")


@contextmanager
def _driver_errors() -> Iterator[None]:
    """Turn what the driver raises where SQLAlchemy does not see it into `BackendError`."""
    try:
        yield
    except sqlite3.Error as error:
        failure = Busy if _DIALECT.is_busy(error) else BackendError
        raise failure(f"{type(error).__name__}: {error}", error) from error


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


_DIALECT: Final = SqliteDialect()
