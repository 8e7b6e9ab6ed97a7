"""One suite for every storage backend: what `backends.storage.Storage` and `Transaction` promise.

Kinto's backends bind in meaning only (docs/contract/DECISIONS.md): here their rows are shown on our own interface.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import Any, cast

import pytest

from backends import BackendError
from backends.codec import dumps
from backends.storage import (
    LIVING,
    AccessSelection,
    Append,
    Change,
    Clock,
    Filter,
    Holdings,
    KindRange,
    Move,
    Order,
    Page,
    Principals,
    Selection,
    Storage,
    Stored,
    Transaction,
    Unlocked,
    User,
    UserState,
    list_of,
)
from backends.storage.indexes import AUTOMATIC, read_definition
from backends.storage.writes import Writer
from tests.support.databases import DATABASES, database_url, keep_app

BUCKET = "/buckets/a_b"
COLLECTIONS = f"{BUCKET}/collections"
LIST = f"{COLLECTIONS}/c/records"
INDEX = read_definition('{"fields":["n"]}')
ALICE, BOB, GROUP = "account:alice", "account:bob", f"{BUCKET}/groups/g"


@pytest.fixture(params=DATABASES)
def storage(request: pytest.FixtureRequest) -> Storage:
    """Return an empty storage."""
    storage: Storage = keep_app(database_url(request.param, request), {}).extensions["kinto"].storage
    return storage


@pytest.fixture
def postgresql_storage(request: pytest.FixtureRequest) -> Storage:
    """Return an empty storage on PostgreSQL."""
    storage: Storage = keep_app(database_url("postgresql", request), {}).extensions["kinto"].storage
    return storage


def stored(uri: str, timestamp: int, deleted: bool = False, **data: Any) -> Stored:
    """Make an object as the rules make it."""
    document = {**data, "id": uri.rpartition("/")[2], "last_modified": timestamp}
    return Stored(uri, timestamp, deleted, timestamp, dumps({**document, "deleted": True} if deleted else document))


def change(uri: str, timestamp: int, *granted: tuple[str, str], **more: Any) -> Change:
    """Make the change that creates an object."""
    return Change(stored(uri, timestamp, **more), timestamp, granted=frozenset(granted))


def write(storage: Storage, *changes: Change, moves: tuple[Move, ...] = ()) -> None:
    """Write in a transaction of its own."""
    with storage.transaction() as transaction:
        hold(transaction, *(list_of(each.stored.uri) for each in changes), *(move.list for move in moves))
        transaction.write(changes, moves)


def hold(transaction: Transaction, *lists: str) -> None:
    """Lock lists, and start those that have no clock."""
    transaction.start_clocks(set(lists) - transaction.lock(lists).keys(), 1)


def filled(storage: Storage) -> Storage:
    """Write a bucket, a collection, a group with bob in it, and three records, one of them shared with the group."""
    write(
        storage,
        change(BUCKET, 10, ("write", ALICE)),
        change(f"{BUCKET}/collections/c", 11, ("write", ALICE)),
        change(GROUP, 12, members=[BOB]),
        *(change(f"{LIST}/r{number}", 20 + number, n=number) for number in range(2)),
        change(f"{LIST}/shared", 22, ("read", GROUP)),
        moves=(Move("/buckets", 10, 1), Move(COLLECTIONS, 11, 1, starts=True), Move(LIST, 22, 3, starts=True)),
    )
    regroup(storage, 12, joined=((BOB, GROUP),))
    return storage


Pairs = Sequence[tuple[str, str]]


def regroup(storage: Storage, stamp: int, left: Pairs = (), joined: Pairs = ()) -> None:
    """Change memberships, pairs of user and group, in a transaction of its own."""
    with storage.transaction() as transaction:
        hold(transaction, *(list_of(group) for _, group in (*left, *joined)))
        transaction.end_holdings(Holdings(members=frozenset(left)), lambda name: stamp)
        transaction.begin_memberships(joined, lambda name: stamp)


def withdraw(storage: Storage, stamp: int, principals: Principals) -> Holdings:
    """End what principals hold, but memberships in groups, in a transaction of its own; return what they held."""
    with storage.transaction() as transaction:
        held = transaction.holdings_of(principals)
        hold(transaction, *held.lists())
        transaction.end_holdings(Holdings(held.grants, held.memberships), lambda name: stamp)
        return held


def read(storage: Storage, *targets: str, **more: Any) -> Any:
    """Read objects of the bucket with all that belongs to them."""
    return storage.read(Selection(BUCKET, targets=targets, **more))


def page(storage: Storage, **more: Any) -> list[str]:
    """Return the ids of a page of the records, as alice sees it."""
    shape = Page(LIST, limit=more.pop("limit", 100), **more)
    around = (BUCKET, f"{BUCKET}/collections/c")
    snapshot = storage.read(Selection(BUCKET, ancestors=around, clocks=(LIST,), readers=(ALICE,), page=shape))
    return [row.id for row in snapshot.page]


def test_an_object_is_read_as_it_was_written(storage: Storage) -> None:
    """C-STO-1, C-STO-2, C-STO-3, C-STO-4."""
    filled(storage)

    snapshot = read(storage, f"{LIST}/r1", f"{LIST}/nope", clocks=(LIST,))

    assert {uri: one.data() for uri, one in snapshot.objects.items()} == {
        f"{LIST}/r1": {"n": 1, "id": "r1", "last_modified": 21}
    }
    assert snapshot.clocks == {LIST: Clock(22, 3)}


def test_an_update_replaces_and_keeps_when_the_object_was_born(storage: Storage) -> None:
    """C-STO-4."""
    filled(storage)

    write(storage, Change(Stored(f"{LIST}/r1", 30, False, 21, dumps({"id": "r1", "last_modified": 30})), 30))

    again = read(storage, f"{LIST}/r1").objects[f"{LIST}/r1"]
    assert (again.timestamp, again.born, again.data()) == (30, 21, {"id": "r1", "last_modified": 30})


def test_a_tombstone_stays_and_its_grants_end(storage: Storage) -> None:
    """C-STO-5, C-PERM-22."""
    filled(storage)

    write(storage, Change(stored(f"{LIST}/shared", 30, deleted=True), 30))

    snapshot = read(storage, f"{LIST}/shared")
    assert snapshot.objects[f"{LIST}/shared"].deleted
    assert snapshot.grants == {}


def test_an_object_at_the_top_stands_in_the_directory_and_in_its_own_bucket(storage: Storage) -> None:
    """The directory is what GET /buckets reads; its own bucket what everything in it looks up."""
    filled(storage)

    for bucket in (BUCKET, "/buckets"):
        snapshot = storage.read(Selection(bucket, targets=(BUCKET,)))
        assert snapshot.objects[BUCKET].timestamp == 10
        assert snapshot.grants[BUCKET] == {"write": {ALICE}}


@pytest.mark.parametrize("paged", [False, True], ids=["with objects", "with a page"])
def test_users_are_read_beside_what_is_asked_for(storage: Storage, paged: bool) -> None:
    """Each by the member that is its secret; what is no string is none, and who is deleted is not there."""
    filled(storage)
    secrets = {"bob": "hash", "carol": 'q"u√', "number": 1, "object": {"a": "b"}, "null": None}
    changes = [change(f"/accounts/{name}", 30, password=secret) for name, secret in secrets.items()]
    gone = Change(stored("/accounts/gone", 31, deleted=True), 31)
    write(storage, *changes, gone, change("/tokens/t", 32, key="k"), change("/accounts/without", 33))
    names = (*secrets, "gone", "without", "unknown")
    users = (*(User(f"/accounts/{name}", "password") for name in names), User("/tokens/t", "key"))
    page = Page(LIST, limit=5, unrestricted=True) if paged else None

    snapshot = storage.read(Selection(BUCKET, targets=() if paged else (BUCKET,), page=page, users=users))

    strings = {name: secret if isinstance(secret, str) else None for name, secret in secrets.items()}
    assert snapshot.users == {
        **{User(f"/accounts/{name}", "password"): UserState(30, secret) for name, secret in strings.items()},
        User("/accounts/without", "password"): UserState(33, None),
        User("/tokens/t", "key"): UserState(32, "k"),
    }
    assert snapshot.page if paged else snapshot.objects.keys() == {BUCKET}


def test_grants_begin_and_end(storage: Storage) -> None:
    """C-ACL-1, C-ACL-2, C-ACL-4."""
    filled(storage)
    uri = f"{LIST}/shared"

    begun, ended = frozenset((("write", BOB),)), frozenset((("read", GROUP),))
    write(storage, Change(stored(uri, 40), 40, revoked=ended, granted=begun))

    assert read(storage, uri).grants[uri] == {"write": {BOB}}


def test_a_grant_that_ended_can_begin_again_at_a_clock_that_stood_still(storage: Storage) -> None:
    """A client's own past timestamps leave the clock where it is, so the same interval ends twice at one stamp."""
    filled(storage)
    uri, grant = f"{LIST}/r0", frozenset((("read", BOB),))

    for timestamp in (1, 2, 3):
        write(storage, Change(stored(uri, timestamp), 22, granted=grant))
        write(storage, Change(stored(uri, timestamp), 22, revoked=grant))
    write(storage, Change(stored(uri, 4), 22, granted=grant))

    assert read(storage, uri).grants[uri] == {"read": {BOB}}


