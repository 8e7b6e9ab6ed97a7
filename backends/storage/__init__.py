"""The interface of a storage backend, and the values that the rules and the storage exchange.

`Storage` and `Transaction` are the two Protocols. The values stand in modules of their own, one subject each: `keys`,
`objects`, `selections` and `snapshots` (reads), `changes` (writes), `errors`. This package exports all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from sqlalchemy import Executable

from backends.storage.changes import (
    NOTHING_APPENDED,
    Append,
    Appended,
    Appends,
    Change,
    Holdings,
    Move,
    Principals,
    UserHoldings,
)
from backends.storage.checks.scope import CheckScope
from backends.storage.errors import Conflict, Disconnected, NotUnique, Uncertain, Unlocked
from backends.storage.indexes import NOTHING_DECLARED, Declared, Index, IndexDefinition
from backends.storage.keys import (
    at_top,
    bucket_of,
    derived_lists,
    id_of,
    is_derived,
    is_inside,
    like_pattern,
    list_of,
    read_bucket,
    write_buckets,
)
from backends.storage.objects import LATEST, LIVING, Clock, Stored, User, UserState
from backends.storage.plugin_tables import PluginTables
from backends.storage.selections import (
    MISSING,
    NEWEST_FIRST,
    OPERATORS,
    AccessSelection,
    Filter,
    IdField,
    KindRange,
    Missing,
    Order,
    Page,
    Selection,
)
from backends.storage.snapshots import Snapshot
from backends.storage.takeover_options import Takeover

__all__ = [
    "LATEST",
    "LIVING",
    "MISSING",
    "NEWEST_FIRST",
    "NOTHING_APPENDED",
    "NOTHING_DECLARED",
    "NO_VALUES",
    "OPERATORS",
    "AccessSelection",
    "Append",
    "Appended",
    "Appends",
    "Change",
    "CheckScope",
    "Clock",
    "Conflict",
    "Counts",
    "Declared",
    "Disconnected",
    "Executable",
    "Filter",
    "Holdings",
    "IdField",
    "Index",
    "IndexDefinition",
    "KindRange",
    "Missing",
    "Move",
    "NotUnique",
    "Order",
    "Page",
    "PluginTables",
    "Principals",
    "Row",
    "Selection",
    "Snapshot",
    "Storage",
    "Stored",
    "Takeover",
    "Transaction",
    "Uncertain",
    "Unlocked",
    "User",
    "UserHoldings",
    "UserState",
    "Values",
    "at_top",
    "bucket_of",
    "derived_lists",
    "id_of",
    "is_derived",
    "is_inside",
    "like_pattern",
    "list_of",
    "read_bucket",
    "write_buckets",
]

Row = tuple[Any, ...]
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""The values of a statement by name; for an INSERT also a sequence of rows."""

NO_VALUES: Final[Values] = {}

Counts = Mapping[tuple[str, ...], tuple[int, int]]
"""The numbers of objects and tombstones, by the names of lists from the outside in: ("buckets", "collections")."""


