"""A page ends where its objects reach `storage_max_fetch_bytes`, however few; `Next-Page` leads to the others."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, keep_app

B = "/buckets/b"
C = f"{B}/collections/c"
LIST = f"{C}/records"
NUMBER = 12
SIZE = 300
"""The size of a record, about."""

SETTINGS = {**BASICAUTH, "kinto.storage_max_fetch_bytes": 3 * SIZE}
INDEXES: list[dict[str, Any]] = [{"fields": ["n"]}, {"text": ["title"]}, {"contains": ["tags"]}]


@pytest.fixture(params=DATABASES)
def alice(request: pytest.FixtureRequest) -> Client:
    """Return the owner of a list of records that are shared with bob one by one."""
    client = Client(keep_app(database_url(request.param, request), SETTINGS))
    bob = client.as_("bob").id
    client.put(B)
    client.put(C, {"indexes": INDEXES})
    for number in range(NUMBER):
        record = {"n": number, "title": "red fox", "tags": ["x"], "text": "é" * (SIZE // 2)}
        client.put(f"{LIST}/r{number:02}", record, {"read": [bob]})
    return client


def pages(client: Client, query: str) -> list[list[str]]:
    """Return the ids of the records of all pages of a list."""
    path, found = f"{LIST}?{query}", []
    while path:
        answer = client.get(path)
        assert answer.status == 200, answer.body
        found.append([record["id"] for record in answer.data])
        following = urlsplit(answer.headers.get("Next-Page", ""))
        path = f"{following.path.removeprefix('/v1')}?{following.query}" if following.query else ""
    return found


@pytest.mark.parametrize("name", ["alice", "bob"])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "_since=1",
        "_sort=n",
        "_sort=-n&min_n=0",
        "_search=fox",
        "contains_tags=x",
        "_sort=text",
        "like_text=é",
    ],
)
def test_pages_of_few_bytes_have_all_objects_in_order(alice: Client, name: str, query: str) -> None:
    client = alice.as_(name)
    found = pages(client, query)
    expected = list(chain(*pages(client, f"{query}&_limit=2")))

    assert list(chain(*found)) == expected
    assert len(expected) == NUMBER
    assert {len(page) for page in found} <= {1, 2, 3}
    assert len(found) >= NUMBER // 3


def test_tombstones_count_too(alice: Client) -> None:
    for number in range(0, NUMBER, 2):
        alice.delete(f"{LIST}/r{number:02}")

    found = pages(alice, "_since=1")

    assert sorted(chain(*found)) == [f"r{number:02}" for number in range(NUMBER)]
    assert len(found) > 1


def test_an_object_beyond_all_bounds_is_a_page(alice: Client) -> None:
    alice.put(f"{LIST}/large", {"text": "x" * 100 * SIZE})

    found = pages(alice, "_sort=-last_modified")

    assert found[0] == ["large"]
    assert sum(map(len, found)) == NUMBER + 1


def test_the_lists_of_a_batch_share_the_bytes(alice: Client) -> None:
    requests = [{"path": LIST}] * 3
    for more in ([], [{"path": f"{LIST}/r00", "method": "PATCH", "body": {"data": {}}}]):
        responses = json.loads(alice.batch(*more, *requests).body)["responses"][len(more) :]
        lists = [each["body"]["data"] for each in responses]

        assert [len(each) for each in lists] == [1, 1, 1]
        assert all("Next-Page" in each["headers"] for each in responses)


def test_a_total_and_a_deletion_are_of_all_objects(alice: Client) -> None:
    total = alice.head(LIST).headers["Total-Objects"]
    deleted = alice.delete(LIST)

    assert (total, len(deleted.data)) == (str(NUMBER), NUMBER)