def test_a_reader_sees_of_ancestors_only_what_it_holds(storage: Storage) -> None:
    """C-PERM-8: what others hold is not fetched."""
    filled(storage)
    write(storage, change(BUCKET, 50, ("read", GROUP), ("read", "account:eve")))

    snapshot = read(storage, ancestors=(BUCKET,), readers=(BOB,))

    assert snapshot.groups == {BOB: {GROUP}}
    assert snapshot.grants == {BUCKET: {"read": {GROUP}}}


def test_memberships_begin_and_end(storage: Storage) -> None:
    """C-PERM-23, C-PERM-24."""
    filled(storage)

    regroup(storage, 30, left=((BOB, GROUP),), joined=((ALICE, GROUP),))

    assert read(storage, readers=(ALICE, BOB)).groups == {ALICE: {GROUP}}


ENDING = {
    "a group": Principals(groups=frozenset((GROUP,))),
    "all groups in a bucket": Principals(cascade_roots=frozenset((BUCKET,))),
}


@pytest.mark.parametrize("principals", ENDING.values(), ids=ENDING.keys())
def test_who_joins_a_group_that_is_dissolved_in_the_same_request_is_in_the_new_one(
    storage: Storage, principals: Principals
) -> None:
    """DECISIONS: a later group of that URI inherits nothing; what is done to it then holds."""
    filled(storage)

    with storage.transaction() as transaction:
        left = transaction.holdings_of(principals).members
    regroup(storage, 31, left=tuple(left), joined=((ALICE, GROUP),))

    assert left == {(BOB, GROUP)}
    assert read(storage, readers=(ALICE, BOB)).groups == {ALICE: {GROUP}}


