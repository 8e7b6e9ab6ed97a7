"""Store objects in a SQLite file: the embedded database, which creates and upgrades its tables by itself.

SQLite's own JSON functions cannot address a name that contains a quote, take the first of two equal names, truncate
integers beyond 64 bits and define no order of values. Where that matters Python functions replace them
(`backends/storage/sqlite_functions.py`).
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    FromClause,
    Integer,
    Join,
    LargeBinary,
    Select,
    Table,
    TableClause,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    event,
    exists,
    func,
    literal,
    literal_column,
    make_url,
    select,
    table,
    true,
    tuple_,
    type_coerce,
    union,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ColumnElement

from backends import BackendError, Busy, IntegrityError, Json, Pool, deadlines
from backends.codec import dumps, loads
from backends.engines import renew_after_fork
from backends.storage import MISSING, Missing, Unlocked
from backends.storage.compiled import Parameters, Sql
from backends.storage.dialect import Typed
from backends.storage.sessions import Row, Session
from backends.storage.sql import SqlStorage
from backends.storage.sqlite_functions import LIMIT_OF_INTEGERS, MODES, register
from backends.storage.tables import CONTENTS, documents
from backends.storage.transfer.rows import is_array, is_json
from backends.storage.turn import Turn
from backends.storage.values import order_key
from backends.storage.waits import LIMIT

_STEPS_BETWEEN_CHECKS: Final = 100_000
"""How many steps of its virtual machine SQLite does between two looks at the clock: some milliseconds."""


def temporary_url() -> str:
    """Return the URL of a database in a new temporary folder, which is removed when this process exits."""
    folder = tempfile.mkdtemp(prefix="kinto-")
    atexit.register(_remove_folder, folder, os.getpid())
    return f"sqlite:///{folder}/kinto.sqlite"


def _remove_folder(folder: str, owner: int) -> None:
    """Remove a folder if *owner* is this process: forked workers inherit this call and share the folder."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the engine for reads, in autocommit, and of the engine for writes.

    Raises ValueError for a URI in the sense of SQLite: a database that it names in memory would become a file in the
    current folder.
    """
    database_url = make_url(url)
    if {"uri", "mode"} & database_url.query.keys() or (database_url.database or "").startswith("file:"):
        raise ValueError("sqlite:/// is followed by the path of a file, not by a URI of SQLite")
    file = Path(database_url.database or "").resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "url": database_url.set(database=str(file)),
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
    """Open the storage on two engines of one file, and create its tables if they do not exist."""
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        renew_after_fork(engine)
    file = writing.url.database or ""
    turn = Turn(f"{file}.lock")
    storage = SqlStorage(reading, writing, _DIALECT, SqliteSession, turn)
    with turn(storage.waits.limit_seconds):
        _prepare_file(file, storage.waits.limit_seconds)
    storage.migrate(lambda _: None, dry_run=False)
    return storage


def _prepare_file(file: str, seconds: float) -> None:
    """Switch the file to a write-ahead log, for good, and drop the statistics of ANALYZE. Call this holding the turn.

    With the log, readers and a writer work at the same time; SQLite does not wait for other connections while it
    switches. With statistics SQLite reads whole tables to build Bloom filters; each statement is written for an index.
    """
    with _translate_driver_errors(), closing(sqlite3.connect(file, timeout=seconds)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in ("sqlite_stat1", "sqlite_stat4"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    """Configure a new connection: no implicit transactions; a commit returns when the data is on the disk.

    A statement ends at the deadline of its thread, with SQLITE_INTERRUPT.
    With `synchronous = NORMAL` a power failure could lose the latest writes after the client got their responses.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous = FULL")
    connection.set_progress_handler(deadlines.has_passed, _STEPS_BETWEEN_CHECKS)
    register(connection)


def _begin(connection: Any) -> None:
    """Take the write lock."""
    with _translate_driver_errors():
        connection.connection.driver_connection.execute(_BEGIN)


@contextmanager
def _translate_driver_errors() -> Iterator[None]:
    """Raise `BackendError` in place of errors of the driver that SQLAlchemy does not handle."""
    try:
        yield
    except sqlite3.Error as error:
        failure = Busy if _DIALECT.is_busy(error) else BackendError
        raise failure(f"{type(error).__name__}: {error}", error) from error


