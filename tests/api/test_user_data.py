"""`DELETE /__user_data__/<principal>`: forget a user (core contract, 2.8; plugins contract, 12)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from app.errors import ApiError
from app.events import Context, Event, Listener
from app.service import Service
from backends.storage import Change, Move, Selection, Stored
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, user_id

ADMIN = {
    "kinto.user-data_delete_principals": user_id("admin"),
    "kinto.experimental_permissions_endpoint": "true",
    "kinto.bucket_read_principals": user_id("admin"),
}
ALICE, BOB, CAROL = (user_id(name) for name in ("alice", "bob", "carol"))
LIST = "/buckets/hers/collections/c/records"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return the client of alice, who owns a bucket in which bob has something of his own."""
    alice = client_with(ADMIN)
    alice.put("/buckets/hers", permissions={"collection:create": [BOB]})
    alice.put("/buckets/hers/groups/g", {"members": [BOB, CAROL]}, {"read": [BOB]})
    alice.put("/buckets/hers/collections/c", permissions={"record:create": [BOB], "write": [BOB]})
    alice.as_("bob").put(f"{LIST}/his", {"a": 1})
    alice.as_("bob").put(f"{LIST}/theirs", {"a": 1}, {"write": [CAROL]})
    alice.as_("bob").put("/buckets/his")
    alice.as_("bob").put("/buckets/his/collections/d")
    alice.as_("bob").put("/buckets/his/collections/d/records/r")
    return alice


def forget(client: Client, principal: str, name: str | None = "admin") -> Any:
    """Ask for the deletion of all that a user has."""
    return client.as_(name).delete(f"/__user_data__/{principal}")


@on_sqlite
@pytest.mark.parametrize(
    ("name", "status", "errno"), [("bob", 403, 121), (None, 401, 104)], ids=["somebody else", "anonymous"]
)
def test_user_is_forgotten_only_by_whom_the_setting_names(
    client: Client, name: str | None, status: int, errno: int
) -> None:
    """C-UTIL-35, P-USER-3."""
    answer = forget(client, BOB, name)

    assert (answer.status, answer.json["errno"]) == (status, errno)
    assert client.as_("bob").get("/buckets/his").status == 200


@on_sqlite
def test_nobody_forgets_users_unless_a_setting_says_so(client_with: ClientMaker) -> None:
    """C-UTIL-35."""
    assert forget(client_with(), ALICE).status == 403


def test_setting_may_name_a_group(client_with: ClientMaker) -> None:
    """C-UTIL-35."""
    client = client_with({"kinto.user-data_delete_principals": "/buckets/b/groups/admins"})
    client.put("/buckets/b")
    client.put("/buckets/b/groups/admins", {"members": [CAROL]})

    assert forget(client, BOB, "carol").status == 200


@on_sqlite
@pytest.mark.parametrize("principal", [BOB, BOB.replace(":", "%3A"), "basicauth:nobody"])
def test_answer_names_the_principal_known_or_not(client: Client, principal: str) -> None:
    """C-UTIL-36, P-USER-3."""
    answer = forget(client, principal)

    assert (answer.status, answer.json) == (200, {"data": {"principal": principal.replace("%3A", ":")}})


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_plural_url_has_no_method(client: Client, method: str) -> None:
    """C-UTIL-39."""
    answer = client.as_("admin").ask(method, "/__user_data__")

    assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS")


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH"])
def test_url_of_a_user_can_only_be_deleted(client: Client, method: str) -> None:
    """C-URL-19, P-USER-3."""
    answer = client.as_("admin").ask(method, f"/__user_data__/{BOB}")

    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, OPTIONS")


def test_objects_that_nobody_else_may_write_go_with_all_in_them(client: Client) -> None:
    """C-UTIL-37, P-USER-1."""
    forget(client, BOB)

    tombstones = client.as_("admin").get("/buckets?_since=0&deleted=true").data
    assert [tombstone["id"] for tombstone in tombstones] == ["his"]
    assert client.get(f"{LIST}/his").status == 404
    client.put("/buckets/his")
    assert client.get("/buckets/his/collections?_since=0").data == []
    assert client.get("/buckets/his/collections/d/records").status == 404