def test_an_interval_can_end_and_begin_at_one_timestamp_any_number_of_times(storage: Storage) -> None:
    """Equal ends are no conflict: a row is known by its beginning, and goes on where it ended."""
    filled(storage)
    grant, uri = frozenset((("read", BOB),)), f"{LIST}/r0"

    for _ in range(3):
        regroup(storage, 30, joined=((ALICE, GROUP),))
        regroup(storage, 30, left=((ALICE, GROUP),))
        write(storage, Change(stored(uri, 30), 30, granted=grant))
        write(storage, Change(stored(uri, 30), 30, revoked=grant))
    assert read(storage, uri, readers=(ALICE,)).grants == {}
    assert read(storage, readers=(ALICE,)).groups == {}
    regroup(storage, 30, joined=((ALICE, GROUP),))
    write(storage, Change(stored(uri, 30), 30, granted=grant))

    assert read(storage, uri, readers=(ALICE,)).grants[uri] == {"read": {BOB}}
    assert read(storage, readers=(ALICE,)).groups == {ALICE: {GROUP}}


def test_twenty_thousand_members_and_readers_begin_and_end_at_once(storage: Storage) -> None:
    """By arrays: a statement of thousands of conditions is more than a database takes."""
    filled(storage)
    many = [f"account:{number}" for number in range(20_000)]
    grants = frozenset(("read", each) for each in many)

    regroup(storage, 30, joined=[(each, GROUP) for each in many])
    write(storage, Change(stored(f"{LIST}/r0", 30), 30, granted=grants))
    assert len(read(storage, groups=(GROUP,)).members[GROUP]) == len(many) + 1
    regroup(storage, 31, left=[(each, GROUP) for each in many])
    write(storage, Change(stored(f"{LIST}/r0", 31), 31, revoked=grants))

    assert read(storage, groups=(GROUP,)).members == {GROUP: {BOB}}
    assert read(storage, f"{LIST}/r0").grants == {}