_BEGIN: Final = "BEGIN IMMEDIATE"
"""Takes the write lock at once: a transaction that reads first and writes later would fail instead of waiting."""


class SqliteSession(Session):
    """A session of SQLite, which executes each statement at once."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._must_begin = False

    def begin(self) -> None:
        """Begin with the first statement, which waits for the write lock."""
        self._must_begin = True

    def later(self, sql: Sql, values: Parameters) -> None:
        """Execute the statement."""
        self.rows(sql, values)

    def rows(self, sql: Sql, values: Parameters) -> Sequence[Row]:
        """Execute the statement and return its rows."""
        self.send_waiting()
        sent = self.notify_before(sql.text, sql.bind(values))
        rows = self.execute(sent.text, sent.arguments)
        self.notify_after(sent)
        return rows

    def send_waiting(self) -> None:
        """Send the BEGIN."""
        if self._must_begin:
            self._must_begin = False
            self.execute(_BEGIN)

    def limit_lock_waits(self, seconds: float) -> None:
        """Do nothing: the transaction has the only lock."""

    def commit(self) -> None:
        """Commit, unless the transaction was rolled back."""
        self.notify_commit()
        if self._cursor.connection.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back if a transaction has begun."""
        self._must_begin = False
        if self._cursor.connection.in_transaction:
            self.execute("ROLLBACK")

    def classify(self, error: Any) -> type[BackendError]:
        """Classify an error by its name."""
        if error.sqlite_errorname == "SQLITE_CONSTRAINT_NOTNULL" and self.starting:
            return Unlocked
        if isinstance(error, sqlite3.IntegrityError):
            return IntegrityError
        return Busy if _DIALECT.is_busy(error) else BackendError


