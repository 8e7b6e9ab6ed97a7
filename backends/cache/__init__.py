"""Define the interface of cache backends, and open the one that the settings name."""

import hashlib
import importlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from backends import BackendError, Json, Pool

_LOGGER = logging.getLogger("kinto.core.cache")
_SHORT_NAMES: Final = ("memory", "memcached", "postgresql", "redis")
_ALIASES: Final = {
    "kinto_redis.cache": "redis",
    **{f"kinto.core.cache.{name}": name for name in _SHORT_NAMES},
    **{f"cliquet.cache.{name}": name for name in _SHORT_NAMES},
    **{f"backends.cache.{name}": name for name in _SHORT_NAMES},
    **{name: name for name in _SHORT_NAMES},
}
DEFAULT_MAX_SIZE_BYTES: Final = 524_288
MAX_TTL_SECONDS: Final = 366 * 24 * 3600
"""The longest TTL: all servers can represent its end. The clock of memcached ends in 2038."""


class Cache(Protocol):
    """Store JSON values, without bytes, under keys for some seconds, outside of transactions (core.md 11.3).

    Every method raises BackendError if the server fails (O-CACHE-6). An expired key is the same as a missing one. A TTL
    of more than MAX_TTL_SECONDS counts as MAX_TTL_SECONDS.
    """

    def get(self, key: str) -> Json | None:
        """Return the value of *key*, None if it is missing."""

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        """Store *value*, replacing any former one; a TTL of 0 or less removes the key.

        Raises TypeError for bytes.
        """

    def delete(self, key: str) -> Json | None:
        """Remove *key* and return its value; only one of two concurrent callers receives the value (O-CACHE-4)."""

    def expire(self, key: str, ttl_seconds: float) -> None:
        """Set the TTL of *key*, if it exists."""

    def ttl(self, key: str) -> float:
        """Return the remaining seconds of *key*; a negative number if it is missing."""

    def flush(self) -> None:
        """Remove all keys with the prefix of this service, and no others; memcached removes all keys (O-CACHE-14)."""

    def ping(self) -> bool:
        """Return whether a value can be written and read; log the error if not."""
        try:
            self.set("__heartbeat__", "alive", 3600)
            return bool(self.get("__heartbeat__") == "alive")
        except BackendError:
            _LOGGER.exception("Heartbeat Failure")
            return False

    def is_initialized(self) -> bool:
        """Return whether `initialize` has been done."""
        return True

    def initialize(self) -> None:
        """Create missing tables. May be called repeatedly, and by several processes at once."""
        return

    def script(self) -> str:
        """Return the SQL that `initialize` would execute, to be executed by hand (O-PG-36); empty if there is none."""
        return ""

    def close(self) -> None:
        """Close all connections."""
        return


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """The location and the limits of a cache, from the settings `cache_*`; without *pool* each has its own default."""

    url: str = ""
    hosts: Sequence[str] = ()
    prefix: str = ""
    max_size_bytes: int = DEFAULT_MAX_SIZE_BYTES
    pool: Pool | None = None


DEFAULTS: Final = CacheOptions()


def load(name: str, options: CacheOptions = DEFAULTS) -> Cache:
    """Open the cache *name*: a short name, one of Kinto's dotted names, or a Flask-Caching class (operations.md 1.9).

    Imports only the module of that cache, and does not connect. Raises ImportError or ValueError if there is no such
    cache or its options are invalid.
    """
    short_name = _ALIASES.get(name)
    if short_name is None:
        foreign = importlib.import_module("backends.cache.foreign")
        cache: Cache = foreign.open_cache(name, options)
        return cache
    cache = importlib.import_module(f"backends.cache.{short_name}").open_cache(options)
    return cache


def limit_ttl(seconds: float) -> float:
    """Return a TTL that every server accepts."""
    return min(seconds, MAX_TTL_SECONDS)


def encode(value: Json) -> str:
    """Return *value* as JSON text in ASCII, which every server accepts. Raises TypeError for bytes.

    The standard library preserves integers of any size and lone surrogates; its speed suffices for short values.
    """
    if isinstance(value, bytes):
        raise TypeError("a string-like object is required, not 'bytes'")
    return json.dumps(value, separators=(",", ":"))


def decode(text: bytes | str | None) -> Json | None:
    """Return the value of JSON text, None without a text.

    Servers may be shared: a value of another program that is not JSON counts as missing.
    """
    try:
        return None if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def is_wrong_type(error: Exception) -> bool:
    """Return whether Redis rejected a command because the key has another type, such as a list of another program."""
    return str(error).startswith("WRONGTYPE")


def server_key(key: str, max_characters: int) -> str:
    """Return *key*, or its hash if a server would reject it: too long, or not printable ASCII without blanks."""
    if len(key) <= max_characters and key.isascii() and key.isprintable() and " " not in key:
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