def test_a_page_is_filtered_sorted_and_continued(storage: Storage) -> None:
    """C-STO-6, C-STO-9, C-STO-11, C-STO-12."""
    filled(storage)

    assert page(storage) == ["shared", "r1", "r0"]
    assert page(storage, limit=2) == ["shared", "r1"]
    assert page(storage, filters=(Filter(("n",), "min", 1), Filter(("n",), "has", True))) == ["r1"]
    assert page(storage, order=(Order(("n",)),)) == ["r0", "r1", "shared"]
    assert page(storage, after=(21, f"{LIST}/r1")) == ["r0"]
    assert page(storage, filters=(Filter(("last_modified",), "gt", 20),)) == ["shared", "r1"]


def test_a_page_of_somebody_else_holds_what_is_shared(storage: Storage) -> None:
    """C-PERM-13."""
    filled(storage)
    shape = Page(LIST, limit=10)

    snapshot = read(storage, ancestors=(BUCKET,), clocks=(LIST,), readers=(BOB,), page=shape)

    assert [row.id for row in snapshot.page] == ["shared"]
    assert (snapshot.full, snapshot.has_shared) == (False, True)


def test_a_page_of_what_is_shared_holds_no_tombstones(storage: Storage) -> None:
    """C-PERM-16: not even one on which a grant was left, as databases of others may have them."""
    filled(storage)
    gone = f"{LIST}/gone"
    write(storage, Change(stored(gone, 30, deleted=True), 30, granted=frozenset((("read", BOB),))))
    shape = Page(LIST, limit=10, tombstones=True)

    snapshot = read(storage, ancestors=(BUCKET,), clocks=(LIST,), readers=(BOB,), page=shape)

    assert [row.id for row in snapshot.page] == ["shared"]


def test_a_total_is_counted_and_for_the_whole_list_known_to_the_clock(storage: Storage) -> None:
    """C-STO-10, C-LIST-34."""
    filled(storage)

    def total(reader: str, **more: Any) -> int:
        shape = Page(LIST, limit=LIVING, count_only=True, **more)
        return storage.read(Selection(BUCKET, ancestors=(BUCKET,), clocks=(LIST,), readers=(reader,), page=shape)).total

    assert (total(ALICE), total(BOB), total(ALICE, filters=(Filter(("n",), "eq", 1),))) == (3, 1, 1)


def test_nothing_is_kept_when_a_transaction_fails(storage: Storage) -> None:
    """C-BATCH-15."""
    filled(storage)

    with suppress(RuntimeError), storage.transaction() as transaction:
        transaction.lock((LIST,))
        transaction.write([change(f"{LIST}/lost", 99)], [Move(LIST, 99, 1)])
        raise RuntimeError("something else failed")

    snapshot = read(storage, f"{LIST}/lost", clocks=(LIST,))
    assert (snapshot.objects, snapshot.clocks) == ({}, {LIST: Clock(22, 3)})


def test_a_lock_makes_others_wait(storage: Storage) -> None:
    """C-STO-14, C-STO-15: who locks a list reads what the one before has written."""
    filled(storage)
    timestamps: list[int] = []

    def add() -> None:
        with storage.transaction() as transaction:
            transaction.lock([LIST])
            newest = transaction.read(Selection(BUCKET, clocks=(LIST,))).clocks[LIST].last_modified
            timestamps.append(newest + 1)
            transaction.write([], [Move(LIST, newest + 1)])

    def add_many() -> None:
        for _ in range(25):
            add()

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(timestamps) == list(range(23, 123))


