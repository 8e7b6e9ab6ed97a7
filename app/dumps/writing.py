r"""Write a dump: lines of JSON (docs/production.md, "Backup").

    {"kinto_dump": 1, "service": "1.8.0", "time": "2026-11-30T12:00:00+00:00", "secrets": false}
    {"list": "/buckets", "last_modified": 1750000000000, "floor": 1740000000000, "count": 1}
    {"uri": "/buckets/a", "born": 1750000000000, "last_modified": 1750000000000,
     "data": {"id": "a", "last_modified": 1750000000000}, "permissions": {"write": {"account:bob": 1750000000000}}}
    {"end": {"objects": 1, "lists": 1, "checksum": "..."}}

The document of an object is written as the database returns it. The checksum is of all bytes before the last line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from app.kinds import Kinds
from app.version import VERSION
from backends import Json
from backends.codec import dumps, loads
from backends.storage import LIVING, list_of
from backends.storage.transfer.entries import Entry, Grant, ListEntry, Membership, ObjectEntry

FORMAT: Final = "kinto_dump"
FORMAT_VERSION: Final = 1
CHECKSUM_BYTES: Final = 32


class UnknownKind(Exception):
    """Objects of a kind of which nobody knows what is private. The argument is their list."""


class Writer:
    """Writes entries as lines; without *secrets* private fields are left out."""

    def __init__(self, kinds: Kinds, *, secrets: bool) -> None:
        self._secrets = secrets
        self._private = lru_cache(maxsize=1024)(lambda list_uri: _private_fields(kinds, list_uri))

    def lines(self, entries: Iterable[Entry], buckets: Iterable[str] = ()) -> Iterator[bytes]:
        """Yield the header, a line for each entry, and the end. Raises UnknownKind."""
        checksum = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
        objects = lists = 0
        header: dict[str, Json] = {
            FORMAT: FORMAT_VERSION,
            "service": VERSION,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "secrets": self._secrets,
        }
        if names := sorted(buckets):
            header["buckets"] = names
        line = _line(dumps(header))
        checksum.update(line)
        yield line
        for entry in entries:
            if isinstance(entry, ObjectEntry):
                line = _line(self._object_text(entry))
                objects += 1
            else:
                line = _line(_list_text(entry))
                lists += 1
            checksum.update(line)
            yield line
        yield _line(dumps({"end": {"objects": objects, "lists": lists, "checksum": checksum.hexdigest()}}))

    def _object_text(self, entry: ObjectEntry) -> str:
        text, private = entry.text, () if self._secrets else self._private(list_of(entry.uri))
        if private:
            document = loads(text)
            text = dumps({name: value for name, value in document.items() if name not in private})
        parts = [f'"uri": {dumps(entry.uri)}, "born": {entry.born}, "last_modified": {entry.last_modified}']
        if entry.deleted:
            parts.append('"deleted": true')
        parts.append(f'"data": {text}')
        parts += [f'"{name}": {dumps(value)}' for name, value in _intervals(entry).items() if value]
        return f"{{{', '.join(parts)}}}"


def _private_fields(kinds: Kinds, list_uri: str) -> tuple[str, ...]:
    route = kinds.match(list_uri)
    if route is None:
        raise UnknownKind(list_uri)
    return route.kind.private


def _line(text: str) -> bytes:
    return text.encode() + b"\n"


def _intervals(entry: ObjectEntry) -> dict[str, Json]:
    """Return permissions and memberships by their beginning, and those that ended with their end."""
    permissions: dict[str, dict[str, int]] = {}
    for permission, principal, since, until in entry.grants:
        if until == LIVING:
            permissions.setdefault(permission, {})[principal] = since
    return {
        "permissions": permissions,
        "former_permissions": _former_intervals(entry.grants),
        "members": {user: since for user, since, until in entry.members if until == LIVING},
        "former_members": _former_intervals(entry.members),
    }


def _former_intervals(intervals: Iterable[Grant | Membership]) -> list[Any]:
    return [list(interval) for interval in intervals if interval.until != LIVING]


def _list_text(entry: ListEntry) -> str:
    line: dict[str, Json] = {
        "list": entry.list,
        "last_modified": entry.last_modified,
        "floor": entry.floor,
        "count": entry.count,
    }
    if entry.former is not None:
        line["former"] = entry.former
    if entry.indexes:
        line["indexes"] = [{"definition": loads(index.definition), "origin": index.origin} for index in entry.indexes]
    return dumps(line)
