"""What goes with a bucket or a collection that is deleted, and what does not (section 4.13)."""

from __future__ import annotations

import pytest

from tests.api.conftest import ClientMaker
from tests.support.client import Client, user_id

BOB = user_id("bob")
B, C, G, R = "/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g", "/buckets/b/collections/c/records/r"
TREE = (B, C, G, R, f"{C}/records/gone", f"{B}/collections/gone", f"{B}/groups/gone")
BELOW_BUCKET = (f"{B}/collections", f"{B}/groups", f"{C}/records")


def plant(client: Client, bucket: str = B) -> None:
    """Create a bucket with one object of each kind that bob may read for itself, and a tombstone beside each."""
    for uri in TREE:
        client.put(uri.replace(B, bucket, 1), {"a": 1}, {"group:create" if uri == B else "read": [BOB]})
        if uri.endswith("gone"):
            client.delete(uri.replace(B, bucket, 1))


def living_objects(client: Client, lists: tuple[str, ...]) -> list[str]:
    """Return what lists hold, tombstones included."""
    return [each["id"] for uri in lists for each in client.get(f"{uri}?_since=0").data]


@pytest.mark.parametrize("deletion", [B, "/buckets", "/buckets?id=b"], ids=["itself", "the list", "a filter"])
def test_all_that_is_in_a_bucket_goes_with_it(client: Client, deletion: str) -> None:
    """C-OBJ-55: objects, tombstones and permissions; the lists of a new bucket start later."""
    plant(client)
    former = {uri: client.get(uri).etag for uri in BELOW_BUCKET}

    deleted = client.delete(deletion)
    client.put(B)

    assert deleted.status == 200
    assert [client.get(uri).status for uri in (C, G, R)] == [404, 404, 404]
    assert living_objects(client, BELOW_BUCKET[:2]) == []
    client.put(C)
    assert living_objects(client, BELOW_BUCKET[2:]) == []
    assert all(client.get(uri).etag > former[uri] for uri in BELOW_BUCKET)
    client.put(G)
    client.put(R)
    assert [client.as_("bob").get(uri).status for uri in (B, C, G, R)] == [403, 403, 403, 403]
    assert client.get(R).json["permissions"] == {"write": [client.id]}


@pytest.mark.parametrize("deletion", [B, "/buckets"], ids=["itself", "the list"])
def test_a_list_in_a_deleted_bucket_has_a_total_of_0(client_with: ClientMaker, deletion: str) -> None:
    """Settings let alice read lists in a bucket that does not exist."""
    kinds = ("collection", "group", "history")
    settings = {f"kinto.{kind}_read_principals": user_id("alice") for kind in kinds}
    client = client_with({**settings, "kinto.includes": "kinto.plugins.history"})
    plant(client)

    client.delete(deletion)

    totals = [client.head(f"{B}/{name}").headers["Total-Objects"] for name in ("collections", "groups", "history")]
    assert totals == ["0", "0", "0"]


@pytest.mark.parametrize(
    "deletion", [C, f"{B}/collections", f"{B}/collections?id=c"], ids=["itself", "the list", "a filter"]
)
def test_all_that_is_in_a_collection_goes_with_it(client: Client, deletion: str) -> None:
    """C-OBJ-56: records, their tombstones and permissions; the list of a new collection starts later."""
    plant(client)
    former = client.get(f"{C}/records").etag

    deleted = client.delete(deletion)
    client.put(C)

    assert deleted.status == 200
    assert living_objects(client, (f"{C}/records",)) == []
    assert client.get(R).status == 404
    assert client.get(f"{C}/records").etag > former
    client.put(R)
    assert [client.as_("bob").get(uri).status for uri in (C, R)] == [403, 403]
    assert client.as_("bob").get(G).status == 200
    assert sorted(living_objects(client, (f"{B}/groups",))) == ["g", "gone"]


def test_a_deleted_parent_leaves_a_tombstone_and_what_was_in_it_none(client_with: ClientMaker) -> None:
    """C-OBJ-55, C-OBJ-56."""
    client = client_with({f"kinto.{kind}_read_principals": user_id("alice") for kind in ("bucket", "collection")})
    plant(client)

    client.delete(C)
    client.delete(B)

    assert client.get("/buckets?_since=0").data[0].keys() == {"id", "last_modified", "deleted"}
    assert living_objects(client, (f"{B}/collections",)) == []


