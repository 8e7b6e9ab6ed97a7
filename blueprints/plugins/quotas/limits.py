"""The limits of buckets and collections that settings give (plugins contract, 9.1)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from blueprints.plugins import ApiError, SettingError, Settings, whole

log: Final = logging.getLogger("kinto.plugins.quotas")

MAX_BYTES, MAX_ITEMS, MAX_BYTES_PER_ITEM = "max_bytes", "max_items", "max_bytes_per_item"
_NAME: Final = re.compile(rf"(?:bucket|collection)_(?:.+_)?(?:{MAX_BYTES}|{MAX_ITEMS}|{MAX_BYTES_PER_ITEM})")


class QuotaExceeded(ApiError):
    """A request would exceed a limit; all of it is undone."""

    status = 507
    errno = 121
    error = "Insufficient Storage"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits by the names of their settings without `quotas.`; the most specific name applies."""

    by_name: dict[str, int]

    def of(self, bucket: str, collection: str | None, limit: str) -> int | None:
        """Return a limit of the bucket with an id, or of a collection in it."""
        if collection is None:
            return self._first(f"bucket_{bucket}_{limit}", f"bucket_{limit}")
        names = f"collection_{bucket}_{collection}_{limit}", f"collection_{bucket}_{limit}", f"collection_{limit}"
        return self._first(*names)

    def of_object(self, bucket: str, collection: str | None) -> int | None:
        """Return the greatest size of one object; limits of collections go before those of buckets, as in Kinto."""
        of_collection = self.of(bucket, collection or "", MAX_BYTES_PER_ITEM)
        return self.of(bucket, None, MAX_BYTES_PER_ITEM) if of_collection is None else of_collection

    def _first(self, *names: str) -> int | None:
        return next((self.by_name[name] for name in names if name in self.by_name), None)


def read_limits(settings: Settings) -> Limits:
    """Return the limits of the settings `quotas.*`. Raises SettingError."""
    return Limits(dict(_read(settings)))


def _read(settings: Settings) -> Iterator[tuple[str, int]]:
    for name, raw in settings.under("quotas.").items():
        if not _NAME.fullmatch(name):
            log.warning("The setting quotas.%s is unknown and ignored.", name)
            continue
        try:
            yield name, whole(raw)
        except ValueError as error:
            raise SettingError(f"quotas.{name}", str(error)) from None
