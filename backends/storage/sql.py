"""The storage on SQL: two engines of one database, one for reads in autocommit, one for writing transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, delete, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import IntegrityError as DriverIntegrityError

from backends import BackendError, Busy, IntegrityError, Pool
from backends.storage import AccessSelection, Conflict, Disconnected, Selection, Snapshot, Uncertain, bucket_of
from backends.storage.accessible import AccessiblePages
from backends.storage.dialect import Dialect
from backends.storage.migrations import migrate
from backends.storage.purge import Purge
from backends.storage.reads import Reads
from backends.storage.repair import Repairs
from backends.storage.tables import clocks, documents, grants, members
from backends.storage.waits import LIMIT, Waits
from backends.storage.write_statements import Writes
from backends.storage.writes import Writer

_DEADLOCK, _SERIALIZATION = "40P01", "40001"

_BUCKETS: Final = "/buckets"
_ALIVE = select(clocks.c.list).where(clocks.c.bucket == bindparam("of_bucket"), clocks.c.list == bindparam("of_list"))
"""A row that every service has, in one bucket: a cluster asks one machine."""
_WRITABLE = _ALIVE.with_for_update(read=True, key_share=True)
"""The weakest lock of that row waits for no writer and leaves no dead row, but takes the right to UPDATE the table, and
a read-only database refuses it. SQLite has no such lock: there BEGIN IMMEDIATE is what a read-only file refuses."""

_EVERYTHING: Final = "/"
"""What writers of a database without a queue of its own wait for; no list has this name."""


@contextmanager
def _driver_errors(dialect: Dialect) -> Iterator[None]:
    """Turn what the driver raises into `BackendError`, `IntegrityError` or, where another try helps, `Conflict`."""
    try:
        yield
    except DriverIntegrityError as error:
        raise IntegrityError(_named(error), error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Disconnected(_named(error), error) from error
        if dialect.is_busy(error.orig):
            raise Busy(_named(error), error) from error
        again = getattr(error.orig, "pgcode", None) in (_DEADLOCK, _SERIALIZATION)
        raise (Conflict if again else BackendError)(_named(error), error) from error
    except SQLAlchemyError as error:
        raise BackendError(_named(error), error) from error


@contextmanager
def _done_or_not() -> Iterator[None]:
    """Raise Uncertain when the connection dies during COMMIT. Do not retry: the write might be applied twice."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Uncertain(_named(error), error) from error
        raise


