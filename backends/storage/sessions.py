"""A session: a connection that one read or one writing transaction has borrowed from the pool.

Theory of operation. A session sends the text of kept statements (`backends.storage.statements`) by the cursor of the
driver; SQLAlchemy's own execution costs as much again as the rest of a small read, and its `Connection` as much again
as the pool, so it is made for statements of SQLAlchemy and for listeners only. The connection is in autocommit, and a
transaction says BEGIN, COMMIT and ROLLBACK itself. So a database server gets several statements in one message:
`later` adds a statement to those that wait, `rows` sends them all with its own, `commit` sends them with the COMMIT.

    begin(); later(lock); rows(read)      BEGIN; SET LOCAL ...; SELECT ... FOR NO KEY UPDATE; WITH ... SELECT ...
    later(move); later(put); commit()     INSERT INTO clocks ...; INSERT INTO documents ...; COMMIT

Errors of a statement that waits are raised by the call that sends it. An embedded database has no round trips: there
`later` executes at once. Listeners to `before_cursor_execute`, `after_cursor_execute` and `commit` of SQLAlchemy's
engine are called for each statement, and `echo` logs it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection

from backends import BackendError
from backends.deadlines import has_passed
from backends.storage.compiled import Parameters, Sql
from backends.storage.errors import Disconnected, Unlocked

Row = tuple[Any, ...]

NO_ROWS: Final[Sequence[Row]] = ()
_MANY: Final = False
"""The last argument of listeners: whether it is an `executemany`."""


class Notice(NamedTuple):
    """A statement as the listeners to it left it; `context` is theirs, for attributes that they set."""

    text: str
    arguments: Sequence[Any]
    context: Any


class Session(ABC):
    """A session on one connection.

    `starting` are the lists that this transaction starts, `compared` those whose clock it moves if that is still as it
    was read (see `Unlocked`). `has_executed` is whether it has executed a statement of a plugin.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialect: Dialect = engine.dialect
        self.starting: set[str] = set()
        self.compared: set[str] = set()
        self.has_executed = False
        self._events = engine.dispatch
        self._logger = engine.logger
        self._error_class: Any = engine.dialect.loaded_dbapi.Error
        self._driver = self._borrow()
        self._cursor: Any = self._driver.cursor()
        self._core: Connection | None = None

    def _borrow(self) -> PoolProxiedConnection:
        """Return a connection of the pool. Raises BackendError; Disconnected, if another try may help."""
        if has_passed():
            raise BackendError("The request has taken too long")
        try:
            return self._engine.raw_connection()
        except self._error_class as error:
            is_dead = self.dialect.is_disconnect(error, None, None)
            raise (Disconnected if is_dead else self.classify(error))(describe(error), error) from error

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction."""

    @abstractmethod
    def later(self, sql: Sql, values: Parameters) -> None:
        """Send a statement with the next `rows` or `commit`; it returns no rows."""

    @abstractmethod
    def rows(self, sql: Sql, values: Parameters) -> Sequence[Row]:
        """Send a statement after those that wait, and return its rows."""

    @abstractmethod
    def send_waiting(self) -> None:
        """Send the statements that wait."""

    @abstractmethod
    def commit(self) -> None:
        """Commit, after the statements that wait. Raises Uncertain when the connection dies meanwhile."""

    @abstractmethod
    def rollback(self) -> None:
        """Roll back what was sent, and forget the statements that wait."""

    @abstractmethod
    def limit_lock_waits(self, seconds: float) -> None:
        """Limit the time that the statements after those that wait may wait for a lock."""

    @abstractmethod
    def expect_lock_wait(self, wait: AbstractContextManager[float]) -> None:
        """Have the next message sent in a block of *wait*, which yields the limit of its waits for locks in seconds."""

    def end(self) -> None:
        """Roll back what was not committed, or close the connection where that is not possible."""
        try:
            self.rollback()
        except (BackendError, self._error_class):
            if self._driver.is_valid:
                self._driver.invalidate()

    def close(self) -> None:
        """Return the connection to the pool."""
        (self._core or self._driver).close()

    @property
    def connection(self) -> Connection:
        """Return the connection for statements of SQLAlchemy, after the statements that wait."""
        self.send_waiting()
        return self._core_connection

    @property
    def _core_connection(self) -> Connection:
        """Return the connection of SQLAlchemy on that of the driver."""
        if self._core is None:
            self._core = Connection(self._engine, self._driver)
        return self._core

    @property
    def may_be_refused(self) -> bool:
        """Return whether a clock without a timestamp means that another transaction has moved it."""
        return bool(self.starting or self.compared)

    @property
    def is_observed(self) -> bool:
        """Return whether there are listeners to statements, or statements are logged."""
        events = self._events
        has_listeners = events.before_cursor_execute or events.after_cursor_execute
        return bool(has_listeners) or self._logger.isEnabledFor(logging.INFO)

    def notify_before(self, text: str, arguments: Any) -> Notice:
        """Call the listeners to a statement, which may change it, and log it."""
        context = None
        if self._events.before_cursor_execute:
            context = SimpleNamespace(dialect=self.dialect)
            for listen in self._events.before_cursor_execute:
                text, arguments = listen(self._core_connection, self._cursor, text, arguments, context, _MANY)
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info(text)
        return Notice(text, arguments, context)

    def notify_after(self, notice: Notice) -> None:
        """Call the listeners to a statement that was executed."""
        for listen in self._events.after_cursor_execute:
            listen(self._core_connection, self._cursor, notice.text, notice.arguments, notice.context, _MANY)

    def notify_commit(self) -> None:
        """Call the listeners to a COMMIT that is about to be sent."""
        for listen in self._events.commit:
            listen(self._core_connection)

    def execute(self, text: str, arguments: Any = ()) -> Sequence[Row]:
        """Execute SQL and return its rows. Raises the errors of `translate`."""
        try:
            self._cursor.execute(text, arguments)
            return self._cursor.fetchall() if self._cursor.description else NO_ROWS
        except self._error_class as error:
            raise self.translate(error) from error

    def translate(self, error: Any) -> BackendError:
        """Return the error of this package for one of the driver, without values of the statement.

        A dead connection is closed, and with it those in the pool that are as old: the server was probably restarted.
        """
        message = describe(error)
        if self.dialect.is_disconnect(error, self._driver, self._cursor):
            # As SQLAlchemy's Connection does for such an error.
            self._engine.pool._invalidate(self._driver, error)  # noqa: SLF001
            return Disconnected(message, error)
        kind = self.classify(error)
        if kind is Unlocked:
            return Unlocked(self.starting, self.compared)
        return kind(message, error)

    @abstractmethod
    def classify(self, error: Any) -> type[BackendError]:
        """Return Busy, Conflict or IntegrityError for an error of the driver, else BackendError.

        Return Unlocked where the database refuses a clock without a timestamp: another transaction has started a list
        that this one starts, or moved a clock that this one has compared (`backends.storage.write_statements`).
        """


def describe(error: Exception) -> str:
    """Return the name and the first line of an error of the driver; other lines quote the statement."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
