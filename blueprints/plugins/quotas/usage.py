"""What a request adds to the numbers of buckets and collections. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from blueprints.plugins import Effect, bucket_of
from blueprints.plugins.quotas.sizes import size_of

COUNTED: Final = ("bucket", "collection", "group", "record")
"""The kinds of objects that are counted."""

_COLLECTION_SEGMENTS: Final = 5
"""The number of parts of the URI of a collection that `/` separates, the empty first one included."""


@dataclass(slots=True)
class Usage:
    """The numbers of a bucket or collection, or a change of them."""

    collections: int = 0
    records: int = 0
    bytes: int = 0

    def add(self, kind: str, number: int, size: int) -> None:
        """Add a number of objects of one kind, and their size in bytes."""
        self.collections += number * (kind == "collection")
        self.records += number * (kind == "record")
        self.bytes += size


@dataclass(slots=True)
class Changes:
    """The changes of a request: by the URI of a bucket or collection, after all in the deleted ones is given back.

    What a request adds to a collection before it deletes it is forgotten with it. An object that is deleted with its
    bucket or collection has no effect of its own, so their stored numbers are subtracted. `new_buckets` have no row.
    """

    usages: dict[str, Usage] = field(default_factory=dict)
    deleted_collections: dict[str, set[str]] = field(default_factory=dict)
    deleted_buckets: set[str] = field(default_factory=set)
    new_buckets: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.usages or self.deleted_collections or self.deleted_buckets)

    def add(self, effect: Effect, size: int) -> None:
        """Add the effect of one operation, in their order, on an object of a kind that is counted, with its size."""
        kind, uri, deleted = effect.kind.name, effect.new.uri, effect.new.deleted
        if kind == "bucket" and deleted:
            self._forget_bucket(uri)
            return
        if kind == "bucket" and effect.old is None:
            self.new_buckets.add(uri)
        number = (not deleted) - (effect.old is not None)
        if kind == "collection" and deleted:
            bucket = bucket_of(uri)
            self._forget_collection(bucket, uri)
            self._usage(bucket).add(kind, number, 0)
            return
        self.count(kind, uri, number, size - size_of(effect.old))

    def count(self, kind: str, uri: str, number: int, size: int) -> None:
        """Add a number of objects, 0 for an update, and bytes to a bucket and the collection that *uri* is or is in."""
        if not (number or size):
            return
        collection = collection_of(uri)
        self._usage(bucket_of(uri)).add(kind, number, size)
        if collection is not None:
            self._usage(collection).add(kind if kind == "record" else "", number, size)

    def buckets(self) -> Iterable[str]:
        """Return the buckets in which something changes but for those that are deleted, in order."""
        return sorted({*map(bucket_of, self.usages), *self.deleted_collections})

    def in_bucket(self, bucket: str) -> dict[str, Usage]:
        """Return the changes of a bucket and the collections in it, in the order of their URIs."""
        return {uri: usage for uri, usage in sorted(self.usages.items()) if bucket_of(uri) == bucket}

    def _usage(self, uri: str) -> Usage:
        return self.usages.setdefault(uri, Usage())

    def _forget_bucket(self, bucket: str) -> None:
        self.usages = {uri: usage for uri, usage in self.usages.items() if bucket_of(uri) != bucket}
        self.deleted_collections.pop(bucket, None)
        self.deleted_buckets.add(bucket)

    def _forget_collection(self, bucket: str, collection: str) -> None:
        in_collection, in_bucket = self.usages.pop(collection, Usage()), self._usage(bucket)
        in_bucket.records -= in_collection.records
        in_bucket.bytes -= in_collection.bytes
        self.deleted_collections.setdefault(bucket, set()).add(collection)


def collection_of(uri: str) -> str | None:
    """Return the collection that an object is or is in, None outside of collections."""
    segments = uri.split("/")
    return "/".join(segments[:_COLLECTION_SEGMENTS]) if segments[3:4] == ["collections"] else None