def _encode_documents(row: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    """Return a row whose values at *places*, which are documents, are as our encoder writes them."""
    values = list(row)
    for place in places:
        values[place] = dumps(loads(row[place]))
    return values


_MAX_NAMES: Final = 3
"""Fields below more names are found by Python, since SQLite calls itself for each name."""

_PLAIN_NAME: Final = re.compile(r'[^"\\\x00-\x1f]+')
"""A name that has no escape in a document."""

_PLAIN_TEXT: Final = re.compile(r"[ !#-)+-\[\]-~]+")
"""A part of a pattern that has neither an escape in a document nor a letter whose cases LIKE does not know."""

_WILDCARDS: Final = str.maketrans(dict.fromkeys("ik%_", "_"))
_MAX_PART: Final = 100
_TEXT: Final = Text()
_BLOB: Final = LargeBinary()
_OPERATORS: Final = {
    "eq": operators.eq,
    "ne": operators.ne,
    "gt": operators.gt,
    "min": operators.ge,
    "lt": operators.lt,
    "max": operators.le,
}


def _literal_key(value: Json | Missing) -> ColumnElement[Any]:
    """Return the order key of a value as a part of a statement."""
    return literal_column(f"x'{order_key(value).hex()}'", LargeBinary)


_TEXT_BEGINS, _ENDS = (literal_column(f"x'{each.hex()}'", Text) for each in (order_key("")[:-1], order_key("")[-1:]))
_NUMBER_BEGINS: Final = literal_column(f"x'{order_key(1)[:4].hex()}'", Text)
_CONSTANT_KEYS: Final = {
    name: _literal_key(value) for name, value in (("null", None), ("false", False), ("true", True))
}


def _blob(first: ColumnElement[Any], *others: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the bytes of texts, one after the other."""
    for each in others:
        first = first.op("||", return_type=Text())(each)
    return cast(first, LargeBinary)


def _part_of(pattern: str) -> str:
    """Return a pattern of LIKE for the documents that may have a text which matches a pattern of `matches_pattern`.

    LIKE knows the two cases of ASCII letters. Two other characters have small letters with an `i` or a `k` in them.
    """
    parts = _PLAIN_TEXT.findall(pattern.lower())
    longest: str = max(parts, key=len, default="")
    return f"%{longest[:_MAX_PART].translate(_WILDCARDS)}%"


_TERMS: Final = table("terms", column("bucket", Text), column("term", BigInteger), column("uri", Text))
"""The terms of all documents, which triggers keep (`migrations/versions/0001_tables.py`)."""

_MANY: Final[ColumnElement[int]] = literal_column("1000")
"""The number of documents with a term from which on it counts as frequent."""


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


class SqliteDialect:
    """The SQL of SQLite."""

    terms_table: TableClause | None = _TERMS

    def transactional(self, engine: Engine, lock_timeout_seconds: float) -> Engine:  # noqa: ARG002  # the driver's own
        """Return an engine whose transactions begin with the write lock."""
        migrating = engine.execution_options()
        event.listen(migrating, "begin", _begin)
        return migrating

    def encode_path(self, path: Sequence[str]) -> tuple[str, ...]:
        """Return the names as one JSON array, and where SQLite itself finds the field, its path."""
        names = dumps(list(path))
        if len(path) <= _MAX_NAMES and all(map(_PLAIN_NAME.fullmatch, path)):
            return names, "".join(("$", *(f'."{name}"' for name in path)))
        return (names,)

    def sort_key(
        self, document: ColumnElement[Any], path: Sequence[ColumnElement[str]]
    ) -> tuple[ColumnElement[Any], ...]:
        """Return one BLOB, which compares as the values do.

        SQLite composes the bytes of `values.order_key` itself for most values. It would end a text at a zero character,
        and a 1 has two bytes in a key; both are escaped in the document.
        """
        names, *place = path
        in_python = func.document_key(document, names, type_=LargeBinary)
        if not place:
            return (in_python,)
        value = func.json_extract(document, *place)
        is_difficult = func.instr(document, literal_column(r"'\u000'")) > literal_column("0")
        text = case((is_difficult, in_python), else_=_blob(_TEXT_BEGINS, value, _ENDS))
        digits = func.char(func.length(value)), func.rtrim(value, literal_column("'0'"))
        is_positive = value.between(literal_column("1"), literal_column(str(LIMIT_OF_INTEGERS - 1)))
        integer = case((is_positive, _blob(_NUMBER_BEGINS, *digits, _ENDS)), else_=in_python)
        kinds = {"text": text, "integer": integer, "real": in_python, "array": in_python, "object": in_python}
        whens: list[tuple[ColumnElement[Any], ColumnElement[Any]]] = [
            (literal_column(f"'{kind}'"), key) for kind, key in (kinds | _CONSTANT_KEYS).items()
        ]
        return (case(*whens, value=func.json_type(document, *place), else_=_literal_key(MISSING)),)

    def bound_sort_key(self, name: str) -> Sequence[ColumnElement[Any]]:
        """Return the bound BLOB."""
        return (bindparam(f"{name}_0", type_=LargeBinary),)

    def encode_sort_key(self, value: Json | Missing) -> tuple[Any, ...]:
        """Return the BLOB of one value."""
        return (order_key(value),)

    def encode(
        self,
        operator: str,
        path: Sequence[str],  # noqa: ARG002  # the interface; the field is bound by itself
        value: Json,
    ) -> tuple[str, Sequence[Typed]]:
        """Return the form of a condition with the BLOB, or the JSON, that it binds.

        A document that has a string has its JSON too, which SQLite finds faster than it compares values: one encoder
        writes all documents. The text of `like` is found in them too (`_part_of`).
        """
        if operator == "eq" and isinstance(value, str):
            return "is", ((_BLOB, order_key(value)), (_TEXT, dumps(value)))
        if operator in _OPERATORS:
            return operator, ((_BLOB, order_key(value)),)
        if operator == "has":
            return ("ne" if value else "eq"), ((_BLOB, order_key(MISSING)),)
        if operator == "like":
            return "like", ((_TEXT, str(value)), (_TEXT, _part_of(str(value))))
        if operator == "in":
            return "in", ((_TEXT, dumps([order_key(each).hex() for each in value])),)
        return operator, ((_TEXT, dumps(list(value))),)

    def condition(
        self,
        form: str,
        document: ColumnElement[Any],
        path: Sequence[ColumnElement[str]],
        bound: Sequence[ColumnElement[Any]],
    ) -> ColumnElement[bool]:
        """Return the condition: a comparison of BLOBs, or a call of a function in Python."""
        [key] = self.sort_key(document, path)
        if form == "is":
            return and_(func.instr(document, bound[1]) > literal_column("0"), key == bound[0])
        if form in _OPERATORS:
            compared: ColumnElement[bool] = _OPERATORS[form](key, bound[0])
            return compared
        if form == "in":
            each = func.json_each(bound[0]).table_valued("value")
            return key.in_(select(func.from_hex(each.c.value, type_=LargeBinary)))
        if form == "like":
            return and_(document.like(bound[1]), func.document_like(document, path[0], bound[0], type_=Boolean))
        mode: ColumnElement[int] = literal_column(str(MODES.index(form)))
        return func.document_contains(document, path[0], bound[0], mode, type_=Boolean)

    def like(self, text: ColumnElement[str], pattern: ColumnElement[str]) -> ColumnElement[bool]:
        """Call Python: LIKE ignores the case of ASCII letters only."""
        return func.text_like(text, pattern, type_=Boolean)

    def encode_pattern(self, pattern: str) -> str:
        """Return the pattern."""
        return pattern

    def text(self, document: ColumnElement[Any], without: Sequence[str] = ()) -> ColumnElement[str]:
        """Return the text as it is stored; `json_remove` keeps the other members unchanged, long integers too."""
        if not without:
            return document
        return func.json_remove(document, *(literal(f'$."{name}"', Text) for name in without), type_=Text)

    def size(self, text: ColumnElement[str]) -> ColumnElement[int]:
        """Return the bytes; SQLite has a function for them from 3.43 on."""
        return func.length(cast(text, LargeBinary), type_=Integer)

    def member(self, document: ColumnElement[Any], name: str) -> ColumnElement[str]:
        """Return the text of a member that is a JSON string."""
        path = literal(f'$."{name}"', Text)
        kind = func.json_type(document, path, type_=Text)
        return case((kind == literal("text", Text), func.json_extract(document, path, type_=Text)))

    def number(self, document: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        """Return the member where its type is that of integers."""
        path = literal(f'$."{name}"', Text)
        kind = func.json_type(document, path, type_=Text)
        return case((kind == literal("integer", Text), func.json_extract(document, path, type_=BigInteger)))

    def is_true(self, document: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Compare the type of the member."""
        kind = func.json_type(document, literal(f'$."{name}"', Text), type_=Text)
        return kind.is_not_distinct_from(literal("true", Text))

    def elements(self, document: ColumnElement[Any], name: str) -> FromClause:
        """Call `json_each` with an array of the strings of the array, if it is one."""
        strings = func.document_strings(document, literal(name, Text))
        return func.json_each(strings).table_valued(column("value", Text))

    def with_member(self, document: ColumnElement[Any], name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Set the member; `json_set` keeps the others unchanged, long integers too."""
        return func.json_set(document, literal(f'$."{name}"', Text), value, type_=Text)

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

    def encode_words(self, words: Sequence[str]) -> Any:
        """Return a JSON array."""
        return dumps(list(words))

    def has_words(
        self, document: ColumnElement[Any], paths: Sequence[Sequence[ColumnElement[str]]]
    ) -> ColumnElement[bool]:
        """Call Python."""
        fields = (names for names, *_ in paths)
        return func.document_has_words(document, bindparam("words", type_=Text), *fields, type_=Boolean)

    def documents_with_terms(self, bucket: ColumnElement[str], names: Sequence[str], *, every: bool) -> Select[Any]:
        """Look up the URIs in the table of terms, then the documents by them."""
        find = _uris_with_every_term if every else _uris_with_any_term
        parts = [find(bucket, bindparam(name, type_=Text)) for name in names]
        uris = (parts[0] if len(parts) == 1 else union(*parts)).subquery("found")
        rows = select(*CONTENTS).where(documents.c.bucket == bucket)
        return self.look_up(rows, uris, documents.c.uri == uris.c.uri)

    def encode_terms(self, terms: Sequence[int]) -> str | None:
        """Return a JSON array, which triggers split into rows of the table `terms`."""
        return dumps(list(terms)) if terms else None

    def is_busy(self, error: BaseException | None) -> bool:
        """Check for SQLITE_BUSY in the low byte, since an extended code has more bits."""
        return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY

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
        with _translate_driver_errors():
            connection.connection.driver_connection.executemany(  # type: ignore[union-attr]  # the driver's
                f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})',
                (_encode_documents(row, places) for row in rows),
            )

    def update_statistics(self, connection: Connection, tables: Iterable[Table]) -> None:
        """Do nothing: statistics mislead SQLite (`_prepare_file`)."""


_DIALECT: Final = SqliteDialect()