def test_a_lock_finds_named_lists_and_all_of_a_bucket(storage: Storage) -> None:
    """What is not there is not found: it may be born meanwhile."""
    filled(storage)

    with storage.transaction() as transaction:
        assert transaction.lock([LIST, "/nothing"]) == {LIST: Clock(22, 3)}
        assert transaction.lock([], [BUCKET]).keys() == {COLLECTIONS, LIST, f"{BUCKET}/groups"}
        assert transaction.lock([], [f"{COLLECTIONS}/c"]).keys() == {LIST}


def test_a_timestamp_is_taken_when_another_object_of_the_list_has_it(storage: Storage) -> None:
    """C-PRE-9."""
    filled(storage)

    with storage.transaction() as transaction:
        assert transaction.timestamp_conflicts([(f"{LIST}/new", 21), (f"{LIST}/other", 5)]) == {f"{LIST}/r1"}


TRAILS = f"{BUCKET}/trails"


def append(
    storage: Storage,
    earliest: int,
    *ids: str,
    moves: Sequence[Move] = (),
    reads: bool = False,
    before_write: Callable[[], None] = lambda: None,
) -> None:
    """Append objects, each readable by bob, to a list that no one has locked; the bucket is read before, or not."""
    with storage.transaction([("buckets", "trails")]) as transaction:
        transaction.lock([move.list for move in moves if not move.starts])
        if reads:
            assert TRAILS not in transaction.read(Selection(BUCKET, targets=(BUCKET,))).clocks
        before_write()
        granted = frozenset({("read", BOB)})
        appends = [Append(f"{TRAILS}/{name}", {"id": name}, earliest, granted) for name in ids]
        transaction.write((), moves, appends={TRAILS: appends})


@pytest.mark.parametrize("reads", [False, True])
def test_objects_that_are_appended_get_the_next_timestamps_of_their_list(storage: Storage, reads: bool) -> None:
    """The list needs no clock before; the present counts where it is later than the clock."""
    filled(storage)

    append(storage, 100, "a", "b", reads=reads)
    append(storage, 50, "c", "d", reads=reads)
    append(storage, 200, "e", "f", moves=[Move(LIST, 23)], reads=reads)
    append(storage, 300, "g", moves=[Move(TRAILS, 250)])
    append(storage, 300, "h", "i", moves=[Move(TRAILS, 260, starts=True)], reads=reads)

    snapshot = read(storage, *(f"{TRAILS}/{name}" for name in "abcdefghi"), clocks=(TRAILS, LIST))
    stamps = [100, 101, 102, 103, 200, 201, 251, 261, 262]
    objects = [snapshot.objects[f"{TRAILS}/{name}"] for name in "abcdefghi"]
    assert [(each.timestamp, each.born, each.deleted) for each in objects] == [
        (stamp, stamp, False) for stamp in stamps
    ]
    assert [each.data() for each in objects] == [
        {"id": name, "last_modified": stamp} for name, stamp in zip("abcdefghi", stamps, strict=True)
    ]
    assert snapshot.clocks == {TRAILS: Clock(262, 2), LIST: Clock(23, 3)}
    assert all(snapshot.grants[uri] == {"read": {BOB}} for uri in snapshot.objects)


def test_an_append_is_refused_once_where_another_transaction_was_faster(postgresql_storage: Storage) -> None:
    """Nothing of it is written. The next ones lock the list first, whatever others do after they have read it."""
    storage = filled(postgresql_storage)
    append(storage, 100, "a")

    def be_faster(name: str) -> Callable[[], None]:
        return lambda: Context().run(append, storage, 200, name)

    with pytest.raises(Unlocked) as refusal:
        append(storage, 150, "b", moves=[Move(LIST, 23)], reads=True, before_write=be_faster("c"))
    refused = read(storage, f"{TRAILS}/b", clocks=(TRAILS, LIST))
    append(storage, 150, "b", moves=[Move(LIST, 23)], reads=True, before_write=be_faster("d"))

    assert (refusal.value.lists, refusal.value.contended) == (frozenset(), frozenset({TRAILS}))
    assert (refused.objects, refused.clocks) == ({}, {TRAILS: Clock(200, 2), LIST: Clock(22, 3)})
    written = read(storage, *(f"{TRAILS}/{name}" for name in "abcd"), clocks=(TRAILS,))
    assert [stored.timestamp for _, stored in sorted(written.objects.items())] == [100, 202, 200, 201]
    assert written.clocks == {TRAILS: Clock(202, 4)}


