"""Use memcached as the cache: an envelope with the expiry time under prefix and key (operations.md 4.4)."""

import math
import time
import zlib
from collections.abc import Sequence

from pymemcache import PooledClient
from pymemcache.exceptions import MemcacheError

from backends import Json
from backends.breaker import LIMIT_SECONDS, Breaker
from backends.cache import Cache, CacheOptions, limit_ttl, server_key
from backends.cache.envelope import Envelope, seal, unseal
from backends.forks import renew_in_children

_MAX_KEY_BYTES = 250
_MAX_RELATIVE_TTL_SECONDS = 30 * 24 * 3600
_EXPIRE_AT_ONCE = -1


class MemcachedCache(Cache):
    """Select the server by the key; remove or extend a value only if it has not been changed meanwhile."""

    def __init__(self, servers: Sequence[PooledClient], prefix: str) -> None:
        self._servers = servers
        for server in servers:
            # On a shared connection a child process would read the responses to its parent.
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
        expires = time.time() + limit_ttl(ttl_seconds)
        text = seal(value, expires).encode()
        with breaker.call():
            server.set(full, text, expire=_server_expiry(expires))

    def delete(self, key: str) -> Json | None:
        server, breaker, full = self._locate(key)
        envelope = None
        with breaker.call():
            while True:
                text, version = server.gets(full)
                envelope = unseal(text)
                if text is None:
                    return None
                # None: removed by another client; False: changed by another client.
                removed = server.cas(full, text, version, expire=_EXPIRE_AT_ONCE)
                if removed is not False:
                    break
        return envelope.value if envelope is not None and removed else None

    def expire(self, key: str, ttl_seconds: float) -> None:
        server, breaker, full = self._locate(key)
        expires = time.time() + limit_ttl(ttl_seconds)
        with breaker.call():
            stored = False
            while stored is False:
                text, version = server.gets(full)
                envelope = unseal(text)
                if envelope is None:
                    return
                stored = server.cas(
                    full, seal(envelope.value, expires).encode(), version, expire=_server_expiry(expires)
                )

    def ttl(self, key: str) -> float:
        server, breaker, full = self._locate(key)
        with breaker.call():
            envelope: Envelope | None = unseal(server.get(full))
        return -1.0 if envelope is None else envelope.expires - time.time()

    def flush(self) -> None:
        # The server cannot list keys, so those with other prefixes are removed too.
        for server, breaker in zip(self._servers, self._breakers, strict=True):
            with breaker.call():
                server.flush_all()

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _locate(self, key: str) -> tuple[PooledClient, Breaker, str]:
        full = server_key(self._prefix + key, _MAX_KEY_BYTES)
        number = zlib.crc32(full.encode()) % len(self._servers)
        return self._servers[number], self._breakers[number], full


def _server_expiry(expires: float) -> int:
    """Return the expiry time for memcached: whole seconds, rounded up; beyond 30 days seconds since 1970."""
    ttl_seconds = math.ceil(expires - time.time())
    if ttl_seconds <= 0:
        return _EXPIRE_AT_ONCE
    return ttl_seconds if ttl_seconds < _MAX_RELATIVE_TTL_SECONDS else math.ceil(expires)


def open_cache(options: CacheOptions) -> Cache:
    """Open the servers in `cache_hosts`, or those in `cache_url`, where Kinto's `init` writes them (O-CACHE-12)."""
    hosts = list(options.hosts) or options.url.removeprefix("memcached://").split() or ["127.0.0.1:11211"]
    return MemcachedCache(
        [
            PooledClient(
                host.rstrip("/"),
                connect_timeout=LIMIT_SECONDS,
                timeout=LIMIT_SECONDS,
                no_delay=True,
                # A firewall may have closed a connection that was idle for long.
                pool_idle_timeout=60,
                # Without a reply a failed write would not be detected.
                default_noreply=False,
            )
            for host in hosts
        ],
        options.prefix,
    )
