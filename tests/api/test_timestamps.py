"""Timestamps of objects and lists, made by the server or chosen by the client (docs/contract/core.md 5.1 to 5.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from backends import Json
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


@pytest.fixture
def stocked(client: Client) -> Client:
    """Alice's client of a service with a collection and the record `r`, which is the newest of the list."""
    client.batch(*({"method": "PUT", "path": path} for path in (B, C, R)))
    return client


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> int:
    """Stop the clock of the process an hour ago; return the time it shows in ms."""
    now = time.time_ns() - 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now)
    return now // 1_000_000


def test_timestamps_of_a_list_are_milliseconds_that_only_grow(stocked: Client) -> None:
    """C-PRE-1."""
    before = time.time_ns() // 1_000_000

    writes = [
        stocked.put(f"{RECORDS}/a"),
        stocked.post(RECORDS, {}),
        stocked.put(f"{RECORDS}/a", {"n": 2}),
        stocked.patch(f"{RECORDS}/a", {"n": 3}),
        stocked.delete(f"{RECORDS}/a"),
        stocked.put(f"{RECORDS}/a"),
    ]

    stamps = [answer.data["last_modified"] for answer in writes]
    assert stamps == sorted(set(stamps))
    assert before <= stamps[0] <= stamps[-1] < before + 60_000


def test_a_timestamp_is_one_more_than_the_last_when_the_clock_goes_back(stocked: Client, stopped: int) -> None:
    """C-PRE-2."""
    newest = stocked.get(RECORDS).etag

    stamps = [stocked.put(f"{RECORDS}/{object_id}").etag for object_id in "ab"]

    assert stopped < newest
    assert stamps == [newest + 1, newest + 2]


@pytest.mark.usefixtures("stopped")
def test_a_timestamp_is_one_more_than_the_last_in_the_same_millisecond(client: Client) -> None:
    """C-PRE-2: in a batch and one by one."""
    one, two = (
        entry["body"]["data"]
        for entry in client.batch({"method": "PUT", "path": B}, {"method": "PUT", "path": "/buckets/d"}).json[
            "responses"
        ]
    )
    three = client.put("/buckets/e").data

    stamps = [bucket["last_modified"] for bucket in (one, two, three)]
    assert stamps == [stamps[0], stamps[0] + 1, stamps[0] + 2]


def test_the_timestamp_of_a_list_is_that_of_its_newest_tombstone(stocked: Client) -> None:
    """C-PRE-3, C-LIST-61."""
    deleted = stocked.delete(R).data["last_modified"]

    assert stocked.get(RECORDS).etag == deleted


def test_the_timestamp_of_a_list_stays_when_it_is_read_or_a_write_is_refused(stocked: Client) -> None:
    """C-PRE-3."""
    first = stocked.get(RECORDS).etag

    stocked.get(R)
    stocked.head(RECORDS)
    stocked.put(R, {"n": 2}, if_match='"1"')
    stocked.as_("eve").put(R, {"n": 2})

    assert stocked.get(RECORDS).etag == first


def test_an_empty_list_has_a_timestamp_and_keeps_it(client: Client) -> None:
    """C-PRE-4."""
    client.put(B)

    etags = [client.get(f"{B}/groups").etag, client.head(f"{B}/groups").etag, client.get(f"{B}/groups").etag]

    assert etags[0] > 0
    assert len(set(etags)) == 1


def test_the_timestamp_of_a_list_stays_when_all_of_it_is_deleted(stocked: Client) -> None:
    """C-PRE-4."""
    deleted = stocked.delete(RECORDS).etag

    assert stocked.get(RECORDS).etag == deleted


Chosen = Callable[[int], Any]
"""From the timestamp of the list to the one that the client wishes for."""

CREATIONS: dict[str, tuple[Chosen, Callable[[int], int], Callable[[int], int]]] = {
    "C-PRE-5 one of the future is the object's and the list's": (
        lambda t: t + 9000,
        lambda t: t + 9000,
        lambda t: t + 9000,
    ),
    "C-PRE-6 one of the past is the object's alone": (lambda t: t - 9000, lambda t: t - 9000, lambda t: t),
    "C-PRE-6 zero is of the past": (lambda t: 0, lambda t: 0, lambda t: t),
    "C-PRE-7 the list's own is one more": (lambda t: t, lambda t: t + 1, lambda t: t + 1),
}