class Transaction(Protocol):
    """One writing transaction: lock, read, decide (outside of the storage), move clocks, write.

    Methods that write raise Unlocked for a list that the transaction neither locked nor started. `has_executed` is
    whether it has executed a statement of a plugin.
    """

    @property
    def has_executed(self) -> bool: ...

    def lock(
        self, lists: Iterable[str], cascade_roots: Iterable[str] = (), read_bucket: str | None = None
    ) -> dict[str, Clock]:
        """Lock the clocks of *lists* and those below the objects *cascade_roots* that are not derived; return them.

        The result is by list. Call this before reading anything that the transaction will write. The rows stay locked
        until the transaction ends.

        If nothing but lists of *read_bucket* is to be locked, this may be left to the next `read`, which must follow:
        then the result is empty, and the snapshot has the clocks.
        """

    def lock_last(self, name: str) -> dict[str, Clock]:
        """Lock one more list after all others; return its clock by its name, nothing for a list without a clock.

        Raises Unlocked when a list is locked already that follows it in the lock order: another try locks both in
        their order.
        """

    def expect_locked(self, lists: Iterable[str]) -> None:
        """Raise Unlocked for lists that the transaction neither locked nor started."""

    def read(self, selection: Selection) -> Snapshot:
        """Read from one bucket inside the transaction, as `Storage.read` does.

        Raises Unlocked when a list below one of `selection.cascade_roots` is neither locked nor derived.
        """

    def timestamp_conflicts(self, requested: Iterable[tuple[str, int]]) -> set[str]:
        """Return the URIs of objects that already use one of the *requested* timestamps in the same list (C-PRE-9).

        Each of *requested* is the URI of an object and a timestamp.
        """

    def write(
        self,
        changes: Sequence[Change],
        moves: Sequence[Move],
        declared: Declared = NOTHING_DECLARED,
        appends: Appends = NOTHING_APPENDED,
    ) -> bool:
        """Move the clocks, then write objects and grants, each as one statement.

        *appends* are objects of derived lists, which are locked by the move, and get timestamps in this order. If the
        bucket was read before, the COMMIT raises Unlocked where another transaction has appended to one meanwhile.
        *declared* are the indexes of lists from then on. Returns whether one of them is left to the index builder,
        since its list is large. Raises NotUnique for an object with the values of another one
        in a unique index; Unlocked for a list that is neither locked nor started, and for a list that is to start
        although it has a clock that the transaction has not read.
        """

    def holdings_of(self, principals: Principals) -> Holdings:
        """Return the living grants to principals in all buckets, the memberships of users, and those in groups."""

    def end_holdings(self, holdings: Holdings, timestamp_of: Callable[[str], int]) -> None:
        """End grants and memberships, each at the timestamp that *timestamp_of* returns for its list."""

    def begin_memberships(self, memberships: Iterable[tuple[str, str]], timestamp_of: Callable[[str], int]) -> None:
        """Begin memberships, pairs of a user and a group, at the timestamps of the lists of the groups."""

    def delete_below(self, uris: Sequence[str], *, copies: bool = True) -> None:
        """Delete all rows below deleted objects; below an object at the top the whole bucket. Clocks stay.

        Without *copies* the copy of an object at the top in its own bucket stays, which belongs to the list of the
        object, and derived lists need not be locked: this is done once more when they are. The indexes of the lists
        below are deleted too. Raises Unlocked for an object that was not read as one of `Selection.cascade_roots` with
        all clocks below it locked.
        """

    def trim(self, name: str, filters: Sequence[Filter], keep: int, threshold: int) -> int:
        """Delete the oldest objects of a locked list that match *filters*, all but the newest *keep*.

        Only if more than *threshold* are older. No tombstones and grants are left. Returns the number of objects.
        """

    def delete_copies(self, uris: Sequence[str]) -> None:
        """Delete the copies of deleted objects at the top in their own buckets, for kinds that contain no lists."""

    def delete_rows(self, plugins: Sequence[PluginTables], uris: Iterable[str]) -> None:
        """Delete the rows of deleted objects in tables of plugins (`of_objects`), and those of all objects below."""

    def start_clocks(self, lists: Collection[str], now: int) -> None:
        """Create the clocks of lists that have none, at the timestamp *now*."""

    def user_holdings(self, principal: str) -> UserHoldings:
        """Return the objects and groups of one principal, in all buckets (user data)."""

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement on the tables of a plugin, after all writes so far, and return its rows.

        The SQL of a statement is compiled once and kept, so statements are constants with `bindparam`s. Lists may be
        bound where these are expanding (`column.in_(bindparam("uris", expanding=True))`). An INSERT has as *values* a
        mapping or a sequence of mappings by column: the rows of one statement.

        A statement that writes and has no RETURNING is sent with the next one that returns rows, or with the COMMIT:
        it costs no round trip, and errors of the database come later.
        """

    def send(self) -> None:
        """Send the writes that wait for the COMMIT, so that it is the only thing that can still fail."""

    def rollback(self) -> None:
        """Undo all writes."""


class Storage(Protocol):
    """A storage backend. Every method raises `BackendError` when the database fails.

    `embedded`: the database is a file of this process, which has created its tables by itself.
    """

    embedded: bool

    def read(self, selection: Selection) -> Snapshot:
        """Read from one bucket in one statement, so that all facts are of the same moment."""

    def execute(self, statement: Executable, values: Values = NO_VALUES) -> Sequence[Row]:
        """Execute a statement on the tables of a plugin and return its rows (see `Transaction.execute`).

        It is part of the open transaction of this thread, else a transaction of its own.
        """

    def transaction(self, derived: Collection[tuple[str, str]] = ()) -> AbstractContextManager[Transaction]:
        """Open a writing transaction: committed when the block ends, rolled back when it raises.

        *derived* has the lists that are locked after all others: ("buckets", "history") is that of every bucket.

        In the block, `read` and `read_accessible` of this thread see the rows that it wrote, and the other methods that
        write raise RuntimeError.

        Raises `Conflict` when the transaction must be tried again (deadlock, serialization).
        """

    def read_accessible(self, selection: AccessSelection) -> Snapshot:
        """Read the permissions that the readers and their groups hold on the objects of a page (C-UTIL-27).

        One statement. The snapshot has `permissions` of the objects of the page, or their `total` where the page is
        counted, and `users`.
        """

    def migrate(
        self,
        report: Callable[[str], None],
        plugins: Sequence[PluginTables] = (),
        *,
        dry_run: bool,
        takeover: Takeover | None = None,
    ) -> None:
        """Create or upgrade the tables, those of *plugins* last, and *report* each step.

        With *takeover* the data of Kinto in the same database are taken over; without, such a database is refused.
        With *dry_run* nothing is written.
        """

    def expect_complete(self) -> None:
        """Raise BackendError if no server may use the database.

        It is the target of a copy that did not end, or has data of Kinto that this storage lacks.
        """

    def start_clocks(self, lists: Sequence[str]) -> None:
        """Create the clocks of the lists at the top that have none yet."""

    def purge(
        self, lists: Sequence[str], keep: int | None, before: int | None = None, plugins: Sequence[PluginTables] = ()
    ) -> int:
        """Remove ended rows from each list that matches a LIKE pattern; return the number of tombstones removed.

        Tombstones are removed except the newest *keep*, and those older than *before* (a timestamp in ms, exclusive).
        Grants and memberships are removed with them that had ended by then, and by the same two limits. Commits in
        batches of 1,000 rows; at each commit the `floor` of a list is at or above the timestamps of the removed rows.
        At last the statements `purge` of *plugins* are executed.
        """

    def build_indexes(self, report: Callable[[str], None], pause_seconds: float = 0, *, retry: bool = False) -> None:
        """Build all unfinished indexes, and with *retry* those that were refused; *report* each that is built.

        Commits after every 100 objects, then pauses. Another builder may run at the same time.
        """

    def change_automatic_indexes(
        self,
        missing: Iterable[tuple[str, IndexDefinition]],
        in_use: Iterable[Index],
        now: int,
        derived: Collection[tuple[str, str]] = (),
    ) -> None:
        """Create the *missing* automatic indexes, pairs of a list and a definition, where lists have room.

        They are left to `build_indexes`. Those *in_use* are noted as such; others that were not noted for 30
        days are dropped. *now* is in ms, *derived* as in `transaction`. Each is a transaction of its own.
        """

    def check(
        self,
        scope: CheckScope,
        report: Callable[[str], None],
        advance: Callable[[int], None],
        *,
        repair: bool,
    ) -> int:
        """Report all faults of the rows (`backends.storage.checks`), a line for each; return their number.

        Each is confirmed in a transaction that locks its lists; with *repair* it is repaired there, and reported as a
        JSON line before it is deleted. *advance* gets the numbers of rows that were read.
        """

    def count(self, depth: int) -> Counts:
        """Count all objects and tombstones, in lists at most *depth* below each other. It reads all of them."""

    def flush(self, lists: Sequence[str] = (), plugins: Sequence[PluginTables] = ()) -> None:
        """Delete all objects, tombstones, grants, memberships and clocks, and all rows of the tables of *plugins*.

        The clocks of *lists* are created again.
        """

    def ping(self, plugins: Sequence[PluginTables] = (), *, write: bool) -> None:
        """Check that the database answers and, with *write*, that it accepts writes; nothing is written.

        The tables of *plugins* are looked for by the same statement.
        """

    def close(self) -> None:
        """Close all connections."""
