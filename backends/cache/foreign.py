"""Keep the cache in any Flask-Caching class that the settings name by its dotted path (O-CACHE-16).

These classes pickle what they are given, and a pickle from a shared server is code execution: they get JSON text in an
envelope, and where they let us choose, JSON is their encoding too.
"""

import hashlib
import importlib
import json
import math
import os
import re
import stat
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from backends import BackendError, Json
from backends.breaker import LIMIT_SECONDS, Breaker
from backends.cache import Cache, Place, decode, of_another_type
from backends.cache.envelope import Envelope, seal, unseal

# All else is a pattern or a path for some class: the Redis one clears by the prefix as a pattern.
_PLAIN = re.compile(r"[\w:@-][\w:@.-]{0,199}", re.ASCII)
# The errors of the drivers that such classes stand on; those that are not loaded cannot raise.
_DRIVER_ERRORS = (
    ("redis", "RedisError"),
    ("valkey", "ValkeyError"),
    ("pylibmc", "Error"),
    ("pymongo.errors", "PyMongoError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
)


class FlaskCachingBackend(Protocol):
    """What we need of a class of Flask-Caching."""

    def get(self, key: str) -> Any:
        """Return the value, or None."""

    def set(self, key: str, value: Any, timeout: int | None = None) -> bool | None:
        """Keep the value for whole seconds; False says that it was not kept."""

    def delete(self, key: str) -> bool:
        """Remove the key and say whether it was there."""

    def clear(self) -> bool:
        """Remove every key."""


class _JsonText:
    """Encode for a cache that asks for a serializer. What is not JSON, old pickles say, is no value."""

    def dumps(self, value: Json) -> bytes:
        return json.dumps(value).encode()

    def loads(self, stored: bytes | None) -> Json | None:
        return decode(stored)

    def dump(self, value: Json, file: IO[bytes]) -> None:
        file.write(self.dumps(value))

    def load(self, file: IO[bytes]) -> Json | None:
        return self.loads(file.read())


class ForeignCache(Cache):
    """Give a Flask-Caching class exact lives, `expire`, `ttl`, and a `delete` that gives the value."""

    def __init__(self, inner: FlaskCachingBackend, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self._breaker = Breaker(OSError, RuntimeError, *_driver_errors())
        self._lock = threading.Lock()

    def get(self, key: str) -> Json | None:
        envelope = self._envelope(key)
        return None if envelope is None else envelope.value

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        text = seal(value, time.time() + ttl_seconds)
        with self._breaker.call():
            if ttl_seconds <= 0:
                self._inner.delete(self._full(key))
                return
            kept = self._inner.set(self._full(key), text, timeout=math.ceil(ttl_seconds))
        if kept is False:
            raise BackendError(f"{type(self._inner).__name__} did not keep a value")

    def delete(self, key: str) -> Json | None:
        # The lock decides among our threads; among processes what the class says it removed.
        with self._lock:
            envelope = self._envelope(key)
            with self._breaker.call():
                removed = self._inner.delete(self._full(key))
        return envelope.value if envelope is not None and removed else None

    def expire(self, key: str, ttl_seconds: float) -> None:
        with self._lock:
            envelope = self._envelope(key)
            if envelope is not None:
                self.set(key, envelope.value, ttl_seconds)

    def ttl(self, key: str) -> float:
        envelope = self._envelope(key)
        return -1.0 if envelope is None else envelope.ends - time.time()

    def flush(self) -> None:
        with self._breaker.call():
            self._inner.clear()

    def _envelope(self, key: str) -> Envelope | None:
        with self._breaker.call():
            try:
                return unseal(self._inner.get(self._full(key)))
            except _driver_errors() as error:
                if not of_another_type(error):
                    raise
        return None

    def _full(self, key: str) -> str:
        return self._prefix + _plain(key)


def _driver_errors() -> tuple[type[Exception], ...]:
    return tuple(
        getattr(sys.modules[module], name) for module, name in _DRIVER_ERRORS if hasattr(sys.modules.get(module), name)
    )


def _configuration(place: Place) -> dict[str, Any]:
    """Return the settings that Flask-Caching would hand to a class."""
    return {
        "CACHE_DEFAULT_TIMEOUT": 300,
        "CACHE_IGNORE_ERRORS": False,
        "CACHE_THRESHOLD": 5000,
        "CACHE_KEY_PREFIX": place.prefix,
        "CACHE_REDIS_URL": place.url,
        "CACHE_DIR": place.url.removeprefix("file://"),
        "CACHE_FILE_HASH_METHOD": hashlib.sha256,
        "CACHE_MEMCACHED_SERVERS": list(place.hosts),
        "CACHE_ARGS": [],
    }


def _plain(text: str) -> str:
    """Return *text*, or its hash where a class might take it for a pattern or for a path out of its folder."""
    if not text or _PLAIN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _claim(folder: Path | None) -> None:
    """Make the folder of a cache, for this user alone. Raises ValueError where other users could write to it.

    In a folder of all users (/tmp) somebody may have made it first, to read what is kept or to put something there.
    """
    if folder is None:
        raise ValueError("cache_url must name the folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise ValueError(f"the folder cannot be used: {error.strerror}") from error
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        raise ValueError("the folder belongs to another user, or all users may write to it")


def _redis_limits() -> dict[str, Any]:
    """Return the arguments that give a client of Redis our time limit, as our own cache in Redis has it."""
    redis, retry, backoff = map(importlib.import_module, ("redis", "redis.retry", "redis.backoff"))
    once = retry.Retry(backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return {"socket_timeout": LIMIT_SECONDS, "socket_connect_timeout": LIMIT_SECONDS, "retry": once}


def open_cache(dotted_path: str, place: Place) -> Cache:
    """Make the cache of the class at *dotted_path*: `cache_url` is the address of a server, or a folder.

    Raises ImportError or ValueError when it is not a class of Flask-Caching.
    """
    module, _, name = dotted_path.rpartition(".")
    if not module:
        raise ValueError(f"Invalid cache backend: {dotted_path}")
    chosen = getattr(importlib.import_module(module), name, None)
    if chosen is None or not callable(getattr(chosen, "factory", None)):
        raise ValueError(f"Invalid cache backend: {dotted_path}")
    place = replace(place, prefix=_plain(place.prefix))
    folder = place.url.removeprefix("file://")
    if "FileSystem" in name:
        _claim(Path(folder) if folder else None)
    limits = _redis_limits() if any(base.__name__ == "RedisCache" for base in chosen.__mro__) else {}
    configuration = _configuration(place) | {"CACHE_OPTIONS": dict(limits)}
    inner = chosen.factory(None, configuration, [], {"default_timeout": 300, **limits})
    if hasattr(inner, "serializer"):
        inner.serializer = _JsonText()
    # A class that puts the prefix before a key by itself also clears by it.
    prefixed = bool(place.prefix) and getattr(inner, "key_prefix", None) == place.prefix
    return ForeignCache(inner, "" if prefixed else place.prefix)
