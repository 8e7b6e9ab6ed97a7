"""`kinto check`: lists whose clock, timestamps or count are wrong are reported, and mended by `--repair`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event

from backends.storage import LIVING, bucket_of
from backends.storage.index_builder import STEP
from backends.storage.indexes import READY
from backends.storage.tables import clocks, documents, grants, members
from scripts.command import READONLY
from tests.support.checking import INDEXES, RECORDS, B, C, Place, open_place
from tests.support.databases import BASICAUTH, DATABASES
from tests.support.tables import faults, read_tables

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS


@pytest.fixture(params=DATABASES, scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(request.param, tmp_path_factory.mktemp("check"), BASICAUTH) as place:
        yield place


def _assert_sound(place: Place) -> None:
    """Timestamps are unique in a list, in range and not above its clock; counts are exact; both copies are equal."""
    rows, now = place.rows(documents), time.time_ns() // 1_000_000
    for clock in place.rows(clocks):
        mine = [row for row in rows if (row["bucket"], row["list"]) == (clock["bucket"], clock["list"])]
        stamps = [row["last_modified"] for row in mine]
        assert len(stamps) == len(set(stamps))
        assert all(0 <= stamp <= clock["last_modified"] <= now + DAY_MS + 60_000 for stamp in stamps)
        assert all(0 <= row["born"] <= clock["last_modified"] + 1 for row in mine)
        assert 0 < clock["floor"] <= clock["last_modified"]
        assert clock["count"] == sum(not row["deleted"] for row in mine) or "/gone/" in clock["list"]
    latest = {clock["list"]: clock["last_modified"] for clock in place.rows(clocks)}
    for row in rows:
        document = row["data"] if isinstance(row["data"], dict) else json.loads(row["data"])
        assert document["last_modified"] == row["last_modified"]
        other = [each for each in rows if each["uri"] == row["uri"]]
        assert all({**each, "bucket": ""} == {**row, "bucket": ""} for each in other)
    for row in [*place.rows(grants), *place.rows(members)]:
        uri = row["uri" if "uri" in row else "principal"]
        assert 0 <= row["since"] <= latest[uri.rpartition("/")[0]] + 1
        assert row["until"] == LIVING or 0 <= row["until"] <= now + DAY_MS + 60_000


def _assert_indexes_are_right(place: Place, name: str) -> None:
    """Assert that keys follow their objects, each of which ends in a timestamp, and unique values stay unique."""
    for built in (False, True):
        if built:
            place.client.app.extensions["kinto"].storage.build_indexes(lambda line: None)
        assert place.client.put(f"{RECORDS}/other", {"s": "é\u2028", "n": 4}).status == 409, name
        assert [row["id"] for row in place.client.get(f"{RECORDS}?n=4").data] == ["r4"], name
    with place.engine.connect() as connection:
        tables = read_tables(connection)
    assert [row.state for row in tables.indexes] == [READY] * len(INDEXES), name
    assert [fault for fault in faults(tables) if "key" in fault or "terms" in fault] == [], name


AHEAD = f"(SELECT max(last_modified) + {MONTH_MS} FROM documents AS d)"
FAULTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "a clock ahead": (
        RECORDS,
        "clock * is out of range",
        (f"UPDATE clocks SET last_modified = {AHEAD} WHERE list = '{RECORDS}'",),
    ),
    "a clock below 0": (
        RECORDS,
        "clock -5 is out of range",
        (f"UPDATE clocks SET last_modified = -5 WHERE list = '{RECORDS}'",),
    ),
    "the last clock": (
        RECORDS,
        "clock * is out of range",
        (f"UPDATE clocks SET last_modified = {LIVING} WHERE list = '{RECORDS}'",),
    ),
    "objects ahead, and the clock with them": (
        RECORDS,
        "timestamps of 6 object(s)",
        (
            f"UPDATE documents SET last_modified = last_modified + {MONTH_MS}, born = born + {MONTH_MS}",
            f"UPDATE clocks SET last_modified = last_modified + {MONTH_MS}",
        ),
    ),
    "all objects at one timestamp": (
        RECORDS,
        "timestamps of 6 object(s)",
        (f"UPDATE documents SET last_modified = {2**60} WHERE list = '{RECORDS}'",),
    ),
    "a tombstone ahead": (
        RECORDS,
        "timestamps of 1 object(s)",
        (f"UPDATE documents SET last_modified = {AHEAD} WHERE uri = '{RECORDS}/r0'",),
    ),
    "an object below 0": (
        RECORDS,
        "timestamps of 1 object(s)",
        (f"UPDATE documents SET last_modified = -7 WHERE uri = '{RECORDS}/r2'",),
    ),
    "a birth ahead": (
        RECORDS,
        "timestamps of 1 object(s)",
        (f"UPDATE documents SET born = {AHEAD} WHERE uri = '{RECORDS}/r2'",),
    ),
    "a bucket ahead": (
        "/buckets",
        "timestamps of 1 object(s)",
        (f"UPDATE documents SET last_modified = {2**55} WHERE uri = '{B}'",),
    ),
    "a clock below an object": (
        RECORDS,
        "is below its newest object",
        (f"UPDATE clocks SET last_modified = 5, floor = 3 WHERE list = '{RECORDS}'",),
    ),
    "a count too high": (
        RECORDS,
        "count is 7 and 5 object(s) live",
        (f"UPDATE clocks SET count = 7 WHERE list = '{RECORDS}'",),
    ),
    "the count of an empty list": (
        f"{B}/collections/none/records",
        "count is 7 and 0 object(s) live",
        (f"UPDATE clocks SET count = 7 WHERE list = '{B}/collections/none/records'",),
    ),
    "the count of buckets": (
        "/buckets",
        "count is 0 and 1 object(s) live",
        ("UPDATE clocks SET count = 0 WHERE list = '/buckets'",),
    ),
    "a count below 0": (RECORDS, "count is -2 and", (f"UPDATE clocks SET count = -2 WHERE list = '{RECORDS}'",)),
    "a floor above": (
        RECORDS,
        "floor * is above its clock",
        (f"UPDATE clocks SET floor = {2**55} WHERE list = '{RECORDS}'",),
    ),
    "grants ahead": (
        RECORDS,
        "timestamps of 7 grant(s)",
        (f"UPDATE grants SET since = since + {2**50} WHERE list = '{RECORDS}'",),
    ),
    "the end of a grant ahead": (
        RECORDS,
        "timestamps of 1 grant(s)",
        (f"UPDATE grants SET until = {2**55} WHERE until < {LIVING} AND list = '{RECORDS}'",),
    ),
    "grants on a bucket ahead": (
        "/buckets",
        "timestamps of 2 grant(s)",
        (f"UPDATE grants SET since = {2**55} WHERE list = '/buckets'",),
    ),
    "a membership ahead": (f"{B}/groups", "timestamps of 1 membership(s)", (f"UPDATE members SET since = {2**55}",)),
}


def _living(place: Place) -> tuple[Any, ...]:
    """Return objects in their order, grants and memberships, as they are served and without timestamps."""
    records = [
        (row["id"], row.get("n"), row.get("big"), row.get("s"))
        for row in place.client.get(f"{RECORDS}?_sort=last_modified&_since=0").data
    ]
    held = {
        (row["bucket"], row["uri"], row["permission"], row["principal"])
        for row in place.rows(grants)
        if row["until"] == LIVING
    }
    joined = {(row["user_id"], row["principal"]) for row in place.rows(members) if row["until"] == LIVING}
    return records, held, joined


def test_every_kind_of_fault_is_reported_and_mended(place: Place) -> None:
    for name, (where, message, statements) in FAULTS.items():
        place.stock()
        assert place.examine() == [], name
        before, etag = _living(place), place.client.get(where).etag
        place.change(*statements)

        wrong = place.examine()
        first, _, last = message.partition("*")
        assert any(line.startswith(f"{where}: ") and first in line and last in line for line in wrong), (name, wrong)
        assert place.examine() == wrong, f"{name}: a report changes nothing"
        assert any(line.startswith(f"{where}: repaired: ") for line in place.examine(repair=True)), name

        assert place.examine(repair=True) == [], name
        _assert_sound(place)
        after = _living(place)
        assert after[1:] == before[1:], name
        ordered = name not in ("all objects at one timestamp", "a tombstone ahead", "an object below 0")
        assert after[0] == before[0] if ordered else sorted(map(str, after[0])) == sorted(map(str, before[0])), name
        if "count" not in name and "floor" not in name:
            assert place.clock(where)["floor"] == place.clock(where)["last_modified"] > etag, name
        assert place.client.put(f"{RECORDS}/new").etag == place.clock(RECORDS)["last_modified"], name
        _assert_indexes_are_right(place, name)


def test_repair_sends_no_more_statements_for_more_objects_and_fetches_none(place: Place) -> None:
    """Whatever the size of a list, its objects are renumbered by the database; the index builder comes after it."""
    sent: list[list[str]] = [[]]  # of the repairs, the latest first, and what was sent since

    @event.listens_for(Engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent[-1].append(statement)

    try:
        for size in (3, 300):
            place.stock()
            place.client.batch(*({"method": "PUT", "path": f"{RECORDS}/x{n}"} for n in range(20)))
            for part in range(size // 20):
                place.client.batch(*({"method": "PUT", "path": f"{RECORDS}/y{part}-{n}"} for n in range(20)))
            place.change(f"UPDATE documents SET last_modified = last_modified + {2**50} WHERE list = '{RECORDS}'")
            sent.append([])
            assert place.check("--repair")[0] == 0
            sent.insert(0, sent.pop())
            sent.append([])
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    writes = [[text for text in statements if text.startswith("UPDATE documents")] for statements in sent[:2]]
    assert [len([text for text in texts if "row_number" in text]) for texts in writes] == [1, 1]
    assert len(writes[0]) <= len(writes[1]) + 300 // STEP


@pytest.mark.parametrize("days", [30, 20_000], ids=["a month ahead", "decades ahead"])
def test_a_client_with_a_timestamp_of_the_future_gets_on(place: Place, days: int) -> None:
    """C-PRE-5, DECISIONS: the service's own ETags are accepted back; one request later the client is up to date."""
    client = place.client
    place.stock()
    place.change(
        f"UPDATE documents SET last_modified = last_modified + {days * DAY_MS} WHERE list = '{RECORDS}'",
        f"UPDATE clocks SET last_modified = last_modified + {days * DAY_MS} WHERE list = '{RECORDS}'",
    )
    future = client.get(RECORDS).etag
    assert place.check("--repair")[0] == 0
    client.put(f"{RECORDS}/later")
    client.delete(f"{RECORDS}/r5")
    everything = {row["id"] for row in client.get(f"{RECORDS}?_since=0").data}

    polled = [
        client.get(f"{RECORDS}?_since={future}", if_none_match=f'"{future}"'),
        client.get(f"{RECORDS}?gt_last_modified={future}&_sort=-last_modified"),
        client.get(f"{RECORDS}?_since={future - 1}"),
    ]
    in_batch = client.batch({"method": "GET", "path": f"{RECORDS}?_since={future}"}, {"method": "PUT", "path": C})

    for answer in polled:
        assert (answer.status, {row["id"] for row in answer.data}) == (200, everything)
    assert {row["id"] for row in in_batch.json["responses"][0]["body"]["data"]} == everything
    paged, path = [], f"{RECORDS}?_since={future}&_limit=2"
    while path:
        page = client.get(path)
        paged += [row["id"] for row in page.data]
        path = "/v1" + page.headers["Next-Page"].partition("/v1")[2] if "Next-Page" in page.headers else ""
    assert (len(paged), set(paged)) == (len(everything), everything)
    etag = polled[0].headers["ETag"]
    assert client.get(f"{RECORDS}?_since={etag}").data == []
    client.put(f"{RECORDS}/r1", {"n": 7})
    assert [row["id"] for row in client.get(f"{RECORDS}?_since={etag}").data] == ["r1"]
    assert client.get(RECORDS, if_none_match=f'"{future}"').status == 200
    assert client.get(f"{RECORDS}?_before={future}").status == 200
    assert client.put(f"{RECORDS}/r1", {}, if_match=f'"{future}"').status == 412
    assert client.get(f"{RECORDS}?_since={future + 1}").status == 400, "a list never gave this out"
    assert client.ask("DELETE", f"{RECORDS}?_since={future}").data == [], "what is deleted is never more than asked for"

    # When the clock has passed what it was, nobody can tell on which side of the repair a client synchronised.
    place.change(f"UPDATE clocks SET last_modified = former + 5 WHERE list = '{RECORDS}'")
    everything = {row["id"] for row in client.get(f"{RECORDS}?_since=0").data}
    assert {row["id"] for row in client.get(f"{RECORDS}?_since={etag}").data} == everything
    assert client.get(f"{RECORDS}?_since={future + 1}").data == []