def test_deleted_object_leaves_a_tombstone_and_moves_its_list(client: Client) -> None:
    """C-UTIL-37."""
    before = client.get(LIST).etag

    forget(client, BOB)

    after = client.get(f"{LIST}?_since={before}")
    assert [(each["id"], each["deleted"]) for each in after.data] == [("his", True)]
    assert after.etag == after.data[0]["last_modified"] > before
    assert client.head(LIST).headers["Total-Objects"] == "1"


def test_objects_that_somebody_else_may_write_stay_unchanged(client: Client) -> None:
    """C-UTIL-37."""
    before = client.get(f"{LIST}/theirs").data

    forget(client, BOB)

    answer = client.as_("carol").get(f"{LIST}/theirs")
    assert (answer.data, answer.json["permissions"]) == (before, {"write": [CAROL]})
    assert client.get("/buckets/hers/collections/c").json["permissions"] == {"write": [ALICE]}


def test_nothing_is_granted_any_more(client: Client) -> None:
    """C-UTIL-37."""
    forget(client, BOB)

    bob = client.as_("bob")
    assert [entry["uri"] for entry in bob.get("/permissions").data] == ["/"]
    assert bob.put(f"{LIST}/new").status == 403
    assert bob.put("/buckets/hers/collections/new").status == 403


def test_user_leaves_groups_and_their_documents(client: Client) -> None:
    """C-UTIL-38, P-USER-2, PD-18: nothing can bring the membership back."""
    before = client.get("/buckets/hers/groups/g").etag

    forget(client, BOB)

    group = client.get("/buckets/hers/groups/g")
    assert (group.data["members"], group.json["permissions"]) == ([CAROL], {"write": [ALICE]})
    assert group.etag == group.data["last_modified"] > before
    assert client.as_("bob").get("/").json["user"]["principals"] == sorted(
        [BOB, "system.Authenticated", "system.Everyone"]
    )


def test_memberships_in_groups_of_deleted_buckets_end(client: Client) -> None:
    """C-PERM-26."""
    client.as_("bob").put("/buckets/his/groups/g", {"members": [CAROL]})

    forget(client, BOB)

    assert "/buckets/his/groups/g" not in client.as_("carol").get("/").json["user"]["principals"]


def test_object_that_nobody_may_write_is_nobodys(client_with: ClientMaker) -> None:
    """C-UTIL-37, PD-17: an object without any `write` list stays."""
    client = client_with({**ADMIN, "kinto.explicit_permissions": "false", "kinto.bucket_write_principals": ALICE})
    client.put("/buckets/b", permissions={"read": [BOB]})

    forget(client, BOB)

    assert client.get("/buckets/b").status == 200
    assert client.as_("bob").get("/buckets/b").status == 403


def test_what_others_own_inside_a_deleted_object_goes_with_it(client: Client) -> None:
    """C-UTIL-37."""
    client.as_("bob").patch("/buckets/his/collections/d", permissions={"record:create": [CAROL]})
    client.as_("carol").put("/buckets/his/collections/d/records/hers")

    forget(client, BOB)

    assert "/buckets/his" not in str(client.as_("carol").get("/permissions").data)


def _listen(client: Client, **listener: Any) -> None:
    service: Service = client.app.extensions["kinto"]
    service.add_listener(Listener(**listener))


def test_events_tell_of_each_list_once(client: Client) -> None:
    """C-EVT-12, P-USER-1: what lies in a deleted object is not mentioned."""
    client.as_("bob").put(f"{LIST}/his2", {"a": 2})
    events: list[Event] = []
    _listen(client, after=events.append)

    forget(client, BOB)

    numbers = {
        (event.kind.name, event.action): [impact["new"]["id"] for impact in event.impacted_objects] for event in events
    }
    assert numbers == {("bucket", "delete"): ["his"], ("record", "delete"): ["his", "his2"], ("group", "update"): ["g"]}
    assert {event.payload["user_id"] for event in events} == {user_id("admin")}
    assert all(impact["old"]["id"] == impact["new"]["id"] for event in events for impact in event.impacted_objects)


