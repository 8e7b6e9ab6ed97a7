"""Groups: their members, and the principal that membership gives and takes (section 4.14)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, basic, user_id

BOB, CAROL = user_id("bob"), user_id("carol")
B, C, G = "/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g"


@pytest.fixture
def owner(client_with: ClientMaker) -> Client:
    """Return alice's client; group g may read collection c."""
    client = client_with()
    client.put(B)
    client.put(C, permissions={"read": [G]})
    return client


def reading(client: Client) -> set[str]:
    """Return who of bob and carol can read the collection, and make sure that hello tells the same."""
    people = [name for name in ("bob", "carol") if client.as_(name).get(C).status == 200]
    readers = [name for name in ("bob", "carol") if G in client.as_(name).get("/").json["user"]["principals"]]
    assert people == readers
    return set(people)


def write(client: Client, method: str, data: Any) -> Answer:
    if method == "POST":
        return client.post(f"{B}/groups", {**data, "id": "g"})
    return client.ask(method, G, {"data": data})


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_group_without_members_has_an_empty_list(owner: Client, method: str) -> None:
    """C-OBJ-62."""
    answer = write(owner, method, {"a": 1})

    assert (answer.status, answer.data["members"]) == (201, [])
    assert owner.get(G).data["members"] == []


def test_members_are_any_texts_and_stay_as_sent(owner: Client) -> None:
    """C-OBJ-62, C-OBJ-65."""
    members = [BOB, "x", BOB, "system.Authenticated", "account:é"]

    assert owner.put(G, {"members": members}).status == 201
    assert owner.get(G).data["members"] == members


@pytest.mark.parametrize(
    ("members", "name", "description"),
    [
        (["a", "system.Everyone"], "members.1", "'system.Everyone' is not a valid user ID."),
        (["/buckets/b/groups/h"], "members.0", "'/buckets/b/groups/h' is not a valid user ID."),
        (["/buckets/x"], "members.0", "'/buckets/x' is not a valid user ID."),
        ("x", "members", '"x" is not iterable'),
        ({}, "members", '"{}" is not iterable'),
        ([1], "members.0", "1 is not a string: {'': ''}"),
        ([""], "members.0", "Required"),
    ],
    ids=["everyone", "a group", "a bucket", "a text", "an object", "a number", "an empty text"],
)
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
@on_sqlite
def test_what_cannot_be_a_member_is_refused(
    owner: Client, method: str, members: Any, name: str, description: str
) -> None:
    """C-OBJ-62, C-OBJ-63."""
    if method == "PATCH":
        owner.put(G, {"members": [BOB]})

    answer = write(owner, method, {"members": members})

    prefix = "" if method == "PATCH" else "data."
    assert answer.status == 400
    assert answer.json["details"] == [{"location": "body", "name": f"{prefix}{name}", "description": description}]
    assert reading(owner) == ({"bob"} if method == "PATCH" else set())


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_being_named_in_a_new_group_gives_its_principal_at_once(owner: Client, method: str) -> None:
    """C-OBJ-64."""
    write(owner, method, {"members": [BOB]})

    assert reading(owner) == {"bob"}


@pytest.mark.parametrize(
    ("method", "data", "left"),
    [
        ("PUT", {"members": [CAROL]}, {"carol"}),
        ("PUT", {"members": [BOB, CAROL]}, {"bob", "carol"}),
        ("PUT", {"a": 1}, set()),
        ("PATCH", {"members": []}, set()),
        ("PATCH", {"members": [CAROL, CAROL]}, {"carol"}),
        ("PATCH", {"a": 1}, {"bob"}),
    ],
    ids=["replaced", "extended", "replaced by none", "emptied", "patched", "patched elsewhere"],
)
def test_a_change_of_members_holds_from_the_next_request(owner: Client, method: str, data: Any, left: set[str]) -> None:
    """C-OBJ-64."""
    owner.put(G, {"members": [BOB]})

    write(owner, method, data)

    assert reading(owner) == left


