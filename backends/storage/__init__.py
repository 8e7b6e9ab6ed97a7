"""Where objects live: the words that rules and storage share, and the interface of a storage backend.

A *URI* (the path without `/v1`) is the key of an object; its *list* is the URI without the last segment; its *bucket*
is the first two segments. An object at the top (a bucket, an account) lives under two keys: its own (what is inside it
finds it there) and its list's (the directory, which `GET /buckets` reads). `read_bucket` returns
the key under which it is read, `write_buckets` all keys under which it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from backends import BackendError, Json
from backends.codec import loads

LIVING: Final = 9223372036854775807
"""What `until` says of a grant or a membership that has not ended."""

LATEST: Final = 253402300799999
"""The greatest timestamp in ms that the tables hold, the end of the year 9999: there is no later HTTP date.

The greatest that a client may choose is a year earlier (`app.decisions.saving.LAST_TIMESTAMP`): its list can go on.
"""


class Missing:
    """The value of a field that an object does not have: greater than every JSON value (C-LIST-35)."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


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


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, or its tombstone, as it is stored: `text` is its JSON document with `id` and `last_modified`.

    `born` is the timestamp that its list gave to the write that first created it: updates, the tombstone and creation
    anew keep it (`app.decisions.working_set`).
    """

    uri: str
    timestamp: int
    deleted: bool
    born: int
    text: str

    @property
    def id(self) -> str:
        """Return the last segment of the URI."""
        return self.uri[self.uri.rindex("/") + 1 :]

    def data(self) -> dict[str, Json]:
        """Return the decoded document, each time a new one."""
        document: dict[str, Json] = loads(self.text)
        return document


@dataclass(frozen=True, slots=True)
class Clock:
    """A list's clock: its newest timestamp in ms, and how many living objects it holds.

    `former` is the highest timestamp that the list had before `kinto check --repair` set its clock back, else 0.
    """

    last_modified: int
    count: int
    former: int = 0

    def outdates(self, since: int) -> bool:
        """Say whether a client that synchronised up to *since* did so before the clock was set back.

        Once the clock has passed `former` again, what the list gave out before and after cannot be told apart.
        """
        return 0 < since <= self.former and (since > self.last_modified or self.former <= self.last_modified)


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field: `operator` is one of `OPERATORS`, `path` the names from the outside in.

    The paths ("id",) and ("last_modified",) mean the object's own key and timestamp. The value of `in` and `exclude`
    is a tuple of JSON values, of `contains` and `contains_any` a list, of `has` a bool, of `like` a text in which only
    `*` is special and which covers the whole field.
    """

    path: tuple[str, ...]
    operator: str
    value: Json


OPERATORS: Final = ("eq", "not", "gt", "min", "lt", "max", "in", "exclude", "like", "has", "contains", "contains_any")


@dataclass(frozen=True, slots=True)
class Order:
    """One key of a sort."""

    path: tuple[str, ...]
    descending: bool = False


NEWEST_FIRST: Final = (Order(("last_modified",), descending=True),)


@dataclass(frozen=True, slots=True)
class Page:
    """Which objects of a list are wanted, in which order, and how many.

    `after` holds the sort values of the last object of the page before (`MISSING` for a field it lacks) and, last, its
    URI. `whole` says that the reader may see the whole list whatever is granted; otherwise the statement decides by
    the permissions `above` on the ancestors ("full") or `own` on the objects themselves ("shared"). No rows are
    fetched when the list's clock says `unless`.
    """

    list: str
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = NEWEST_FIRST
    after: tuple[Json, ...] | None = None
    limit: int = 0
    tombstones: bool = False
    counting: bool = False
    whole: bool = False
    above: tuple[str, ...] = ("read", "write")
    own: tuple[str, ...] | None = None
    private: tuple[str, ...] = ()
    unless: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """The object of a user: its URI, and the member of its document that holds the secret (a password's hash)."""

    uri: str
    member: str


@dataclass(frozen=True, slots=True)
class UserState:
    """What a login depends on: when the user's object was created, and its secret (None: not a string)."""

    born: int
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Selection:
    """What one statement reads from one bucket.

    `targets` are objects with all their grants; when `sparing` with those that a reader holds, and with all where a
    reader holds `write`. `ancestors` are objects with those grants that a reader holds; `clocks` lists; `readers` the
    principals of whoever asks, whose groups are read too. `private` names fields of the targets that must not leave the
    storage. Without `bodies` the documents of the ancestors are not fetched, only whether they are there. `users` are
    looked up in buckets of their own: a remembered login holds only while its user is as before. `groups` are read with
    their living members; `cascade_roots` are objects below which all clocks are read.
    """

    bucket: str
    targets: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    bodies: bool = True
    sparing: bool = False
    page: Page | None = None
    users: tuple[User, ...] = ()
    groups: tuple[str, ...] = ()
    cascade_roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KindRange:
    """URIs of one kind of objects, from `first` up to but without `end`.

    `lists` are the names of its lists from the outside in, ("buckets", "collections"), and `permissions` what can be
    granted on it. `everything`: all living objects in the range count, not only those on which something is granted.
    """

    kind: str
    lists: tuple[str, ...]
    permissions: tuple[str, ...]
    first: str
    end: str
    everything: bool = False