@pytest.mark.parametrize(("chosen", "own", "of_list"), CREATIONS.values(), ids=CREATIONS.keys())
def test_an_object_is_created_with_the_timestamp_that_the_client_chose(
    stocked: Client, chosen: Chosen, own: Callable[[int], int], of_list: Callable[[int], int]
) -> None:
    known = stocked.get(RECORDS).etag

    answer = stocked.put(f"{RECORDS}/new", {"last_modified": chosen(known)})

    assert (answer.status, answer.data["last_modified"]) == (201, own(known))
    assert stocked.get(RECORDS).etag == of_list(known)


def test_writes_go_on_above_a_timestamp_of_the_future(stocked: Client) -> None:
    """C-PRE-5."""
    future = stocked.get(RECORDS).etag + 10_000_000
    stocked.put(R, {"last_modified": future})

    stamps = [stocked.put(f"{RECORDS}/{object_id}").etag for object_id in "ab"]

    assert stamps == [future + 1, future + 2]


UPDATES: dict[str, tuple[str, Chosen, bool]] = {
    "C-PRE-8 a higher one is used": ("PATCH", lambda own: own + 5, True),
    "C-PRE-8 a higher one is used by PUT": ("PUT", lambda own: own + 5, True),
    "C-PRE-8 a lower one is ignored": ("PATCH", lambda own: own - 5, False),
    "C-PRE-8 a lower one is ignored by PUT": ("PUT", lambda own: own - 5, False),
    "C-PRE-8 the same is ignored": ("PATCH", lambda own: own, False),
    "C-PRE-8 zero is ignored": ("PATCH", lambda own: 0, False),
    "C-PRE-8 a negative one is ignored": ("PATCH", lambda own: -5, False),
}


@pytest.mark.parametrize(("method", "chosen", "used"), UPDATES.values(), ids=UPDATES.keys())
def test_an_object_is_updated_with_the_timestamp_that_the_client_chose(
    stocked: Client, method: str, chosen: Chosen, used: bool
) -> None:
    old = stocked.put(f"{RECORDS}/old", {"last_modified": 1000}).etag
    known = stocked.get(RECORDS).etag

    answer = stocked.ask(method, f"{RECORDS}/old", {"data": {"last_modified": chosen(old)}})

    assert answer.status == 200
    assert answer.etag == answer.data["last_modified"] == (chosen(old) if used else stocked.get(RECORDS).etag)
    assert (stocked.get(RECORDS).etag == known) is used


@pytest.mark.parametrize("lone", [True, False], ids=["a request of its own", "one batch"])
def test_a_past_timestamp_that_a_sibling_has_is_a_conflict_in(stocked: Client, lone: bool) -> None:
    """C-PRE-9, C-BATCH-18: nothing of it is kept."""
    same: Json = {"data": {"last_modified": 1000}}
    stocked.put(f"{RECORDS}/one", **same)
    two = {"method": "PUT", "path": f"{RECORDS}/two", "body": same}

    answer = stocked.put(f"{RECORDS}/two", **same) if lone else stocked.batch({"method": "DELETE", "path": R}, two)

    assert (answer.status, answer.json["errno"]) == (409, 122)
    assert "Retry-After" in answer.headers
    assert [stocked.get(f"{RECORDS}/{object_id}").status for object_id in ("r", "one", "two")] == [200, 200, 404]


def test_two_of_a_batch_may_not_choose_the_same_past_timestamp(stocked: Client) -> None:
    """C-PRE-9, C-BATCH-18."""
    puts = [
        {"method": "PUT", "path": f"{RECORDS}/{object_id}", "body": {"data": {"last_modified": 1000}}}
        for object_id in "xy"
    ]

    assert stocked.batch(*puts).status == 409


def test_the_timestamp_of_a_sibling_in_another_list_is_free(stocked: Client) -> None:
    """C-PRE-9."""
    stocked.put(f"{B}/collections/d")
    stocked.put(f"{RECORDS}/one", {"last_modified": 1000})

    assert stocked.put(f"{B}/collections/d/records/one", {"last_modified": 1000}).etag == 1000


