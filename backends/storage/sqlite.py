"""Store objects in a SQLite file: the embedded database, which creates and upgrades its tables by itself."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url

from backends import BackendError, Busy, IntegrityError, Pool, deadlines
from backends.engines import renew_after_fork
from backends.storage import Unlocked
from backends.storage.compiled import Parameters, Sql
from backends.storage.sessions import Row, Session
from backends.storage.sql import SqlStorage
from backends.storage.sqlite_dialect import BEGIN, SqliteDialect, is_busy, translate_driver_errors
from backends.storage.sqlite_functions import register
from backends.storage.turn import Turn
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
    storage = SqlStorage(reading, writing, SqliteDialect(), SqliteSession, turn)
    with turn(storage.waits.limit_seconds):
        _prepare_file(file, storage.waits.limit_seconds)
    storage.migrate(lambda _: None, dry_run=False)
    return storage


@contextmanager
def open_unchanged(url: str) -> Iterator[Engine]:
    """Yield an engine that reads the file at *url*, or an empty database if there is none, and cannot write."""
    file = make_url(url).database or ""
    engine = create_engine(f"sqlite:///{Path(file).resolve()}" if Path(file).is_file() else "sqlite://")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
    try:
        yield engine
    finally:
        engine.dispose()


def _prepare_file(file: str, seconds: float) -> None:
    """Switch the file to a write-ahead log, for good, and drop the statistics of ANALYZE. Call this holding the turn.

    With the log, readers and a writer work at the same time; SQLite does not wait for other connections while it
    switches. With statistics SQLite reads whole tables to build Bloom filters; each statement is written for an index.
    """
    with translate_driver_errors(), closing(sqlite3.connect(file, timeout=seconds)) as connection:
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
        if not self.is_observed:
            return self.execute(sql.text, sql.bind(values))
        sent = self.notify_before(sql.text, sql.bind(values))
        rows = self.execute(sent.text, sent.arguments)
        self.notify_after(sent)
        return rows

    def send_waiting(self) -> None:
        """Send the BEGIN."""
        if self._must_begin:
            self._must_begin = False
            self.execute(BEGIN)

    def limit_lock_waits(self, seconds: float) -> None:
        """Do nothing: the transaction has the only lock."""

    def expect_lock_wait(self, wait: AbstractContextManager[float]) -> None:
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
        if error.sqlite_errorname == "SQLITE_CONSTRAINT_NOTNULL" and self.may_be_refused:
            return Unlocked
        if isinstance(error, sqlite3.IntegrityError):
            return IntegrityError
        return Busy if is_busy(error) else BackendError