@pytest.mark.parametrize("deletion", [B, C], ids=["the bucket", "the collection"])
def test_a_cascade_deletes_however_many_there_are(client_with: ClientMaker, deletion: str) -> None:
    """C-OBJ-59."""
    client = client_with({"kinto.storage_max_fetch_size": 3, "kinto.paginate_by": 2})
    for uri in (B, C):
        client.put(uri)
    for number in range(8):
        client.put(f"{C}/records/r{number}", permissions={"read": [BOB]})

    client.delete(deletion)
    for uri in (B, C):
        client.put(uri)

    assert client.head(f"{C}/records").headers["Total-Objects"] == "0"
    assert [client.get(f"{C}/records/r{number}").status for number in range(8)] == [404] * 8
    assert client.as_("bob").get(f"{C}/records").status == 403


@pytest.mark.parametrize(
    ("gone", "stays"),
    [("a_b", "axb"), ("a", "ab"), ("ab", "a"), ("a-", "a-b"), ("A", "a")],
    ids=["an underscore", "the beginning of another", "longer than another", "a dash", "another letter case"],
)
def test_a_cascade_touches_no_bucket_of_a_similar_name(client: Client, gone: str, stays: str) -> None:
    """C-OBJ-60."""
    for bucket in (gone, stays):
        plant(client, f"/buckets/{bucket}")
    lists = tuple(uri.replace(B, f"/buckets/{stays}", 1) for uri in BELOW_BUCKET)
    before = [client.get(f"{uri}?_since=0").json for uri in lists]
    clocks = [client.get(uri).etag for uri in lists]

    client.delete(f"/buckets/{gone}")

    assert [client.get(f"{uri}?_since=0").json for uri in lists] == before
    assert [client.get(uri).etag for uri in lists] == clocks
    assert client.as_("bob").get(R.replace(B, f"/buckets/{stays}", 1)).status == 200


@pytest.mark.parametrize(("gone", "stays"), [("c_d", "cxd"), ("c", "cd")], ids=["an underscore", "a beginning"])
def test_a_cascade_touches_no_collection_of_a_similar_name(client: Client, gone: str, stays: str) -> None:
    """C-OBJ-60."""
    client.put(B)
    for collection in (gone, stays):
        client.put(f"{B}/collections/{collection}")
        client.put(f"{B}/collections/{collection}/records/r", {"a": 1}, {"read": [BOB]})

    client.delete(f"{B}/collections/{gone}")

    assert client.get(f"{B}/collections/{stays}/records/r").data["a"] == 1
    assert client.as_("bob").get(f"{B}/collections/{stays}/records/r").status == 200


def test_a_cascade_in_a_batch_takes_effect_before_what_follows(client: Client) -> None:
    """C-OBJ-61: what is created after the deletion stays, what was there before is gone."""
    plant(client)

    answer = client.batch(
        {"method": "DELETE", "path": B},
        {"path": R},
        {"method": "PUT", "path": B},
        {"path": C},
        {"method": "PUT", "path": C, "body": {"data": {"new": 1}}},
        {"path": f"{C}/records?_since=0"},
        {"method": "PUT", "path": f"{C}/records/s"},
    )

    responses = answer.json["responses"]
    assert [each["status"] for each in responses] == [200, 403, 201, 404, 201, 200, 201]
    assert responses[5]["body"] == {"data": []}
    assert client.get(C).data["new"] == 1
    assert living_objects(client, BELOW_BUCKET) == ["c", "s"]
    assert client.get(R).status == 404


def test_a_collection_is_emptied_in_a_batch_by_deletion_and_creation(client: Client) -> None:
    """C-OBJ-61."""
    plant(client)

    client.batch(
        {"method": "DELETE", "path": C},
        {"method": "PUT", "path": C},
        {"method": "POST", "path": f"{C}/records", "body": {"data": {"id": "s"}}},
    )

    assert living_objects(client, (f"{C}/records",)) == ["s"]
    assert client.get(R).status == 404