def test_a_list_is_mended_while_others_write(place: Place) -> None:
    """Nothing is lost, timestamps stay unique, the clock is not below any object, the count is exact."""
    place.stock()
    place.change(
        f"UPDATE documents SET last_modified = last_modified + {2**50} WHERE list = '{RECORDS}'",
        f"UPDATE clocks SET last_modified = last_modified + {2**50}, count = count + 3 WHERE list = '{RECORDS}'",
    )
    done: list[bool] = []

    def write(writer: int) -> dict[str, int | None]:
        mine: dict[str, int | None] = {}
        number = 0
        while not done or number < 10:
            number += 1
            object_id = f"w{writer}-{number % 7}"
            if number % 5 == 0 and mine.get(object_id) is not None:
                assert place.client.delete(f"{RECORDS}/{object_id}").status == 200
                mine[object_id] = None
                continue
            answer = place.client.put(f"{RECORDS}/{object_id}", {"n": number})
            assert answer.status in (200, 201), answer.body
            mine[object_id] = number
        return mine

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, writer) for writer in range(4)]
        try:
            mended = [place.check("--repair") for _ in range(3)]
        finally:
            done.append(True)
        written = {object_id: n for writer in writers for object_id, n in writer.result().items()}

    assert [code for code, _ in mended] == [0, 0, 0]
    assert [bool(lines) for _, lines in mended] == [True, False, False]
    _assert_sound(place)
    living = {row["id"]: row["n"] for row in place.client.get(RECORDS).data}
    assert living == {f"r{n}": n for n in range(1, 6)} | {
        object_id: n for object_id, n in written.items() if n is not None
    }


