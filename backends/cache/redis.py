"""Use Redis as the cache: JSON text under prefix and key, with a TTL in milliseconds (operations.md 4.3)."""

import re
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backends import REDIS_POOL, Json
from backends.breaker import LIMIT_SECONDS, Breaker
from backends.cache import Cache, CacheOptions, decode, encode, is_wrong_type, limit_ttl

_PATTERN_CHARACTERS = re.compile(r"([*?\[\]\\])")
_KEYS_PER_COMMAND = 1000


class RedisCache(Cache):
    """Rely on the server for TTLs and atomic deletes."""

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
        # A TTL of 0 removes the key.
        with self._breaker.call():
            self._client.pexpire(self._prefix + key, _milliseconds(ttl_seconds))

    def ttl(self, key: str) -> float:
        with self._breaker.call():
            ttl_ms = int(self._client.pttl(self._prefix + key))
        return ttl_ms / 1000 if ttl_ms >= 0 else float(ttl_ms)

    def flush(self) -> None:
        with self._breaker.call():
            if not self._prefix:
                self._client.flushdb()
                return
            pattern = _PATTERN_CHARACTERS.sub(r"\\\1", self._prefix) + "*"
            keys = list(self._client.scan_iter(match=pattern, count=_KEYS_PER_COMMAND))
            for start in range(0, len(keys), _KEYS_PER_COMMAND):
                self._client.unlink(*keys[start : start + _KEYS_PER_COMMAND])

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()


def _text(read: Callable[[str], Any], full: str) -> bytes | None:
    """Return the text of a key, None if it is missing or has another type, such as a list or hash."""
    try:
        text: bytes | None = read(full)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
        return None
    return text


def _milliseconds(seconds: float) -> int:
    # Half a millisecond must not become 0, which the server rejects.
    return max(1, round(limit_ttl(seconds) * 1000)) if seconds > 0 else 0


def open_cache(options: CacheOptions) -> Cache:
    """Open Redis by any URL that `redis.from_url` accepts, query options included (O-CACHE-10)."""
    pool = options.pool or REDIS_POOL
    connections = redis.BlockingConnectionPool.from_url(
        options.url or "redis://localhost:6379/0",
        max_connections=pool.size,
        timeout=pool.timeout_seconds,
        encoding_errors="surrogatepass",
        socket_timeout=LIMIT_SECONDS,
        socket_connect_timeout=LIMIT_SECONDS,
        # One retry without delay, enough after a restart of the server. There is none if the server does not answer.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
    return RedisCache(redis.Redis(connection_pool=connections), options.prefix)
