"""Sessions of PostgreSQL: messages of several statements, prepared statements, a limit to the wait for locks.

Theory of operation. To parse and plan a read takes PostgreSQL several times as long as to execute it. A statement that
is sent a second time on a connection is prepared there, under a name that is derived from its text, with a generic plan
(`plan_cache_mode`); from then on only its name and values are sent. Its plan is right for all values, since statements
look up each value by itself (`backends.storage.dialect.Dialect.look_up`).

    PREPARE kinto_6f1c... (TEXT, TEXT[], BIGINT) AS SELECT ... WHERE documents.bucket = $1 ...
    EXECUTE kinto_6f1c... ('/buckets/b', ARRAY['/buckets/b/collections/c/records/r'], 26)

A prepared statement belongs to the session and outlives a rollback, so it is remembered with the pooled connection. A
pooler that passes sessions on between transactions loses it, or meets one of another client; the error fails the
transaction, which is tried again, and from then on nothing is prepared in this process (setting `storage_prepare`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple

from psycopg2 import IntegrityError as ViolatedConstraint
from psycopg2 import errorcodes
from sqlalchemy import Engine

from backends import BackendError, Busy, IntegrityError
from backends.storage.compiled import Content, Parameters, Sql
from backends.storage.errors import Conflict, Disconnected, Uncertain, Unlocked
from backends.storage.sessions import Notice, Row, Session, describe
from backends.storage.waits import LIMIT

log: Final = logging.getLogger("kinto.storage")

PREPARE: Final = "prepare_statements"
"""The execution option of an engine: whether statements are prepared."""
_LONGEST_MILLISECONDS: Final = 2**31 - 1
_USES: Final = "uses of statements"
"""Where a pooled connection remembers the statements that it was sent, and whether each is prepared."""
_MAX_STATEMENTS: Final = 30
"""How many statements a connection remembers: PostgreSQL 18 keeps 0.4 MB for a read of an object, 0.8 for a page."""
_LOST: Final = (errorcodes.INVALID_SQL_STATEMENT_NAME, errorcodes.DUPLICATE_PREPARED_STATEMENT)
_CONFLICTS: Final = (errorcodes.DEADLOCK_DETECTED, errorcodes.SERIALIZATION_FAILURE, *_LOST)


class Preparing:
    """Whether the statements of one storage are prepared: the setting, until a pooler is met."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled


class _Waiting(NamedTuple):
    """A statement that waits to be sent, and as the listeners to it left it, if there are any."""

    sql: Sql
    values: Parameters
    notice: Notice | None

    @property
    def is_unchanged(self) -> bool:
        """Return whether no listener has changed the text, so that it may be sent by the name of a prepared one."""
        return self.notice is None or self.notice.text == self.sql.text

    @property
    def content(self) -> Content:
        """Return the text and its arguments."""
        return self.notice[:2] if self.notice else self.sql.content(self.values)