def test_the_command_ends_with_1_as_long_as_something_is_wrong(place: Place) -> None:
    place.stock()
    assert place.check() == (0, [])
    place.change(f"UPDATE clocks SET count = 9 WHERE list = '{RECORDS}'")

    assert place.check() == (1, [f"{RECORDS}: its count is 9 and 5 object(s) live."])
    code, lines = place.check("--repair")
    assert (code, len(lines), lines[1].startswith(f"{RECORDS}: repaired: 0 row(s) got new timestamps")) == (0, 2, True)
    assert place.check() == place.check("--repair") == (0, [])


def test_a_service_that_is_read_only_is_not_repaired(place: Place) -> None:
    text = place.ini.read_text()
    place.ini.write_text(f"{text}kinto.readonly = true\n")
    try:
        assert place.check("--repair") == (READONLY, [])
        assert place.check()[0] in (0, 1)
    finally:
        place.ini.write_text(text)


def test_how_far_ahead_is_wrong_is_the_setting(place: Place) -> None:
    place.stock()
    place.change(f"UPDATE clocks SET last_modified = last_modified + 3600000 WHERE list = '{RECORDS}'")
    before = place.ini.read_text()

    numbers: dict[int, Callable[[], Any] | int] = {}
    for seconds in (0, 1800, 86_400):
        place.ini.write_text(f"{before}kinto.timestamp_max_ahead_seconds = {seconds}\n")
        numbers[seconds] = place.check()[0]
    place.ini.write_text(before)

    assert numbers == {0: 1, 1800: 1, 86_400: 0}
    assert bucket_of(RECORDS) == B
