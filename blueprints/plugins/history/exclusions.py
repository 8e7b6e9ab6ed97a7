"""The changes that leave no entry in the history: those of some objects, and those of some users (P-HIST-20)."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from blueprints.plugins import Impact, SettingError

log: Final = logging.getLogger("kinto.plugins.history")

_KINDS: Final = {"buckets": "bucket", "collections": "collection", "groups": "group", "records": "record"}
_LINEAGES: Final = (
    ["buckets"],
    ["buckets", "groups"],
    ["buckets", "collections"],
    ["buckets", "collections", "records"],
)
"""The names of lists in the URIs of the objects that leave entries."""


def describe(uri: str) -> dict[str, str]:
    """Return the ids in the URI of an object by the names of their kinds.

    Raises SettingError for any other text: it would silently exclude nothing.
    """
    root, *segments = uri.split("/")
    plurals, ids = segments[::2], segments[1::2]
    if root or plurals not in _LINEAGES or len(ids) != len(plurals) or not all(ids):
        raise SettingError("history.exclude_resources", f"Invalid URI: {uri}")
    return dict(zip((_KINDS[plural] for plural in plurals), ids, strict=True))


class Exclusions:
    """The objects that are excluded, by URI, with everything inside them, and the users that are excluded."""

    def __init__(self, uris: Collection[str], user_ids: Collection[str]) -> None:
        self._uris = frozenset(uris)
        self._user_ids = frozenset(user_ids)

    def remove_from(self, impacts: list[Impact]) -> list[Impact]:
        """Return the changes that are not excluded, and log why others are."""
        if not (self._uris or self._user_ids):
            return impacts
        return [impact for impact in impacts if not self._include(impact)]

    def _include(self, impact: Impact) -> bool:
        user_id = impact.operation.identity.user_id
        if user_id in self._user_ids:
            log.info("History entries for user '%s' are disabled in config", user_id)
            return True
        segments = impact.effect.new.uri.split("/") if self._uris else []
        for end in range(3, len(segments) + 1, 2):
            uri = "/".join(segments[:end])
            if uri in self._uris:
                log.info("History entries for %s '%s' are disabled in config", _KINDS[segments[end - 2]], uri)
                return True
        return False