@pytest.mark.parametrize("reads", [False, True])
def test_writers_of_different_lists_append_to_one_list_at_the_same_time(storage: Storage, reads: bool) -> None:
    """Each holds a list of its own; none fails, or just where it read the clock of the one that all append to."""
    filled(storage)

    def work(writer: int) -> None:
        for number in range(20):
            ids, moves = (f"{writer}-{number}", f"{writer}-{number}-b"), [Move(f"{LIST}{writer}", 9 + number)]
            with suppress(Unlocked):
                append(storage, 100, *ids, moves=moves, reads=reads)
                continue
            append(storage, 100, *ids, moves=moves)

    for writer in range(8):
        write(storage, moves=(Move(f"{LIST}{writer}", 5, starts=True),))
    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    uris = [f"{TRAILS}/{writer}-{number}{end}" for writer in range(8) for number in range(20) for end in ("", "-b")]
    snapshot = read(storage, *uris, clocks=(TRAILS,))
    assert sorted(stored.timestamp for stored in snapshot.objects.values()) == list(range(100, 420))
    assert snapshot.clocks == {TRAILS: Clock(419, 320)}


def test_derived_lists_are_locked_last_and_not_with_what_is_around_them(storage: Storage) -> None:
    """A cascade may delete their rows before they are locked, but does not end like that."""
    filled(storage)
    append(storage, 100, "a")
    write(storage, moves=(Move("/buckets/z/groups", 5),))
    with storage.transaction([("buckets", "trails")]) as transaction:
        assert transaction.lock(["/buckets"], [BUCKET]).keys() == {"/buckets", COLLECTIONS, LIST, f"{BUCKET}/groups"}
        transaction.read(Selection(BUCKET, cascade_roots=(BUCKET,)))
        transaction.delete_below([BUCKET], copies=False)
        with pytest.raises(Unlocked, match="trails"):
            transaction.delete_below([BUCKET])
        assert transaction.lock_last(TRAILS).keys() == {TRAILS}
        with pytest.raises(Unlocked):
            transaction.lock_last("/buckets/z/groups")
        transaction.delete_below([BUCKET])

    assert read(storage, f"{TRAILS}/a").objects == {}


def test_a_list_that_starts_again_is_later_than_in_its_former_life(storage: Storage) -> None:
    """C-PRE-39: a clock outlives its list."""
    filled(storage)

    with pytest.raises(Unlocked) as refused, storage.transaction() as transaction:
        transaction.write((), [Move(LIST, 15, 1, starts=True)])

    assert refused.value.lists == {LIST}
    assert read(storage, clocks=(LIST,)).clocks == {LIST: Clock(22, 3)}
    write(storage, moves=(Move(LIST, 23, 1, starts=True),))
    assert read(storage, clocks=(LIST,)).clocks == {LIST: Clock(23, 1)}


REFUSED: dict[str, Callable[[Transaction], object]] = {
    "an object": lambda one: one.write([change(f"{LIST}/new", 99)], []),
    "a clock": lambda one: one.write([], [Move(LIST, 99)]),
    "an end of grants": lambda one: one.end_holdings(
        Holdings(frozenset(((f"{LIST}/shared", "read", GROUP),))), lambda name: 99
    ),
    "an end of memberships": lambda one: one.end_holdings(
        Holdings(members=frozenset(((BOB, GROUP),))), lambda name: 99
    ),
    "a membership": lambda one: one.begin_memberships([(ALICE, GROUP)], lambda name: 99),
    "declared indexes": lambda one: one.write([], [], {LIST: (INDEX,)}),
    "an index": lambda one: cast(Writer, one).indexes.create(LIST, INDEX, AUTOMATIC),
    "keys": lambda one: cast(Writer, one).indexes.build(LIST, 10),
    "a bucket to empty": lambda one: one.delete_below([BUCKET]),
    "a bucket to read before it is emptied": lambda one: one.read(Selection(BUCKET, cascade_roots=(BUCKET,))),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED.keys())
