"""Keep the cache in a PostgreSQL table of Kinto's shape, outside the transactions of the storage (operations.md 4.5).

The database's clock decides what has expired, in UTC whatever the time zone of the session.

The statements run on a cluster too (Citus), where the key says which machine has a row: what a write returns depends on
nothing but the row, and rows are locked by their keys alone.
"""

import hashlib
import time
from typing import Any, Final

from sqlalchemy import CursorResult, Engine, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from backends import Json, Pool
from backends.breaker import Breaker
from backends.cache import Cache, Place, decode, encode, storable
from backends.deadlines import limit
from backends.engines import autocommit_engine

_LONGEST_KEY: Final = 256
_LONGEST_PREFIX: Final = 128
_SECONDS_BETWEEN_PURGES: Final = 60.0
_MAINTENANCE_SECONDS: Final = 600.0

_NOW: Final = "(now() AT TIME ZONE 'UTC')"
_ENDS: Final = f"{_NOW} + make_interval(secs => :ttl_seconds)"
_LIVING: Final = f"(ttl IS NULL OR ttl > {_NOW})"

_EXISTS: Final = text("SELECT to_regclass('cache') IS NOT NULL")
# Sent as one message it is one transaction, so that the lock holds until the table is there.
_CREATE: Final = """
    SELECT pg_advisory_xact_lock(hashtext('kinto cache'));
    CREATE TABLE IF NOT EXISTS cache (key VARCHAR(256) PRIMARY KEY, value TEXT NOT NULL, ttl TIMESTAMP DEFAULT NULL);
    CREATE INDEX IF NOT EXISTS idx_cache_ttl ON cache (ttl);
"""
_GET: Final = text(f"SELECT value FROM cache WHERE key = :key AND {_LIVING}")
_SET: Final = text(
    f"INSERT INTO cache (key, value, ttl) VALUES (:key, :value, {_ENDS})"
    " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, ttl = EXCLUDED.ttl"
)
# What has expired is left to the purge.
_DELETE: Final = text(f"DELETE FROM cache WHERE key = :key AND {_LIVING} RETURNING value")
_EXPIRE: Final = text(f"UPDATE cache SET ttl = {_ENDS} WHERE key = :key AND {_LIVING}")
_TTL: Final = text(f"SELECT EXTRACT(EPOCH FROM ttl - {_NOW}) FROM cache WHERE key = :key AND ttl > {_NOW}")
_FLUSH: Final = text("DELETE FROM cache WHERE starts_with(key, :prefix)")
_EXPIRED: Final = text(f"SELECT key FROM cache WHERE ttl <= {_NOW} ORDER BY ttl, key LIMIT 10000")
# A row that was renewed meanwhile stays.
_PURGE: Final = text(f"DELETE FROM cache WHERE key = ANY(:keys) AND ttl <= {_NOW}")


class PostgreSQLCache(Cache):
    """Keep one row a key. What has expired is removed by writes, once a minute, and never by reads (PG-D10)."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._engine = engine
        # A prefix must leave room for a hash in the column, or `flush` could not find its keys.
        self._prefix = prefix if len(prefix) <= _LONGEST_PREFIX else hashlib.sha256(prefix.encode()).hexdigest()
        self._next_purge = 0.0
        self._breaker = Breaker(SQLAlchemyError)

    def get(self, key: str) -> Json | None:
        row = self._run(_GET, key=self._full(key))
        return decode(row[0]) if row else None

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        text_of_value = encode(value)
        if ttl_seconds <= 0:
            self.delete(key)
            return
        self._run(_SET, key=self._full(key), value=text_of_value, ttl_seconds=ttl_seconds)
        if time.monotonic() >= self._next_purge:
            self._next_purge = time.monotonic() + _SECONDS_BETWEEN_PURGES
            self._purge()

    def delete(self, key: str) -> Json | None:
        row = self._run(_DELETE, key=self._full(key))
        return decode(row[0]) if row else None

    def _purge(self) -> None:
        """Remove the rows that expired first. Their keys are sorted: two purges lock them in the same order."""
        with limit(_MAINTENANCE_SECONDS), self._breaker.call(), self._engine.connect() as connection:
            keys = sorted(connection.execute(_EXPIRED).scalars())
            if keys:
                connection.execute(_PURGE, {"keys": keys})

    def expire(self, key: str, ttl_seconds: float) -> None:
        self._run(_EXPIRE, key=self._full(key), ttl_seconds=ttl_seconds)

    def ttl(self, key: str) -> float:
        row = self._run(_TTL, key=self._full(key))
        return float(row[0]) if row else -1.0

    def flush(self) -> None:
        with limit(_MAINTENANCE_SECONDS):
            self._run(_FLUSH, prefix=self._prefix)

    def initialized(self) -> bool:
        row = self._run(_EXISTS)
        return bool(row and row[0])

    def initialize(self) -> None:
        if self.initialized():
            return
        with limit(_MAINTENANCE_SECONDS), self._breaker.call(), self._engine.connect() as connection:
            connection.exec_driver_sql(_CREATE)

    def script(self) -> str:
        return "" if self.initialized() else f"BEGIN;\n{_CREATE}COMMIT;\n"

    def close(self) -> None:
        self._engine.dispose()

    def _full(self, key: str) -> str:
        return self._prefix + storable(key, _LONGEST_KEY - len(self._prefix))

    def _run(self, statement: TextClause, **bound: str | float) -> tuple[Any, ...] | None:
        """Run *statement* and return its first row, if it gives rows and there is one."""
        with self._breaker.call(), self._engine.connect() as connection:
            result: CursorResult[Any] = connection.execute(statement, bound)
            if not result.returns_rows:
                return None
            row = result.first()
            return None if row is None else tuple(row)


def open_cache(place: Place) -> Cache:
    """Open the database of *place* with connections of its own, that commit each statement."""
    return PostgreSQLCache(autocommit_engine(place.url, place.pool or Pool()), place.prefix)
