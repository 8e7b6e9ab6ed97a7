"""Events: what listeners are told, and when (docs/contract/core.md 11.7, docs/contract/plugins.md 3)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.errors import Forbidden
from app.events import Context, Event, Listener
from app.operation import Effect
from backends import BackendError
from backends.storage import LIVING, Conflict, Selection, Stored, Unlocked, list_of
from tests.api.conftest import on_sqlite
from tests.support.client import Client, user_id
from tests.support.tables import faults, read_tables

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
ALL = frozenset(("create", "read", "update", "delete"))


@dataclass
class Heard:
    """What was told before and after the commit, with the records that others saw in the database at that moment."""

    client: Client
    before: list[Event] = field(default_factory=list)
    after: list[Event] = field(default_factory=list)
    stored_before: list[bool] = field(default_factory=list)
    stored_after: list[bool] = field(default_factory=list)

    def hear_before(self, event: Event, _: Context) -> None:
        """Take notice inside the transaction."""
        self.before.append(event)
        self.stored_before.append(self._stored())

    def hear_after(self, event: Event) -> None:
        """Take notice when all is committed."""
        self.after.append(event)
        self.stored_after.append(self._stored())

    def _stored(self) -> bool:
        snapshot = self.client.app.extensions["kinto"].storage.read(Selection(B, targets=(R,)))
        return R in snapshot.objects

    def summary(self) -> list[tuple[str, str, list[Any]]]:
        """Return kind, action and ids of what was told before the commit."""
        return [(event.kind.name, event.action, _ids(event)) for event in self.before]


def _ids(event: Event) -> list[Any]:
    if event.action == "read":
        return [one["id"] for one in event.read_objects]
    return [one["new"]["id"] for one in event.impacted_objects]


def listen(client: Client, actions: frozenset[str] = ALL, kinds: frozenset[str] = frozenset()) -> Heard:
    """Let a listener hear what happens from now on."""
    heard = Heard(client)
    client.app.extensions["kinto"].add_listener(Listener(heard.hear_before, heard.hear_after, kinds, actions))
    return heard


@pytest.fixture
def stocked(client: Client) -> Client:
    """Alice's client of a service with a collection and the records `r` and `s`."""
    client.put(B)
    client.put(C)
    client.put(R, {"n": 1})
    client.put(f"{RECORDS}/s", {"n": 2})
    return client


def test_listeners_are_told_of_a_change_before_and_after_the_commit(client: Client) -> None:
    """C-EVT-1."""
    client.put(B)
    client.put(C)
    heard = listen(client)

    client.put(R)

    assert (heard.stored_before, heard.stored_after) == ([False], [True])
    assert [event.action for event in (*heard.before, *heard.after)] == ["create", "create"]


@on_sqlite
def test_listeners_are_told_of_a_read_before_and_after(stocked: Client) -> None:
    """C-EVT-1."""
    heard = listen(stocked)

    stocked.get(R)

    assert [event.action for event in (*heard.before, *heard.after)] == ["read", "read"]


RECORD_IDS = {"bucket_id": "b", "collection_id": "c", "record_id": "r"}
PAYLOADS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "creation": (
        ("PUT", f"{RECORDS}/t"),
        {"action": "create", "uri": f"{RECORDS}/t", "resource_name": "record", **RECORD_IDS, "record_id": "t"},
    ),
    "creation in a list": (
        ("POST", RECORDS),
        {"action": "create", "uri": RECORDS, "resource_name": "record", "bucket_id": "b", "collection_id": "c"},
    ),
    "update": (("PATCH", R, {"data": {}}), {"action": "update", "uri": R, "resource_name": "record", **RECORD_IDS}),
    "deletion": (("DELETE", R), {"action": "delete", "uri": R, "resource_name": "record", **RECORD_IDS}),
    "deletion of a list": (
        ("DELETE", RECORDS),
        {"action": "delete", "uri": RECORDS, "resource_name": "record", "bucket_id": "b", "collection_id": "c"},
    ),
    "reading": (
        ("GET", C),
        {"action": "read", "uri": C, "resource_name": "collection", "bucket_id": "b", "collection_id": "c"},
    ),
    "reading a list": (("GET", "/buckets"), {"action": "read", "uri": "/buckets", "resource_name": "bucket"}),
    "reading by POST": (
        ("POST", RECORDS, {"data": {"id": "r"}}),
        {"action": "read", "uri": RECORDS, "resource_name": "record", "bucket_id": "b", "collection_id": "c"},
    ),
}