def test_a_transaction_refuses_what_it_neither_locked_nor_started(
    storage: Storage, act: Callable[[Transaction], object]
) -> None:
    """docs/architecture.md, R1: another try locks it."""
    filled(storage)

    with storage.transaction() as transaction:
        transaction.lock(["/buckets"])
        with pytest.raises(Unlocked):
            act(transaction)
        transaction.rollback()

    assert read(storage, f"{LIST}/shared", readers=(BOB,)).groups == {BOB: {GROUP}}
    assert read(storage, f"{LIST}/shared", clocks=(LIST,)).clocks == {LIST: Clock(22, 3)}


def test_a_bucket_is_emptied_and_its_namesake_is_not(storage: Storage) -> None:
    """C-OBJ-60, C-ACL-3, PG-D1: `_` in an id is no wildcard."""
    filled(storage)
    twin = "/buckets/axb"
    write(storage, change(twin, 60, ("write", BOB)), change(f"{twin}/collections/c", 61))

    with storage.transaction() as transaction:
        transaction.lock(["/buckets"], [BUCKET])
        transaction.read(Selection(BUCKET, cascade_roots=(BUCKET,)))
        held = transaction.holdings_of(Principals(cascade_roots=frozenset((BUCKET,))))
        transaction.delete_below([BUCKET])
        transaction.end_holdings(held, lambda name: 70)

    snapshot = read(storage, BUCKET, f"{LIST}/r1", GROUP, clocks=(LIST,), readers=(BOB,))
    assert (snapshot.objects, snapshot.grants, snapshot.groups) == ({}, {}, {})
    assert snapshot.clocks == {LIST: Clock(22, 3)}
    assert storage.read(Selection(twin, targets=(twin, f"{twin}/collections/c"))).objects.keys() == {
        twin,
        f"{twin}/collections/c",
    }


def test_a_clock_that_another_process_has_started_stays(storage: Storage) -> None:
    """C-LIST-1: both have looked for the clock before one of them made it."""
    filled(storage)

    with storage.transaction() as transaction:
        transaction.start_clocks([LIST, f"{BUCKET}/new"], 99)

    assert read(storage, clocks=(LIST, f"{BUCKET}/new")).clocks == {LIST: Clock(22, 3), f"{BUCKET}/new": Clock(99, 0)}


def test_a_principal_is_withdrawn_from_everything(storage: Storage) -> None:
    """Deleting an account, deleting the data of a user."""
    filled(storage)

    with storage.transaction() as transaction:
        held = transaction.user_holdings(ALICE)
    withdraw(storage, 80, Principals(users=frozenset((ALICE, BOB))))

    assert held.sole_writer_of == {BUCKET, f"{BUCKET}/collections/c"}
    assert accessible(storage, ALICE, BOB) == {}


@pytest.mark.parametrize("principals", ENDING.values(), ids=ENDING.keys())
def test_grants_to_groups_are_withdrawn_and_memberships_stay(storage: Storage, principals: Principals) -> None:
    """DECISIONS: grants to a group end with it, in all buckets, and nobody else's."""
    filled(storage)
    write(
        storage,
        change("/buckets/other", 60, ("read", GROUP), ("read", f"{GROUP}x"), ("read", "/buckets/a_bx/groups/g")),
    )

    withdraw(storage, 80, principals)

    left = storage.read(Selection("/buckets", ("/buckets/other",))).grants["/buckets/other"]["read"]
    assert GROUP not in left
    assert "/buckets/a_bx/groups/g" in left
    assert read(storage, f"{LIST}/shared").grants == {}
    assert read(storage, readers=(BOB,)).groups == {BOB: {GROUP}}


