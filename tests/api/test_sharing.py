"""Who may do what and see what: permissions, principals, groups, shared lists (docs/contract/core.md 7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, basic, user_id

B = "/buckets/b"
G = f"{B}/groups/g"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
OBJECTS = {"bucket": B, "group": G, "collection": C, "record": R}
BOB = user_id("bob")


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


@pytest.fixture
def stocked(client: Client) -> Client:
    """Alice's client of a service with a bucket, a group, a collection and the records `r` and `s`."""
    stock(client)
    return client


def stock(client: Client) -> None:
    """Make a bucket, a group of carol's, a collection and two records."""
    group = {"method": "PUT", "path": G, "body": {"data": {"members": [user_id("carol")]}}}
    others = [{"method": "PUT", "path": path} for path in (C, R, f"{RECORDS}/s")]
    client.batch({"method": "PUT", "path": B}, group, *others)


def share(client: Client, path: str, permission: str, *principals: str) -> None:
    """Give one permission on an object."""
    assert client.patch(path, permissions={permission: list(principals)}).status == 200


ACTIONS: dict[str, tuple[Any, ...]] = {
    **{f"read {kind}": ("GET", path) for kind, path in OBJECTS.items()},
    "list groups": ("GET", f"{B}/groups"),
    "list collections": ("GET", f"{B}/collections"),
    "list records": ("GET", RECORDS),
    "create group": ("PUT", f"{B}/groups/new", {}, {"If-None-Match": "*"}),
    "create collection": ("PUT", f"{B}/collections/new", {}, {"If-None-Match": "*"}),
    "create record": ("PUT", f"{RECORDS}/new", {}, {"If-None-Match": "*"}),
    # Whoever writes an object is in its own permissions from then on, so these come last and from the inside out.
    **{f"write {kind}": ("PATCH", path, {"data": {"seen": 1}}) for kind, path in reversed(OBJECTS.items())},
}
READING_BELOW_BUCKET = {
    "read group",
    "read collection",
    "read record",
    "list groups",
    "list collections",
    "list records",
}
ALLOWED: dict[str, tuple[str, str, set[str]]] = {
    "C-PERM-2 write on the bucket": ("bucket", "write", set(ACTIONS)),
    "C-PERM-2 C-PERM-29 read on the bucket": ("bucket", "read", {"read bucket"} | READING_BELOW_BUCKET),
    "C-PERM-3 creating groups": (
        "bucket",
        "group:create",
        {"read bucket", "create group", "list groups"},
    ),
    "C-PERM-3 creating collections": (
        "bucket",
        "collection:create",
        {"read bucket", "create collection", "list collections"},
    ),
    "C-PERM-2 C-PERM-28 write on the collection": (
        "collection",
        "write",
        {
            "read collection",
            "write collection",
            "list collections",
            "list records",
            "read record",
            "write record",
            "create record",
        },
    ),
    "C-PERM-2 read on the collection": (
        "collection",
        "read",
        {"read collection", "list collections", "list records", "read record"},
    ),
    "C-PERM-3 creating records": (
        "collection",
        "record:create",
        {"read collection", "create record", "list collections", "list records"},
    ),
    "C-PERM-2 write on the group": ("group", "write", {"read group", "write group", "list groups"}),
    "C-PERM-2 read on the group": ("group", "read", {"read group", "list groups"}),
    "C-PERM-2 write on the record": ("record", "write", {"read record", "write record", "list records"}),
    "C-PERM-2 read on the record": ("record", "read", {"read record", "list records"}),
}


@pytest.mark.parametrize(("kind", "permission", "allowed"), ALLOWED.values(), ids=ALLOWED.keys())
def test_all_that_is_allowed_with(stocked: Client, kind: str, permission: str, allowed: set[str]) -> None:
    """C-PERM-1: these are the permissions of each kind."""
    share(stocked, OBJECTS[kind], permission, BOB)
    bob = stocked.as_("bob")

    statuses = {action: bob.ask(*request).status for action, request in ACTIONS.items()}

    assert {action for action, status in statuses.items() if status in (200, 201)} == allowed
    assert {status for action, status in statuses.items() if action not in allowed} <= {403}