@on_sqlite
@pytest.mark.parametrize(("request_", "expected"), PAYLOADS.values(), ids=PAYLOADS.keys())
def test_the_payload_says_who_did_what_where(stocked: Client, request_: Any, expected: dict[str, Any]) -> None:
    """C-EVT-2, P-EVT-2."""
    heard = listen(stocked)

    stocked.ask(*request_)

    (event,) = heard.before
    clock = stocked.get(str(expected["uri"] if event.operation.route.on_list else _list(expected["uri"]))).etag
    assert event.payload == {**expected, "user_id": stocked.id, "timestamp": clock}


def _list(uri: str) -> str:
    return uri.rpartition("/")[0]


@on_sqlite
def test_the_payload_has_no_user_when_nobody_in_particular_asks(client: Client) -> None:
    """C-EVT-2, P-EVT-3."""
    client.put(B, {}, {"read": ["system.Everyone"]})
    heard = listen(client)

    client.as_(None).get(B)

    assert heard.before[0].payload["user_id"] is None


def _tombstone(object_id: str) -> dict[str, Any]:
    return {"id": object_id, "deleted": True}


IMPACTS: dict[str, tuple[tuple[Any, ...], str, list[Any]]] = {
    "C-EVT-5 PUT that creates": (("PUT", f"{RECORDS}/t", {"data": {"n": 3}}), "create", [{"new": {"id": "t", "n": 3}}]),
    "C-EVT-5 POST": (("POST", RECORDS, {"data": {"id": "t"}}), "create", [{"new": {"id": "t"}}]),
    "C-EVT-5 PUT that replaces": (
        ("PUT", R, {"data": {"m": 3}}),
        "update",
        [{"new": {"id": "r", "m": 3}, "old": {"id": "r", "n": 1}}],
    ),
    "C-EVT-5 PATCH": (
        ("PATCH", R, {"data": {"m": 3}}),
        "update",
        [{"new": {"id": "r", "n": 1, "m": 3}, "old": {"id": "r", "n": 1}}],
    ),
    "C-EVT-17 PATCH with a light answer": (
        ("PATCH", R, {"data": {"m": 3}}, {"Response-Behavior": "light"}),
        "update",
        [{"new": {"id": "r", "n": 1, "m": 3}, "old": {"id": "r", "n": 1}}],
    ),
    "C-EVT-14 C-EVT-11 PATCH of permissions only": (
        ("PATCH", R, {"permissions": {"read": ["bob"]}}),
        "update",
        [{"new": {"id": "r", "n": 1}, "old": {"id": "r", "n": 1}}],
    ),
    "P-EVT-5 PUT of the same": (
        ("PUT", R, {"data": {"n": 1}}),
        "update",
        [{"new": {"id": "r", "n": 1}, "old": {"id": "r", "n": 1}}],
    ),
    "C-EVT-5 DELETE": (("DELETE", R), "delete", [{"new": _tombstone("r"), "old": {"id": "r", "n": 1}}]),
    "C-EVT-16 DELETE of a list": (
        ("DELETE", f"{RECORDS}?_sort=n"),
        "delete",
        [
            {"new": _tombstone("r"), "old": {"id": "r", "n": 1}},
            {"new": _tombstone("s"), "old": {"id": "s", "n": 2}},
        ],
    ),
    "C-EVT-10 DELETE of a list where nothing matches": (("DELETE", f"{RECORDS}?n=7"), "read", []),
    "C-EVT-5 GET": (("GET", R), "read", [{"id": "r", "n": 1}]),
    "C-EVT-5 HEAD": (("HEAD", R), "read", [{"id": "r", "n": 1}]),
    "C-EVT-5 GET of a list": (("GET", f"{RECORDS}?_sort=n&_limit=1"), "read", [{"id": "r", "n": 1}]),
    "C-EVT-5 HEAD of a list": (("HEAD", RECORDS), "read", []),
    "C-EVT-9 P-EVT-4 POST of an object that is there": (
        ("POST", RECORDS, {"data": {"id": "r"}}),
        "read",
        [{"id": "r", "n": 1}],
    ),
    "C-EVT-12 DELETE of a bucket": (("DELETE", B), "delete", [{"new": _tombstone("b"), "old": {"id": "b"}}]),
}


@on_sqlite
@pytest.mark.parametrize(("request_", "action", "expected"), IMPACTS.values(), ids=IMPACTS.keys())
def test_an_event_carries_the_objects(stocked: Client, request_: Any, action: str, expected: list[Any]) -> None:
    heard = listen(stocked)

    stocked.ask(*request_)

    (event,) = heard.before
    objects = event.read_objects if action == "read" else event.impacted_objects
    assert event.action == action
    assert [_untimed(one) for one in objects] == expected