@pytest.mark.parametrize("deletion", [G, f"{B}/groups", f"{B}/groups?id=g"], ids=["itself", "the list", "a filter"])
def test_a_deleted_group_has_no_members(owner: Client, deletion: str) -> None:
    """C-OBJ-57, C-OBJ-64, DECISIONS: what it was granted ends too, and a group of that URI later inherits nothing."""
    owner.put(G, {"members": [BOB]})

    owner.delete(deletion)

    assert reading(owner) == set()
    owner.put(G, {"members": [CAROL]})
    assert owner.as_("carol").get(C).status == 403
    owner.put(C, permissions={"read": [G]})
    assert reading(owner) == {"carol"}


OTHER = "/buckets/other"


def _without_group(owner: Client, *requests: dict[str, Any]) -> Client:
    """Share what is in another bucket with a group, then send requests, in a batch where there are several."""
    owner.put(G, {"members": [BOB]})
    owner.put(f"{B}/groups/gg", {"members": [BOB]})
    owner.put(OTHER, permissions={"group:create": [f"{B}/groups/gg"]})
    owner.put(f"{OTHER}/collections/c", permissions={"read": [G], "record:create": [G, "x"]})
    answer = owner.batch(*requests)
    assert all(entry["status"] < 300 for entry in answer.json["responses"]), answer.json
    return owner


GONE: dict[str, list[dict[str, Any]]] = {
    "itself": [{"method": "DELETE", "path": G}],
    "the list": [{"method": "DELETE", "path": f"{B}/groups?id=g"}],
    "its bucket": [{"method": "DELETE", "path": B}, {"method": "PUT", "path": B}],
    "all buckets of a name": [{"method": "DELETE", "path": "/buckets?id=b"}, {"method": "PUT", "path": B}],
}


@pytest.mark.parametrize("lone", [True, False], ids=["later", "in the same batch"])
@pytest.mark.parametrize("deletion", GONE.values(), ids=GONE.keys())
def test_a_group_of_a_former_uri_inherits_no_grant_in_any_bucket(
    owner: Client, deletion: list[dict[str, Any]], lone: bool
) -> None:
    """DECISIONS: all grants to a group end in the transaction that deletes it."""
    again = {"method": "PUT", "path": G, "body": {"data": {"members": [BOB]}}}
    _without_group(owner, *deletion, *([] if lone else [again]))
    if lone:
        owner.put(G, {"members": [BOB]})

    permissions = owner.get(f"{OTHER}/collections/c").json["permissions"]

    assert G in owner.as_("bob").get("/").json["user"]["principals"]
    assert permissions == {"record:create": ["x"], "write": [owner.id]}
    entries = owner.as_("bob").batch({"path": C}, {"path": f"{B}/collections"}).json["responses"]
    assert {entry["status"] for entry in entries} <= {403, 404}


