"""The storage on SQL: two engines of one database, one for reads, one for writing transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Executable, Table, UpdateBase, bindparam, delete, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import IntegrityError as DriverIntegrityError

from backends import BackendError, Busy, IntegrityError, Pool
from backends.storage import (
    NO_VALUES,
    AccessSelection,
    CheckScope,
    Conflict,
    Counts,
    Disconnected,
    Index,
    IndexDefinition,
    Row,
    Selection,
    Snapshot,
    Unlocked,
    Values,
    bucket_of,
)
from backends.storage.accessible import AccessiblePages
from backends.storage.automatic_indexes import AutomaticIndexes
from backends.storage.checks.checking import run_checks
from backends.storage.checks.run import CheckRun
from backends.storage.counting import count_by_lists
from backends.storage.derived import ContendedLists, DerivedLists
from backends.storage.dialect import Dialect
from backends.storage.index_builder import IndexBuilder
from backends.storage.migrations import CORE, SchemaError, load_with_alembic, migrate, schema_of
from backends.storage.plugin_tables import PluginTables
from backends.storage.purge import Purge
from backends.storage.reads import Reads
from backends.storage.sessions import Session
from backends.storage.tables import clocks, documents, grants, indexes, members
from backends.storage.takeover.mark import expect_taken_over
from backends.storage.takeover_options import Takeover
from backends.storage.transfer import mark
from backends.storage.waits import LIMIT, Waits
from backends.storage.write_statements import WriteStatements
from backends.storage.writes import Writer

_RETRIED: Final = ("40P01", "40001", "26000", "42P05")
"""Deadlock, serialization failure, and a prepared statement that is lost or not ours (`backends.storage.prepared`)."""

_TAKEOVER: Final = "backends.storage.takeover.run"

_Result = TypeVar("_Result")

_BUCKETS: Final = "/buckets"
_SELECT_CLOCK = select(clocks.c.list).where(
    clocks.c.bucket == bindparam("of_bucket"), clocks.c.list == bindparam("of_list")
)
"""Selects a row that every service has, in one bucket, so that a cluster asks one machine."""
_LOCK_CLOCK = _SELECT_CLOCK.with_for_update(read=True, key_share=True)
"""Takes the weakest lock of that row: it waits for no writer and leaves no dead row, but needs the privilege to UPDATE
the table and fails on a read-only database. On SQLite, BEGIN IMMEDIATE fails on a read-only file."""

_WHOLE_DATABASE: Final = "/"
"""The name under which writers of an embedded database wait for their turn; no list has this name."""


@contextmanager
def _translate_driver_errors(dialect: Dialect) -> Iterator[None]:
    """Raise `BackendError`, `IntegrityError` or, where another try helps, `Conflict` for an error of SQLAlchemy."""
    try:
        yield
    except DriverIntegrityError as error:
        raise IntegrityError(_describe(error), error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Disconnected(_describe(error), error) from error
        if dialect.is_busy(error.orig):
            raise Busy(_describe(error), error) from error
        retry = getattr(error.orig, "pgcode", None) in _RETRIED
        raise (Conflict if retry else BackendError)(_describe(error), error) from error
    except SQLAlchemyError as error:
        raise BackendError(_describe(error), error) from error


def _describe(error: SQLAlchemyError) -> str:
    """Return the message of an error without the statement and its values."""
    return f"{type(error).__name__}: {error.orig if isinstance(error, DBAPIError) else type(error).__doc__}"


def _tables_of(plugins: Iterable[PluginTables]) -> list[Table]:
    """Return the tables of plugins."""
    return [table for plugin in plugins for table in plugin.tables]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqlStorage:
    """See `backends.storage.Storage` for what its methods promise.

    Both engines are in autocommit: a read is one round trip, a transaction is that of a session. For an embedded
    database, which does not queue its writers, *turn* returns a context manager that waits for the turn to write, up to
    a number of seconds, and holds it.
    """

    def __init__(
        self,
        reading: Engine,
        writing: Engine,
        dialect: Dialect,
        make_session: Callable[[Engine], Session],
        turn: Callable[[float], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.embedded = turn is not None
        self.reading = reading
        self.writing = writing
        self._dialect = dialect
        self._make_session = make_session
        self._reads = Reads(dialect)
        self._accessible = AccessiblePages(dialect)
        self._write_statements = WriteStatements(dialect)
        self._index_builder = IndexBuilder(self._read_session, self.transaction)
        self._purge = Purge(dialect, self._read_session, self.transaction)
        self._turn = turn or nullcontext
        self.waits = Waits(writing.get_execution_options().get(LIMIT, Pool().lock_timeout_seconds))
        self._contended = ContendedLists()
        self._open_session: ContextVar[Session | None] = ContextVar("open_session", default=None)

    def read(self, selection: Selection) -> Snapshot:
        """Read from one bucket."""
        return self._read(lambda session: self._reads.run(session, selection))

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement on the tables of a plugin."""
        statements = self._write_statements.of_plugins
        if isinstance(statement, UpdateBase) and self._open_session.get() is None:
            with self.transaction() as writer:
                return writer.execute(statement, values)
        return self._read(lambda session: statements.execute(session, statement, values))

    def _read(self, read: Callable[[Session], _Result]) -> _Result:
        """Read; try once more on a fresh connection if the first was dead, unless a transaction was lost with it."""
        try:
            with self._read_session() as session:
                return read(session)
        except Conflict:
            if self._open_session.get() is not None:
                raise
            with self._read_session() as session:
                return read(session)

    @contextmanager
    def _read_session(self) -> Iterator[Session]:
        """Yield the session of this thread's open transaction, else one for reads."""
        with _translate_driver_errors(self._dialect):
            session = self._open_session.get()
            if session is not None:
                yield session
                return
            with closing(self._make_session(self.reading)) as session:
                yield session

    def _expect_no_transaction(self) -> None:
        """Raise RuntimeError in a transaction of this thread: a second one would wait for the first for ever."""
        if self._open_session.get() is not None:
            raise RuntimeError(
                "A writing transaction is open in this request: views write by perform(), listeners by their context."
            )

    @contextmanager
    def _wait_for_turn(self) -> Iterator[None]:
        """Wait for the turn to write, and hold it. Raises RuntimeError in a transaction of this thread."""
        self._expect_no_transaction()
        with ExitStack() as stack:
            with self.waits.register((_WHOLE_DATABASE,)) as seconds:
                stack.enter_context(self._turn(seconds))
            yield

    @contextmanager
    def _write_session(self) -> Iterator[Session]:
        """Yield a session in a transaction, which is rolled back unless the block commits it."""
        with (
            _translate_driver_errors(self._dialect),
            self._wait_for_turn(),
            closing(self._make_session(self.writing)) as session,
        ):
            session.begin()
            try:
                yield session
            finally:
                session.end()

    @contextmanager
    def transaction(self, derived: Collection[tuple[str, str]] = ()) -> Iterator[Writer]:
        """Open a writing transaction."""
        lists = DerivedLists(derived, self._contended)
        with self._write_session() as session:
            token = self._open_session.set(session)
            try:
                try:
                    yield Writer(session, self._reads, self._write_statements, self.waits, lists)
                finally:
                    self._open_session.reset(token)
                session.commit()
            except Unlocked as error:
                self._contended.add(error.contended)
                raise

    def read_accessible(self, selection: AccessSelection) -> Snapshot:
        """Read a page of `GET /permissions`."""
        return self._read(lambda session: self._accessible.run(session, selection))

    def migrate(
        self,
        report: Callable[[str], None],
        plugins: Sequence[PluginTables] = (),
        *,
        dry_run: bool,
        takeover: Takeover | None = None,
    ) -> None:
        """Create or upgrade the tables, on new connections: the pool may have dead ones."""
        self.writing.dispose()
        with _translate_driver_errors(self._dialect):
            seconds = self.waits.limit_seconds
            engine = self._dialect.transactional(self.writing, seconds)
            if takeover and not self.embedded:
                take_over = load_with_alembic(_TAKEOVER).take_over
                if take_over(engine, report, takeover, plugins, dry_run=dry_run) and dry_run:
                    return
            for schema in (CORE, *map(schema_of, plugins)):
                migrate(engine, report, lambda: self._turn(seconds), dry_run=dry_run, schema=schema)

    def start_clocks(self, lists: Sequence[str]) -> None:
        """Create the clocks of the lists at the top that have none yet.

        They are looked up first: where all exist, the privilege to read is enough.
        """
        with _translate_driver_errors(self._dialect), self.reading.connect() as connection:
            in_buckets = clocks.c.bucket.in_([bucket_of(name) for name in lists])
            rows = connection.execute(select(clocks.c.list).where(in_buckets, clocks.c.list.in_(lists)))
            existing = set(rows.scalars())
        missing = [name for name in lists if name not in existing]
        if missing:
            with self.transaction() as writer:
                writer.start_clocks(missing, _now_ms())

    def purge(
        self, lists: Sequence[str], keep: int | None, before: int | None = None, plugins: Sequence[PluginTables] = ()
    ) -> int:
        """Remove ended rows, in transactions of 1,000 rows."""
        self._expect_no_transaction()
        removed = self._purge.run(lists, keep, before)
        for statement in (statement for plugin in plugins for statement in plugin.purge):
            self.execute(statement)
        return removed

    def build_indexes(self, report: Callable[[str], None], pause_seconds: float = 0, *, retry: bool = False) -> None:
        """Build all unfinished indexes, in transactions of 100 objects."""
        self._expect_no_transaction()
        self._index_builder.run(report, pause_seconds, retry=retry)

    def change_automatic_indexes(
        self,
        missing: Iterable[tuple[str, IndexDefinition]],
        in_use: Iterable[Index],
        now: int,
        derived: Collection[tuple[str, str]] = (),
    ) -> None:
        """Create, touch and drop automatic indexes."""
        self._expect_no_transaction()
        automatic_indexes = AutomaticIndexes(self._read_session, partial(self.transaction, derived))
        for name, definition in missing:
            automatic_indexes.create(name, definition)
        for index in in_use:
            automatic_indexes.touch(index)
        automatic_indexes.drop_unused(now)

    def check(
        self,
        scope: CheckScope,
        report: Callable[[str], None],
        advance: Callable[[int], None],
        *,
        repair: bool,
    ) -> int:
        """Check all rows, and with *repair* repair those that are wrong."""
        self._expect_no_transaction()
        transaction = partial(self.transaction, scope.derived)
        run = CheckRun(self._read_session, transaction, report, advance, repair=repair)
        if run_checks(run, self._dialect, scope):
            self._index_builder.run(report, 0, retry=False)
        return run.findings

    def count(self, depth: int) -> Counts:
        """Count all objects and tombstones, by one scan of the table."""
        with _translate_driver_errors(self._dialect), self.reading.connect() as connection:
            rows = connection.execute(count_by_lists(self._dialect, depth)).all()
        counts: dict[tuple[str, ...], tuple[int, int]] = {}
        for *segments, deleted, number in rows:
            names = tuple(filter(None, segments))
            objects, tombstones = counts.get(names, (0, 0))
            counts[names] = (objects, tombstones + number) if deleted else (objects + number, tombstones)
        return counts

    def flush(self, lists: Sequence[str] = (), plugins: Sequence[PluginTables] = ()) -> None:
        """Delete all rows; the clocks of *lists* are created in the same transaction."""
        with self.transaction() as writer:
            # The clocks first: that locks all lists, so that no other transaction writes behind the deletion.
            for table in (clocks, documents, indexes, grants, members, *_tables_of(plugins)):
                writer.connection.execute(delete(table))
            writer.start_clocks(lists, _now_ms())
        self._contended.clear()

    @property
    def dialect(self) -> Dialect:
        """Return the dialect of the database."""
        return self._dialect

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection whose reads all see the same moment, while others write."""
        with _translate_driver_errors(self._dialect), self._dialect.snapshot(self.reading) as connection:
            yield connection

    def expect_complete(self) -> None:
        """Raise SchemaError if the database is the target of a copy that did not end, or lacks data of Kinto."""
        with _translate_driver_errors(self._dialect), self.reading.connect() as connection:
            if mark.is_marked(connection):
                raise SchemaError(mark.REFUSAL)
            if not self.embedded:
                expect_taken_over(connection)

    def ping(self, plugins: Sequence[PluginTables] = (), *, write: bool) -> None:
        """Check that the database answers, has the tables of *plugins*, and accepts writes with *write*."""
        probes = (~probe.exists() for plugin in plugins for probe in plugin.probes())
        row = {"of_bucket": bucket_of(_BUCKETS), "of_list": _BUCKETS}
        with _translate_driver_errors(self._dialect), self.reading.connect() as connection:
            connection.execute(_SELECT_CLOCK.where(*probes), row).first()
        if not write:
            return
        with self._write_session() as session:
            session.connection.execute(_LOCK_CLOCK, row).first()

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()
        self.writing.dispose()
