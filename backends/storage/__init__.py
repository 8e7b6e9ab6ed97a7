"""Where objects live: the words that rules and storage share, and the interface of a storage backend.

A *URI* (the path without `/v1`) is the key of an object; its *list* is the URI without the last segment; its *bucket*
is the first two segments. An object at the top (a bucket, an account) lives under two keys: its own (what is inside it
finds it there) and its list's (the directory, which `GET /buckets` reads). `read_bucket` returns
the key under which it is read, `write_buckets` all keys under which it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from backends.storage.changes import Change, Holdings, Move, Principals, UserHoldings
from backends.storage.errors import Conflict, Disconnected, Uncertain, Unlocked
from backends.storage.keys import at_top, bucket_of, is_inside, like_pattern, list_of, read_bucket, write_buckets
from backends.storage.objects import LATEST, LIVING, Clock, Stored, User, UserState
from backends.storage.selections import (
    MISSING,
    NEWEST_FIRST,
    OPERATORS,
    AccessSelection,
    Filter,
    KindRange,
    Missing,
    Order,
    Page,
    Selection,
)
from backends.storage.snapshots import Snapshot

__all__ = [
    "LATEST",
    "LIVING",
    "MISSING",
    "NEWEST_FIRST",
    "OPERATORS",
    "AccessSelection",
    "Change",
    "Clock",
    "Conflict",
    "Disconnected",
    "Filter",
    "Holdings",
    "KindRange",
    "Missing",
    "Move",
    "Order",
    "Page",
    "Principals",
    "Selection",
    "Snapshot",
    "Storage",
    "Stored",
    "Transaction",
    "Uncertain",
    "Unlocked",
    "User",
    "UserHoldings",
    "UserState",
    "at_top",
    "bucket_of",
    "is_inside",
    "like_pattern",
    "list_of",
    "read_bucket",
    "write_buckets",
]


class Transaction(Protocol):
    """One writing transaction: lock, read, decide (not here), move, write."""

    def lock(self, lists: Iterable[str], below: Iterable[str] = ()) -> dict[str, Clock]:
        """Lock the clocks of *lists* and all clocks below the objects *below*; return those found, by list.

        Call this before reading anything that the transaction will write. The rows stay locked until its end.
        """

    def lock_last(self, name: str) -> dict[str, Clock]:
        """Lock one more list, after all others; return its clock, nothing for a list that has none.

        Raises Unlocked where a list is held that comes after it: another try locks both in their order.
        """

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that the transaction neither locked nor started."""

    def read(self, wanted: Selection) -> Snapshot:
        """Read one bucket, as `Storage.read` does, inside the transaction.

        Raises Unlocked when a list below the objects `wanted.cascade_roots` is not locked.
        """

    def timestamp_conflicts(self, wished: Iterable[tuple[str, int]]) -> set[str]:
        """Return the URIs of objects that already use one of the timestamps (URI, timestamp) in the list (C-PRE-9)."""

    def write(self, changes: Sequence[Change], moves: Sequence[Move]) -> None:
        """Move the clocks, then write objects and grants, each as one statement.

        Raises Unlocked for a list that is not locked and not started, and for one that starts although it had a clock
        that the transaction has not read.
        """

    def holdings_of(self, principals: Principals) -> Holdings:
        """Return the living grants to principals in all buckets, the memberships of users, and those in groups."""

    def end(self, held: Holdings, stamp: Callable[[str], int]) -> None:
        """End grants and memberships, each at the timestamp that *stamp* gives its list. Raises Unlocked."""

    def join(self, memberships: Iterable[tuple[str, str]], stamp: Callable[[str], int]) -> None:
        """Begin memberships, pairs of a user and a group, at the timestamps of the groups' lists. Raises Unlocked."""

    def delete_below(self, uris: Sequence[str], *, copies: bool = True) -> None:
        """Delete all that lies below deleted objects, for those at the top the whole bucket. Clocks stay.

        Without *copies* those of the objects in their own buckets stay, which belong to the lists that they are in.
        Raises Unlocked for an object that was not read as `Selection.cascade_roots`, with all clocks below it locked.
        """

    def remove_copies(self, uris: Sequence[str]) -> None:
        """Delete the copies of deleted objects at the top that hold no lists, in their own buckets."""

    def start(self, lists: Collection[str], now: int) -> None:
        """Make the clocks of lists that have none."""

    def user_holdings(self, principal: str) -> UserHoldings:
        """Return what a principal has by itself, in all buckets (user data)."""

    def rollback(self) -> None:
        """Forget all that was done."""


class Storage(Protocol):
    """A storage backend. Every method raises `BackendError` when the database fails.

    `embedded` says that it comes with the process and has made its tables by itself.
    """

    embedded: bool

    def read(self, wanted: Selection) -> Snapshot:
        """Read what is wanted of one bucket in one statement, so that all of it is of one moment."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a writing transaction: committed when the block ends, rolled back when it raises.

        In the block `read` and `accessible` of this thread see what it wrote, and whatever else writes raises
        RuntimeError.

        Raises `Conflict` when the database asks for another try (deadlock, serialization).
        """

    def accessible(self, wanted: AccessSelection) -> Snapshot:
        """Read what the readers and their groups hold on the objects of a page, in one statement (C-UTIL-27).

        The snapshot has `permissions` of the objects of the page, or their `total` where the page is counted, and
        `users`.
        """

    def migrate(self, dry_run: bool, report: Callable[[str], None]) -> None:
        """Create or upgrade the tables; say each step."""

    def start(self, lists: Sequence[str]) -> None:
        """Make the clocks of the lists at the top that have none yet."""

    def purge(self, lists: Sequence[str], keep: int | None, before: int | None = None) -> int:
        """Remove what has ended in each list that matches a LIKE pattern; return how many tombstones.

        Tombstones but the newest *keep*, and those older than *before* (a timestamp in ms, exclusive); with them the
        grants and memberships that ended by then, or by as many ends or as much time. Commits in batches of 1,000 rows;
        at each commit the `floor` of a list is at or above what was removed of it.
        """

    def check(self, now: int, latest: int, repair: bool, report: Callable[[str], None]) -> int:
        """Report each list whose clock, timestamps or count are wrong; return how many there are.

        Timestamps from 0 to *latest* are in range. With *repair* each of the lists is mended in a transaction of its
        own, in which its clock is locked.
        """

    def flush(self, lists: Sequence[str] = ()) -> None:
        """Remove all objects, tombstones, grants, memberships and clocks, and make the clocks of *lists* anew."""

    def ping(self, write: bool) -> None:
        """Ask the database whether it answers, and when *write* whether it takes writes, without writing anything."""

    def close(self) -> None:
        """Give back the connections."""
