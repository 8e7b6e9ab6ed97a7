"""Take one bucket out of a dump under another name: its URI in all keys, and in the references to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from app.kinds import Kinds, rename
from backends.codec import dumps, loads
from backends.storage import bucket_of, list_of
from backends.storage.transfer.entries import Entry, ListEntry, ObjectEntry

_BUCKETS = "/buckets"


class WrongBucket(Exception):
    """The dump does not have the one bucket that is asked for."""


def select_bucket(entries: Iterable[Entry], bucket: str | None) -> Iterator[Entry]:
    """Yield the entries of a bucket: itself first, then the objects and lists in it. All entries are read.

    Raises WrongBucket if the dump lacks the bucket; without one, if it has none or several.
    """
    bucket_uri = None
    for entry in entries:
        if isinstance(entry, ObjectEntry) and list_of(entry.uri) == _BUCKETS and not entry.deleted:
            if bucket_uri is not None and bucket is None:
                raise WrongBucket("the dump has several buckets: choose one by --bucket.")
            if bucket in (None, entry.uri):
                bucket_uri = entry.uri
        if bucket_uri == bucket_of(entry.list if isinstance(entry, ListEntry) else entry.uri):
            yield entry
    if bucket_uri is None:
        raise WrongBucket(f"the dump has no bucket {bucket.rpartition('/')[2]}." if bucket else "it has no bucket.")


def rename_bucket(entries: Iterable[Entry], bucket: str, kinds: Kinds) -> Iterator[Entry]:
    """Yield the entries of one bucket, itself first, as those of *bucket*.

    Groups of the bucket that are principals are renamed too, and what the hooks of kinds know to be references.
    """
    former = ""
    for entry in entries:
        if isinstance(entry, ListEntry):
            yield replace(entry, list=rename(entry.list, former, bucket))
        else:
            former = former or entry.uri
            yield _rename_object(entry, former, bucket, kinds)


def _rename_object(entry: ObjectEntry, former: str, bucket: str, kinds: Kinds) -> ObjectEntry:
    uri = rename(entry.uri, former, bucket)
    grants = [grant._replace(principal=rename(grant.principal, former, bucket)) for grant in entry.grants]
    entry = entry._replace(uri=uri, grants=grants)
    route = kinds.match(uri)
    if route is None or entry.deleted:
        return entry
    document = route.kind.hooks.rename_references({**loads(entry.text), "id": route.id}, former, bucket)
    return entry._replace(text=dumps(document))
