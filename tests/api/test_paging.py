"""Sizes of pages, lists that change while they are read, lists that are deleted (docs/contract/core.md 4.12, 6.9)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client

B = "/buckets/b"
LIST = f"{B}/collections/c/records"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


def fill(client: Client, count: int, list_uri: str = LIST) -> None:
    """Make `r0`, `r1`, ... with `n` counting down and `even` among their fields."""
    bucket, collection = list_uri.split("/")[2], list_uri.split("/")[4]
    client.batch(
        {"method": "PUT", "path": f"/buckets/{bucket}"},
        {"method": "PUT", "path": f"/buckets/{bucket}/collections/{collection}"},
        *(
            {
                "method": "PUT",
                "path": f"{list_uri}/r{number}",
                "body": {"data": {"n": count - number, "even": number % 2 == 0}},
            }
            for number in range(count)
        ),
    )


def ids(answer: Answer) -> list[str]:
    """Return the ids of a page in its order."""
    return [one["id"] for one in answer.data]


def next_of(answer: Answer) -> str:
    """Return `Next-Page` without scheme and host."""
    place = urlsplit(answer.headers["Next-Page"])
    return f"{place.path}?{place.query}"


SIZES: dict[str, tuple[dict[str, Any], str, int]] = {
    "C-LIST-49 all without settings": ({}, "", 5),
    "C-LIST-45 what the client asks for": ({}, "?_limit=2", 2),
    "C-LIST-45 C-LIST-49 the setting": ({"kinto.paginate_by": 3}, "", 3),
    "C-LIST-45 less than the setting": ({"kinto.paginate_by": 3}, "?_limit=2", 2),
    "C-LIST-45 no more than the setting": ({"kinto.paginate_by": 3}, "?_limit=4", 3),
    "C-LIST-49 no more than may be fetched": ({"kinto.storage_max_fetch_size": 4}, "", 4),
    "C-LIST-45 no more than may be fetched, whatever is asked": ({"kinto.storage_max_fetch_size": 4}, "?_limit=5", 4),
}


@pytest.mark.parametrize(("settings", "query", "size"), SIZES.values(), ids=SIZES.keys())
def test_a_page_holds(client_with: ClientMaker, settings: dict[str, Any], query: str, size: int) -> None:
    """C-LIST-47: the size in effect stands in the URL of the next page."""
    client = client_with(settings)
    fill(client, 5)

    answer = client.get(LIST + query)

    assert len(answer.data) == size
    assert ("Next-Page" in answer.headers) is (size < 5)
    if size < 5:
        assert f"_limit={size}" in next_of(answer)
        assert len(client.get(next_of(answer)).data) == min(size, 5 - size)


def test_what_stays_is_paged_once_when_the_rest_changes(client: Client) -> None:
    """C-LIST-53, C-LIST-55: clients see by the ETag that there was a change."""
    fill(client, 6)
    first = client.get(f"{LIST}?_limit=2")

    client.patch(f"{LIST}/r1", {"n": 9})
    client.delete(f"{LIST}/r4")
    second = client.get(next_of(first))

    assert (ids(first), ids(second), ids(client.get(next_of(second)))) == (["r5", "r4"], ["r3", "r2"], ["r0"])
    assert second.etag > first.etag


def test_the_timestamp_of_a_list_tells_of_writes_to_what_is_filtered_out(client: Client) -> None:
    """C-LIST-61."""
    fill(client, 2)
    before = client.get(f"{LIST}?n=1")

    client.patch(f"{LIST}/r0", {"a": 1})
    after = client.get(f"{LIST}?n=1")

    assert after.data == before.data
    assert after.etag > before.etag


def test_a_list_holds_the_objects_of_one_parent_alone(client: Client) -> None:
    """C-LIST-60: `_` in an id is no wildcard, not for reading, deleting, or what is shared."""
    lists = [
        f"/buckets/{bucket}/collections/{collection}/records" for bucket, collection in (("a_b", "c_"), ("axb", "cx"))
    ]
    for number, list_uri in enumerate(lists):
        fill(client, number + 1, list_uri)
        client.patch(f"{list_uri}/r0", permissions={"read": [client.as_("bob").id]})

    assert [len(client.get(list_uri).data) for list_uri in lists] == [1, 2]
    assert [ids(client.as_("bob").get(list_uri)) for list_uri in lists] == [["r0"], ["r0"]]

    assert len(client.delete(lists[0]).data) == 1
    assert ids(client.as_("bob").get(lists[1])) == ["r0"]


def test_the_same_id_lives_in_each_kind_of_list_by_itself(client: Client) -> None:
    """C-LIST-60."""
    fill(client, 1)
    client.put(f"{B}/groups/c", {"members": ["bob"]})

    assert ids(client.get(f"{B}/groups")) == ids(client.get(f"{B}/collections")) == ["c"]
    client.delete(f"{B}/groups")
    assert ids(client.get(f"{B}/collections")) == ["c"]


DELETED: dict[str, tuple[str, list[str]]] = {
    "all of it": ("", ["r0", "r1", "r2", "r3"]),
    "what a filter names": ("?even=true", ["r0", "r2"]),
    "what is later": ("?_since=<r2>", ["r3"]),
    "the first by the order": ("?_sort=n&_limit=1", ["r3"]),
    "with fields that mean nothing here": ("?even=true&_fields=n", ["r0", "r2"]),
    "nothing": ("?n=99", []),
}


@pytest.mark.parametrize(("query", "expected"), DELETED.values(), ids=DELETED.keys())
def test_deleting_a_list_deletes(client: Client, query: str, expected: list[str]) -> None:
    """C-OBJ-50, C-OBJ-51, C-OBJ-52: tombstones come back, those that were there stay as they are."""
    fill(client, 4)
    client.put(f"{LIST}/gone")
    gone = client.delete(f"{LIST}/gone").data
    known = client.get(LIST).etag

    answer = client.delete(LIST + query.replace("<r2>", str(client.get(f"{LIST}/r2").etag)))

    assert sorted(ids(answer)) == expected
    assert all(set(one) == {"id", "last_modified", "deleted"} for one in answer.data)
    assert answer.etag == client.get(LIST).etag == max([known, *(one["last_modified"] for one in answer.data)])
    assert sorted(ids(client.get(LIST))) == sorted({"r0", "r1", "r2", "r3"} - set(expected))
    assert gone in client.get(f"{LIST}?_since=0").data


@pytest.mark.parametrize("sort", ["", "&_sort=n", "&_sort=-even"], ids=["the usual order", "a field", "many equals"])
def test_deleting_page_by_page_deletes_everything(client: Client, sort: str) -> None:
    """C-OBJ-53, C-OBJ-54."""
    fill(client, 5)

    answers = [client.delete(f"{LIST}?_limit=2{sort}")]
    while "Next-Page" in answers[-1].headers:
        answers.append(client.delete(next_of(answers[-1])))

    assert [len(answer.data) for answer in answers] == [2, 2, 1]
    assert client.get(LIST).data == []


def test_a_token_of_a_deletion_can_be_used_once(client: Client) -> None:
    """C-OBJ-53."""
    fill(client, 6)
    following = next_of(client.delete(f"{LIST}?_limit=2"))
    assert client.delete(following).status == 200

    again = client.delete(following)

    assert again.status == 400
    assert again.json["message"] == "querystring: _token was already used or has expired."
    assert len(client.get(LIST).data) == 2


def test_a_token_of_a_deletion_expires(client_with: ClientMaker) -> None:
    """C-OBJ-53."""
    client = client_with({"kinto.pagination_token_validity_seconds": 0})
    fill(client, 3)

    assert client.delete(next_of(client.delete(f"{LIST}?_limit=1"))).status == 400


def test_deleting_a_list_takes_the_permissions_along(client: Client) -> None:
    """C-OBJ-50, C-PERM-22."""
    fill(client, 1)
    client.patch(f"{LIST}/r0", permissions={"read": [client.as_("bob").id]})

    client.delete(LIST)
    client.put(f"{LIST}/r0")

    assert client.as_("bob").get(f"{LIST}/r0").status == 403
    assert client.get(f"{LIST}/r0").json["permissions"] == {"write": [client.id]}


def test_deleting_a_list_deletes_what_is_below(client: Client) -> None:
    """C-OBJ-56, C-OBJ-61."""
    fill(client, 2)

    client.delete(f"{B}/collections")
    client.put(f"{B}/collections/c")

    assert client.get(LIST).data == []
    assert client.get(f"{LIST}?_since=0").data == []