@dataclass(frozen=True, slots=True)
class AccessSelection:
    """What one statement reads of the objects anywhere on which somebody holds a permission (C-UTIL-27).

    `readers` are the principals of whoever asks; their groups count too. Filters and order of the page are on the
    fields `uri`, `resource_name` (the kind), `id` (the last segment of the URI), and on `ids`. Each of these is a field
    (`collection_id`), the number of the id in the URI from the outside in (2), and the kinds that have the field.
    `users` are explained in `Selection`.
    """

    readers: tuple[str, ...]
    ranges: tuple[KindRange, ...]
    page: Page
    ids: tuple[tuple[str, int, frozenset[str]], ...] = ()
    users: tuple[User, ...] = ()


@dataclass(slots=True)
class Snapshot:
    """What one read saw: facts by URI, and the rows of a page in its order.

    `full` says that the page is of the whole list, `shares` that some object of the list is shared with the reader,
    whatever the filters say of it. `users` has the state of those that exist. `permissions` are those of the readers by
    URI, of what `AccessSelection` asks for.
    `members` has every group that was asked for, also one that nobody is in.
    """

    objects: dict[str, Stored] = field(default_factory=dict)
    grants: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    page: list[Stored] = field(default_factory=list)
    total: int = 0
    full: bool = False
    shares: bool = False
    users: dict[User, UserState] = field(default_factory=dict)
    permissions: dict[str, set[str]] = field(default_factory=dict)

    def add(self, other: Snapshot) -> None:
        """Take over what *other* saw, of other buckets."""
        self.objects |= other.objects
        for uri, grants in other.grants.items():
            for permission, principals in grants.items():
                self.grants.setdefault(uri, {}).setdefault(permission, set()).update(principals)
        for user, groups in other.groups.items():
            self.groups.setdefault(user, set()).update(groups)
        self.clocks |= other.clocks
        self.members |= other.members


@dataclass(frozen=True, slots=True)
class Change:
    """One object as it is after a request, with the grants that end and begin: pairs of permission and principal.

    `stamp` is the clock of its list after the write, which the grants carry.

    Derived: `list` of the object; `read_bucket`, under which it is read; `write_buckets`, under which it is written;
    `past`, whether the client chose a timestamp that leaves the list's clock where it was (C-PRE-6).
    """

    stored: Stored
    stamp: int
    revoked: frozenset[tuple[str, str]] = frozenset()
    granted: frozenset[tuple[str, str]] = frozenset()
    list: str = field(init=False)
    read_bucket: str = field(init=False)
    write_buckets: tuple[str, ...] = field(init=False)
    past: bool = field(init=False)

    def __post_init__(self) -> None:
        buckets = write_buckets(self.stored.uri)
        derive = partial(object.__setattr__, self)
        derive("list", list_of(self.stored.uri))
        derive("read_bucket", buckets[0])
        derive("write_buckets", buckets)
        derive("past", self.stored.timestamp < self.stamp)


@dataclass(frozen=True, slots=True)
class Principals:
    """Principals that end: deleted users, deleted groups, and every group inside deleted objects."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups or self.inside)

    def __or__(self, other: Principals) -> Principals:
        return Principals(self.users | other.users, self.groups | other.groups, self.inside | other.inside)

    def names(self, principal: str) -> bool:
        """Say whether a principal is one of those that end."""
        return principal in self.users or principal in self.groups or is_inside(principal, self.inside)


@dataclass(frozen=True, slots=True)
class Holdings:
    """Living grants (URI, permission, principal) and memberships (user, group) of some principals.

    `memberships` are those of users, `members` those in groups.
    """

    grants: frozenset[tuple[str, str, str]] = frozenset()
    memberships: frozenset[tuple[str, str]] = frozenset()
    members: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: Holdings) -> Holdings:
        return Holdings(self.grants | other.grants, self.memberships | other.memberships, self.members | other.members)

    def lists(self) -> set[str]:
        """Return the lists of the objects and of the groups."""
        uris = {uri for uri, _, _ in self.grants} | {group for _, group in self.memberships | self.members}
        return {list_of(uri) for uri in uris}


@dataclass(frozen=True, slots=True)
class Move:
    """A list's clock as it is after a request; `count` is added to it. One that starts is born with its parent."""

    list: str
    last_modified: int
    count: int = 0
    starts: bool = False


@dataclass(frozen=True, slots=True)
class UserHoldings:
    """What one principal has by itself: objects on which it was granted anything, and groups that it is in.

    `sole` are those of the objects on which nobody else holds `write`.
    """

    granted: frozenset[str]
    sole: frozenset[str]
    groups: frozenset[str]


class Conflict(BackendError):
    """The database asks for another try of the transaction: a deadlock, a serialization failure, a dead connection."""


class Unlocked(Conflict):
    """The transaction would write or empty *lists* that it neither locked nor started: another try locks them first."""

    def __init__(self, lists: Iterable[str]) -> None:
        self.lists = frozenset(lists)
        super().__init__(f"Not locked: {', '.join(sorted(self.lists))}")


class Disconnected(Conflict):
    """The connection died before anything was committed: another try gets a new one, where the database still lives."""


class Uncertain(BackendError):
    """The connection died during the COMMIT: whether the transaction was done is unknown, so it is not tried again."""


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
