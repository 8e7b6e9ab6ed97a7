"""Keep objects in PostgreSQL (15 or newer)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, event

from backends import Pool
from backends.engines import pool_options, postgresql_url, renew_after_fork
from backends.storage.postgresql_dialect import PostgresqlDialect
from backends.storage.sql import SqlStorage

_CONNECT_TIMEOUT_SECONDS = 5


def engine_options(url: str, pool: Pool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what makes the engine for reads, in autocommit, and the one for writes: they share the pool's size.

    A connection that died is noticed by the statement that fails on it, which is tried again on a new one: asking
    before each use (`pool_pre_ping`) would cost a round trip a request.
    """
    reads, writes = (replace(pool, size=size, pre_ping=False) for size in ((pool.size + 1) // 2, pool.size // 2 or 1))
    place = postgresql_url(url)
    # Documents are bound as the text that they are; SQLAlchemy would encode it once more.
    shared: dict[str, Any] = {"url": place, "hide_parameters": True, "json_serializer": str}
    if "connect_timeout" not in place.query:
        shared["connect_args"] = {"connect_timeout": _CONNECT_TIMEOUT_SECONDS}
    return (
        {**shared, **pool_options(reads), "isolation_level": "AUTOCOMMIT"},
        {**shared, **pool_options(writes)},
    )


def open_storage(reading: Engine, writing: Engine) -> SqlStorage:
    """Open the storage on two engines; it connects at the first request."""
    for engine in (reading, writing):
        event.listen(engine, "connect", _configure)
        renew_after_fork(engine)
    return SqlStorage(reading, writing, PostgresqlDialect())


def _configure(connection: Any, _: Any) -> None:
    """Switch off what the planner gets wrong for these statements; each of them has an index.

    It reads whole tables where its statistics are older than the rows: after a purge, an import. Statements compiled
    for big tables take a hundred times as long as they run. Nothing relies on it: a pooler may hand the session to
    somebody else.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET jit = off")
    connection.commit()