def _untimed(one: dict[str, Any]) -> dict[str, Any]:
    """Take the timestamps off an object or a pair of them."""
    if "new" in one:
        return {name: _untimed(version) for name, version in one.items()}
    assert isinstance(one["last_modified"], int)
    return {name: value for name, value in one.items() if name != "last_modified"}


def test_a_batch_gives_one_event_for_each_list_and_action_in_order(client: Client) -> None:
    """C-EVT-3, C-EVT-4, P-EVT-1."""
    client.put(B)
    client.put(C)
    heard = listen(client)

    client.batch(
        {"method": "PUT", "path": f"{RECORDS}/k1"},
        {"method": "PUT", "path": f"{RECORDS}/k2"},
        {"method": "PUT", "path": f"{RECORDS}/k1", "body": {"data": {"n": 2}}},
        {"method": "PUT", "path": f"{B}/groups/g"},
        {"method": "DELETE", "path": f"{RECORDS}/k2"},
        {"method": "GET", "path": RECORDS},
        {"method": "PUT", "path": f"{B}/collections/d"},
        {"method": "PUT", "path": f"{B}/collections/d/records/k3"},
    )

    assert heard.summary() == [
        ("record", "create", ["k1", "k2"]),
        ("record", "update", ["k1"]),
        ("group", "create", ["g"]),
        ("record", "delete", ["k2"]),
        ("record", "read", ["k1"]),
        ("collection", "create", ["d"]),
        ("record", "create", ["k3"]),
    ]
    first = heard.before[0].payload
    assert (first["uri"], first["record_id"]) == (f"{RECORDS}/k1", "k1")
    assert [event.payload for event in heard.after] == [event.payload for event in heard.before]


def test_what_a_listener_writes_is_an_event_of_its_own_after_those_of_the_request(client: Client) -> None:
    """C-EVT-3, P-EVT-6: it is not merged with what the request did to the same list."""
    service = client.app.extensions["kinto"]
    client.put(B)
    heard = listen(client)

    def copy(event: Event, context: Context) -> None:
        """Make another group beside each one that a request makes."""
        for impact in [] if event.impacted_objects[0]["new"]["id"].endswith("-copy") else event.impacted_objects:
            object_id, timestamp = f"{impact['new']['id']}-copy", impact["new"]["last_modified"] + 10
            text = json.dumps({"id": object_id, "last_modified": timestamp})
            new = Stored(f"{B}/groups/{object_id}", timestamp, False, timestamp, text)
            context.apply(Effect(service.kinds["group"], new, None, {}, timestamp))

    service.add_listener(Listener(before=copy, kinds=frozenset(("group",))))

    client.batch(
        {"method": "PUT", "path": f"{B}/groups/g"},
        {"method": "PUT", "path": C},
    )

    assert heard.summary() == [
        ("group", "create", ["g"]),
        ("collection", "create", ["c"]),
        ("group", "create", ["g-copy"]),
    ]
    assert [event.payload["uri"] for event in heard.after] == [f"{B}/groups/g", C, f"{B}/groups/g"]
    assert heard.before[2].payload["timestamp"] == client.get(f"{B}/groups/g-copy").etag


@pytest.mark.parametrize("lone", [True, False], ids=["a request", "a batch"])
def test_what_a_listener_revokes_ends_in_lists_that_the_request_does_not_name(client: Client, lone: bool) -> None:
    """Plugins contract, 3: grants and memberships, stored and of the same request, later than any poll."""
    bob, group, other = user_id("bob"), "/buckets/other/groups/g", "/buckets/other/collections/c/records/r"
    shared = (B, C, "/buckets/other", "/buckets/other/collections/c")
    for uri in shared:
        client.put(uri, {}, {"read": [bob]})
    client.put(other, {}, {"write": [bob], "read": ["eve"]})
    client.put(group, {"members": [bob, "eve"]})
    polled = {list_uri: client.get(list_uri).etag for list_uri in map(list_of, (*shared, other, group))}
    revoking = Listener(before=lambda event, context: context.revoke(bob), kinds=frozenset(("record",)))
    client.app.extensions["kinto"].add_listener(revoking)

    write = {"method": "PUT", "path": R, "body": {"permissions": {"read": [bob]}}}
    later = {"method": "PUT", "path": f"{B}/groups/late", "body": {"data": {"members": [bob]}}}
    answers = [client.put(R, {}, {"read": [bob]})] if lone else [client.batch(write, later)]

    assert [answer.status for answer in answers] == [201 if lone else 200]
    with client.app.extensions["kinto"].storage.reading.connect() as connection:
        tables = read_tables(connection)
    assert faults(tables) == []
    assert [grant for grant in tables.granted if grant[3] == bob] == []
    assert tables.memberships == {("eve", group)}
    ended = [row for row in [*tables.grants, *tables.members] if row.until < LIVING]
    assert len(ended) == 4 + 2 + 1 + 1  # the two buckets in two places
    for row in ended:
        assert row.until > polled[list_of(row.uri if "uri" in row._fields else row.principal)]


