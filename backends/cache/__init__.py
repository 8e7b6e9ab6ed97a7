"""Remember values for a while: the interface of a cache backend, and how the one that is asked for is opened."""

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


class Cache(Protocol):
    """Keep any JSON value but bytes under a key for some seconds, outside every transaction (core.md 11.3).

    Every method raises BackendError when the server fails (O-CACHE-6). An unknown and an expired key are the same.
    """

    def get(self, key: str) -> Json | None:
        """Return the value of *key*, or None when there is none."""

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        """Keep *value*, in the place of any older one; a life of 0 or less removes it.

        Raises TypeError for bytes.
        """

    def delete(self, key: str) -> Json | None:
        """Remove *key* and return its value; of two who do so at once one gets it (O-CACHE-4)."""

    def expire(self, key: str, ttl_seconds: float) -> None:
        """Give *key*, if it is there, another life."""

    def ttl(self, key: str) -> float:
        """Return the seconds that *key* has left; a negative number when it is unknown."""

    def flush(self) -> None:
        """Remove every key that has our prefix, and no other; memcached removes all (O-CACHE-14)."""

    def ping(self) -> bool:
        """Tell whether a value that is written can be read; log why not."""
        try:
            self.set("__heartbeat__", "alive", 3600)
            return bool(self.get("__heartbeat__") == "alive")
        except BackendError:
            _LOGGER.exception("Heartbeat Failure")
            return False

    def initialized(self) -> bool:
        """Tell whether `initialize` has nothing left to do."""
        return True

    def initialize(self) -> None:
        """Make what is missing before the first use. May be called again, and by several processes at once."""
        return

    def script(self) -> str:
        """Return the SQL that `initialize` would run, to be run by hand (O-PG-36); nothing where it runs none."""
        return ""

    def close(self) -> None:
        """Close all connections."""
        return


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cache is and what it may take: what the settings `cache_*` say."""

    url: str = ""
    hosts: Sequence[str] = ()
    prefix: str = ""
    max_size_bytes: int = DEFAULT_MAX_SIZE_BYTES
    pool: Pool | None = None


def load(
    name: str,
    *,
    url: str = "",
    hosts: Sequence[str] = (),
    prefix: str = "",
    max_size_bytes: int = DEFAULT_MAX_SIZE_BYTES,
    pool: Pool | None = None,
) -> Cache:
    """Open the cache *name*: a short name, one of Kinto's dotted names, or a Flask-Caching class (operations.md 1.9).

    Imports the module of that cache alone and connects to nothing. Without *pool* each has its own default.
    Raises ImportError or ValueError when there is no such cache or its place cannot be understood.
    """
    place = Place(url, hosts, prefix, max_size_bytes, pool)
    short = _ALIASES.get(name)
    if short is None:
        foreign = importlib.import_module("backends.cache.foreign")
        opened: Cache = foreign.open_cache(name, place)
        return opened
    opened = importlib.import_module(f"backends.cache.{short}").open_cache(place)
    return opened


def encode(value: Json) -> str:
    """Return *value* as JSON text, ASCII alone, so that every server takes it; raise TypeError for bytes.

    The standard library keeps integers of any size and lone surrogates, and values here are short.
    """
    if isinstance(value, bytes):
        raise TypeError("a string-like object is required, not 'bytes'")
    return json.dumps(value, separators=(",", ":"))


def decode(text: bytes | str | None) -> Json | None:
    """Return the value of JSON text, or None when there is none.

    A server may be shared: a value that another program left, and that is not JSON, counts as absent.
    """
    try:
        return None if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def of_another_type(error: Exception) -> bool:
    """Return whether Redis refused a command because another program keeps a list, a hash or the like under the key."""
    return str(error).startswith("WRONGTYPE")


def storable(key: str, longest: int) -> str:
    """Return *key*, or its hash where a server would refuse it: too long, or not printable ASCII without blanks."""
    if len(key) <= longest and key.isascii() and key.isprintable() and " " not in key:
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