@on_sqlite
@pytest.mark.parametrize(
    "chosen", [True, 1.5, "1000", None, [], -5], ids=["a boolean", "a fraction", "text", "null", "a list", "a negative"]
)
def test_what_is_no_timestamp_is_dropped_when_it_is(stocked: Client, chosen: Any) -> None:
    """C-PRE-10, C-OBJ-75."""
    known = stocked.get(RECORDS).etag

    answer = stocked.put(f"{RECORDS}/new", {"last_modified": chosen})

    assert (answer.status, answer.data["last_modified"] > known) == (201, True)


@on_sqlite
@pytest.mark.parametrize(("ahead_ms", "status"), [(86_390_000, 200), (86_410_000, 400)], ids=["less", "more"])
def test_a_timestamp_may_be_ahead_a_day_but_not(stocked: Client, ahead_ms: int, status: int) -> None:
    """C-PRE-5, DECISIONS."""
    assert stocked.put(R, {"last_modified": time.time_ns() // 1_000_000 + ahead_ms}).status == status


@on_sqlite
@pytest.mark.parametrize(("seconds", "ahead_ms"), [(0, 60_000), (10, 70_000)], ids=["not at all", "ten seconds"])
def test_how_far_a_timestamp_may_be_ahead_is_a_setting(client_with: ClientMaker, seconds: int, ahead_ms: int) -> None:
    """DECISIONS."""
    client = client_with({"kinto.timestamp_max_ahead_seconds": seconds})

    answer = client.put(B, {"last_modified": time.time_ns() // 1_000_000 + ahead_ms})

    assert (answer.status, answer.json["details"][0]["name"]) == (400, "data.last_modified")


def test_the_last_timestamp_that_is_a_date_is_served(client_with: ClientMaker) -> None:
    """C-PRE-10: no setting lets a later one in, and the list goes on from there."""
    client = client_with({"kinto.timestamp_max_ahead_seconds": 10**12})

    assert client.put("/buckets/a", {"last_modified": 253370764800001}).status == 400
    assert client.put(B, {"last_modified": 253370764800000}).status == 201
    assert client.get(B).headers["Last-Modified"] == "Fri, 01 Jan 9999 00:00:00 GMT"
    later = client.batch(
        {"method": "PUT", "path": "/buckets/c", "body": {"data": {"last_modified": 253370764800000}}},
        {"method": "PATCH", "path": B, "body": {"permissions": {"read": ["account:x"]}}},
        {"method": "PUT", "path": "/buckets/d", "body": {"data": {"last_modified": 5}, "permissions": {"read": ["x"]}}},
        {"method": "DELETE", "path": B},
        {"method": "PUT", "path": B},
    )
    assert [entry["status"] for entry in later.json["responses"]] == [201, 200, 201, 200, 201]


@pytest.mark.parametrize("name", ["_since", "_before", "gt_last_modified"])
def test_a_timestamp_far_ahead_that_the_list_does_not_have_is_refused(stocked: Client, name: str) -> None:
    """C-LIST-28."""
    future = stocked.put(f"{RECORDS}/ahead", {"last_modified": time.time_ns() // 1_000_000 + 86_300_000}).etag

    assert stocked.get(f"{RECORDS}?{name}={future}").status == 200
    assert stocked.get(f"{RECORDS}?{name}={future + 10_000_000}").status == 400


@pytest.mark.parametrize("lone", [True, False], ids=["in a request of its own", "in the batch of its parent"])
@pytest.mark.parametrize("path", [f"{B}/groups", f"{B}/collections"])
def test_a_list_starts_now_when_the_list_of_its_parent_is_ahead(client: Client, path: str, lone: bool) -> None:
    """DECISIONS: never at the parent's timestamp."""
    future = time.time_ns() // 1_000_000 + 80_000_000
    requests: list[dict[str, Json]] = [
        {"method": "PUT", "path": B, "body": {"data": {"last_modified": future}}},
        {"method": "PUT", "path": f"{path}/x"},
    ]

    for some in [[one] for one in requests] if lone else [requests]:
        client.batch(*some)

    assert client.get("/buckets").etag == future
    assert client.get(f"{path}/x").etag <= client.get(path).etag < future - 70_000_000
    assert client.get(f"{path}?_since={client.get(path).etag}").data == []


OF_OBJECTS: dict[str, tuple[int, Callable[[Client], Answer]]] = {
    "GET": (200, lambda c: c.get(R)),
    "HEAD": (200, lambda c: c.head(R)),
    "PUT": (200, lambda c: c.put(R, {"n": 2})),
    "PUT that creates": (201, lambda c: c.put(f"{RECORDS}/new")),
    "POST": (201, lambda c: c.post(RECORDS, {})),
    "POST of what is there": (200, lambda c: c.post(RECORDS, {"id": "r"})),
    "PATCH": (200, lambda c: c.patch(R, {"n": 2})),
    "DELETE": (200, lambda c: c.delete(R)),
}


@pytest.mark.parametrize(("status", "ask"), OF_OBJECTS.values(), ids=OF_OBJECTS.keys())
def test_an_answer_carries_the_timestamp_of_its_object(
    stocked: Client, status: int, ask: Callable[[Client], Answer]
) -> None:
    """C-PRE-11, C-PRE-12, C-PRE-13, C-PRE-14: the object's own, though its list has a newer one."""
    known = stocked.get(R).etag
    stocked.put(f"{RECORDS}/newer")

    answer = ask(stocked)

    timestamp = answer.data["last_modified"] if answer.json else known
    assert answer.status == status
    assert answer.headers["ETag"] == f'"{timestamp}"'
    assert answer.headers["Last-Modified"] == formatdate(timestamp // 1000, usegmt=True)


def test_the_date_of_a_timestamp_is_cut_to_seconds(stocked: Client) -> None:
    """C-PRE-12."""
    stocked.put(f"{RECORDS}/new", {"last_modified": 1700000000999})

    answer = stocked.get(f"{RECORDS}/new")

    assert answer.headers["ETag"] == '"1700000000999"'
    assert answer.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_on_a_list_carries_the_timestamp_of_the_list(stocked: Client, method: str) -> None:
    """C-PRE-13, C-PRE-11."""
    deleted = stocked.delete(R).etag

    assert stocked.ask(method, RECORDS).etag == deleted


def test_an_object_that_is_created_again_is_later_than_its_tombstone(stocked: Client) -> None:
    """C-PRE-39: whatever timestamp the client chooses."""
    deleted = stocked.delete(R).etag

    answer = stocked.put(R, {"last_modified": 1000})

    assert (answer.status, answer.etag > deleted) == (201, True)


@pytest.mark.parametrize("lone", [False, True], ids=["in one batch", "one by one"])
def test_a_list_that_is_made_anew_goes_on_above_its_former_life(stocked: Client, lone: bool) -> None:
    """C-PRE-1, C-PRE-2, C-PRE-39: clocks outlive their lists."""
    far = time.time_ns() // 1_000_000 + 80_000_000
    requests: list[dict[str, Json]] = [
        {"method": "PUT", "path": R, "body": {"data": {"last_modified": far}}},
        {"method": "DELETE", "path": C},
        {"method": "PUT", "path": C},
        {"method": "PUT", "path": R},
    ]

    batches = [[one] for one in requests] if lone else [requests]
    entries = [entry for some in batches for entry in stocked.batch(*some).json["responses"]]

    assert entries[0]["body"]["data"]["last_modified"] == far
    assert entries[3]["body"]["data"]["last_modified"] > far
    assert stocked.get(RECORDS).etag == entries[3]["body"]["data"]["last_modified"]


def test_timestamps_of_bucket_and_collection_stay_when_a_record_is_written(stocked: Client) -> None:
    """C-PRE-40."""
    before = [stocked.get(url).etag for url in (B, C, "/buckets", f"{B}/collections")]

    stocked.put(f"{RECORDS}/new")
    stocked.delete(R)

    assert [stocked.get(url).etag for url in (B, C, "/buckets", f"{B}/collections")] == before
