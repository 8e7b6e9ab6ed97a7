"""Store the cache in the memory of this process, not shared with other workers (operations.md 4.2)."""

import threading
import time
from dataclasses import dataclass

from backends import Json
from backends.cache import Cache, CacheOptions, decode, encode, limit_ttl

_ENTRY_SIZE_BYTES = 48
_KEY_COPIES = 3


@dataclass(frozen=True, slots=True)
class _Entry:
    text: str
    expires: float
    size: int


class MemoryCache(Cache):
    """Order entries by their last `set`; evict the oldest first (O-CACHE-8)."""

    def __init__(self, prefix: str, max_size_bytes: int) -> None:
        self._prefix = prefix
        self._max_size_bytes = max_size_bytes
        self._size = 0
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Json | None:
        entry = self._live_entry(key)
        return None if entry is None else decode(entry.text)

    def set(self, key: str, value: Json, ttl_seconds: float) -> None:
        text = encode(value)
        with self._lock:
            self._remove(self._prefix + key)
            if ttl_seconds <= 0:
                return
            self._make_room()
            self._add(self._prefix + key, text, time.monotonic() + limit_ttl(ttl_seconds))

    def delete(self, key: str) -> Json | None:
        with self._lock:
            entry = self._remove(self._prefix + key)
        return None if entry is None or entry.expires <= time.monotonic() else decode(entry.text)

    def expire(self, key: str, ttl_seconds: float) -> None:
        full = self._prefix + key
        with self._lock:
            entry = self._entries.get(full)
            if entry is not None and entry.expires > time.monotonic():
                # In place: `expire` does not change the age of an entry.
                self._entries[full] = _Entry(entry.text, time.monotonic() + limit_ttl(ttl_seconds), entry.size)

    def ttl(self, key: str) -> float:
        entry = self._live_entry(key)
        return -1.0 if entry is None else entry.expires - time.monotonic()

    def flush(self) -> None:
        with self._lock:
            self._entries.clear()
            self._size = 0

    def _live_entry(self, key: str) -> _Entry | None:
        entry = self._entries.get(self._prefix + key)
        return entry if entry is not None and entry.expires > time.monotonic() else None

    def _add(self, full: str, text: str, ends: float) -> None:
        size = _KEY_COPIES * len(full) + len(text) + _ENTRY_SIZE_BYTES
        self._entries[full] = _Entry(text, ends, size)
        self._size += size

    def _remove(self, full: str) -> _Entry | None:
        entry = self._entries.pop(full, None)
        if entry is not None:
            self._size -= entry.size
        return entry

    def _make_room(self) -> None:
        """If the limit is reached, remove expired entries; if it still is, evict the oldest down to 80 %."""
        if self._size < self._max_size_bytes:
            return
        now = time.monotonic()
        for full in [full for full, entry in self._entries.items() if entry.expires <= now]:
            self._remove(full)
        if self._size < self._max_size_bytes:
            return
        while self._entries and self._size >= 0.8 * self._max_size_bytes:
            self._remove(next(iter(self._entries)))


def open_cache(options: CacheOptions) -> Cache:
    """Return an empty cache."""
    return MemoryCache(options.prefix, options.max_size_bytes)
