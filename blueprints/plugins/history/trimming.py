"""Remove old entries from the history of a bucket: of each kind of objects, or of each kind and user (P-HIST-21)."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from blueprints.plugins import Context

log: Final = logging.getLogger("kinto.plugins.history")

EntryKey = tuple[str, str, str, str | None]
"""The bucket, the list, the kind and the user of an entry."""


@dataclass(frozen=True, slots=True)
class Trimming:
    """How many entries are kept; with `user_ids` those of each of these users, else those of all together.

    Old entries are removed when there are more than `threshold` of them, so that this happens rarely.
    """

    max_count: int
    threshold: int
    user_ids: Collection[str] = ()

    def trim(self, context: Context, keys: Iterable[EntryKey]) -> None:
        """Remove old entries like those with these keys."""
        if self.max_count <= 0:
            log.debug("Trimming of old history entries is not enabled.")
            return
        for (bucket, list_uri, kind, _), user_id in {self._merge_users(key): key[3] for key in keys}.items():
            if self.user_ids and user_id not in self.user_ids:
                continue
            of_user = {"user_id": user_id} if self.user_ids else {}
            started = time.perf_counter()
            number = context.trim(list_uri, {"resource_name": kind, **of_user}, self.max_count, self.threshold)
            if number:
                seconds = time.perf_counter() - started
                log.info("Trimmed %d old history entries, in %.3f seconds.", number, seconds)
            else:
                log.debug("No old history to trim for %r on %r in %r.", user_id, kind, bucket)

    def _merge_users(self, key: EntryKey) -> EntryKey:
        """Return the key without its user if users are not distinguished."""
        return key if self.user_ids else (*key[:3], None)
