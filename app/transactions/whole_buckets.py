"""Read all objects of a bucket, while nobody else changes them: for plugins that compute something from all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeVar

from app.identity import Reader
from app.service import Service
from app.transactions.write_transaction import run_with_retries
from backends.storage import Order, Page, Selection, Stored, Transaction, bucket_of, list_of

_ROWS: Final = 1_000
"""The number of objects that one statement reads."""

_OLDEST_FIRST: Final = (Order(("last_modified",)),)
"""An order in which an object that changes meanwhile is read again, and none is missed."""

_Result = TypeVar("_Result")


def list_objects(read: Reader, list_uri: str) -> Iterator[Stored]:
    """Yield all living objects of a list; outside of a transaction an object that changes meanwhile comes twice."""
    page = Page(list_uri, order=_OLDEST_FIRST, limit=_ROWS, unrestricted=True)
    while True:
        rows = read(Selection(bucket_of(list_uri), page=page)).page
        yield from rows
        if len(rows) < _ROWS:
            return
        page = replace(page, after=(rows[-1].timestamp, rows[-1].uri))


def with_locked_bucket(
    service: Service, bucket: str, act: Callable[[Transaction, Iterable[Stored]], _Result]
) -> _Result:
    """Return the result of *act*, which gets a transaction that locks a bucket, and all living objects of the bucket.

    It is called again when the transaction is tried again. The objects are read as they are iterated over: first the
    bucket itself, if it exists, then those in its lists. Raises BackendError and Clash.
    """

    def attempt(lists: frozenset[str]) -> _Result:
        with service.transaction() as transaction:
            transaction.lock({list_of(bucket)} | lists | service.kinds.derived_list_uris((bucket,)), (bucket,))
            clocks = transaction.read(Selection(bucket, cascade_roots=(bucket,))).clocks
            result = act(transaction, _objects_of(transaction.read, bucket, sorted(clocks)))
        return result

    return run_with_retries(attempt)


def _objects_of(read: Reader, bucket: str, lists: Iterable[str]) -> Iterator[Stored]:
    yield from (
        stored for stored in read(Selection(list_of(bucket), targets=(bucket,))).objects.values() if not stored.deleted
    )
    for list_uri in lists:
        yield from list_objects(read, list_uri)
