"""A page ends where its objects reach `storage_max_fetch_bytes`, however few; `Next-Page` leads to the others."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.events import Listener
from tests.api.conftest import ClientMaker
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
    records = [{"n": number, "title": "red fox", "tags": ["x"], "text": "é" * (SIZE // 2)} for number in range(NUMBER)]
    client.batch(
        *(
            {
                "method": "PUT",
                "path": f"{LIST}/r{number:02}",
                "body": {"data": record, "permissions": {"read": [bob]}},
            }
            for number, record in enumerate(records)
        )
    )
    return client


def pages(client: Client, query: str) -> list[list[str]]:
    """Return the ids of the records of all pages of a list."""
    path, result = f"{LIST}?{query}", []
    while path:
        answer = client.get(path)
        assert answer.status == 200, answer.body
        result.append([record["id"] for record in answer.data])
        following = urlsplit(answer.headers.get("Next-Page", ""))
        path = f"{following.path.removeprefix('/v1')}?{following.query}" if following.query else ""
    return result


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
    pages_read = pages(client, query)
    expected = list(chain(*pages(client, f"{query}&_limit=2")))

    assert list(chain(*pages_read)) == expected
    assert len(expected) == NUMBER
    assert {len(page) for page in pages_read} <= {1, 2, 3}
    assert len(pages_read) >= NUMBER // 3


def test_tombstones_count_too(alice: Client) -> None:
    for number in range(0, NUMBER, 2):
        alice.delete(f"{LIST}/r{number:02}")

    pages_read = pages(alice, "_since=1")

    assert sorted(chain(*pages_read)) == [f"r{number:02}" for number in range(NUMBER)]
    assert len(pages_read) > 1


def test_an_object_beyond_all_bounds_is_a_page(alice: Client) -> None:
    alice.put(f"{LIST}/large", {"text": "x" * 100 * SIZE})

    pages_read = pages(alice, "_sort=-last_modified")

    assert pages_read[0] == ["large"]
    assert sum(map(len, pages_read)) == NUMBER + 1


def test_the_lists_of_a_batch_share_the_bytes(alice: Client) -> None:
    requests = [{"path": LIST}] * 3
    for more in ([], [{"path": f"{LIST}/r00", "method": "PATCH", "body": {"data": {}}}]):
        responses = json.loads(alice.batch(*more, *requests).body)["responses"][len(more) :]
        lists = [each["body"]["data"] for each in responses]

        assert [len(each) for each in lists] == [1, 1, 1]
        assert all("Next-Page" in each["headers"] for each in responses)


def test_a_total_is_of_all_objects(alice: Client) -> None:
    assert alice.head(LIST).headers["Total-Objects"] == str(NUMBER)


@pytest.mark.parametrize(
    ("name", "query"), [("alice", "?_sort=id"), ("alice", "?_search=fox"), ("bob", ""), ("bob", "?_sort=-n")]
)
def test_a_deletion_ends_at_the_bytes_if_it_sorts_by_documents(alice: Client, name: str, query: str) -> None:
    """Any other one reads no documents."""
    may_write = {"permissions": {"write": [alice.as_("bob").id]}}
    uris = [f"{LIST}/r{number:02}" for number in range(NUMBER)]
    alice.batch(*({"method": "PATCH", "path": uri, "body": may_write} for uri in uris))

    deleted = deletions(alice.as_(name), f"{LIST}{query}")

    assert sorted(chain(*deleted)) == [f"r{number:02}" for number in range(NUMBER)]
    assert alice.get(LIST).data == []
    assert {len(page) for page in deleted} <= ({1, 2, 3} if query == "?_sort=-n" else {NUMBER})


def deletions(client: Client, path: str) -> list[list[str]]:
    """Delete a list page by page; return the ids of each."""
    deleted = []
    while path:
        answer = client.delete(path)
        assert answer.status == 200, answer.body
        assert all(each["deleted"] for each in answer.data)
        deleted.append([each["id"] for each in answer.data])
        path = answer.headers.get("Next-Page", "").partition("localhost/v1")[2]
    return deleted


PLUGINS: dict[str, tuple[str, bool]] = {
    "history": ("kinto.plugins.history", True),
    "quotas": ("kinto.plugins.quotas", False),
    "quotas and history": ("kinto.plugins.quotas kinto.plugins.history", False),
}


@pytest.mark.parametrize(("includes", "at_once"), PLUGINS.values(), ids=PLUGINS.keys())
def test_a_deletion_ends_at_the_bytes_if_a_plugin_needs_documents(
    client_with: ClientMaker, includes: str, at_once: bool
) -> None:
    client = client_with({"kinto.includes": includes, "kinto.storage_max_fetch_bytes": 3 * SIZE})
    client.put(B)
    client.put(C)
    for number in range(NUMBER):
        client.put(f"{LIST}/r{number:02}", {"text": "x" * SIZE})

    deleted = deletions(client, LIST)

    assert len(deleted) == 1 if at_once else len(deleted) >= NUMBER // 3
    assert sorted(chain(*deleted)) == [f"r{number:02}" for number in range(NUMBER)]
    if "history" in includes:
        entries = deletions(client, f"{B}/history?action=delete")
        assert sum(map(len, entries)) == NUMBER


def test_a_listener_gets_the_documents_of_deleted_objects(client_with: ClientMaker) -> None:
    client = client_with({"kinto.storage_max_fetch_bytes": 3 * SIZE})
    client.put(B)
    client.put(C)
    for number in range(NUMBER):
        client.put(f"{LIST}/r{number:02}", {"text": "x" * SIZE})
    texts: list[str] = []
    listener = Listener(
        after=lambda event: texts.extend(each["old"]["text"] for each in event.impacted_objects),
        actions=frozenset(("delete",)),
    )
    client.app.extensions["kinto"].add_listener(listener)

    deleted = deletions(client, LIST)

    assert texts == ["x" * SIZE] * NUMBER
    assert len(deleted) >= NUMBER // 3
