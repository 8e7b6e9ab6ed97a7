"""`GET /permissions`: what whoever asks may do (core contract, 2.7)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, user_id

ON = {"kinto.experimental_permissions_endpoint": "true"}
BOB = user_id("bob")
CAROL = user_id("carol")
ROOT = {"uri": "/", "resource_name": "root", "permissions": ["bucket:create"]}


@pytest.fixture
def shared(client_with: ClientMaker) -> Client:
    """Return the client of alice, who shared some objects with bob."""
    return _share(client_with(ON))


def _share(alice: Client) -> Client:
    alice.put("/buckets/b")
    alice.put("/buckets/b/collections/c")
    alice.put("/buckets/b/collections/c/records/r", {}, {"read": [BOB]})
    alice.put("/buckets/b/collections/d", permissions={"record:create": [BOB]})
    alice.put("/buckets/b/groups/g", {"members": [CAROL]}, {"write": [BOB]})
    return alice


def by_uri(client: Client, query: str = "") -> dict[str, list[str]]:
    """Return the permissions that the endpoint shows, by URI."""
    return {entry["uri"]: sorted(entry["permissions"]) for entry in client.get(f"/permissions{query}").data}


def uris(client: Client, query: str) -> list[str]:
    """Return the URIs of the entries in their order."""
    return [entry["uri"] for entry in client.get(f"/permissions?{query}").data]


@on_sqlite
def test_url_is_unknown_unless_a_setting_asks_for_it(client: Client) -> None:
    """C-UTIL-24."""
    answer = client.get("/permissions")

    assert (answer.status, answer.json["errno"]) == (404, 111)


@on_sqlite
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_url_can_only_be_read(shared: Client, method: str) -> None:
    """C-UTIL-33."""
    answer = shared.ask(method, "/permissions")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_entries_are_those_granted_newest_uri_first(shared: Client) -> None:
    """C-UTIL-25, C-UTIL-27, C-UTIL-31: what is reached only by inheritance is not told."""
    entries = shared.as_("bob").get("/permissions").data

    assert entries == [
        {
            "uri": "/buckets/b/groups/g",
            "resource_name": "group",
            "permissions": ["read", "write"],
            "bucket_id": "b",
            "group_id": "g",
            "id": "g",
        },
        {
            "uri": "/buckets/b/collections/d",
            "resource_name": "collection",
            "permissions": ["read:attributes", "record:create"],
            "bucket_id": "b",
            "collection_id": "d",
            "id": "d",
        },
        {
            "uri": "/buckets/b/collections/c/records/r",
            "resource_name": "record",
            "permissions": ["read"],
            "bucket_id": "b",
            "collection_id": "c",
            "record_id": "r",
            "id": "r",
        },
        ROOT,
    ]


@on_sqlite
@pytest.mark.parametrize(
    ("uri", "granted", "expected"),
    [
        ("/buckets/x", "write", "collection:create group:create read read:attributes write"),
        ("/buckets/x", "read", "read read:attributes"),
        ("/buckets/x", "collection:create", "collection:create read:attributes"),
        ("/buckets/x", "group:create", "group:create read:attributes"),
        ("/buckets/x/collections/y", "write", "read read:attributes record:create write"),
        ("/buckets/x/collections/y", "read", "read read:attributes"),
        ("/buckets/x/collections/y", "record:create", "read:attributes record:create"),
        ("/buckets/x/groups/y", "write", "read write"),
        ("/buckets/x/groups/y", "read", "read"),
        ("/buckets/x/collections/y/records/z", "write", "read write"),
        ("/buckets/x/collections/y/records/z", "read", "read"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_permissions_hold_what_those_granted_imply_on_the_same_object(
    shared: Client, uri: str, granted: str, expected: str
) -> None:
    """C-UTIL-26."""
    segments = uri.split("/")
    for end in range(3, len(segments), 2):
        shared.put("/".join(segments[:end]))
    shared.put(uri, {"members": []} if "groups" in uri else {}, {granted: [CAROL]})

    entries = by_uri(shared.as_("carol"))

    assert " ".join(entries[uri]) == expected
    assert entries.keys() == {uri, "/"}


def test_member_of_a_group_sees_what_the_group_was_granted(shared: Client) -> None:
    """C-UTIL-27."""
    shared.patch("/buckets/b/collections/c", permissions={"read": ["/buckets/b/groups/g"]})

    assert by_uri(shared.as_("carol"))["/buckets/b/collections/c"] == ["read", "read:attributes"]


def test_anonymous_sees_what_everyone_was_granted(shared: Client) -> None:
    """C-UTIL-30, C-UTIL-28: who may not create buckets has no entry of the root."""
    shared.patch("/buckets/b/collections/c", permissions={"read": ["system.Everyone"]})

    assert by_uri(shared.as_(None)) == {"/buckets/b/collections/c": ["read", "read:attributes"]}


def test_deleted_object_is_not_told(shared: Client) -> None:
    shared.delete("/buckets/b/collections/d")

    assert "/buckets/b/collections/d" not in by_uri(shared.as_("bob"))


@on_sqlite
@pytest.mark.parametrize(
    ("name", "status", "errno"),
    [("alice", 200, None), ("bob", 403, 121), (None, 401, 104)],
    ids=["who is named", "who is not", "anonymous"],
)
def test_endpoint_is_for_whom_the_setting_names(
    client_with: ClientMaker, name: str | None, status: int, errno: int | None
) -> None:
    """C-UTIL-30."""
    client = client_with({**ON, "kinto.permissions_read_principals": user_id("alice")})

    answer = client.as_(name).get("/permissions")

    assert (answer.status, answer.json.get("errno")) == (status, errno)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("bucket_write", {"/buckets/b": "collection:create group:create read read:attributes write"}),
        ("bucket_read", {"/buckets/b": "read read:attributes"}),
        (
            "collection_read",
            {"/buckets/b/collections/c": "read read:attributes", "/buckets/b/collections/d": "read read:attributes"},
        ),
        ("collection_create", {"/buckets/b": "collection:create read:attributes"}),
        ("group_write", {"/buckets/b/groups/g": "read write"}),
        ("record_write", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_setting_adds_every_object_that_it_covers_but_records(
    client_with: ClientMaker, setting: str, expected: dict[str, str]
) -> None:
    """C-UTIL-29."""
    client = _share(client_with({**ON, f"kinto.{setting}_principals": user_id("dave")}))

    permissions = {uri: " ".join(names) for uri, names in by_uri(client.as_("dave")).items()}

    assert permissions == {**expected, "/": "bucket:create"}


def test_setting_may_name_a_group(client_with: ClientMaker) -> None:
    """C-UTIL-29."""
    client = _share(client_with({**ON, "kinto.bucket_read_principals": "/buckets/b/groups/g"}))

    assert by_uri(client.as_("carol"))["/buckets/b"] == ["read", "read:attributes"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("resource_name=record", ["/buckets/b/collections/c/records/r"]),
        ("not_resource_name=record&_sort=uri", ["/", "/buckets/b/collections/d", "/buckets/b/groups/g"]),
        ("in_resource_name=record,group", ["/buckets/b/groups/g", "/buckets/b/collections/c/records/r"]),
        ("like_uri=*/collections/*", ["/buckets/b/collections/d", "/buckets/b/collections/c/records/r"]),
        ("collection_id=d", ["/buckets/b/collections/d"]),
        ("has_bucket_id=false", ["/"]),
        ("min_uri=/buckets/b/groups", ["/buckets/b/groups/g"]),
        (
            "_sort=resource_name",
            ["/buckets/b/collections/d", "/buckets/b/groups/g", "/buckets/b/collections/c/records/r", "/"],
        ),
        ("_since=99&_limit=1", ["/buckets/b/groups/g"]),
        ("_sort=-last_modified&_limit=1", ["/buckets/b/groups/g"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_entries_can_be_filtered_and_sorted(shared: Client, query: str, expected: list[str]) -> None:
    """C-UTIL-31."""
    assert uris(shared.as_("bob"), query) == expected


def test_pages_follow_each_other_to_the_end(shared: Client) -> None:
    """C-UTIL-31, C-LIST-47."""
    bob, entries, path = shared.as_("bob"), [], "/permissions?_limit=2&_sort=resource_name"

    while path:
        answer = bob.get(path)
        entries.append([entry["resource_name"] for entry in answer.data])
        path = answer.headers.get("Next-Page", "").removeprefix("http://localhost")

    assert entries == [["collection", "group"], ["record", "root"]]


def test_fields_reduce_the_entries(shared: Client) -> None:
    """C-UTIL-31."""
    answer = shared.as_("bob").get("/permissions?_fields=uri&resource_name=record")

    assert answer.data == [{"uri": "/buckets/b/collections/c/records/r", "id": "r"}]


def test_head_counts_what_matches_whatever_the_page(shared: Client) -> None:
    """C-UTIL-31."""
    answer = shared.as_("bob").head("/permissions?_limit=1&has_bucket_id=true")

    assert (answer.headers["Total-Objects"], answer.headers["Total-Records"], answer.body) == ("3", "3", b"")
    assert "Next-Page" not in answer.headers


@on_sqlite
@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (
            "movie=bad",
            {"location": "querystring", "name": "movie", "description": "Unknown filter field 'movie'"},
        ),
        (
            "in_permissions=read",
            {
                "location": "querystring",
                "name": "in_permissions",
                "description": "Unknown filter field 'in_permissions'",
            },
        ),
        ("_sort=nope", {"location": "querystring", "name": None, "description": "Unknown sort field 'nope'"}),
        (
            "_sort=-permissions",
            {"location": "querystring", "name": None, "description": "Unknown sort field 'permissions'"},
        ),
        (
            "_fields=uri,permissions",
            {
                "location": "body",
                "name": "Invalid _fields parameter",
                "description": "Fields permissions do not exist",
            },
        ),
        ("_limit=-1", {"location": "querystring", "name": "_limit", "description": "-1 is less than minimum value 0"}),
        ("_token=abc", {"location": "querystring", "name": None, "description": "_token has invalid content"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unknown_fields_and_bad_values_are_refused(shared: Client, query: str, detail: dict[str, Any]) -> None:
    """C-UTIL-32."""
    answer = shared.get(f"/permissions?{query}")

    assert (answer.status, answer.json["errno"], answer.json["details"]) == (400, 107, [detail])


def test_filters_on_timestamps_are_checked_and_then_ignored(shared: Client) -> None:
    """C-UTIL-31, C-LIST-20, C-LIST-26, C-LIST-28: entries have no timestamp, but what is malformed is refused."""
    whole = shared.get("/permissions").data
    refused = {
        "_since=abc": '"abc" is not a number',
        "_before=-1": "-1 is less than minimum value 0",
        "_to=": "Invalid value for _to",
        "_since=1&_since=2": "\"['1', '2']\" is not a number",
        "last_modified=x": '"x" is not a number',
        "gt_last_modified=x": "Invalid value for gt_last_modified",
        "in_last_modified=5": "Invalid value for in_last_modified",
        "exclude_last_modified=5,6": "Invalid value for exclude_last_modified",
        "like_last_modified=5": "Invalid value for like_last_modified",
        "contains_last_modified=5": "Field 'last_modified' is not an array",
        "_since=99999999999999999": "Invalid value for _since",
    }

    for query, description in refused.items():
        answer = shared.get(f"/permissions?{query}")
        assert (answer.status, [each["description"] for each in answer.json["details"]]) == (400, [description]), query
    for query in (
        "_since=5",
        '_since="5"',
        "_since=null",
        "_before=5",
        "_to=5",
        "max_last_modified=5",
        "has_last_modified=0",
    ):
        answer = shared.get(f"/permissions?{query}")
        assert (answer.status, answer.data) == (200, whole), query
        assert ("Alert" in answer.headers) == query.startswith("_to")


@on_sqlite
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["*", '"1"', "nonsense", None], ids=["any", "old", "malformed", "as answered"])
def test_preconditions_mean_nothing(shared: Client, header: str, value: str | None) -> None:
    """C-UTIL-34."""
    etag = shared.get("/permissions").headers["ETag"]

    assert shared.ask("GET", "/permissions", headers={header: value or etag}).status == 200


def test_ids_with_wildcards_of_databases_are_only_ids(client_with: ClientMaker) -> None:
    """C-UTIL-29, C-LIST-60."""
    client = client_with({**ON, "kinto.group_read_principals": user_id("dave")})
    client.put("/buckets/a_b")
    client.put("/buckets/a_b/groups/collections", {"members": []})
    client.put("/buckets/a_b/collections/groups")
    client.put(f"/buckets/a_b/collections/groups/records/{quote('groups')}")

    assert by_uri(client.as_("dave"), "?has_id=true").keys() == {"/buckets/a_b/groups/collections"}
