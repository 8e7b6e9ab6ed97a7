"""Keep objects in PostgreSQL (15 or newer)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from psycopg2.extensions import STATUS_READY
from sqlalchemy import Engine, event

from backends import Pool
from backends.engines import pool_options, postgresql_url, renew_after_fork
from backends.storage.postgresql_dialect import PostgresqlDialect
from backends.storage.sql import SqlStorage
from backends.storage.waits import LIMIT, WAIT

_NETWORK: Final[Mapping[str, int]] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""When libpq gives up a server that is no longer there, in seconds, the last one in milliseconds."""

_LONGEST_MILLISECONDS: Final = 2**31 - 1


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what makes the engine for reads, in autocommit, and the one for writes: they share the pool's size.

    A connection that died is noticed by the statement that fails on it, which is tried again on a new one: asking
    before each use (`pool_pre_ping`) would cost a round trip a request.
    """
    reads, writes = (replace(pool, size=size, pre_ping=False) for size in ((pool.size + 1) // 2, pool.size // 2 or 1))
    place = postgresql_url(url)
    shared: dict[str, Any] = {
        "url": place,
        "hide_parameters": True,
        # Documents are bound as the text that they are; SQLAlchemy would encode it once more.
        "json_serializer": str,
        "connect_args": {name: value for name, value in _NETWORK.items() if name not in place.query},
        "execution_options": {LIMIT: pool.lock_timeout_seconds},
    }
    # Who waited for a lock must see what was written meanwhile, whatever the server's default is. The driver says it in
    # its BEGIN, so that it costs no message and needs nothing of the session.
    return (
        {**shared, **pool_options(reads), "isolation_level": "AUTOCOMMIT"},
        {**shared, **pool_options(writes), "isolation_level": "READ COMMITTED"},
    )


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines; it connects at the first request."""
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        renew_after_fork(engine)
    event.listen(writing, "do_execute", _execute)
    return SqlStorage(reading, writing, PostgresqlDialect())


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute a statement; tell SQLAlchemy whether that was done here.

    The first statement of a transaction, and each that locks clocks, says in the same message how long it may wait for
    a lock: SET LOCAL costs no round trip and ends with the transaction, so that poolers may hand on the session.
    """
    begins = cursor.connection.status == STATUS_READY and not cursor.connection.autocommit
    seconds = context.execution_options.get(WAIT, context.execution_options.get(LIMIT) if begins else None)
    if seconds is None:
        return False
    # 0 would mean no limit.
    milliseconds = min(max(round(seconds * 1000), 1), _LONGEST_MILLISECONDS)
    cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}; {statement}", parameters)
    return True


def _configure(connection: Any, _: Any) -> None:
    """Switch off what the planner gets wrong for these statements; each of them has an index.

    It reads whole tables where its statistics are older than the rows: after a purge, an import. Statements compiled
    for big tables take a hundred times as long as they run. Nothing relies on it: a pooler may hand the session to
    somebody else.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET jit = off")
    connection.commit()
