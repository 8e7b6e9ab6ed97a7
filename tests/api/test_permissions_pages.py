"""`GET /permissions` page by page: the storage filters, sorts and cuts as the rules do with the whole list."""

from __future__ import annotations

from itertools import product
from typing import Any
from urllib.parse import parse_qsl

import pytest

from app import entries, matching
from app.parsing import queries
from app.parsing.parameters import Fields
from tests.api.conftest import ClientMaker
from tests.support.client import Client, user_id
from tests.test_budget import counted

BOB, CAROL = user_id("bob"), user_id("carol")
GROUP = "/buckets/b/groups/g"
SETTINGS = {"kinto.experimental_permissions_endpoint": "true", "kinto.paginate_by": "9"}
CONFIGURATIONS = {
    "no object by settings": {},
    "all but records": {
        "kinto.bucket_read_principals": BOB,
        "kinto.collection_read_principals": GROUP,
        "kinto.group_write_principals": BOB,
    },
}
FILTERS = (
    "",
    "resource_name=record",
    "exclude_resource_name=record,root",
    "gt_resource_name=collection&not_resource_name=group",
    "resource_name=5",
    "like_resource_name=C",
    "bucket_id=b",
    "bucket_id=b&collection_id=c",
    "bucket_id=b&collection_id=c&id=r",
    "in_bucket_id=b-x,B,nope&has_collection_id=true",
    "bucket_id=5",
    "in_bucket_id=5,b",
    "id=b",
    "in_id=r,R,b",
    "exclude_id=r,R",
    "not_bucket_id=b",
    "not_record_id=r",
    "like_id=*R*",
    "like_uri=*/C/*",
    "has_record_id=false&has_bucket_id=true",
    "has_group_id=true",
    "gt_bucket_id=b",
    "lt_bucket_id=b-x",
    "max_collection_id=c",
    "min_record_id=5",
    "lt_record_id=null",
    "gt_id=true",
    "contains_bucket_id=b",
    "contains_any_uri=/",
    "uri=/buckets/b",
    "in_uri=/buckets/b,/buckets/b-x/collections/c,/",
    "gt_uri=/buckets/b&max_uri=/buckets/b/collections/c/records",
    "min_uri=/buckets/b&lt_uri=/buckets/b0&collection_id=c",
    "not_uri=/buckets/b&exclude_uri=/",
    "lt_uri=5",
    "_since=5&has_last_modified=true",
)
SORTS = (
    "",
    "uri",
    "resource_name",
    "-resource_name,uri",
    "bucket_id,-id",
    "-record_id",
    "id",
    "-collection_id,uri",
    "uri,id",
)


def _share(alice: Client) -> None:
    """Give bob and carol permissions on objects of every kind, some by a group, some on objects of the same names."""
    requests: list[dict[str, Any]] = []

    def put(path: str, grants: Any = None, **data: Any) -> None:
        requests.append({"method": "PUT", "path": path, "body": {"data": data, "permissions": grants or {}}})

    for number, bucket in enumerate(("b", "b-x", "B", "b_", "5")):
        put(f"/buckets/{bucket}", {"read": [BOB, GROUP]} if number % 2 else {"collection:create": [BOB]})
        put(f"/buckets/{bucket}/groups/g", {"write": [GROUP]}, members=[CAROL] if bucket == "b" else [])
        for collection in ("c", "c-d", "C"):
            path = f"/buckets/{bucket}/collections/{collection}"
            put(path, {"read": ["system.Everyone"], "write": [BOB]} if collection == "c" else {})
            put(f"{path}/records/r", {"read": [BOB, GROUP, "system.Authenticated"], "write": [GROUP]})
            put(f"{path}/records/R", {"read": [BOB]} if number else {})
            put(f"{path}/records/gone", {"read": [BOB, "system.Everyone"]})
            requests.append({"method": "DELETE", "path": f"{path}/records/gone"})
    for start in range(0, len(requests), 25):
        answer = alice.batch(*requests[start : start + 25])
        assert all(entry["status"] < 300 for entry in answer.json["responses"]), answer.json
    alice.put("/buckets/z", permissions={"read": [BOB]})
    alice.put("/buckets/z/collections/c", permissions={"read": [BOB]})
    alice.delete("/buckets/z")


def _pages(client: Client, query: str) -> list[Any]:
    """Return the entries of all pages, which are as long as they may be."""
    entries: list[Any] = []
    path = f"/permissions?{query}"
    while path:
        answer = client.get(path)
        assert answer.status == 200, (query, answer.json)
        entries += answer.data
        path = answer.headers.get("Next-Page", "").removeprefix("http://localhost")
        assert not path or len(answer.data) == 9
    return entries


@pytest.mark.parametrize("settings", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_pages_are_cut_from_the_whole_list(client_with: ClientMaker, settings: dict[str, str]) -> None:
    """C-UTIL-31: whatever is filtered, however it is sorted, for whoever asks; a page is one statement."""
    alice = client_with({**SETTINGS, **settings})
    _share(alice)
    service = alice.app.extensions["kinto"]
    limits, known = queries.Limits(None, 10_000), entries.known_fields(service.kinds)

    on_postgresql = service.storage.reading.dialect.name == "postgresql"
    # Bob takes the half that he leaves out on the other database and with the other settings: each meets both of both.
    start = int(on_postgresql != bool(settings))

    for name, step in (("bob", 2), ("carol", 5), ("alice", 7), (None, 9)):
        client = alice.as_(name)
        whole = _pages(client, "")
        assert len(whole) == len({entry["uri"] for entry in whole}) > 0
        # Every filter with another sort for everybody, and every sort alone.
        combinations = [(filters, SORTS[(number + step) % len(SORTS)]) for number, filters in enumerate(FILTERS)]
        for filters, sort in [*combinations[start::step], *product([""], SORTS[start::step])]:
            query = f"{filters}&_sort={sort}" if sort else filters
            pairs = parse_qsl(query, keep_blank_values=True)
            parsed = queries.parse(pairs, "/permissions", limits, 2**50, Fields(known))
            expected = matching.paginate(whole, parsed)

            assert _pages(client, query) == list(expected.documents), (name, query)
            if filters:
                assert client.head(f"/permissions?{query}").headers["Total-Records"] == str(expected.total), query
    groups = any(principal.startswith("/") for principal in settings.values())
    with counted(alice) as counter:
        alice.get("/permissions?_limit=2")
    assert len(counter.statements) == 1 + groups


def test_requests_of_one_shape_share_a_statement(client_with: ClientMaker) -> None:
    """Whatever the values of their filters, and on whichever page, the statement is made once."""
    alice = client_with(SETTINGS)
    _share(alice)
    statements = alice.app.extensions["kinto"].storage._accessible._statements
    pages = [alice.get(f"/permissions?_sort=resource_name,-id&_limit={limit}").headers["Next-Page"] for limit in (2, 5)]
    filtered = [
        f"/permissions?in_bucket_id={ids}&gt_id={text}&like_uri={text}&not_id={text}"
        for ids, text in (("b,B", "c"), ("z", "%25"))
    ]

    for shape in (filtered, [page.removeprefix("http://localhost") for page in pages]):
        before = statements.cache_info()
        answers = [alice.get(path) for path in shape * 2]
        after = statements.cache_info()

        assert [answer.status for answer in answers] == [200] * 4
        assert (after.misses - before.misses, after.hits - before.hits) == (1, 3)
