"""Prepare statements of PostgreSQL, and limit the time that they wait for locks.

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
from typing import Any, Final

from psycopg2.errors import DuplicatePreparedStatement, InvalidSqlStatementName
from psycopg2.extensions import STATUS_READY

from backends.storage.statements import PREPARABLE, Sql
from backends.storage.waits import LIMIT, WAIT

log: Final = logging.getLogger("kinto.storage")

PREPARE: Final = "prepare_statements"
"""The execution option of an engine: whether statements are prepared."""
_LONGEST_MILLISECONDS: Final = 2**31 - 1
_USES: Final = "uses of statements"
"""Where a pooled connection remembers how often each statement was sent: once, or again and prepared."""
_MAX_STATEMENTS: Final = 30
"""How many statements a connection remembers: PostgreSQL 18 keeps 0.4 MB for a read of an object, 0.8 for a page."""


class Executor:
    """The listener to `do_execute` of the engines of one storage; *prepare* is the setting `storage_prepare`."""

    def __init__(self, *, prepare: bool) -> None:
        self.prepares = prepare

    def execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Execute a statement if there is more to do than to send it; return whether it was executed here.

        The first statement of a transaction, and each that locks clocks, sets the lock timeout in the same message:
        SET LOCAL costs no round trip and ends with the transaction, so that a pooler may pass the session on.
        """
        options = context.execution_options
        begins = cursor.connection.status == STATUS_READY and not cursor.connection.autocommit
        seconds = options.get(WAIT, options.get(LIMIT) if begins else None)
        sql: Sql | None = options.get(PREPARABLE) if self.prepares else None
        if sql is not None and statement != sql.text:
            sql = None  # a listener to `before_cursor_execute` has changed it
        before = "" if seconds is None else _set_lock_timeout(seconds)
        try:
            prepared = sql is not None and self._is_prepared(sql, cursor, context.root_connection.info, before)
            if seconds is None and not prepared:
                return False
            cursor.execute(before + (sql.execute if sql is not None and prepared else statement), parameters)
        except (DuplicatePreparedStatement, InvalidSqlStatementName):
            self.prepares = False
            log.warning("A pooler shares sessions of PostgreSQL, so statements are not prepared: set storage_prepare.")
            raise
        return True

    def _is_prepared(self, sql: Sql, cursor: Any, info: dict[str, Any], before: str) -> bool:
        """Return whether a statement is prepared on the connection of *info*; prepare it at its second use.

        PREPARE waits for locks of tables too, so it has the lock timeout *before* it. It is a separate message: if the
        statement failed in the same message, PREPARE would be done and not be remembered.
        """
        uses: dict[str, int] = info.setdefault(_USES, {})
        count = uses.get(sql.name, 0)
        if count == 2:
            return True
        if count == 0 and len(uses) >= _MAX_STATEMENTS:
            cursor.execute(f"{before}DEALLOCATE ALL")
            uses.clear()
        if count == 1:
            cursor.execute(before + sql.prepare)
        uses[sql.name] = count + 1
        return count == 1


def _set_lock_timeout(seconds: float) -> str:
    # 0 would mean no timeout.
    return f"SET LOCAL lock_timeout = {min(max(round(seconds * 1000), 1), _LONGEST_MILLISECONDS)}; "