@pytest.mark.parametrize("path", [f"{OTHER}/collections/c", f"{OTHER}/collections/new"], ids=["known", "new"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_granted_to_a_group_that_is_made_again_lives(owner: Client, method: str, path: str) -> None:
    """Also in the batch that deletes it: what was granted before ends, what is granted afterwards stays."""
    granted = {"permissions": {"read": [G]}}
    _without_group(
        owner,
        {"method": "PUT", "path": f"{OTHER}/collections/new", "body": granted},
        {"method": "DELETE", "path": G},
        {"method": "PUT", "path": G, "body": {"data": {"members": [CAROL]}}},
        {"method": method, "path": path, "body": granted},
    )

    assert owner.get(path).json["permissions"]["read"] == [G]
    assert [owner.as_(name).get(path).status for name in ("bob", "carol")] == [403, 200]
    assert owner.get(f"{OTHER}/collections/new").json["permissions"].get("read") == ([G] if "new" in path else None)


def test_what_is_granted_earlier_in_the_batch_that_deletes_a_group_ends(owner: Client) -> None:
    """DECISIONS: before anything of it is written."""
    _without_group(
        owner,
        {"method": "PUT", "path": f"{OTHER}/collections/new", "body": {"permissions": {"read": [G], "write": [G]}}},
        {"method": "DELETE", "path": G},
    )
    owner.put(G, {"members": [BOB]})

    assert owner.get(f"{OTHER}/collections/new").json["permissions"] == {"write": [owner.id]}
    assert owner.as_("bob").get(f"{OTHER}/collections/new").status == 403


def test_grants_to_other_groups_stay(owner: Client) -> None:
    """The name of one begins with that of the other."""
    _without_group(owner, *GONE["itself"])

    assert owner.get(OTHER).json["permissions"]["group:create"] == [f"{B}/groups/gg"]
    assert owner.as_("bob").get(OTHER).status == 200


def test_grants_end_with_a_group_that_is_deleted_again_and_again(owner: Client) -> None:
    """Each end is a row of its own: two at one timestamp must not collide."""
    for _ in range(5):
        owner.put(G, {"members": [BOB]})
        assert owner.put(C, permissions={"read": [G]}).status == 200
        assert owner.put(C, permissions={"read": []}).status == 200
        assert owner.put(C, permissions={"read": [G]}).status == 200
        assert owner.delete(G).status == 200

    assert reading(owner) == set()


CHANGED: dict[str, tuple[str, Any]] = {
    "joins": ("PUT", {"data": {"members": [BOB, CAROL]}}),
    "leaves": ("PUT", {"data": {"members": []}}),
    "is in a deleted one": ("DELETE", None),
}


@pytest.mark.parametrize(("method", "body"), CHANGED.values(), ids=CHANGED.keys())
def test_everybody_is_in_the_groups_of_the_start_of_a_batch(owner: Client, method: str, body: Any) -> None:
    """Core contract, 7.7; object and list tell the same, and the next request another thing."""
    owner.put(f"{C}/records/r")
    owner.put(G, {"members": [BOB]})
    change = {"method": method, "path": G, **({"body": body} if body else {})}
    again = {"method": "PUT", "path": C, "body": {"permissions": {"read": [G]}}}
    looks = [
        {"path": path, "headers": {"Authorization": basic(name)}}
        for name in ("bob", "carol")
        for path in (C, f"{C}/records/r", f"{C}/records", f"{B}/collections")
    ]

    answer = owner.batch(change, again, *looks)

    assert [entry["status"] for entry in answer.json["responses"]] == [200, 200, *[200] * 4, *[403] * 4]
    known = {"joins": {"bob", "carol"}, "leaves": set(), "is in a deleted one": set()}
    assert reading(owner) == known[next(name for name, pair in CHANGED.items() if pair == (method, body))]


@pytest.mark.parametrize("deletion", [B, "/buckets"], ids=["the bucket", "all buckets"])
def test_the_members_of_a_group_lose_its_principal_with_its_bucket(owner: Client, deletion: str) -> None:
    """C-OBJ-58: also when bucket and group are created again."""
    owner.put(G, {"members": [BOB, "system.Authenticated"]})
    assert reading(owner) == {"bob", "carol"}

    owner.delete(deletion)

    assert G not in owner.as_("bob").get("/").json["user"]["principals"]
    owner.put(B)
    owner.put(C, permissions={"read": [G]})
    assert reading(owner) == set()
    owner.put(G, {"members": [CAROL]})
    assert reading(owner) == {"carol"}


def test_everybody_authenticated_is_in_a_group_that_says_so(owner: Client) -> None:
    """C-OBJ-65."""
    owner.put(G, {"members": ["system.Authenticated"]})

    assert reading(owner) == {"bob", "carol"}
    assert owner.as_(None).get(C).status == 401
    owner.put(G, {"members": []})
    assert reading(owner) == set()


def test_a_writer_of_a_group_is_no_member(owner: Client) -> None:
    """C-OBJ-64."""
    owner.put(G, {"members": []}, {"write": [BOB]})

    assert owner.as_("bob").get(G).status == 200
    assert reading(owner) == set()


def test_groups_of_the_same_name_in_other_buckets_are_others(owner: Client) -> None:
    """C-OBJ-64."""
    owner.put("/buckets/other")
    owner.put("/buckets/other/groups/g", {"members": [BOB]})

    assert reading(owner) == set()
