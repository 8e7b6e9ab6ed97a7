"""The records of a collection as they were at a time (plugins contract, 7.5)."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from blueprints.plugins.history import snapshots
from blueprints.plugins.history.sorting import sort_lines
from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client, user_id

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
BOB, EVE = user_id("bob"), user_id("eve")
SETTINGS = {"kinto.includes": "kinto.plugins.history", "kinto.storage_max_fetch_size": 5, "kinto.paginate_by": 2}


@pytest.fixture
def client(client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Return alice's client of a service with history, with a collection; all pages have few objects."""
    monkeypatch.setattr(snapshots, "_PAGE_BYTES", 500)
    client = client_with(SETTINGS)
    client.put(B)
    client.put(C)
    return client


def at(client: Client, timestamp: Any, collection: str = "c") -> Answer:
    """Ask for a snapshot."""
    return client.get(f"{B}/snapshot/collections/{collection}@{timestamp}")


def now(client: Client) -> int:
    """Return the timestamp of the records."""
    return client.get(RECORDS).etag


def test_records_are_as_they_were(client: Client) -> None:
    """P-HIST-19, PD-16: unchanged, changed, deleted, created, created again; complete, whatever the page size."""
    client.batch(*({"method": "PUT", "path": f"{RECORDS}/r{n}", "body": {"data": {"n": n}}} for n in range(8)))
    client.delete(f"{RECORDS}/r7")
    before = now(client)
    changed = client.put(f"{RECORDS}/r1", {"n": "new", "ä": 2**65}).data
    client.patch(f"{RECORDS}/r1", {"again": True})
    client.delete(f"{RECORDS}/r2")
    client.put(f"{RECORDS}/r7", {"n": "reborn"})
    client.put(f"{RECORDS}/late", {"n": "late"})
    client.delete(f"{RECORDS}/r3")
    client.put(f"{RECORDS}/r3", {"n": "reborn"})
    after = now(client)

    then = at(client, before)
    assert then.headers["Content-Type"] == "application/json"
    assert not {"ETag", "Next-Page"} & {*then.headers.keys()}
    assert [(record["id"], record["n"]) for record in then.data] == [(f"r{n}", n) for n in (6, 5, 4, 3, 2, 1, 0)]
    assert then.data[-1].keys() == {"id", "last_modified", "n"}
    present = [record for page in _pages(client) for record in page]
    assert at(client, after).data == at(client, 10**30).data == present
    assert at(client, changed["last_modified"]).data[0] == changed
    assert at(client, 0).data == []
    assert at(client, then.data[2]["last_modified"]).data == then.data[2:]


def _pages(client: Client) -> Iterator[list[Any]]:
    path = RECORDS
    while path:
        answer = client.get(path)
        yield answer.data
        path = answer.headers.get("Next-Page", "").partition("/v1")[2]
        path = path and f"/v1{path}"


@pytest.mark.parametrize("timestamp", ["abc", "-1", "1.5", '"5"', "%C2%B2"])
def test_a_malformed_timestamp_is_refused_first(client: Client, timestamp: str) -> None:
    """P-HIST-19."""
    answer = at(client.as_("eve"), timestamp)

    text = timestamp.replace("%C2%B2", "²")
    assert (answer.status, answer.json["message"]) == (400, f"Invalid timestamp '{text}'")
    assert answer.json["details"] == [{"location": "path", "name": "timestamp", "description": answer.json["message"]}]


def test_who_may_read_the_collection_may_read_its_past(client: Client) -> None:
    """P-HIST-19."""
    client.patch(B, permissions={"collection:create": [user_id("maker")], "write": [user_id("owner")]})
    client.patch(C, permissions={"read": [f"{B}/groups/g"], "record:create": [user_id("maker")]})
    client.put(f"{B}/groups/g", {"members": [BOB]})
    client.put(f"{RECORDS}/r", permissions={"read": [EVE]})

    assert [at(client.as_(name), 5).status for name in ("alice", "owner", "bob")] == [200] * 3
    assert [at(client.as_(name), 5).status for name in ("maker", "eve", None)] == [403, 403, 401]
    assert client.as_("bob").get(f"{B}/snapshot/collections/other@5").status == 403
    assert [client.as_(name).get("/buckets/nope/snapshot/collections/c@5").status for name in ("bob", None)] == [
        403,
        401,
    ]


def test_settings_let_users_read_the_past(client_with: ClientMaker) -> None:
    """P-HIST-19, PD-16."""
    client = client_with({**SETTINGS, "kinto.collection_read_principals": BOB, "kinto.bucket_write_principals": EVE})
    client.put(B)
    client.put(C)

    assert [at(client.as_(name), 5).status for name in ("bob", "eve", "zoe")] == [200, 200, 403]


def test_what_is_no_collection_has_no_past(client: Client) -> None:
    """P-HIST-19."""
    unknown = at(client, 5, "nope")
    assert (unknown.status, unknown.json) == (200, {"data": []})
    for path, details in {
        "/buckets/b*/snapshot/collections/c@5": {"id": "b*", "resource_name": "bucket"},
        f"{B}/snapshot/collections/c*@5": {"id": "c*", "resource_name": "collection"},
        f"{B}/snapshot/collections/c@5@6": {"id": "c@5", "resource_name": "collection"},
    }.items():
        answer = client.get(path)
        assert (answer.status, answer.json["errno"], answer.json["details"]) == (404, 111, details)
    for path in ("snapshot", "snapshot/collections/c", "snapshot/collections/c@", "snapshot/collections/@5"):
        assert client.get(f"{B}/{path}").json["errno"] == 111