class Broken(Exception):
    """What goes wrong in a listener."""


def refuse_before(client: Client, error: type[Exception]) -> None:
    """Let a listener refuse whatever is changed."""

    def refuse(event: Event, _: Context) -> None:
        raise error

    client.app.extensions["kinto"].add_listener(Listener(before=refuse))


@pytest.mark.parametrize(("error", "status"), [(Forbidden, 403), (Broken, 500)], ids=["an API error", "any other"])
def test_an_error_before_the_commit_is_the_answer_and_undoes_everything(
    stocked: Client, error: type[Exception], status: int
) -> None:
    """C-EVT-6."""
    refuse_before(stocked, error)

    answer = stocked.put(R, {"n": 9})

    assert answer.status == status
    assert stocked.get(R).data["n"] == 1


def test_an_error_after_the_commit_is_logged_and_changes_nothing(
    stocked: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """C-EVT-7, P-EVT-7."""

    def fail(event: Event) -> None:
        raise Broken

    stocked.app.extensions["kinto"].add_listener(Listener(after=fail))
    heard = listen(stocked)

    answer = stocked.put(R, {"n": 9})

    assert (answer.status, stocked.get(R).data["n"], len(heard.after)) == (200, 9, 2)
    assert "Unable to notify" in caplog.messages


UNHEARD: dict[str, tuple[Any, ...]] = {
    "nobody may": ("PUT", B, {"data": {}}, {"Authorization": "Basic bm9ib2R5Og=="}),
    "nothing is there": ("GET", f"{RECORDS}/nope"),
    "the body is invalid": ("PUT", R, {"data": 1}),
    "a precondition fails": ("PUT", R, {"data": {}}, {"If-Match": '"5"'}),
}


@on_sqlite
@pytest.mark.parametrize("request_", UNHEARD.values(), ids=UNHEARD.keys())
def test_nobody_is_told_when(stocked: Client, request_: Any) -> None:
    """C-EVT-8, P-EVT-4."""
    heard = listen(stocked)

    answer = stocked.ask(*request_)

    assert answer.status >= 400
    assert (heard.before, heard.after) == ([], [])


@on_sqlite
def test_nobody_is_told_of_a_304(stocked: Client) -> None:
    """C-EVT-8, P-EVT-4."""
    etag = stocked.get(R).headers["ETag"]
    heard = listen(stocked)

    stocked.get(R, if_none_match=etag)

    assert heard.before == []


@pytest.mark.parametrize("lone", [True, False], ids=["C-EVT-8 of a request", "C-EVT-15 of a batch"])
def test_nobody_is_told_after_a_rollback(stocked: Client, lone: bool) -> None:
    heard = listen(stocked)
    refuse_before(stocked, Broken)

    one = {"method": "PUT", "path": f"{RECORDS}/new"}
    answer = stocked.put(f"{RECORDS}/new") if lone else stocked.batch(one, {"method": "GET", "path": R})

    assert answer.status == 500
    assert (len(heard.before) > 0, heard.after) == (True, [])


def test_listeners_before_the_commit_are_told_by_every_try_and_those_after_it_once(stocked: Client) -> None:
    """docs/writing-plugins.md: what a try wrote is undone; what a listener did outside the database is not."""
    heard = listen(stocked)
    tries: list[BackendError] = [Conflict("a deadlock"), Unlocked([f"{B}/groups"])]

    def fail(event: Event, context: Context) -> None:
        if tries:
            raise tries.pop()

    stocked.app.extensions["kinto"].add_listener(Listener(fail, actions=ALL))

    answer = stocked.batch(
        {"method": "POST", "path": RECORDS}, {"method": "PUT", "path": R, "body": {"data": {"n": 2}}}
    )

    assert answer.status == 200
    ids = [[one["new"]["id"] for one in event.impacted_objects] for event in heard.after]
    assert len(heard.before) == 2 + len(heard.after) == 4
    assert ids[1] == ["r"]
    assert sorted(one["id"] for one in stocked.get(RECORDS).data) == sorted([*ids[0], "r", "s"])
