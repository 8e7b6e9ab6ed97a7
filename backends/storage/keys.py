"""URIs as keys: the list and the bucket of an object, and which URIs lie below which."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def list_of(uri: str) -> str:
    """Return the list that the object *uri* is in."""
    return uri[: uri.rindex("/")]


def bucket_of(uri: str) -> str:
    """Return the first two segments of a URI: the key that everything in a bucket shares."""
    return "/".join(uri.split("/", 3)[:3])


def read_bucket(uri: str) -> str:
    """Return the bucket under which the object *uri* is read: its list's, for one at the top the directory."""
    return bucket_of(list_of(uri))


def write_buckets(uri: str) -> tuple[str, ...]:
    """Return every bucket under which the object *uri* is written: one, for an object at the top two."""
    return tuple(dict.fromkeys((read_bucket(uri), bucket_of(uri))))


def is_inside(uri: str, others: Collection[str]) -> bool:
    """Say whether a URI lies below one of the objects *others*."""
    if not others:
        return False
    segments = uri.split("/")
    return any("/".join(segments[:end]) in others for end in range(3, len(segments), 2))


def at_top(uri: str) -> bool:
    """Say whether the object *uri* is at the top, so that a whole bucket lies below it."""
    return read_bucket(uri) != bucket_of(uri)


def like_pattern(lists: Sequence[str]) -> str:
    """Return the LIKE pattern, escaped by backslash, of all lists of a kind: *lists* are the names on the way."""
    names = (name.replace("\\", r"\\").replace("_", r"\_").replace("%", r"\%") for name in lists)
    return "/" + "/%/".join(names)
