"""Count what each request changes, in its transaction, and refuse what exceeds a limit (plugins contract, 9.1).

The numbers of a bucket are one row, and so are those of a collection. They are written by the last statement before the
COMMIT, when the request holds all its other locks; so requests on different collections of a bucket wait for each other
from there to the COMMIT only. Rows are locked in the order of their URIs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from blueprints.plugins import Context, Effect, Metrics, bucket_of
from blueprints.plugins.quotas.limits import MAX_BYTES, MAX_BYTES_PER_ITEM, MAX_ITEMS, Limits, QuotaExceeded
from blueprints.plugins.quotas.sizes import size_of
from blueprints.plugins.quotas.tables import NUMBERS, add, add_and_return, remove_buckets, remove_collections
from blueprints.plugins.quotas.usage import COUNTED, Changes, Usage, collection_of

METRIC: Final = "plugins.quotas"

_COLLECTION_BYTES: Final = "Collection maximum size exceeded ({} > {} Bytes)."
_COLLECTION_ITEMS: Final = "Collection maximum number of objects exceeded ({} > {} objects)."
# As Kinto spells them, with a blank at the end of the first and quotes in the last.
_BUCKET_BYTES: Final = "Bucket maximum total size exceeded ({} > {} Bytes). "
_BUCKET_ITEMS: Final = "Bucket maximum number of objects exceeded ({} > {} objects)."
_OBJECT: Final = 'Maximum bytes per object exceeded " "({} > {} Bytes.'
_OF_BUCKETS: Final = ((MAX_BYTES, "bytes", _BUCKET_BYTES), (MAX_ITEMS, "records", _BUCKET_ITEMS))
_OF_COLLECTIONS: Final = ((MAX_BYTES, "bytes", _COLLECTION_BYTES), (MAX_ITEMS, "records", _COLLECTION_ITEMS))
"""The limits by the ends of their names, with the numbers of `Usage` that they limit, and the messages."""


class Execution(Protocol):
    """A context or a transaction, which executes statements."""

    def execute(self, statement: Any, values: Any) -> Sequence[tuple[Any, ...]]:
        """Execute a statement and return its rows."""


class _Check(NamedTuple):
    """A limit of one of the numbers of `Usage`, to which a request adds."""

    limit: int
    number: str
    message: str


class Quotas:
    """The rule of the plugin."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._has_object_limits = any(name.endswith(MAX_BYTES_PER_ITEM) for name in limits.by_name)
        self._metrics = metrics

    def __call__(self, effects: Sequence[Effect], context: Context) -> None:
        """Count the effects of a request. Raises QuotaExceeded."""
        with self._metrics.timer(METRIC):
            changes = self._count(effects)
            if changes:
                self._write(changes, context)

    def _count(self, effects: Sequence[Effect]) -> Changes:
        """Return the changes of effects. Raises QuotaExceeded for an object that grows and is too large."""
        changes = Changes()
        for effect in effects:
            if effect.kind.name in COUNTED:
                size = size_of(effect.new)
                if self._has_object_limits and size > size_of(effect.old):
                    _expect_below(self._limits.of_object(*_ids(effect.new.uri)), size, _OBJECT)
                changes.add(effect, size)
        return changes

    def _write(self, changes: Changes, context: Context) -> None:
        """Write the changes. Raises QuotaExceeded."""
        checks = {uri: list(self._checks(uri, change)) for uri, change in changes.usages.items()}
        usages = write(changes, context, returning=any(checks.values()))
        for uri, usage in usages.items():
            for limit, number, message in checks[uri]:
                _expect_below(limit, getattr(usage, number), message)

    def _checks(self, uri: str, change: Usage) -> Iterator[_Check]:
        """Yield the limits of the numbers of a bucket or collection that grow."""
        bucket, collection = _ids(uri)
        for name, number, message in _OF_BUCKETS if collection is None else _OF_COLLECTIONS:
            if getattr(change, number) > 0:
                limit = self._limits.of(bucket, collection, name)
                if limit is not None:
                    yield _Check(limit, number, message)


def write(changes: Changes, execution: Execution, *, returning: bool = False) -> dict[str, Usage]:
    """Write the changes: one statement, but for a request that also deletes buckets or collections.

    With *returning*, which costs a round trip, return the numbers that changed, as they are then, buckets before their
    collections.
    """
    if changes.deleted_buckets:
        execution.execute(remove_buckets, {"buckets": sorted(changes.deleted_buckets)})
    if not changes.deleted_collections:
        return _add(changes.usages, execution, returning=returning)
    usages: dict[str, Usage] = {}
    for bucket in changes.buckets():
        usages |= _write_bucket(bucket, changes, execution, returning=returning)
    return usages


def _write_bucket(bucket: str, changes: Changes, execution: Execution, *, returning: bool) -> dict[str, Usage]:
    """Write the changes of one bucket, in which collections may be deleted."""
    usages, collections = changes.in_bucket(bucket), changes.deleted_collections.get(bucket)
    if collections:
        # The row of the bucket needs no statement of its own if there is one, nothing else changes in the bucket, and
        # no number is to be returned.
        alone = usages.keys() <= {bucket} and bucket not in changes.new_buckets and not returning
        more = usages.pop(bucket, Usage()) if alone else Usage()
        values = {f"more_{name}": number for name, number in zip(NUMBERS, _numbers(more), strict=True)}
        execution.execute(remove_collections, {"of_bucket": bucket, "collections": sorted(collections), **values})
    return _add(usages, execution, returning=returning)


def _add(usages: dict[str, Usage], execution: Execution, *, returning: bool) -> dict[str, Usage]:
    rows = [
        {"bucket": bucket_of(uri), "uri": uri, **dict(zip(NUMBERS, _numbers(usage), strict=True))}
        for uri, usage in sorted(usages.items())
        if any(_numbers(usage))
    ]
    return {
        uri: Usage(*numbers) for uri, *numbers in sorted(execution.execute(add_and_return if returning else add, rows))
    }


def _numbers(usage: Usage) -> tuple[int, int, int]:
    return usage.collections, usage.records, usage.bytes


def _ids(uri: str) -> tuple[str, str | None]:
    """Return the ids of the bucket and the collection that an object is or is in."""
    collection = collection_of(uri)
    return uri.split("/")[2], collection and collection.rpartition("/")[2]


def _expect_below(limit: int | None, number: int, message: str) -> None:
    if limit is not None and number > limit:
        raise QuotaExceeded(message.format(number, limit))