def test_accessible_is_what_was_granted_anywhere(storage: Storage) -> None:
    """C-UTIL-27, C-UTIL-29; tombstones, ended grants, and what is no permission of a kind are left out."""
    filled(storage)
    write(
        storage,
        change(f"{COLLECTIONS}/gone", 12, ("read", BOB)),
        change(f"{COLLECTIONS}/former", 13, ("former:create", BOB)),
        change(f"{BUCKET}/formers/f/records/r", 14, ("read", BOB)),
    )
    write(storage, Change(stored(f"{COLLECTIONS}/gone", 15, deleted=True), 15))

    assert accessible(storage, BOB) == {f"{LIST}/shared": {"read"}}
    assert accessible(storage, ALICE) == {BUCKET: {"write"}, f"{COLLECTIONS}/c": {"write"}}
    assert accessible(storage, BOB, ALICE, limit=2) == {f"{LIST}/shared": {"read"}, f"{COLLECTIONS}/c": {"write"}}
    assert accessible(storage, BOB, all_objects=True).keys() == {
        BUCKET,
        f"{COLLECTIONS}/c",
        f"{COLLECTIONS}/former",
        *(f"{LIST}/{object_id}" for object_id in ("r0", "r1", "shared")),
    }


def test_accessible_reads_users_beside_a_page_that_may_be_empty(storage: Storage) -> None:
    user = User(ALICE.replace("account:", "/accounts/"), "password")
    write(storage, change(user.uri, 10, ("write", ALICE), password="hash"))
    page = Page("", order=(Order(("uri",)),), limit=3, count_only=True)

    for ranges in (RANGES, ()):
        snapshot = storage.read_accessible(AccessSelection((BOB,), ranges, page, users=(user,)))

        assert (snapshot.users, snapshot.total) == ({user: UserState(10, "hash")}, 0)


RANGES = tuple(
    KindRange(name, lists, ("read", "write"), "/buckets/", "/buckets0")
    for name, lists in (
        ("bucket", ("buckets",)),
        ("collection", ("buckets", "collections")),
        ("record", ("buckets", "collections", "records")),
    )
)


def accessible(storage: Storage, *readers: str, all_objects: bool = False, limit: int = 100) -> dict[str, set[str]]:
    """Return the permissions that readers hold on buckets, collections and records, by URI."""
    ranges = tuple(replace(each, all_objects=all_objects) for each in RANGES)
    page = Page("", order=(Order(("uri",), descending=True),), limit=limit)
    return storage.read_accessible(AccessSelection(readers, ranges, page)).permissions


def test_purge_keeps_the_newest_tombstones_of_each_list(storage: Storage) -> None:
    """C-STO-7, C-STO-8: living objects with the same id stay."""
    filled(storage)
    other = f"{BUCKET}/collections/d/records"
    write(
        storage,
        *(Change(stored(f"{LIST}/r{number}", 90 + number, deleted=True), 90 + number) for number in range(2)),
        change(f"{other}/r0", 95),
        Change(stored(f"{other}/gone", 96, deleted=True), 96),
    )

    assert storage.purge(["/buckets/%/collections/%/records"], 1) == 1
    assert read(storage, f"{LIST}/r0", f"{LIST}/r1", f"{other}/r0", f"{other}/gone").objects.keys() == {
        f"{LIST}/r1",
        f"{other}/r0",
        f"{other}/gone",
    }


def test_flush_leaves_nothing_and_start_makes_the_clocks_of_the_top(storage: Storage) -> None:
    """plugins.md 8.1."""
    filled(storage)

    storage.flush()
    storage.start_clocks(["/buckets", "/mushrooms"])
    storage.start_clocks(["/buckets"])

    assert read(storage, BUCKET, clocks=(LIST,)).clocks == {}
    assert storage.read(Selection("/buckets", clocks=("/buckets",))).clocks["/buckets"].count == 0
    assert storage.read(Selection("/mushrooms", clocks=("/mushrooms",))).clocks["/mushrooms"].last_modified > 0


def test_a_ping_leaves_nothing_behind(storage: Storage) -> None:
    """C-UTIL-16."""
    storage.ping(write=True)

    assert read(storage, readers=("__heartbeat__",)).groups == {}


def test_what_the_driver_raises_becomes_a_backend_error(storage: Storage) -> None:
    """C-STO-13; the driver's own error is kept in `original`."""
    filled(storage)
    # No document: what the types forbid, the table refuses.
    broken = Change(Stored(f"{LIST}/x", 1, False, 1, None), 1)  # type: ignore[arg-type]

    with pytest.raises(BackendError) as failed:
        write(storage, broken)

    assert failed.value.original is not None