def test_only_reads_are_methods_of_a_snapshot(client: Client) -> None:
    """P-HIST-19; also in a batch."""
    client.put(f"{RECORDS}/r")
    path = f"{B}/snapshot/collections/c@{now(client)}"

    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = client.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    preflight = {"Origin": "https://x.test", "Access-Control-Request-Method": "GET"}
    assert client.ask("OPTIONS", path, headers=preflight).status == 200
    assert (client.head(path).status, client.head(path).body) == (200, b"")
    batch = client.batch({"method": "PUT", "path": f"{RECORDS}/s"}, {"method": "GET", "path": path})
    assert [record["id"] for record in batch.json["responses"][1]["body"]["data"]] == ["r"]


def test_a_collection_that_was_deleted_begins_anew(client: Client) -> None:
    """P-HIST-19: what it had before is in the past before its deletion, and not after it."""
    client.put(f"{RECORDS}/r", {"n": 1})
    before = now(client)
    client.delete(C)
    assert at(client, before).data == []
    client.put(C)
    between = now(client)
    client.put(f"{RECORDS}/s")

    assert [record["id"] for record in at(client, before).data] == ["r"]
    assert at(client, between).data == []
    assert [record["id"] for record in at(client, now(client)).data] == ["s"]


@pytest.mark.parametrize(
    "settings",
    [{"exclude_user_ids": BOB}, {"auto_trim_max_count": 1, "auto_trim_threshold": 0}],
    ids=["excluded", "trimmed"],
)
def test_a_collection_begins_anew_also_if_its_deletion_has_no_entry(
    client_with: ClientMaker, settings: dict[str, Any]
) -> None:
    """P-HIST-19: its creation has one."""
    client = client_with({**SETTINGS, **{f"kinto.history.{name}": value for name, value in settings.items()}})
    client.put(B, permissions={"write": [BOB]})
    client.put(C)
    client.put(f"{RECORDS}/r", {"n": 1})
    before = now(client)

    client.as_("bob").delete(C)
    client.put(C)

    assert [entry["uri"] for entry in client.get(f"{B}/history?action=delete").data] == []
    assert at(client, now(client)).data == []
    assert [record["id"] for record in at(client, before).data] == ["r"]


def test_changes_without_an_entry_are_as_documented(client_with: ClientMaker) -> None:
    """P-HIST-19: an old version that was not recorded is absent; a present one that is not recorded counts."""
    client = client_with({**SETTINGS, "kinto.history.exclude_user_ids": BOB})
    client.put(B, permissions={"write": [BOB]})
    client.put(C)
    for name in ("kept", "changed", "gone", "lost"):
        client.put(f"{RECORDS}/{name}", {"n": 1})
    client.as_("bob").put(f"{RECORDS}/changed", {"n": 2})
    client.as_("bob").put(f"{RECORDS}/own", {"n": 2})
    client.as_("bob").put(f"{RECORDS}/own2", {"n": 2})
    client.as_("bob").delete(f"{RECORDS}/gone")
    client.delete(f"{B}/history?record_id=lost")
    before = now(client)
    client.put(f"{RECORDS}/own", {"n": 3})
    client.put(f"{RECORDS}/lost", {"n": 3})

    assert {record["id"]: record["n"] for record in at(client, before).data} == {"own2": 2, "changed": 2, "kept": 1}


def test_the_first_use_of_an_own_bucket_creates_it_and_no_collection(client_with: ClientMaker) -> None:
    """P-DEF-4: also if the snapshot is refused."""
    client = client_with({"kinto.includes": "kinto.plugins.history kinto.plugins.default_bucket"})
    snapshot = "/buckets/default/snapshot/collections"

    assert client.get(f"{snapshot}/c@5").json == {"data": []}
    assert client.as_("bob").get(f"{snapshot}/c@x").status == 400
    assert client.as_("eve").get(f"{snapshot}/c*@5").json["details"] == {"id": "c*", "resource_name": "collection"}
    for name in ("alice", "bob", "eve"):
        rows = client.as_(name).get("/buckets/default/history").data
        assert [entry["resource_name"] for entry in rows] == ["bucket"], name
    assert client.as_(None).get(f"{snapshot}/c@5").status == 401


def test_lines_are_sorted_in_memory_and_in_files() -> None:
    lines = [f"{number}\n" for number in random.Random(1).sample(range(10_000), 1_000)]

    assert (
        list(sort_lines(lines, 5_000)) == list(sort_lines(lines, 1_000)) == list(sort_lines(lines, 70)) == sorted(lines)
    )
    assert list(sort_lines([])) == []


def test_a_long_snapshot_takes_little_memory(client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written while it is read: less is in memory than the answer is long."""
    client = client_with({"kinto.includes": "kinto.plugins.history"})
    monkeypatch.setattr(snapshots, "_PAGE_BYTES", 100_000)
    client.put(B)
    client.put(C)
    body = {"data": {"filler": "x" * 40_000}}
    members = [{"method": "PUT", "path": f"{RECORDS}/r{number}", "body": body} for number in range(50)]
    for first in (0, 25, 0, 25):
        client.batch(*members[first : first + 25])
    middle = client.get(f"{RECORDS}/r0").data["last_modified"] - 1
    at(client, middle)  # which compiles the statements

    tracemalloc.start()
    response = snapshots.Snapshot(client.app.extensions["kinto"], B, "c", middle).to_response()
    length = sum(len(part) for part in response.iter_encoded())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert length > 50 * 40_000
    assert peak < length