@pytest.mark.parametrize("listening", [False, True], ids=["", "and somebody is told"])
def test_much_ends_some_at_a_time(client: Client, monkeypatch: pytest.MonkeyPatch, listening: bool) -> None:
    """As at once: one event for each list, each object with its own timestamp, groups and counts as they should."""
    monkeypatch.setattr("app.transactions.user_data._BATCH_SIZE", 2)
    events: list[Event] = []
    for number in range(5):
        client.as_("bob").put(f"{LIST}/more{number}")
        client.put(f"/buckets/hers/groups/g{number}", {"members": [BOB, CAROL]})
        client.as_("bob").put(f"/buckets/his{number}")
    before = client.get(LIST).etag
    if listening:
        _listen(client, after=events.append)

    assert forget(client, BOB).status == 200

    gone = client.get(f"{LIST}?_since={before}&_sort=last_modified").data
    assert {each["id"] for each in gone} == {"his", *(f"more{number}" for number in range(5))}
    assert len({each["last_modified"] for each in gone}) == 6
    assert client.head(LIST).headers["Total-Objects"] == "1"
    assert [group["members"] for group in client.get("/buckets/hers/groups").data] == [[CAROL]] * 6
    assert client.as_("bob").get("/").json["user"]["principals"].count("/buckets/hers/groups/g1") == 0
    assert client.as_("admin").head("/buckets").headers["Total-Objects"] == "1"
    summaries = [(event.kind.name, event.action, len(event.impacted_objects)) for event in events]
    assert sorted(summaries) == (
        [("bucket", "delete", 6), ("group", "update", 6), ("record", "delete", 6)] if listening else []
    )


def test_listener_that_refuses_undoes_everything(client: Client) -> None:
    """C-EVT-6."""
    permissions = client.as_("bob").get("/permissions").data

    def refuse(event: Event, context: Context) -> None:
        raise _Refused

    _listen(client, before=refuse, kinds=frozenset(("group",)))

    answer = forget(client, BOB)

    assert answer.status == 507
    assert client.as_("bob").get("/permissions").data == permissions
    assert client.as_("bob").get("/buckets/his/collections/d/records/r").status == 200


class _Refused(ApiError):
    status = 507
    errno = 121
    error = "Insufficient Storage"


def test_user_may_come_back_and_own_things_again(client: Client) -> None:
    forget(client, BOB)

    created = client.as_("bob").put("/buckets/his")

    assert (created.status, created.json["permissions"]) == (201, {"write": [BOB]})
    assert forget(client, BOB).status == 200
    assert client.as_("bob").put("/buckets/his").status == 201


class _Meanwhile:
    """A write that begins before a user is forgotten and is committed while the other waits."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._storage = client.app.extensions["kinto"].storage

    def grant(self, uri: str, principal: str, lock: tuple[str, ...]) -> Any:
        """Grant `write` on an object, meanwhile forget bob, and return what that answered."""
        answers: list[Any] = []
        forgetting = threading.Thread(target=lambda: answers.append(forget(self._client, BOB)))
        with self._storage.transaction() as transaction:
            transaction.lock(lock)
            forgetting.start()
            time.sleep(0.3)
            snapshot = transaction.read(Selection("/buckets/hers", targets=(uri,)))
            stored: Stored = snapshot.objects[uri]
            list_uri = uri.rpartition("/")[0]
            stamp = stored.timestamp + 1
            new = Stored(uri, stamp, False, stored.born, stored.text)
            transaction.write([Change(new, stamp, granted=frozenset({("write", principal)}))], [Move(list_uri, stamp)])
        forgetting.join()
        return answers[0]


def test_object_stays_when_somebody_else_gets_to_write_it_meanwhile(client: Client) -> None:
    answer = _Meanwhile(client).grant(f"{LIST}/his", CAROL, lock=(LIST,))

    assert answer.status == 200
    assert client.as_("carol").get(f"{LIST}/his").json["permissions"] == {"write": [CAROL]}


def test_what_is_granted_meanwhile_is_withdrawn_too(client: Client) -> None:
    client.put("/buckets/hers/collections/e")
    client.put("/buckets/hers/collections/e/records/r")
    uri = "/buckets/hers/collections/e/records/r"

    answer = _Meanwhile(client).grant(uri, BOB, lock=(uri.rpartition("/")[0], LIST))

    assert answer.status == 200
    assert client.get(uri).json["permissions"] == {"write": [ALICE]}
