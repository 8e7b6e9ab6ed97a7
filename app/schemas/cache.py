"""Cache compiled JSON Schemas: each is compiled once, the cache is bounded in bytes, and no list is locked meanwhile.

A schema comes from a user and is known only once the collection has been read, which a write does under locks. So
`compiled_schema` returns a schema from the cache or raises `NotCompiled`; `app.transactions.write_transaction` then
ends the transaction, compiles the schema, and starts the transaction again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from app.errors import Problem
from app.schemas.compiling import CHARACTER_BYTES, Compiled, compile_text

MAX_CACHE_BYTES: Final = 64 * 2**20
"""The most memory of all cached schemas in each process."""


class NotCompiled(Exception):
    """A schema that is not in the cache: call `compile_schema` with its text without locks, and retry."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SchemaCache:
    """The most recently used compiled schemas by their text, as many as `MAX_CACHE_BYTES` allow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[Compiled | Problem, int]] = OrderedDict()
        self._bytes = 0

    def get(self, text: str) -> Compiled | Problem | None:
        """Return the compiled schema or its problem, None if it is not cached."""
        with self._lock:
            if text not in self._entries:
                return None
            self._entries.move_to_end(text)
            return self._entries[text][0]

    def put(self, text: str, entry: Compiled | Problem) -> None:
        """Add a schema, and evict the least recently used ones while the cache is too large."""
        size = entry.size_bytes if isinstance(entry, Compiled) else CHARACTER_BYTES * len(text)
        with self._lock:
            self._bytes += size - self._entries.pop(text, (None, 0))[1]
            self._entries[text] = (entry, size)
            while self._bytes > MAX_CACHE_BYTES and len(self._entries) > 1:
                self._bytes -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Return the estimated memory of all entries."""
        return self._bytes


CACHE: Final = SchemaCache()


def compiled_schema(text: str) -> Compiled | Problem:
    """Return a schema from the cache, or the problem for which it cannot be used. Raises NotCompiled."""
    entry = CACHE.get(text)
    if entry is None:
        raise NotCompiled(text)
    return entry


def compile_schema(text: str) -> Compiled | Problem:
    """Compile a schema unless it is cached, and cache it. Do not call this while holding a lock."""
    entry = CACHE.get(text)
    if entry is None:
        entry = compile_text(text)
        CACHE.put(text, entry)
    return entry
