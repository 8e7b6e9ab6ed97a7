"""Groups: their members, and the principal that membership gives and takes (section 4.14)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ClientMaker
from tests.client import Answer, Client, user_id

BOB, CAROL = user_id("bob"), user_id("carol")
B, C, G = "/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g"


@pytest.fixture
def owner(client_with: ClientMaker) -> Client:
    """Return alice's client; group g may read collection c."""
    client = client_with(kept=True)
    client.put(B)
    client.put(C, permissions={"read": [G]})
    return client


def reading(client: Client) -> set[str]:
    """Return who of bob and carol can read the collection, and make sure that hello tells the same."""
    people = [name for name in ("bob", "carol") if client.as_(name).get(C).status == 200]
    told = [name for name in ("bob", "carol") if G in client.as_(name).get("/").json["user"]["principals"]]
    assert people == told
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
@pytest.mark.parametrize("client_with", ["sqlite"], indirect=True)
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
    """C-OBJ-57, C-OBJ-64: what it was granted stays, and holds for whoever is in a group of that URI later."""
    owner.put(G, {"members": [BOB]})

    owner.delete(deletion)

    assert reading(owner) == set()
    owner.put(G, {"members": [CAROL]})
    assert reading(owner) == {"carol"}


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