class PostgresqlSession(Session):
    """A session of PostgreSQL."""

    def __init__(self, engine: Engine, preparing: Preparing) -> None:
        super().__init__(engine)
        self._preparing = preparing
        self._opening = ""
        self._is_open = False
        self._waiting: list[_Waiting] = []
        self._lock_timeout: float = engine.get_execution_options()[LIMIT]
        self._lock_wait: AbstractContextManager[float] | None = None

    def begin(self) -> None:
        """Begin with the first message. The level is that of the lock order, whatever the server's default is."""
        self._opening = f"BEGIN ISOLATION LEVEL READ COMMITTED; {set_lock_timeout(self._lock_timeout)}"

    def limit_lock_waits(self, seconds: float) -> None:
        """Set the timeout in the next message.

        SET LOCAL ends with the transaction, so that a pooler may pass the session on.
        """
        if seconds != self._lock_timeout:
            if self._waiting:
                self._send()
            self._set_lock_timeout(seconds)

    def _set_lock_timeout(self, seconds: float) -> None:
        """Set the timeout at the start of the next message, if it is another one."""
        if seconds != self._lock_timeout:
            self._opening += set_lock_timeout(seconds)
            self._lock_timeout = seconds

    def expect_lock_wait(self, wait: AbstractContextManager[float]) -> None:
        """Send the next message in a block of *wait*."""
        self._lock_wait = wait

    def later(self, sql: Sql, values: Parameters) -> None:
        """Keep a statement for the next message."""
        notice = self.notify_before(sql.text, sql.bind(values)) if self.is_observed else None
        self._waiting.append(_Waiting(sql, values, notice))

    def rows(self, sql: Sql, values: Parameters) -> Sequence[Row]:
        """Send one message; the driver returns the rows of its last statement."""
        self.later(sql, values)
        return self._send()

    def send_waiting(self) -> None:
        """Send one message, if there is anything to send."""
        if self._waiting or self._opening:
            self._send()

    def commit(self) -> None:
        """Commit in the message of the statements that wait."""
        self.notify_commit()
        if not (self._is_open or self._waiting):
            return
        try:
            self._send("COMMIT")
        except Disconnected as error:
            raise Uncertain(str(error), error.original) from error
        self._is_open = False

    def rollback(self) -> None:
        """Roll back if anything was sent."""
        self._waiting.clear()
        self._opening = ""
        if self._is_open and self._driver.is_valid:
            self.execute("ROLLBACK")
        self._is_open = False

    def _send(self, ending: str = "") -> Sequence[Row]:
        """Send the statements that wait, then *ending*, as one message; return the rows of the last statement."""
        waiting, self._waiting = self._waiting, []
        prepared = self._prepare(waiting) if self._preparing.enabled else {}
        texts: list[str] = []
        arguments: list[Any] = []
        for statement in waiting:
            is_prepared = prepared.get(statement.sql.name) and statement.is_unchanged
            text, bound = statement.sql.execute(statement.values) if is_prepared else statement.content
            texts.append(text)
            arguments += bound
        with self._take_lock_wait() as seconds:
            self._set_lock_timeout(seconds)
            rows = self._execute_first("; ".join([*texts, ending] if ending else texts), arguments)
        for statement in waiting:
            if statement.notice is not None:
                self.notify_after(statement.notice)
        return rows

    def _take_lock_wait(self) -> AbstractContextManager[float]:
        """Return the block in which the next message is sent; it yields the lock timeout in seconds."""
        wait, self._lock_wait = self._lock_wait, None
        return wait or nullcontext(self._lock_timeout)

    def _execute_first(self, text: str, arguments: Sequence[Any] = ()) -> Sequence[Row]:
        """Execute the text, after the BEGIN if that was not sent yet."""
        opening, self._opening = self._opening, ""
        self._is_open = self._is_open or bool(opening)
        return self.execute(opening + text, arguments)

    def _prepare(self, statements: Iterable[_Waiting]) -> Mapping[str, bool]:
        """Prepare the statements that are sent again on this connection; return by name which are prepared.

        PREPARE waits for locks of tables too, so it follows the lock timeout. It is a separate message: if a statement
        failed in the same message, PREPARE would be done and not be remembered.
        """
        uses: dict[str, bool] = self._driver.info.setdefault(_USES, {})
        repeating = [each.sql for each in statements if each.sql.repeats and each.is_unchanged]
        new = {sql.name for sql in repeating} - uses.keys()
        if len(uses) + len(new) > _MAX_STATEMENTS:
            self._execute_first("DEALLOCATE ALL")
            uses.clear()
            new = {sql.name for sql in repeating}
        for sql in repeating:
            if sql.name in new:
                uses[sql.name] = False
            elif not uses[sql.name]:
                self._execute_first(sql.prepare)
                uses[sql.name] = True
        return uses

    def translate(self, error: Any) -> BackendError:
        """Return the error of this package; close a read-only session, and only that one."""
        if is_read_only(error):
            self._driver.invalidate(error)
            return Disconnected(describe(error), error)
        return super().translate(error)

    def classify(self, error: Any) -> type[BackendError]:
        """Classify an error by its SQLSTATE; stop preparing where a prepared statement is lost, or not ours."""
        code = error.pgcode
        if code in _LOST and self._preparing.enabled:
            self._preparing.enabled = False
            log.warning("A pooler shares sessions of PostgreSQL, so statements are not prepared: set storage_prepare.")
        if code == errorcodes.NOT_NULL_VIOLATION and self.may_be_refused:
            return Unlocked
        if isinstance(error, ViolatedConstraint):
            return IntegrityError
        if code == errorcodes.LOCK_NOT_AVAILABLE:
            return Busy
        return Conflict if code in _CONFLICTS else BackendError


def is_read_only(error: Any) -> bool:
    """Return whether an error says that the session is read-only: after a failover another one may not be."""
    return getattr(error, "pgcode", None) == errorcodes.READ_ONLY_SQL_TRANSACTION


def set_lock_timeout(seconds: float) -> str:
    """Return the statement that limits the waits of this transaction, and a separator."""
    # 0 would mean no timeout.
    return f"SET LOCAL lock_timeout = {min(max(round(seconds * 1000), 1), _LONGEST_MILLISECONDS)}; "
