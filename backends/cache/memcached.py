"""Keep the cache in memcached: an envelope with the end of life under prefix and key (operations.md 4.4)."""

import math
import time
import zlib
from collections.abc import Sequence

from pymemcache import PooledClient
from pymemcache.exceptions import MemcacheError

from backends import Json
from backends.breaker import LIMIT_SECONDS, Breaker
from backends.cache import Cache, Place, storable
from backends.cache.envelope import Envelope, seal, unseal
from backends.forks import renew_in_children

_LONGEST_KEY_BYTES = 250
_LONGEST_RELATIVE_LIFE_SECONDS = 30 * 24 * 3600
_GONE_AT_ONCE = -1


class MemcachedCache(Cache):
    """Choose the server by the key; a value is removed or renewed only if nobody changed it meanwhile."""

    def __init__(self, servers: Sequence[PooledClient], prefix: str) -> None:
        self._servers = servers
        for server in servers:
            # On a shared connection a child would read the answers to its parent.
            renew_in_children(server, PooledClient.close)
        self._breakers = [Breaker(MemcacheError, OSError) for _ in servers]
        self._prefix = prefix

    def get(self, key: str) -> Json | None:
        server, breaker, full = self._locate(key)
        with breaker.call():
            envelope = unseal(server.get(full))
        return None if envelope is None else envelope.value

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        server, breaker, full = self._locate(key)
        ends = time.time() + ttl_seconds
        text = seal(value, ends).encode()
        with breaker.call():
            server.set(full, text, expire=_server_life(ends))

    def delete(self, key: str) -> Json | None:
        server, breaker, full = self._locate(key)
        envelope = None
        with breaker.call():
            while True:
                text, version = server.gets(full)
                envelope = unseal(text)
                if text is None:
                    return None
                # None: somebody else removed it; False: somebody changed it.
                done = server.cas(full, text, version, expire=_GONE_AT_ONCE)
                if done is not False:
                    break
        return envelope.value if envelope is not None and done else None

    def expire(self, key: str, ttl_seconds: float) -> None:
        server, breaker, full = self._locate(key)
        ends = time.time() + ttl_seconds
        with breaker.call():
            done = False
            while done is False:
                text, version = server.gets(full)
                envelope = unseal(text)
                if envelope is None:
                    return
                done = server.cas(full, seal(envelope.value, ends).encode(), version, expire=_server_life(ends))

    def ttl(self, key: str) -> float:
        server, breaker, full = self._locate(key)
        with breaker.call():
            envelope: Envelope | None = unseal(server.get(full))
        return -1.0 if envelope is None else envelope.ends - time.time()

    def flush(self) -> None:
        # The server cannot list keys, so those of other prefixes go too.
        for server, breaker in zip(self._servers, self._breakers, strict=True):
            with breaker.call():
                server.flush_all()

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _locate(self, key: str) -> tuple[PooledClient, Breaker, str]:
        full = storable(self._prefix + key, _LONGEST_KEY_BYTES)
        number = zlib.crc32(full.encode()) % len(self._servers)
        return self._servers[number], self._breakers[number], full


def _server_life(ends: float) -> int:
    """Return what memcached is told: whole seconds, never too early; beyond 30 days it wants the time itself."""
    left = math.ceil(ends - time.time())
    if left <= 0:
        return _GONE_AT_ONCE
    return left if left < _LONGEST_RELATIVE_LIFE_SECONDS else math.ceil(ends)


def open_cache(place: Place) -> Cache:
    """Open the servers of `cache_hosts`, or those in `cache_url`, where Kinto's `init` writes them (O-CACHE-12)."""
    hosts = list(place.hosts) or place.url.removeprefix("memcached://").split() or ["127.0.0.1:11211"]
    return MemcachedCache(
        [
            PooledClient(
                host.rstrip("/"),
                connect_timeout=LIMIT_SECONDS,
                timeout=LIMIT_SECONDS,
                no_delay=True,
                # A connection that was idle for long may be dead, cut by a firewall.
                pool_idle_timeout=60,
                # Without a reply a failed write would not be noticed.
                default_noreply=False,
            )
            for host in hosts
        ],
        place.prefix,
    )
