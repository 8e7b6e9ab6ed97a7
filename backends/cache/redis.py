"""Keep the cache in Redis: JSON text under prefix and key, with a life in milliseconds (operations.md 4.3)."""

import re
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backends import REDIS_POOL, Json
from backends.breaker import LIMIT_SECONDS, Breaker
from backends.cache import Cache, Place, decode, encode, of_another_type

_PATTERN_CHARACTERS = re.compile(r"([*?\[\]\\])")
_REMOVED_AT_ONCE = 1000


class RedisCache(Cache):
    """Leave lives and atomic deletes to the server."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._breaker = Breaker(redis.RedisError)

    def get(self, key: str) -> Json | None:
        with self._breaker.call():
            return decode(_text(self._client.get, self._prefix + key))

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        text = encode(value)
        if ttl_seconds <= 0:
            self.delete(key)
            return
        with self._breaker.call():
            self._client.set(self._prefix + key, text, px=_milliseconds(ttl_seconds))

    def delete(self, key: str) -> Json | None:
        with self._breaker.call():
            return decode(_text(self._client.getdel, self._prefix + key))

    def expire(self, key: str, ttl_seconds: float) -> None:
        # A life of 0 removes the key.
        with self._breaker.call():
            self._client.pexpire(self._prefix + key, _milliseconds(ttl_seconds))

    def ttl(self, key: str) -> float:
        with self._breaker.call():
            left = int(self._client.pttl(self._prefix + key))
        return left / 1000 if left >= 0 else float(left)

    def flush(self) -> None:
        with self._breaker.call():
            if not self._prefix:
                self._client.flushdb()
                return
            pattern = _PATTERN_CHARACTERS.sub(r"\\\1", self._prefix) + "*"
            keys = list(self._client.scan_iter(match=pattern, count=_REMOVED_AT_ONCE))
            for start in range(0, len(keys), _REMOVED_AT_ONCE):
                self._client.unlink(*keys[start : start + _REMOVED_AT_ONCE])

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()


def _text(read: Callable[[str], Any], full: str) -> bytes | None:
    """Return the text under a key, none where it is a list, a hash or the like."""
    try:
        text: bytes | None = read(full)
    except redis.ResponseError as error:
        if not of_another_type(error):
            raise
        return None
    return text


def _milliseconds(seconds: float) -> int:
    # Half a millisecond must not become 0, which the server refuses.
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


def open_cache(place: Place) -> Cache:
    """Open the Redis of *place*: whatever `redis.from_url` understands, its query options included (O-CACHE-10)."""
    pool = place.pool or REDIS_POOL
    connections = redis.BlockingConnectionPool.from_url(
        place.url or "redis://localhost:6379/0",
        max_connections=pool.size,
        timeout=pool.timeout_seconds,
        encoding_errors="surrogatepass",
        socket_timeout=LIMIT_SECONDS,
        socket_connect_timeout=LIMIT_SECONDS,
        # Once, without waiting: enough after a restart of the server. A server that does not answer is not asked again.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
    return RedisCache(redis.Redis(connection_pool=connections), place.prefix)
