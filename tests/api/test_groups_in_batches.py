"""Within a batch everybody has the groups of its start, in objects, in lists and in views (core contract, 7.7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ClientMaker
from tests.support.client import Client, basic, user_id

BOB = user_id("bob")
GROUP, OPEN = "/buckets/b/groups/g", "/buckets/o"
C = f"{OPEN}/collections"
READS = [
    {"path": OPEN},
    {"path": f"{C}/c"},
    {"path": C},
    {"path": "/buckets"},
    {"path": "/"},
    {"path": "/permissions"},
    {"method": "HEAD", "path": C},
]


def _service(client_with: ClientMaker, members: list[str]) -> Client:
    """Return alice's client of a service where a group may read one bucket, and its collection."""
    client = client_with({"kinto.experimental_permissions_endpoint": True})
    client.put("/buckets/b")
    client.put(GROUP, {"members": members})
    client.put(OPEN, {}, {"read": [GROUP]})
    client.put(f"{C}/c")
    return client


def _group(method: str, members: list[str] | None = None) -> dict[str, Any]:
    member: dict[str, Any] = {"method": method, "path": GROUP}
    return member if members is None else {**member, "body": {"data": {"members": members}}}


def _by_bob(member: dict[str, Any]) -> dict[str, Any]:
    return {"method": "GET", **member, "headers": {"Authorization": basic("bob")}}


def _content(entry: dict[str, Any]) -> Any:
    """Return what an answer shows of the group and of what it grants."""
    body = entry["body"] or {}
    if "user" in body:
        return GROUP in body["user"]["principals"]
    if entry["path"].endswith("/permissions"):
        return sorted(one["uri"] for one in body["data"])
    data = body.get("data", {})
    return entry["status"], [one["id"] for one in data] if isinstance(data, list) else data.get("id")


CHANGES: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
    "joins": ([], [_group("PATCH", [BOB])]),
    "joins by PUT": ([], [_group("PUT", [BOB])]),
    "leaves": ([BOB], [_group("PATCH", [])]),
    "leaves and joins": ([BOB], [_group("PUT", []), _group("PUT", [BOB])]),
    "joins and leaves": ([], [_group("PUT", [BOB]), _group("PUT", [])]),
}


@pytest.mark.parametrize("between", [[], [{"method": "POST", "path": "/nowhere"}]], ids=["", "with a view between"])
@pytest.mark.parametrize(("before", "changes"), CHANGES.values(), ids=CHANGES.keys())
def test_somebody_has_the_groups_of_the_start_of_the_batch_in_which_he(
    client_with: ClientMaker, before: list[str], changes: list[dict[str, Any]], between: list[dict[str, Any]]
) -> None:
    """Whatever reads: an object, a list, a page; and whatever was written in between."""
    client = _service(client_with, before)
    reads = [_by_bob(read) for read in READS]
    start = [_content(entry) for entry in client.batch(*reads).json["responses"]]

    answer = client.batch(*changes, *between, {"method": "PUT", "path": f"{C}/c"}, *reads)

    assert answer.status == 200, answer.json
    assert [_content(entry) for entry in answer.json["responses"][-len(reads) :]] == start
    fresh = [_content(entry) for entry in client.batch(*reads).json["responses"]]
    assert (fresh == start) == (changes[-1]["body"]["data"]["members"] == before)


@pytest.mark.parametrize("gone", [GROUP, "/buckets/b/groups", "/buckets/b", "/buckets/*b"])
def test_a_deleted_group_grants_nothing_to_what_follows(client_with: ClientMaker, gone: str) -> None:
    """DECISIONS: its grants end in the transaction; who was in it is, in name, until the end."""
    client = _service(client_with, [BOB])
    reads = [_by_bob(read) for read in READS]
    if gone == "/buckets/*b":
        deletion = {"method": "DELETE", "path": "/buckets?id=b"}
    else:
        deletion = {"method": "DELETE", "path": gone}

    contents = [_content(entry) for entry in client.batch(deletion, *reads).json["responses"][1:]]

    assert contents == [(403, None), (403, None), (403, None), (200, []), True, ["/"], (403, None)]
    assert [_content(entry) for entry in client.batch(*reads).json["responses"]][4] is False


def test_thousands_of_members_and_readers_go_at_once(client: Client) -> None:
    """By PUT, in a batch and by a plural DELETE: no statement grows with their square (docs/architecture.md, R3)."""
    many = [f"account:{number}" for number in range(4_000)]
    client.put("/buckets/b")
    client.put("/buckets/b/collections/c")
    record = "/buckets/b/collections/c/records/r"
    for object_id in "ghi":
        assert client.put(f"/buckets/b/groups/{object_id}", {"members": many}).status == 201
    for path in (record, "/buckets/b/collections/c"):
        assert client.put(path, {}, {"read": many}).status in (200, 201)

    answers = [
        client.put("/buckets/b/groups/g", {"members": []}),
        client.put(record, {}, {"read": [BOB]}),
        client.delete("/buckets/b/groups"),
        client.batch({"method": "DELETE", "path": "/buckets/b/collections/c"}, {"method": "PUT", "path": GROUP}),
    ]

    assert [answer.status for answer in answers] == [200] * 4
    assert client.get(record).status == 404
    assert client.head("/buckets/b/groups").headers["Total-Objects"] == "1"
