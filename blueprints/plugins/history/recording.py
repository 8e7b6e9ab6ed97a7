"""Write an entry for each change of a request, in the order of its operations (plugins contract, 7.1 and 7.3)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Final

from blueprints.plugins import Context, Data, Impact, Json, KindHooks, bucket_of, dumps, embedded_document, rename
from blueprints.plugins.history.exclusions import Exclusions
from blueprints.plugins.history.trimming import EntryKey, Trimming

NAME: Final = "history"
KINDS: Final = ("bucket", "collection", "group", "record")

Permissions = Mapping[str, frozenset[str]]
Lineage = tuple[str, ...]
"""The URIs of the objects that an object is in."""

_NOBODY: Final = frozenset[str]()
_READING: Final = ("read", "write")
"""The permissions with which an object can be read."""


class Recorder:
    """Appends the entries of a request to the histories of its buckets.

    With *has_permissions* an entry can be read by the principals that could read or write the object at that moment, or
    an object above it, whatever becomes of their permissions later (P-HIST-14). Without, it can be read by the readers
    of the bucket (P-HIST-17).
    """

    def __init__(self, exclusions: Exclusions, trimming: Trimming, *, has_permissions: bool) -> None:
        self._exclusions = exclusions
        self._trimming = trimming
        self._has_permissions = has_permissions

    def record(self, impacts: Sequence[Impact], context: Context) -> None:
        """Append an entry for each change, and remove old entries."""
        sources = self._exclusions.remove_from(_since_deletion(impacts))
        readers_above = self._readers_above({impact.route.ancestors for impact in sources}, context)
        now = datetime.now(UTC)
        date, time = _text_of(now), int(now.timestamp() * 1000).to_bytes(6, "big")
        for impact in sources:
            permissions: Permissions = {}
            if self._has_permissions:
                permissions = {"read": readers_above[impact.route.ancestors] | _readers(impact.effect.permissions)}
            context.append(f"{_bucket(impact)}/{NAME}", _generate_id(time), _attributes(impact, date), permissions)
        context.when_written(lambda: self._trimming.trim(context, map(_key_of, sources)))

    def _readers_above(self, lineages: Set[Lineage], context: Context) -> Mapping[Lineage, frozenset[str]]:
        """Return the principals that may read or write one of the objects of each of *lineages*."""
        return {lineage: context.holders(lineage, _READING) for lineage in lineages} if self._has_permissions else {}


def _readers(permissions: Permissions) -> frozenset[str]:
    return permissions.get("read", _NOBODY) | permissions.get("write", _NOBODY)


def _bucket(impact: Impact) -> str:
    """Return the bucket that an object is or is in."""
    return impact.route.ancestors[0] if impact.route.ancestors else impact.route.uri


def _key_of(impact: Impact) -> EntryKey:
    bucket = _bucket(impact)
    return bucket, f"{bucket}/{NAME}", impact.effect.kind.name, impact.operation.identity.user_id


def _text_of(moment: datetime) -> str:
    """Return a moment in the form of `isoformat`, which takes four times as long."""
    return dumps(moment)[1:-1]


def _generate_id(time: bytes) -> str:
    """Return an id of the form of a UUID of version 4 that begins with the *time*, as one of version 7 does.

    So entries are at the end of each index, and a database writes to the same few pages for all of them. The time is in
    ms since 1970, in 6 bytes.
    """
    digits = (time + os.urandom(9)).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"


def _since_deletion(impacts: Iterable[Impact]) -> list[Impact]:
    """Return the changes without the deletions of buckets, and without what came before in these (P-HIST-5)."""
    survivors: list[Impact] = []
    for impact in impacts:
        effect = impact.effect
        if effect.kind.name == "bucket" and effect.action == "delete":
            survivors = [each for each in survivors if bucket_of(each.effect.new.uri) != effect.new.uri]
        else:
            survivors.append(impact)
    return survivors


def _attributes(impact: Impact, date: str) -> dict[str, Json]:
    """Return the attributes of an entry (P-HIST-1); the object's ids, but that of its bucket, are among them."""
    effect, ids = impact.effect, impact.route.matchdict()
    if effect.kind.name != "bucket":
        del ids["bucket_id"]
    permissions = {name: sorted(principals) for name, principals in effect.permissions.items() if principals}
    return {
        "date": date,
        "action": effect.action,
        "uri": effect.new.uri,
        "user_id": impact.operation.identity.user_id,
        "resource_name": effect.kind.name,
        **ids,
        "target": {"data": embedded_document(effect.kind, effect.new), "permissions": permissions},
    }


class EntryHooks(KindHooks):
    """The hooks of entries, which have the URI of an object, and the ids and permissions that it had."""

    def rename_references(self, data: Data, former: str, bucket: str) -> Data:
        """Return an entry with the URI of the object, its permissions for groups, and the id of the bucket itself.

        A value that is of another shape than those of entries is no reference.
        """
        uri, target = data.get("uri"), data.get("target")
        if not isinstance(uri, str) or not isinstance(target, dict):
            return data
        document, permissions = (target.get(name, {}) for name in ("data", "permissions"))
        entry = {**data, "uri": rename(uri, former, bucket), "target": {**target}}
        if isinstance(permissions, dict):
            entry["target"]["permissions"] = {
                name: [rename(principal, former, bucket) for principal in principals if isinstance(principal, str)]
                for name, principals in permissions.items()
                if isinstance(principals, list)
            }
        if uri == former and isinstance(document, dict):
            entry["bucket_id"] = bucket.rpartition("/")[2]
            entry["target"]["data"] = {**document, "id": entry["bucket_id"]}
        return entry