def _named(error: SQLAlchemyError) -> str:
    """Name what failed without the statement and its values."""
    return f"{type(error).__name__}: {error.orig if isinstance(error, DBAPIError) else type(error).__doc__}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqlStorage:
    """See `backends.storage.Storage` for what its methods promise.

    *reading* is an engine in autocommit: a read is one round trip. *turn* gives the context in which a writing
    transaction waits for its turn, for some seconds at most, where the database has no queue of its own.
    """

    def __init__(
        self,
        reading: Engine,
        writing: Engine,
        dialect: Dialect,
        turn: Callable[[float], AbstractContextManager[Any]] = nullcontext,
        embedded: bool = False,
    ) -> None:
        self.embedded = embedded
        self.reading = reading
        self.writing = writing
        self._dialect = dialect
        self._reads = Reads(dialect)
        self._accessible = AccessiblePages(dialect)
        self._writes = Writes(dialect)
        self._repairs = Repairs(dialect)
        self._purge = Purge(dialect, self._reading, self.transaction)
        self._next_turn = turn
        self.waits = Waits(writing.get_execution_options().get(LIMIT, Pool().lock_timeout_seconds))
        self._open: ContextVar[Connection | None] = ContextVar("open", default=None)

    def read(self, wanted: Selection) -> Snapshot:
        """Read what is wanted of one bucket; once more on a fresh connection when the one at hand was dead."""
        try:
            return self._read(wanted)
        except Conflict:
            return self._read(wanted)

    def _read(self, wanted: Selection) -> Snapshot:
        with self._reading() as connection:
            return self._reads.run(connection, wanted)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Give the connection of the transaction that this thread has open, else one of those for reads."""
        with _driver_errors(self._dialect):
            connection = self._open.get()
            if connection is not None:
                yield connection
                return
            with self.reading.connect() as connection:
                yield connection

    def _expect_no_transaction(self) -> None:
        """Raise RuntimeError in a transaction of this thread: whatever waits for another would wait for itself."""
        if self._open.get() is not None:
            raise RuntimeError("A writing transaction is open already in this request; use perform().")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the turn to write. Raises RuntimeError in a transaction of this thread."""
        self._expect_no_transaction()
        with ExitStack() as held:
            with self.waits.begin((_EVERYTHING,)) as seconds:
                held.enter_context(self._next_turn(seconds))
            yield

    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        """Open a writing transaction."""
        with _driver_errors(self._dialect), self._turn(), self.writing.connect() as connection:
            before = self._open.set(connection)
            try:
                yield Writer(connection, self._dialect, self._reads, self._writes, self.waits)
            finally:
                self._open.reset(before)
            with _done_or_not():
                connection.commit()

    def accessible(self, wanted: AccessSelection) -> Snapshot:
        """Read what somebody holds anywhere; once more on a fresh connection when the one at hand was dead."""
        try:
            return self._read_accessible(wanted)
        except Conflict:
            return self._read_accessible(wanted)

    def _read_accessible(self, wanted: AccessSelection) -> Snapshot:
        with self._reading() as connection:
            return self._accessible.run(connection, wanted)

    def migrate(self, dry_run: bool, report: Callable[[str], None]) -> None:
        """Create or upgrade the tables."""
        with _driver_errors(self._dialect):
            migrate(self.writing, dry_run, report, lambda: self._next_turn(self.waits.limit_seconds))

    def start(self, lists: Sequence[str]) -> None:
        """Make the clocks of the lists at the top that have none yet; look first, so that a reader's rights do."""
        with _driver_errors(self._dialect), self.reading.connect() as connection:
            in_buckets = clocks.c.bucket.in_([bucket_of(name) for name in lists])
            found = connection.execute(select(clocks.c.list).where(in_buckets, clocks.c.list.in_(lists)))
            known = set(found.scalars())
        new = [name for name in lists if name not in known]
        if new:
            with self.transaction() as writer:
                writer.start(new, _now_ms())

    def purge(self, lists: Sequence[str], keep: int | None, before: int | None = None) -> int:
        """Remove what has ended, in transactions of 1,000 rows."""
        self._expect_no_transaction()
        return self._purge.run(lists, keep, before)

    def check(self, now: int, latest: int, repair: bool, report: Callable[[str], None]) -> int:
        """Report lists that are wrong, and with *repair* mend them one after the other."""
        wrong = 0
        with _driver_errors(self._dialect), self.reading.connect() as connection:
            for state in self._repairs.states(connection, latest):
                faults = state.faults(latest)
                if faults:
                    wrong += 1
                    report(f"{state.name}: {', '.join(faults)}.")
                    if repair:
                        self._mend(state.name, now, latest, report)
        return wrong

    def _mend(self, name: str, now: int, latest: int, report: Callable[[str], None]) -> None:
        with self.transaction() as writer:
            writer.lock((name,))
            done = self._repairs.mend(writer._connection, name, now, latest)
        if done:
            report(f"{name}: mended: {done}.")

    def flush(self, lists: Sequence[str] = ()) -> None:
        """Remove everything but the tables; the clocks of *lists* are made in the same transaction."""
        with self.transaction() as writer:
            for table in (documents, grants, members, clocks):
                writer.connection.execute(delete(table))
            writer.start(lists, _now_ms())

    def ping(self, write: bool) -> None:
        """Ask the database for an answer; with *write*, also whether it takes writes."""
        row = {"of_bucket": bucket_of(_BUCKETS), "of_list": _BUCKETS}
        with _driver_errors(self._dialect), self.reading.connect() as connection:
            connection.execute(_ALIVE, row).first()
        if not write:
            return
        with _driver_errors(self._dialect), self._turn(), self.writing.connect() as connection:
            connection.execute(_WRITABLE, row).first()
            connection.rollback()

    def close(self) -> None:
        """Give back the connections."""
        self.reading.dispose()
        self.writing.dispose()
