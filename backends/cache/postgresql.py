"""Store the cache in a PostgreSQL table as in Kinto, outside of the storage's transactions (operations.md 4.5).

Rows expire by the clock of the database, in UTC whatever the time zone of the session.

The statements work on a cluster too (Citus), where the key determines the node of a row: the result of a write depends
only on its row, and rows are locked only by their keys.
"""

import hashlib
import time
from typing import Any, Final

from sqlalchemy import CursorResult, Engine, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from backends import Json, Pool
from backends.breaker import Breaker
from backends.cache import Cache, CacheOptions, decode, encode, limit_ttl, server_key
from backends.deadlines import limit
from backends.engines import autocommit_engine

_MAX_KEY_CHARACTERS: Final = 256
_MAX_PREFIX_CHARACTERS: Final = 128
_SECONDS_BETWEEN_PURGES: Final = 60.0
_MAINTENANCE_SECONDS: Final = 600.0

_NOW: Final = "(now() AT TIME ZONE 'UTC')"
_ENDS: Final = f"{_NOW} + make_interval(secs => :ttl_seconds)"
_NOT_EXPIRED: Final = f"(ttl IS NULL OR ttl > {_NOW})"

_EXISTS: Final = text("SELECT to_regclass('cache') IS NOT NULL")
# Sent as one message, these are one transaction, so the lock is held until the table exists.
_CREATE: Final = """
    SELECT pg_advisory_xact_lock(hashtext('kinto cache'));
    CREATE TABLE IF NOT EXISTS cache (key VARCHAR(256) PRIMARY KEY, value TEXT NOT NULL, ttl TIMESTAMP DEFAULT NULL);
    CREATE INDEX IF NOT EXISTS idx_cache_ttl ON cache (ttl);
"""
_GET: Final = text(f"SELECT value FROM cache WHERE key = :key AND {_NOT_EXPIRED}")
_SET: Final = text(
    f"INSERT INTO cache (key, value, ttl) VALUES (:key, :value, {_ENDS})"
    " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, ttl = EXCLUDED.ttl"
)
# Expired rows are removed by the purge.
_DELETE: Final = text(f"DELETE FROM cache WHERE key = :key AND {_NOT_EXPIRED} RETURNING value")
_EXPIRE: Final = text(f"UPDATE cache SET ttl = {_ENDS} WHERE key = :key AND {_NOT_EXPIRED}")
_TTL: Final = text(f"SELECT EXTRACT(EPOCH FROM ttl - {_NOW}) FROM cache WHERE key = :key AND ttl > {_NOW}")
_FLUSH: Final = text("DELETE FROM cache WHERE starts_with(key, :prefix)")
_EXPIRED: Final = text(f"SELECT key FROM cache WHERE ttl <= {_NOW} ORDER BY ttl, key LIMIT 10000")
# A row whose TTL was extended meanwhile is kept.
_PURGE: Final = text(f"DELETE FROM cache WHERE key = ANY(:keys) AND ttl <= {_NOW}")


class PostgreSQLCache(Cache):
    """Store one row for each key. Expired rows are removed by writes, once a minute, never by reads (PG-D10)."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._engine = engine
        # The prefix must leave room for a hash in the column, or `flush` could not find its keys.
        self._prefix = prefix if len(prefix) <= _MAX_PREFIX_CHARACTERS else hashlib.sha256(prefix.encode()).hexdigest()
        self._next_purge = 0.0
        self._breaker = Breaker(SQLAlchemyError)

    def get(self, key: str) -> Json | None:
        row = self._run(_GET, key=self._full(key))
        return decode(row[0]) if row else None

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        text = encode(value)
        if ttl_seconds <= 0:
            self.delete(key)
            return
        self._run(_SET, key=self._full(key), value=text, ttl_seconds=limit_ttl(ttl_seconds))
        if time.monotonic() >= self._next_purge:
            self._next_purge = time.monotonic() + _SECONDS_BETWEEN_PURGES
            self._purge()

    def delete(self, key: str) -> Json | None:
        row = self._run(_DELETE, key=self._full(key))
        return decode(row[0]) if row else None

    def _purge(self) -> None:
        """Remove the rows that expired first. Their keys are sorted, so that all purges lock rows in the same order."""
        with limit(_MAINTENANCE_SECONDS), self._breaker.call(), self._engine.connect() as connection:
            keys = sorted(connection.execute(_EXPIRED).scalars())
            if keys:
                connection.execute(_PURGE, {"keys": keys})

    def expire(self, key: str, ttl_seconds: float) -> None:
        self._run(_EXPIRE, key=self._full(key), ttl_seconds=limit_ttl(ttl_seconds))

    def ttl(self, key: str) -> float:
        row = self._run(_TTL, key=self._full(key))
        return float(row[0]) if row else -1.0

    def flush(self) -> None:
        with limit(_MAINTENANCE_SECONDS):
            self._run(_FLUSH, prefix=self._prefix)

    def is_initialized(self) -> bool:
        row = self._run(_EXISTS)
        return bool(row and row[0])

    def initialize(self) -> None:
        if self.is_initialized():
            return
        with limit(_MAINTENANCE_SECONDS), self._breaker.call(), self._engine.connect() as connection:
            connection.exec_driver_sql(_CREATE)

    def script(self) -> str:
        return "" if self.is_initialized() else f"BEGIN;\n{_CREATE}COMMIT;\n"

    def close(self) -> None:
        self._engine.dispose()

    def _full(self, key: str) -> str:
        return self._prefix + server_key(key, _MAX_KEY_CHARACTERS - len(self._prefix))

    def _run(self, statement: TextClause, **parameters: str | float) -> tuple[Any, ...] | None:
        """Execute *statement* and return its first row, None if it returns none."""
        with self._breaker.call(), self._engine.connect() as connection:
            result: CursorResult[Any] = connection.execute(statement, parameters)
            if not result.returns_rows:
                return None
            row = result.first()
            return None if row is None else tuple(row)


def open_cache(options: CacheOptions) -> Cache:
    """Open the database with a pool of its own, whose connections commit each statement."""
    return PostgreSQLCache(autocommit_engine(options.url, options.pool or Pool()), options.prefix)