UNKNOWN = {
    "bucket": "record:create",
    "collection": "collection:create",
    "group": "group:create",
    "record": "record:create",
}


@on_sqlite
@pytest.mark.parametrize(("kind", "permission"), UNKNOWN.items())
def test_a_permission_is_refused_when_the_kind_has_none_of_the_name(
    stocked: Client, kind: str, permission: str
) -> None:
    """C-PERM-1, C-PERM-3: neither is there one of the name `read:attributes`."""
    for name in (permission, "read:attributes"):
        assert stocked.patch(OBJECTS[kind], permissions={name: [BOB]}).status == 400


@on_sqlite
@pytest.mark.parametrize("principals", [[None], [""], [1]], ids=["null", "an empty text", "a number"])
def test_a_list_of_principals_is_refused_when_it_holds(stocked: Client, principals: list[Any]) -> None:
    """C-PERM-30."""
    answer = stocked.put(R, {}, {"read": principals})

    assert (answer.status, answer.json["details"][0]["name"]) == (400, "permissions.read.0")


HOLDERS: dict[str, tuple[str, list[str | None]]] = {
    "C-PERM-4 C-PERM-27 everyone": ("system.Everyone", [None, "bob", "carol"]),
    "C-PERM-4 all who are known": ("system.Authenticated", ["bob", "carol"]),
    "C-PERM-4 somebody": (BOB, ["bob"]),
    "C-PERM-4 C-PERM-6 a group": (G, ["carol"]),
    "C-PERM-5 a group that is not there": (f"{B}/groups/nobody", []),
    "C-PERM-5 any text": ("ldap:whoever", []),
    "C-PERM-4 a user id without its policy": (BOB.partition(":")[2], []),
}


@pytest.mark.parametrize(("principal", "holders"), HOLDERS.values(), ids=HOLDERS.keys())
def test_a_principal_is_held_by(stocked: Client, principal: str, holders: list[str | None]) -> None:
    share(stocked, R, "read", principal)

    assert [name for name in (None, "bob", "carol") if stocked.as_(name).get(R).status == 200] == holders
    assert stocked.get(R).json["permissions"]["read"] == [principal]


@on_sqlite
def test_a_user_id_is_the_keyed_hash_of_name_and_password(client: Client) -> None:
    """C-PERM-7."""
    body = client.ask("GET", "/", headers={"Authorization": basic("alice", "secret")}).json

    assert body["user"]["id"] == "basicauth:b71d6e506ac3e93e2e2166f45c175f4aae6a2bb9c7e3c03fa79873fd70b76bfe"


def test_the_creator_may_write_and_sees_all_permissions(client: Client) -> None:
    """C-PERM-10, C-PERM-8: in the answers on PUT, POST, PATCH and GET."""
    made = client.put(B, {}, {"read": [BOB]})
    posted = client.post("/buckets", {"id": "other"}, {"read": [BOB]})
    patched = client.patch(B, {"a": 1})

    expected = {"read": [BOB], "write": [client.id]}
    assert [answer.json["permissions"] for answer in (made, posted, patched, client.get(B))] == [expected] * 4


def test_nobody_sees_permissions_whose_write_is_inherited(stocked: Client) -> None:
    """C-PERM-8, C-PERM-9: neither who may only read."""
    share(stocked, C, "write", BOB)
    share(stocked, C, "read", user_id("carol"))
    stocked.as_("bob").put(f"{RECORDS}/bobs")

    assert stocked.get(f"{RECORDS}/bobs").json["permissions"] == {}
    assert stocked.as_("carol").get(R).json["permissions"] == {}
    assert stocked.as_("bob").get(f"{RECORDS}/bobs").json["permissions"] == {"write": [BOB]}


