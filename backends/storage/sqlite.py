"""Keep objects in a SQLite file: the embedded database, which makes and upgrades its tables by itself."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, make_url

from backends import BackendError, Busy, Pool
from backends.engines import renew_after_fork
from backends.storage.sql import SqlStorage
from backends.storage.sqlite_dialect import SqliteDialect, register
from backends.storage.turn import Turn
from backends.storage.waits import LIMIT

_DIALECT = SqliteDialect()


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
