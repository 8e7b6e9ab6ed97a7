"""Use any Flask-Caching class that the settings name by its dotted path as the cache (O-CACHE-16).

These classes pickle values, and unpickling data of a shared server would execute code. So they receive JSON text in an
envelope, and classes that accept a serializer use JSON too.
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
from backends.cache import Cache, CacheOptions, decode, is_wrong_type, limit_ttl
from backends.cache.envelope import Envelope, seal, unseal

# Other texts are a pattern or a path for some classes: the one for Redis clears keys by the prefix as a pattern.
_PLAIN = re.compile(r"[\w:@-][\w:@.-]{0,199}", re.ASCII)
# The errors of the drivers that such classes use; a module that is not imported cannot raise any.
_DRIVER_ERRORS = (
    ("redis", "RedisError"),
    ("valkey", "ValkeyError"),
    ("pylibmc", "Error"),
    ("pymongo.errors", "PyMongoError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
)


class FlaskCachingBackend(Protocol):
    """The interface of Flask-Caching classes."""

    def get(self, key: str) -> Any:
        """Return the value, None if it is missing."""

    def set(self, key: str, value: Any, timeout: int | None = None) -> bool | None:
        """Store the value for whole seconds; False means that it was not stored."""

    def delete(self, key: str) -> bool:
        """Remove the key and return whether it existed."""

    def clear(self) -> bool:
        """Remove every key."""


class _JsonText:
    """The serializer for classes that accept one. A value that is not JSON (an old pickle) counts as missing."""

    def dumps(self, value: Json) -> bytes:
        return json.dumps(value).encode()

    def loads(self, stored: bytes | None) -> Json | None:
        return decode(stored)

    def dump(self, value: Json, file: IO[bytes]) -> None:
        file.write(self.dumps(value))

    def load(self, file: IO[bytes]) -> Json | None:
        return self.loads(file.read())


class ForeignCache(Cache):
    """Extend a Flask-Caching class by exact TTLs, `expire`, `ttl`, and a `delete` that returns the value."""

    def __init__(self, inner: FlaskCachingBackend, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self._breaker = Breaker(OSError, RuntimeError, *_driver_errors())
        self._lock = threading.Lock()

    def get(self, key: str) -> Json | None:
        envelope = self._envelope(key)
        return None if envelope is None else envelope.value

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        ttl_seconds = limit_ttl(ttl_seconds)
        text = seal(value, time.time() + ttl_seconds)
        with self._breaker.call():
            if ttl_seconds <= 0:
                self._inner.delete(self._full(key))
                return
            stored = self._inner.set(self._full(key), text, timeout=math.ceil(ttl_seconds))
        if stored is False:
            raise BackendError(f"{type(self._inner).__name__} did not store a value")

    def delete(self, key: str) -> Json | None:
        # The lock orders the threads of this process; for other processes the result of the class decides.
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
        return -1.0 if envelope is None else envelope.expires - time.time()

    def flush(self) -> None:
        with self._breaker.call():
            self._inner.clear()

    def _envelope(self, key: str) -> Envelope | None:
        with self._breaker.call():
            try:
                return unseal(self._inner.get(self._full(key)))
            except _driver_errors() as error:
                if not is_wrong_type(error):
                    raise
        return None

    def _full(self, key: str) -> str:
        return self._prefix + _plain(key)


def _driver_errors() -> tuple[type[Exception], ...]:
    return tuple(
        getattr(sys.modules[module], name) for module, name in _DRIVER_ERRORS if hasattr(sys.modules.get(module), name)
    )


def _configuration(options: CacheOptions) -> dict[str, Any]:
    """Return the settings that Flask-Caching would pass to a class."""
    return {
        "CACHE_DEFAULT_TIMEOUT": 300,
        "CACHE_IGNORE_ERRORS": False,
        "CACHE_THRESHOLD": 5000,
        "CACHE_KEY_PREFIX": options.prefix,
        "CACHE_REDIS_URL": options.url,
        "CACHE_DIR": options.url.removeprefix("file://"),
        "CACHE_FILE_HASH_METHOD": hashlib.sha256,
        "CACHE_MEMCACHED_SERVERS": list(options.hosts),
        "CACHE_ARGS": [],
    }


def _plain(text: str) -> str:
    """Return *text*, or its hash if a class might read it as a pattern or as a path outside of its folder."""
    if not text or _PLAIN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _claim(folder: Path | None) -> None:
    """Create the folder of a cache for this user only. Raises ValueError if other users could write to it.

    In a shared folder (/tmp) another user may have created it before, to read or to plant values.
    """
    if folder is None:
        raise ValueError("cache_url must name the folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise ValueError(f"the folder cannot be used: {error.strerror}") from error
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
        raise ValueError("the folder belongs to another user, or all users may write to it")


def _redis_limits() -> dict[str, Any]:
    """Return the timeouts and retries for a client of Redis, as in `backends.cache.redis`."""
    redis, retry, backoff = map(importlib.import_module, ("redis", "redis.retry", "redis.backoff"))
    once = retry.Retry(backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return {"socket_timeout": LIMIT_SECONDS, "socket_connect_timeout": LIMIT_SECONDS, "retry": once}


def open_cache(dotted_path: str, options: CacheOptions) -> Cache:
    """Open the cache of the class at *dotted_path*; `options.url` is the URL of a server, or a folder.

    Raises ImportError or ValueError if it is not a Flask-Caching class.
    """
    module, _, name = dotted_path.rpartition(".")
    if not module:
        raise ValueError(f"Invalid cache backend: {dotted_path}")
    backend_class = getattr(importlib.import_module(module), name, None)
    if backend_class is None or not callable(getattr(backend_class, "factory", None)):
        raise ValueError(f"Invalid cache backend: {dotted_path}")
    options = replace(options, prefix=_plain(options.prefix))
    folder = options.url.removeprefix("file://")
    if "FileSystem" in name:
        _claim(Path(folder) if folder else None)
    limits = _redis_limits() if any(base.__name__ == "RedisCache" for base in backend_class.__mro__) else {}
    configuration = _configuration(options) | {"CACHE_OPTIONS": dict(limits)}
    inner = backend_class.factory(None, configuration, [], {"default_timeout": 300, **limits})
    if hasattr(inner, "serializer"):
        inner.serializer = _JsonText()
    # A class that adds the prefix to keys itself also clears only keys with it.
    prefixed = bool(options.prefix) and getattr(inner, "key_prefix", None) == options.prefix
    return ForeignCache(inner, "" if prefixed else options.prefix)
