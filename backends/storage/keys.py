"""Derive keys from URIs: the list and the bucket of an object, and which URIs lie below an object.

A *URI* (the path without `/v1`) is the key of an object. Its *list* is the URI without the last segment. Its *bucket*
is the first two segments: `/buckets/blog` for `/buckets/blog/collections/posts`.

An object whose list is at the top (a bucket, an account) is stored twice: under its own bucket, where reads of its
contents find it, and under the bucket of its list (`/buckets`, the *directory*), which `GET /buckets` reads.
`read_bucket` returns the bucket under which an object is read, `write_buckets` all buckets under which it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def list_of(uri: str) -> str:
    """Return the list that contains the object *uri*."""
    return uri[: uri.rindex("/")]


def id_of(uri: str) -> str:
    """Return the id of the object *uri*, its last segment."""
    return uri[uri.rindex("/") + 1 :]


def bucket_of(uri: str) -> str:
    """Return the first two segments of a URI, the key that all rows of a bucket share."""
    return "/".join(uri.split("/", 3)[:3])


def read_bucket(uri: str) -> str:
    """Return the bucket under which the object *uri* is read: the bucket of its list."""
    return bucket_of(list_of(uri))


def write_buckets(uri: str) -> tuple[str, ...]:
    """Return all buckets under which the object *uri* is written: two for an object at the top, else one."""
    directory, own = read_bucket(uri), bucket_of(uri)
    return (own,) if directory == own else (directory, own)


def is_inside(uri: str, roots: Collection[str]) -> bool:
    """Return whether a URI lies below one of the objects *roots*."""
    if not roots:
        return False
    segments = uri.split("/")
    return any("/".join(segments[:end]) in roots for end in range(3, len(segments), 2))


def at_top(uri: str) -> bool:
    """Return whether the list of the object *uri* is at the top, so that a whole bucket lies below the object."""
    return read_bucket(uri) != bucket_of(uri)


def is_derived(name: str, kinds: Collection[tuple[str, str]]) -> bool:
    """Return whether a list is derived; *kinds* has for each the name of its parent's list and its own."""
    segments = name.split("/")
    return len(segments) == 4 and (segments[1], segments[3]) in kinds


def derived_lists(uri: str, kinds: Collection[tuple[str, str]]) -> list[str]:
    """Return the derived lists in an object, in the order of their names; none if it is not at the top."""
    if not kinds or not at_top(uri):
        return []
    top = uri.split("/")[1]
    return sorted(f"{uri}/{plural}" for parent, plural in kinds if parent == top)


def like_pattern(lists: Sequence[str]) -> str:
    r"""Return the LIKE pattern of all lists of one kind, with `\` as the escape character.

    *lists* are the names of the lists from the outside in: ("buckets", "groups") gives `/buckets/%/groups`.
    """
    names = (name.replace("\\", r"\\").replace("_", r"\_").replace("%", r"\%") for name in lists)
    return "/" + "/%/".join(names)
