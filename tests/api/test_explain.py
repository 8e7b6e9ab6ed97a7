"""`_explain=true`: by which index the page of a list was read, or why by none (docs/queries.md)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_indexes import COLLECTION, LIST, _storage, collection, declare, fill
from tests.support.client import Client
from tests.test_budget import counted

__all__ = ["collection"]

STATUS = {"fields": ["status", "-count"]}
READY = {"origin": "declared", "state": "ready"}
RECORDS = [{"status": ("active", "done")[number % 2], "count": number, "slug": "x"} for number in range(20)]


def explain(client: Client, query: str) -> dict[str, Any]:
    """Return the explanation of a page without its milliseconds; the page is the one without it."""
    answer = client.get(f"{LIST}?{query}&_explain=true")
    explanation: dict[str, Any] = answer.json["explain"]
    assert answer.json["data"] == client.get(f"{LIST}?{query}").json["data"]
    assert explanation.pop("milliseconds") > 0
    return explanation


@pytest.mark.parametrize(
    ("query", "index", "reason", "suggestion", "rows"),
    [
        ("status=active&_sort=-count", STATUS, None, None, 10),
        ("status=active&_sort=-count&_limit=3", STATUS, None, None, 4),
        ("status=active&_sort=-count&_limit=3&like_slug=x", STATUS, None, None, 10),
        ("status=active&min_count=10&_sort=-count&has_slug=true", STATUS, None, None, 5),
        ("status=active&_sort=count", None, "missing", {"fields": ["status", "count"]}, 20),
        ("like_slug=x", None, "unsuited", None, 20),
        ("status=active&_since=1", None, "missing", {"fields": ["status"]}, 20),
        ("not_status=active&_since=1", None, "tombstones", None, 20),
        ("_limit=3", None, "timestamp", None, 4),
        ("slug=x&_sort=id", None, "refused", None, 20),
    ],
)
def test_an_explanation_names_the_index_or_the_reason(
    collection: Client, query: str, index: Any, reason: Any, suggestion: Any, rows: int
) -> None:
    fill(collection, *RECORDS)
    declare(collection, STATUS, {"unique": ["slug"]})

    explanation = explain(collection, query)

    *others, refused = explanation.pop("indexes")
    assert explanation == {"index": index, "reason": reason, "suggestion": suggestion, "rows": rows}
    assert others == [{**STATUS, **READY}]
    assert (refused["unique"], refused["state"], len(set(refused["duplicates"]))) == (["slug"], "refused", 2)


def test_the_suggestion_is_pasted_into_the_collection(collection: Client) -> None:
    fill(collection, *RECORDS)
    query = "in_status=active,done&slug=x&_sort=-count"

    suggestion = explain(collection, query)["suggestion"]
    declare(collection, suggestion)

    assert explain(collection, query)["index"] == suggestion


def test_an_index_that_is_being_built_or_long_is_a_reason(collection: Client) -> None:
    fill(collection, *RECORDS)
    declare(collection, STATUS)
    collection.put(f"{LIST}/long", {"status": "active", "count": "x" * 2_000})
    long = explain(collection, "status=active&_sort=-count")
    with _storage(collection).writing.begin() as connection:
        connection.exec_driver_sql("UPDATE indexes SET state = 'building'")
    building = explain(collection, "status=active&_sort=-count&_limit=3")

    assert (long["index"], long["reason"], long["suggestion"]) == (None, "long", None)
    assert (building["index"], building["reason"], building["suggestion"]) == (None, "building", None)


def test_only_writers_of_the_collection_get_an_explanation(collection: Client) -> None:
    """For all others the parameter is unknown, and unknown parameters are ignored."""
    fill(collection, *RECORDS)
    collection.patch(COLLECTION, permissions={"read": ["system.Everyone"]})
    path = f"{LIST}?status=active&_explain=true"
    in_batch = {"method": "GET", "path": f"/v1{path}"}
    record = {"method": "PUT", "path": f"{LIST}/new", "body": {"data": {"status": "active"}}}

    reading = collection.batch(in_batch).json["responses"][0]["body"]
    writing = collection.batch(record, in_batch).json["responses"][1]["body"]
    plain = collection.as_("bob").get(path).json

    assert reading["explain"]["suggestion"] == writing["explain"]["suggestion"] == {"fields": ["status"]}
    assert [len(body["data"]) for body in (reading, writing, plain)] == [10, 11, 11]
    assert plain.keys() == {"data"}


def test_an_explanation_costs_one_more_statement(collection: Client) -> None:
    fill(collection, *RECORDS)
    declare(collection, STATUS)
    collection.get(f"{LIST}?status=active")  # the first read of a list finds out that it has an index
    sent = []

    for query in ("status=active&_sort=-count", "status=active&_sort=-count&_explain=true"):
        with counted(collection) as counter:
            collection.get(f"{LIST}?{query}")
        sent.append(len(counter.statements))

    assert sent == [1, 2]
