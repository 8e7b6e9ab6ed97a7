"""Store objects in PostgreSQL (15 or newer): its engines and connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sqlalchemy import Engine, ExceptionContext, event

from backends import Pool
from backends.deadlines import DeadlineCursor
from backends.engines import pool_options, postgresql_url, renew_after_fork
from backends.storage.postgresql_dialect import PostgresqlDialect
from backends.storage.prepared import PREPARE, PostgresqlSession, Preparing, is_read_only
from backends.storage.sql import SqlStorage
from backends.storage.waits import LIMIT

_NETWORK: Final[Mapping[str, int]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""The limits after which libpq gives up a server that does not answer, in seconds; the last one in milliseconds."""


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the engine for reads and of the engine for writes.

    Both are in autocommit: a session begins its transaction itself (`backends.storage.prepared`). Each gets half of the
    size of *pool*. A dead connection is detected by the statement that fails on it, which is tried again on a new one:
    a check before each use (`pool_pre_ping`) would cost a round trip per request.
    """
    reads, writes = (replace(pool, size=size, pre_ping=False) for size in ((pool.size + 1) // 2, pool.size // 2 or 1))
    database_url = postgresql_url(url)
    options: dict[str, Any] = {
        "url": database_url,
        "hide_parameters": True,
        # Documents are bound as the JSON text that they are; SQLAlchemy would encode it again.
        "json_serializer": str,
        "connect_args": {
            **{name: value for name, value in _NETWORK.items() if name not in database_url.query},
            "cursor_factory": DeadlineCursor,
        },
        "isolation_level": "AUTOCOMMIT",
        "execution_options": {LIMIT: pool.lock_timeout_seconds, PREPARE: pool.prepare},
    }
    return {**options, **pool_options(reads)}, {**options, **pool_options(writes)}


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines; it connects at the first request."""
    preparing = Preparing(enabled=writing.get_execution_options().get(PREPARE, True))
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        event.listen(engine, "handle_error", _leave_former_primary)
        renew_after_fork(engine)
    return SqlStorage(reading, writing, PostgresqlDialect(), partial(PostgresqlSession, preparing=preparing))


def _leave_former_primary(context: ExceptionContext) -> None:
    """Close a connection that has turned out to be read-only, as `PostgresqlSession.translate` does."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def _configure(connection: Any, _: Any) -> None:
    """Switch off sequential and bitmap scans and JIT, which the planner chooses wrongly; each statement has an index.

    Prepared statements are planned once (`backends.storage.prepared`).

    With statistics that are older than the rows (after a purge, an import) it reads whole tables, or sorts all rows of
    a range whose first rows an index gives in order. On big tables JIT compilation takes a hundred times as long as the
    statement. Nothing relies on these settings: a pooler may pass the session to another client.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; "
            "SET plan_cache_mode = force_generic_plan"
        )
    connection.commit()