def test_lists_of_principals_are_sets(stocked: Client) -> None:
    """C-PERM-11."""
    answer = stocked.put(R, {}, {"read": ["b", "a", "b", "a"]})

    assert sorted(answer.json["permissions"]["read"]) == ["a", "b"]


def test_who_may_write_may_change_permissions(stocked: Client) -> None:
    """C-PERM-31."""
    share(stocked, R, "write", BOB)

    answer = stocked.as_("bob").patch(R, permissions={"read": ["carol"]})

    assert answer.json["permissions"]["read"] == ["carol"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_nobody_can_give_up_write_but_others_can_take_it(stocked: Client, method: str) -> None:
    """C-PERM-32."""
    share(stocked, R, "write", stocked.id, BOB)

    own = stocked.as_("bob").ask(method, R, {"data": {}, "permissions": {"write": [stocked.id]}})
    others = stocked.ask(method, R, {"data": {}, "permissions": {"write": [stocked.id]}})

    assert sorted(own.json["permissions"]["write"]) == sorted([BOB, stocked.id])
    assert others.json["permissions"]["write"] == [stocked.id]
    assert stocked.as_("bob").get(R).status == 403


LISTED: dict[str, tuple[list[tuple[str, str]], str, int, list[str]]] = {
    "C-PERM-12 all with read on the parent": ([(C, "read")], BOB, 200, ["r", "s"]),
    "C-PERM-12 all with write far above": ([(B, "write")], BOB, 200, ["r", "s"]),
    "C-PERM-12 all by a group": ([(C, "read")], G, 200, ["r", "s"]),
    "C-PERM-13 what is shared for reading": ([(R, "read")], BOB, 200, ["r"]),
    "C-PERM-13 what is shared for writing": ([(f"{RECORDS}/s", "write")], BOB, 200, ["s"]),
    "C-PERM-13 what is shared with a group": ([(R, "read")], G, 200, ["r"]),
    "C-PERM-14 nothing with create alone": ([(C, "record:create")], BOB, 200, []),
    "C-PERM-14 what is shared, with create": ([(C, "record:create"), (R, "read")], BOB, 200, ["r"]),
    "C-PERM-12 all, though some is shared": ([(C, "read"), (R, "read")], BOB, 200, ["r", "s"]),
    "C-PERM-15 nothing without anything": ([], BOB, 403, []),
}


@pytest.mark.parametrize(("grants", "principal", "status", "ids"), LISTED.values(), ids=LISTED.keys())
def test_a_list_shows(
    stocked: Client, grants: list[tuple[str, str]], principal: str, status: int, ids: list[str]
) -> None:
    """C-PERM-16: HEAD counts the same; C-LIST-62: the timestamp is that of the whole list."""
    for path, permission in grants:
        share(stocked, path, permission, principal)
    reader = stocked.as_("carol" if principal == G else "bob")

    answer, head = reader.get(f"{RECORDS}?_sort=id"), reader.head(RECORDS)

    assert answer.status == head.status == status
    if status == 200:
        assert [one["id"] for one in answer.data] == ids
        assert head.headers["Total-Objects"] == str(len(ids))
        assert answer.etag == head.etag == stocked.get(RECORDS).etag


def test_nobody_in_particular_is_asked_who_it_is_for_a_list(stocked: Client) -> None:
    """C-PERM-15: and gets what is shared with everyone."""
    assert stocked.as_(None).get(RECORDS).status == 401

    share(stocked, R, "read", "system.Everyone")

    assert [one["id"] for one in stocked.as_(None).get(RECORDS).data] == ["r"]


def test_a_shared_list_is_filtered_and_paged_without_tombstones(stocked: Client) -> None:
    """C-PERM-16."""
    for path in (R, f"{RECORDS}/s", f"{RECORDS}/t"):
        stocked.put(path, {"n": 1})
        share(stocked, path, "read", BOB)
    stocked.put(f"{RECORDS}/hidden", {"n": 1})
    stocked.delete(f"{RECORDS}/t")
    bob = stocked.as_("bob")

    page = bob.get(f"{RECORDS}?n=1&_since=0&_sort=id&_limit=1")
    rest = bob.get(page.headers["Next-Page"].removeprefix("http://localhost"))

    assert [one["id"] for one in (*page.data, *rest.data)] == ["r", "s"]
    assert "Next-Page" not in rest.headers
    assert bob.get(f"{RECORDS}?n=2").data == []
    assert bob.head(f"{RECORDS}?n=1").headers["Total-Objects"] == "2"


EMPTIED: dict[str, tuple[list[tuple[str, str]], int, list[str]]] = {
    "all with write on the parent": ([(C, "write")], 200, ["r", "s"]),
    "what may be written": ([(R, "write"), (f"{RECORDS}/s", "read")], 200, ["r"]),
    "nothing with create alone": ([(C, "record:create")], 200, []),
    "what may be written, with create": ([(C, "record:create"), (R, "write")], 200, ["r"]),
    "nothing with read": ([(C, "read"), (R, "read")], 403, []),
    "nothing without anything": ([], 403, []),
}


@pytest.mark.parametrize(("grants", "status", "ids"), EMPTIED.values(), ids=EMPTIED.keys())
def test_deleting_a_list_deletes(stocked: Client, grants: list[tuple[str, str]], status: int, ids: list[str]) -> None:
    """C-PERM-17."""
    for path, permission in grants:
        share(stocked, path, permission, BOB)

    answer = stocked.as_("bob").delete(RECORDS)

    assert answer.status == status
    assert {"r", "s"} - {one["id"] for one in stocked.get(RECORDS).data} == set(ids)


def test_the_list_of_buckets_shows_what_is_shared(stocked: Client) -> None:
    """C-PERM-18, C-PERM-13, C-PERM-20: who is known may ask, since bucket:create is theirs."""
    stocked.put("/buckets/other")
    bob = stocked.as_("bob")
    assert (bob.get("/buckets").status, bob.get("/buckets").data) == (200, [])

    share(stocked, B, "group:create", BOB)
    bob.put("/buckets/bobs")

    assert [one["id"] for one in bob.get("/buckets?_sort=id").data] == ["b", "bobs"]
    assert stocked.as_(None).get("/buckets").status == 401


def test_deleting_the_list_of_buckets_deletes_ones_own(stocked: Client) -> None:
    """C-PERM-17."""
    bob = stocked.as_("bob")
    bob.put("/buckets/bobs")

    assert [one["id"] for one in bob.delete("/buckets").data] == ["bobs"]
    assert stocked.get(B).status == 200


CONFIGURED: dict[str, tuple[str, str, set[str]]] = {
    "bucket_read": ("bucket_read", BOB, {"read bucket", "list buckets"}),
    "bucket_write": ("bucket_write", BOB, {"read bucket", "list buckets", "write bucket", "create bucket"}),
    "C-PERM-20 bucket_create": ("bucket_create", BOB, {"list buckets", "create bucket"}),
    "group_read": ("group_read", BOB, {"read group", "list groups"}),
    "collection_create": ("collection_create", BOB, {"create collection", "list collections"}),
    "C-PERM-21 record_write": ("record_write", BOB, {"read record", "list records", "write record", "create record"}),
    "record_create": ("record_create", BOB, {"list records", "create record"}),
    "record_read to a group": ("record_read", G, {"read record", "list records"}),
}


@on_sqlite
@pytest.mark.parametrize(("setting", "principal", "allowed"), CONFIGURED.values(), ids=CONFIGURED.keys())
def test_settings_grant(client_with: ClientMaker, setting: str, principal: str, allowed: set[str]) -> None:
    """C-PERM-19: on every object of the kind, and on nothing below it."""
    who = user_id("alice")
    settings = {"kinto.bucket_create_principals": who, f"kinto.{setting}_principals": f"{principal} {who}"}
    client = client_with(settings)
    stock(client)
    reader = client.as_("bob" if principal == BOB else "carol")
    buckets = {
        "list buckets": ("GET", "/buckets"),
        "create bucket": ("PUT", "/buckets/new", {}, {"If-None-Match": "*"}),
    }

    names = {name for name, request in (buckets | ACTIONS).items() if reader.ask(*request).status in (200, 201)}

    assert names == allowed


@on_sqlite
@pytest.mark.parametrize(
    ("value", "statuses"), [("", [403, 401]), ("system.Everyone", [201, 201])], ids=["nobody", "everyone"]
)
def test_buckets_are_created_by(client_with: ClientMaker, value: str, statuses: list[int]) -> None:
    """C-PERM-20."""
    client = client_with({"kinto.bucket_create_principals": value})

    assert [client.put(B).status, client.as_(None).put("/buckets/d").status] == statuses


def test_permissions_go_with_their_object(stocked: Client) -> None:
    """C-PERM-22: what is created again starts afresh, and so does what lies below it."""
    share(stocked, R, "read", BOB)
    share(stocked, C, "read", BOB)

    stocked.delete(R)
    stocked.put(R)
    assert stocked.get(R).json["permissions"] == {"write": [stocked.id]}
    stocked.delete(B)
    stock(stocked)

    assert stocked.as_("bob").get(R).status == 403
    assert stocked.get(C).json["permissions"] == {"write": [stocked.id]}


def test_a_member_has_what_the_group_has_with_the_next_request(stocked: Client) -> None:
    """C-PERM-23, C-PERM-6."""
    share(stocked, C, "read", G)
    bob = stocked.as_("bob")
    assert bob.get(R).status == 403

    stocked.patch(G, {"members": [BOB]})

    assert bob.get(R).status == 200
    assert G in bob.ask("GET", "/").json["user"]["principals"]


LEAVING: dict[str, tuple[Any, ...]] = {
    "a PATCH": ("PATCH", G, {"data": {"members": ["somebody"]}}),
    "a PUT": ("PUT", G, {"data": {}}),
    "a DELETE": ("DELETE", G),
    "a DELETE of the list": ("DELETE", f"{B}/groups"),
}


@pytest.mark.parametrize("request_", LEAVING.values(), ids=LEAVING.keys())
def test_a_member_loses_what_the_group_has_by(stocked: Client, request_: Any) -> None:
    """C-PERM-24."""
    share(stocked, C, "read", G)
    carol = stocked.as_("carol")
    assert carol.get(R).status == 200

    stocked.ask(*request_)

    assert (carol.get(R).status, carol.get(RECORDS).status) == (403, 403)
    assert G not in carol.ask("GET", "/").json["user"]["principals"]


def test_what_a_deleted_group_was_granted_ends_with_it(stocked: Client) -> None:
    """C-PERM-25, as DECISIONS amends it: a later group of that URI inherits nothing."""
    share(stocked, C, "read", G)
    stocked.delete(G)

    assert "read" not in stocked.get(C).json["permissions"]
    stocked.put(G, {"members": [BOB]})

    assert stocked.as_("bob").get(R).status == 403
    share(stocked, C, "read", G)

    assert stocked.as_("bob").get(R).status == 200


def test_former_members_are_none_when_bucket_and_group_are_made_again(stocked: Client) -> None:
    """C-PERM-26, C-OBJ-58."""
    stocked.delete(B)
    stocked.batch(*({"method": "PUT", "path": path} for path in (B, G, C, R)))
    share(stocked, C, "read", G)

    assert stocked.as_("carol").get(R).status == 403
