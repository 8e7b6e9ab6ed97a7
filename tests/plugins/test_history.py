"""The history of a bucket: an entry for each change, by whom and when (plugins contract, 7.1 to 7.4)."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.decisions.working_set import now_ms
from app.events import ReadContext
from app.factory import create_app
from backends.codec import dumps, loads
from backends.storage import LATEST, CheckScope
from backends.storage.tables import clocks
from blueprints.plugins import Effect, Impact, Operation, SettingError, Stored
from blueprints.plugins.history.exclusions import Exclusions
from blueprints.plugins.history.recording import Recorder
from blueprints.plugins.history.trimming import Trimming
from tests.api.conftest import ClientMaker
from tests.plugins.test_plugins import add_module
from tests.support.client import Client, basic, user_id
from tests.support.databases import BASICAUTH
from tests.support.statsd_server import statsd_server
from tests.support.tables import faults, read_tables, snapshot_engine

B = "/buckets/b"
HISTORY = f"{B}/history"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
G = f"{B}/groups/g"
ALICE, BOB, EVE = (user_id(name) for name in ("alice", "bob", "eve"))
SETTINGS = {"kinto.includes": "kinto.plugins.history", "kinto.user-data_delete_principals": "system.Authenticated"}
WITH_ACCOUNTS = {
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.history",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_bcrypt_rounds": 4,
}


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of a service with history, with a bucket and a collection."""
    client = client_with(SETTINGS)
    client.put(B)
    client.put(C)
    return client


def entries(client: Client, query: str = "") -> list[dict[str, Any]]:
    """Return entries, the oldest first."""
    answer = client.get(f"{HISTORY}?_sort=last_modified{query}")
    assert answer.status == 200, answer.body
    rows: list[dict[str, Any]] = answer.data
    return rows


def changes(client: Client, query: str = "") -> list[tuple[str, str]]:
    """Return action and URI of entries, the oldest first."""
    return [(entry["action"], entry["uri"]) for entry in entries(client, query)]


def assert_sound(client: Client) -> None:
    """Hold the rows against the rules of the tables."""
    url = client.app.extensions["kinto"].storage.reading.url.render_as_string(hide_password=False)
    with snapshot_engine(url).connect() as connection:
        assert faults(read_tables(connection)) == []


def test_the_capability_has_the_texts_of_kinto(client: Client) -> None:
    """P-API-4, P-HIST-20."""
    assert client.get("/").json["capabilities"]["history"] == {
        "description": "Track changes on data.",
        "url": "http://kinto.readthedocs.io/en/latest/api/1.x/history.html",
    }


def test_an_entry_says_who_did_what_to_which_object_and_when(client: Client) -> None:
    """P-HIST-1: for each kind and action."""
    client.put(G, {"members": ["account:bob"]})
    client.put(R, {"n": 1}, {"read": [BOB]})
    client.patch(R, permissions={"write": [EVE]})
    client.as_("eve").patch(R, {"n": 2})
    client.delete(R)
    client.put(C, {"a": 1})
    client.put(B, {"a": 1})
    client.delete(G)

    rows = entries(client)
    for entry in rows:
        entry_id = uuid.UUID(entry.pop("id"))
        assert entry_id.version == 4
        assert entry_id.int >> 80 == datetime.fromisoformat(entry["date"]).timestamp() * 1000 // 1
        assert abs(datetime.fromisoformat(entry["date"]) - datetime.now(UTC)) < timedelta(minutes=10)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", entry.pop("date"))
        assert type(entry.pop("last_modified")) is type(entry["target"]["data"].pop("last_modified")) is int
    group, record = {"group_id": "g"}, {"collection_id": "c", "record_id": "r"}
    by_alice = {"write": [ALICE]}
    expected: list[tuple[str, str, str, dict[str, str], dict[str, Any], Any]] = [
        ("create", "bucket", B, {"bucket_id": "b"}, {"id": "b"}, by_alice),
        ("create", "collection", C, {"collection_id": "c"}, {"id": "c"}, by_alice),
        ("create", "group", G, group, {"id": "g", "members": ["account:bob"]}, by_alice),
        ("create", "record", R, record, {"id": "r", "n": 1}, {"read": [BOB], **by_alice}),
        ("update", "record", R, record, {"id": "r", "n": 1}, {"read": [BOB], "write": sorted([ALICE, EVE])}),
        ("update", "record", R, record, {"id": "r", "n": 2}, {"read": [BOB], "write": sorted([ALICE, EVE])}),
        ("delete", "record", R, record, {"id": "r", "deleted": True}, {}),
        ("update", "collection", C, {"collection_id": "c"}, {"id": "c", "a": 1}, by_alice),
        ("update", "bucket", B, {"bucket_id": "b"}, {"id": "b", "a": 1}, by_alice),
        ("delete", "group", G, group, {"id": "g", "deleted": True}, {}),
    ]
    assert rows == [
        {
            "action": action,
            "resource_name": kind,
            "uri": uri,
            "user_id": EVE if data.get("n") == 2 else ALICE,
            **ids,
            "target": {"data": data, "permissions": permissions},
        }
        for action, kind, uri, ids, data, permissions in expected
    ]


def test_an_entry_by_nobody_has_no_user(client_with: ClientMaker) -> None:
    client = client_with({**SETTINGS, "kinto.bucket_create_principals": "system.Everyone"})

    client.as_(None).put(B, permissions={"read": ["system.Everyone"]})

    assert entries(client)[0]["user_id"] is None


def test_what_is_written_is_recorded_and_what_is_not_is_not(client: Client) -> None:
    """P-HIST-2, P-HIST-8: a PUT without a change is; a POST of what exists, a failure, a read are not."""
    client.post(RECORDS, {"id": "r"})
    client.put(R)
    client.patch(R, {})
    client.post(RECORDS, {"id": "r"})
    client.put(R, {}, if_match='"5"')
    client.as_("eve").put(R)
    client.get(R)
    client.delete(f"{RECORDS}/nope")

    assert changes(client)[2:] == [("create", R), ("update", R), ("update", R)]


def test_deletions_of_lists_leave_an_entry_for_each_object_and_none_for_what_is_below(client: Client) -> None:
    """P-HIST-3, P-HIST-4."""
    client.batch(*({"method": "PUT", "path": f"{RECORDS}/{name}"} for name in "abc"))
    client.put(f"{B}/collections/d")
    client.delete(f"{RECORDS}?_sort=-id&_limit=2")
    client.delete(f"{B}/collections?_sort=id")

    assert changes(client)[6:] == [
        *(("delete", f"{RECORDS}/{name}") for name in "cb"),
        *(("delete", f"{B}/collections/{name}") for name in "cd"),
    ]
    assert_sound(client)


def test_the_history_of_a_bucket_ends_with_it(client: Client) -> None:
    """P-HIST-5: alone, as one of all buckets, and in a batch that makes it anew."""
    for delete in (B, "/buckets"):
        assert client.delete(delete).status == 200
        assert client.get(HISTORY).status == 403
        client.put(B)
        assert changes(client) == [("create", B)]
    answer = client.batch(
        {"method": "PUT", "path": G},
        {"method": "DELETE", "path": B},
        {"method": "PUT", "path": B, "body": {"data": {"n": 1}}},
        {"method": "PUT", "path": G},
    )

    assert [entry["status"] for entry in answer.json["responses"]] == [201, 200, 201, 201]
    assert changes(client) == [("create", B), ("create", G)]
    assert client.head(HISTORY).headers["Total-Objects"] == "2"
    assert_sound(client)


def test_entries_are_in_the_order_of_the_requests_of_a_batch(client: Client) -> None:
    """P-HIST-7: each with a later timestamp, and with the user of its request."""
    client.patch(B, permissions={"write": [BOB]})
    clock = client.get(HISTORY).etag
    as_bob = {"Authorization": basic("bob")}
    answer = client.batch(
        {"method": "PUT", "path": f"{RECORDS}/one"},
        {"method": "PUT", "path": G, "headers": as_bob},
        {"method": "PUT", "path": f"{RECORDS}/two"},
        {"method": "PATCH", "path": f"{RECORDS}/one", "body": {"data": {"n": 1}}},
        {"method": "GET", "path": HISTORY},
        {"method": "DELETE", "path": RECORDS},
        {"method": "POST", "path": RECORDS, "body": {"data": {"id": "three"}}},
    )

    rows = entries(client, f"&_since={clock}")
    assert [(entry["action"], entry["uri"].rpartition("/")[2]) for entry in rows] == [
        *(("create", "one"), ("create", "g"), ("create", "two"), ("update", "one")),
        *(("delete", "one"), ("delete", "two"), ("create", "three")),
    ]
    assert [entry["user_id"] for entry in rows] == [ALICE, BOB, *[ALICE] * 5]
    stamps = [entry["last_modified"] for entry in rows]
    assert stamps == sorted(set(stamps))
    assert len(answer.json["responses"][4]["body"]["data"]) == 3


def test_all_objects_are_recorded_without_explicit_permissions(client_with: ClientMaker) -> None:
    """P-HIST-17, PD-14: who may read the bucket reads them, nobody else."""
    client = client_with({**SETTINGS, "kinto.explicit_permissions": False, "kinto.bucket_write_principals": ALICE})
    client.put(B, permissions={"read": [BOB], "write": [ALICE]})
    client.put(C)
    client.batch(*({"method": "PUT", "path": f"{RECORDS}/{n}", "body": {"permissions": {"read": [EVE]}}} for n in "ab"))

    assert changes(client.as_("bob"))[2:] == [("create", f"{RECORDS}/a"), ("create", f"{RECORDS}/b")]
    assert client.as_("eve").get(HISTORY).status == 403


def test_entries_and_changes_are_one_transaction(
    client_with: ClientMaker, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-HIST-6: a listener that comes later undoes both. What listeners write is recorded too."""
    add_module(tmp_path, monkeypatch, "kinto_vetoes", VETO)
    client = client_with({"kinto.includes": "kinto.plugins.history kinto_vetoes"}, kept=False)
    client.put(B)
    client.put(C)

    assert client.put(f"{RECORDS}/bad").status == 403
    assert client.put(R).status == 201
    assert changes(client)[2:] == [("create", R), ("create", f"{RECORDS}/echo")]


VETO = """
from blueprints.plugins import Effect, Forbidden, Listener, Stored, list_of

def attach(app, service):
    def echo(event, context):
        [impact] = event.impacted_objects
        if impact["new"]["id"] == "bad":
            raise Forbidden
        if impact["new"]["id"] != "echo":
            records = list_of(event.operation.route.uri)
            stamp = context.stamp(records)
            new = Stored(f"{records}/echo", stamp, False, stamp, f'{{"id":"echo","last_modified":{stamp}}}')
            context.apply(Effect(service.kinds["record"], new, None, {}, stamp))

    service.add_listener(Listener(before=echo, kinds=frozenset({"record"})))
"""


def test_private_fields_stay_out_of_the_history(client: Client) -> None:
    kind = replace(client.app.extensions["kinto"].kinds["group"], private=("secret",))
    route = client.app.extensions["kinto"].kinds.match(G)
    stored = Stored(G, 5, deleted=False, born=5, text='{"id":"g","secret":"x","last_modified":5}')
    appended: list[Any] = []

    class Collector(ReadContext):
        def append(self, *parts: Any) -> None:
            appended.append(parts)

        def when_written(self, action: Any) -> None:
            pass

    impact = Impact(Operation("PUT", route), Effect(kind, stored, None, {"read": frozenset({BOB})}, 5), route)
    Recorder(Exclusions((), ()), Trimming(-1, 100), has_permissions=False).record([impact], Collector())

    [(list_uri, _, attributes, permissions)] = appended
    assert (list_uri, permissions) == (HISTORY, {})
    target = loads(dumps(attributes["target"]))
    assert target == {"data": {"id": "g", "last_modified": 5}, "permissions": {"read": [BOB]}}


def test_a_page_is_filtered_sorted_and_continued(client: Client) -> None:
    """P-HIST-9: the newest first; `_fields`, `_since`, `If-None-Match`, `HEAD`."""
    for number in range(5):
        client.put(R, {"v": number})
    client.put(f"{RECORDS}/42")
    client.put(f"{B}/groups/43", {"members": []})

    newest = client.get(HISTORY)
    assert [entry["uri"].rpartition("/")[2] for entry in newest.data] == ["43", "42", *"rrrrr", *"cb"]
    assert client.head(HISTORY).headers["Total-Objects"] == "9"
    assert client.get(HISTORY, if_none_match=newest.headers["ETag"]).status == 304
    diff = client.get(f"{HISTORY}?uri={R}&_limit=2&_fields=target.data.v")
    assert [entry["target"] for entry in diff.data] == [{"data": {"v": 4}}, {"data": {"v": 3}}]
    following = client.get("/v1" + diff.headers["Next-Page"].partition("/v1")[2])
    assert [entry["target"] for entry in following.data] == [{"data": {"v": 2}}, {"data": {"v": 1}}]
    for query, ids in QUERIES.items():
        assert [entry["uri"].rpartition("/")[2] for entry in client.get(f"{HISTORY}?{query}").data] == ids, query
    since = newest.data[2]["last_modified"]
    assert len(entries(client, f"&_since={since}")) == 2
    assert len(client.get(f"{HISTORY}?_before={since}").data) == 6


QUERIES = {
    "record_id=42": ["42"],
    "group_id=43": ["43"],
    "in_record_id=42,1": ["42"],
    "bucket_id=42": [],
    "target.data.v=2": ["r"],
    "min_target.data.v=3": ["43", "42", "r", "r", "c", "b"],
    "in_resource_name=group,bucket": ["43", "b"],
    "like_uri=groups": ["43"],
    "has_bucket_id=true": ["b"],
    "action=update&_sort=target.data.v&_limit=2": ["r", "r"],
    f"user_id={ALICE}&_limit=1": ["43"],
    "collection_id=c&exclude_action=update": ["42", "r", "c"],
    "lt_date=2020": [],
}


@pytest.mark.parametrize(
    ("query", "name", "description"),
    [
        ("foo=1", "foo", "Unknown filter field 'foo'"),
        ("min_targets.x=1", "min_targets.x", "Unknown filter field 'min_targets.x'"),
        ("_sort=foo", None, "Unknown sort field 'foo'"),
    ],
)
def test_only_known_fields_filter_and_sort(client: Client, query: str, name: str | None, description: str) -> None:
    """P-HIST-10."""
    for method in ("GET", "DELETE"):
        answer = client.ask(method, f"{HISTORY}?{query}")

        assert answer.status == 400
        assert answer.json["details"] == [{"location": "querystring", "name": name, "description": description}]


def test_entries_are_neither_written_nor_found_by_their_urls(client: Client) -> None:
    """P-HIST-11, P-HIST-16."""
    entry = entries(client)[0]
    for method in ("PUT", "POST", "PATCH"):
        answer = client.ask(method, HISTORY, {"data": {}})
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, DELETE, OPTIONS")
    assert (client.get(f"{HISTORY}/{entry['id']}").status, client.get(f"{HISTORY}/x").json["errno"]) == (404, 111)
    answer = client.batch({"method": "GET", "path": f"{HISTORY}/{entry['id']}"})
    assert answer.json["responses"][0]["status"] == 404


def test_what_has_no_bucket_has_no_history(client: Client) -> None:
    """P-HIST-12."""
    answer = client.get("/buckets/*/history")

    assert (answer.status, answer.json["errno"]) == (404, 111)
    assert answer.json["details"] == {"id": "*", "resource_name": "bucket"}
    assert client.get("/buckets/nope/history").status == 403
    assert client.as_(None).get("/buckets/nope/history").status == 401


def test_an_entry_is_read_by_the_readers_of_its_object_and_above(client: Client) -> None:
    """P-HIST-13: also by those in a group, as it is now; entries of public records are public."""
    dora = user_id("dora")
    client.put(G, {"members": []})
    client.patch(B, permissions={"read": [user_id("bucketeer")]})
    client.patch(C, permissions={"read": [BOB], "record:create": [user_id("creator")]})
    client.put(R, permissions={"read": [G], "write": [EVE]})
    client.put(f"{RECORDS}/public", permissions={"read": ["system.Everyone"]})
    client.delete(f"{RECORDS}/public")

    assert len(changes(client.as_("bucketeer"))) == 8
    public = ("create", f"{RECORDS}/public")
    assert changes(client.as_("bob")) == [("update", C), ("create", R), public, ("delete", f"{RECORDS}/public")]
    assert changes(client.as_("eve")) == [("create", R), public]
    assert changes(client.as_(None)) == changes(client.as_("creator")) == changes(client.as_("dora")) == [public]
    client.patch(G, {"members": [dora]})
    assert changes(client.as_("dora")) == [("create", R), public]
    assert client.as_("eve").head(HISTORY).headers["Total-Objects"] == "2"
    assert_sound(client)


def test_a_permission_is_that_of_the_moment(client: Client) -> None:
    """P-HIST-14: old entries stay readable, and stay hidden."""
    client.put(R, {"n": 1})
    assert client.as_("bob").get(HISTORY).status == 403
    client.patch(R, permissions={"read": [BOB]})
    client.put(R, {"n": 2}, {"read": []})
    client.patch(R, {"n": 3})

    assert [entry["target"]["data"]["n"] for entry in entries(client.as_("bob"))] == [1]


def test_settings_let_users_read_and_delete_all(client_with: ClientMaker) -> None:
    """P-HIST-15."""
    settings = {**SETTINGS, "kinto.history_read_principals": BOB, "kinto.history_write_principals": EVE}
    client = client_with(settings)
    client.put(B)
    client.put(G)

    assert len(changes(client.as_("bob"))) == len(changes(client.as_("eve"))) == 2
    assert client.as_("bob").delete(HISTORY).status == 403
    assert len(client.as_("eve").delete(HISTORY).data) == 2
    assert changes(client) == []


def test_entries_are_not_among_the_permissions(client_with: ClientMaker) -> None:
    """P-HIST-16."""
    client = client_with({**SETTINGS, "kinto.experimental_permissions_endpoint": True})
    client.put(B)

    assert {entry["uri"] for entry in client.get("/permissions").data} == {"/", B}


def test_entries_are_deleted_by_filters_and_leave_tombstones(client: Client) -> None:
    """P-HIST-18: by who may write the bucket."""
    for number in range(4):
        client.put(R, {"v": number}, {"read": [BOB]})
    clock = client.get(HISTORY).etag
    assert client.as_("bob").delete(HISTORY).status == 403

    page = client.delete(f"{HISTORY}?uri={R}&action=update&_limit=2")
    rest = client.delete("/v1" + page.headers["Next-Page"].partition("/v1")[2])

    assert [entry["deleted"] for entry in page.data + rest.data] == [True] * 3
    assert {entry["id"] for entry in entries(client, f"&_since={clock}")} == {e["id"] for e in page.data + rest.data}
    assert changes(client) == [("create", B), ("create", C), ("create", R)]
    assert changes(client.as_("bob")) == [("create", R)]
    for query, numbers in TOMBSTONES.items():
        rows = client.get(f"{HISTORY}?_sort=last_modified&{query}").data
        assert [sum(row.get("deleted", False) is value for row in rows) for value in (True, False)] == numbers, query
    client.delete(f"{HISTORY}?_before={entries(client)[1]['last_modified']}")
    assert changes(client) == [("create", C), ("create", R)]
    assert_sound(client)


TOMBSTONES = {
    "_since=1&deleted=true": [3, 0],
    "_since=1&not_deleted=true": [0, 3],
    "_since=1&has_deleted=false&action=create": [0, 3],
    "_since=1&_fields=deleted": [3, 3],
    "_since=1&_sort=deleted": [3, 3],
    "deleted=true": [0, 0],
}
"""The numbers of tombstones and entries (C-LIST-33, C-LIST-58)."""


def test_the_data_of_a_user_goes_with_history_on(client: Client) -> None:
    """P-USER-2, PD-17: deletions and groups that were left are recorded; grants that end are not."""
    bob = client.as_("bob")
    client.patch(B, permissions={"collection:create": [BOB]})
    bob.put(f"{B}/collections/his")
    bob.put(f"{B}/collections/his/records/r")
    bob.put("/buckets/his")
    client.put(R, permissions={"read": [BOB]})
    client.put(G, {"members": [BOB]})
    clock = client.get(HISTORY).etag

    assert bob.delete(f"/__user_data__/{BOB}").status == 200

    rows = entries(client, f"&_since={clock}")
    assert sorted((entry["action"], entry["uri"]) for entry in rows) == [
        ("delete", f"{B}/collections/his"),
        ("update", G),
    ]
    assert {entry["user_id"] for entry in rows} == {BOB}
    assert bob.get(HISTORY).status == 403
    assert_sound(client)


def test_a_default_bucket_has_a_history(client_with: ClientMaker) -> None:
    """P-DEF-21: also of what is created implicitly."""
    client = client_with({"kinto.includes": "kinto.plugins.default_bucket kinto.plugins.history"})
    bucket = client.get("/").json["user"]["bucket"]

    client.put("/buckets/default/collections/c/records/r")

    rows = client.get("/buckets/default/history?_sort=last_modified").data
    uris = [f"/buckets/{bucket}", f"/buckets/{bucket}/collections/c", f"/buckets/{bucket}/collections/c/records/r"]
    assert [(entry["action"], entry["uri"]) for entry in rows] == [("create", uri) for uri in uris]


def test_accounts_leave_no_entry(client_with: ClientMaker) -> None:
    """P-ACC-25."""
    client = client_with(WITH_ACCOUNTS)
    client.put(B)

    assert client.as_(None).put("/accounts/dora", {"password": "pw"}).status == 201
    assert changes(client) == [("create", B)]
    assert client.get("/accounts/dora/history").status == 404


def test_the_listener_is_timed(client_with: ClientMaker) -> None:
    """P-HIST-23."""
    with statsd_server() as server:
        client = client_with({**SETTINGS, "kinto.statsd_url": server.url}, kept=False)
        client.put(B)

        assert "kinto.plugins.history" in server.names()


def test_excluded_objects_and_users_leave_no_entries(
    client_with: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """P-HIST-20."""
    excluded = f"{C} {G} {B}/collections/d/records/secret /buckets/preview"
    client = client_with(
        {**SETTINGS, "kinto.history.exclude_resources": excluded, "kinto.history.exclude_user_ids": BOB}
    )
    caplog.set_level("INFO", "kinto.plugins.history")
    client.put(B, permissions={"write": [BOB]})
    client.put("/buckets/preview")
    client.put("/buckets/preview/collections/c")
    client.put(C)
    client.put(R)
    client.put(G, {"members": []})
    client.put(f"{G}2", {"members": []})
    client.put(f"{B}/collections/d")
    client.put(f"{B}/collections/d/records/secret")
    client.put(f"{B}/collections/d/records/open")
    client.as_("bob").put(f"{B}/collections/e")

    assert [uri.removeprefix(B) for _, uri in changes(client)] == [
        *("", "/groups/g2", "/collections/d", "/collections/d/records/open"),
    ]
    assert client.get("/buckets/preview/history").data == []
    assert client.get("/").json["capabilities"]["history"]["excluded_resources"] == [
        {"bucket": "b", "collection": "c"},
        {"bucket": "b", "group": "g"},
        {"bucket": "b", "collection": "d", "record": "secret"},
        {"bucket": "preview"},
    ]
    secret = f"record '{B}/collections/d/records/secret'"
    for line in (f"user '{BOB}'", "bucket '/buckets/preview'", f"collection '{C}'", secret):
        assert f"History entries for {line} are disabled in config" in caplog.text


MALFORMED = {
    "an id": "preview",
    "a list": "/buckets/b/collections",
    "an empty id": "/buckets/",
    "another kind": "/tables/t",
    "a kind without its parents": "/collections/c",
    "a record in no collection": "/buckets/b/records/r",
    "a record in a group": "/buckets/b/groups/g/records/r",
    "two URIs with a comma": "/buckets/b,/buckets/c",
    "the URI of a request": "/v1/buckets/b",
}


@pytest.mark.parametrize("uri", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_uri_to_exclude_prevents_the_start(client_with: ClientMaker, uri: str) -> None:
    """P-HIST-20: it would exclude nothing."""
    with pytest.raises(SettingError, match=re.escape(f"Invalid URI: {uri}")):
        client_with({**SETTINGS, "kinto.history.exclude_resources": uri}, kept=False)


def test_old_entries_of_a_kind_are_trimmed(client_with: ClientMaker, caplog: pytest.LogCaptureFixture) -> None:
    """P-HIST-21, P-HIST-22: beyond the threshold, down to the number; without tombstones and grants."""
    settings = {**SETTINGS, "kinto.history.auto_trim_max_count": 3, "kinto.history.auto_trim_threshold": 2}
    client = client_with(settings)
    caplog.set_level("DEBUG", "kinto.plugins.history")
    for bucket in (B, "/buckets/b_"):
        client.put(bucket)
        client.put(f"{bucket}/collections/c")
    for number in range(3):
        client.put(f"/buckets/b_/collections/c/records/{number}")
    for number in range(5):
        client.put(R, {"n": number}, {"read": [BOB]})
    assert len(changes(client)) == 7
    assert f"No old history to trim for '{ALICE}' on 'record' in '{B}'." in caplog.text

    client.put(R, {"n": 5})

    numbers = [entry["target"]["data"]["n"] for entry in entries(client, "&resource_name=record")]
    assert numbers == [3, 4, 5]
    assert changes(client)[:2] == [("create", B), ("create", C)]
    assert len(client.get(f"{HISTORY}?_since=1").data) == int(client.head(HISTORY).headers["Total-Objects"]) == 5
    assert len(entries(client.as_("bob"))) == 3
    assert re.search(r"Trimmed 3 old history entries, in 0\.\d{3} seconds\.", caplog.text)
    assert len(client.get("/buckets/b_/history").data) == 5
    assert_sound(client)
    client.batch(*({"method": "PUT", "path": f"{RECORDS}/{n}"} for n in range(10)))
    assert [uri[-1] for _, uri in changes(client, "&resource_name=record")] == ["7", "8", "9"]
    capability = client.get("/").json["capabilities"]["history"]
    assert (capability["auto_trim_max_count"], "auto_trim_user_ids" in capability) == (3, False)
    assert_sound(client)


def test_old_entries_of_some_users_are_trimmed(client_with: ClientMaker) -> None:
    """P-HIST-21: each for itself; those of others stay."""
    limits = {"kinto.history.auto_trim_max_count": 2, "kinto.history.auto_trim_threshold": 0}
    client = client_with({**SETTINGS, **limits, "kinto.history.auto_trim_user_ids": f"{BOB} {EVE}"})
    client.put(B, permissions={"write": [BOB, EVE]})
    client.put(C)

    for number in range(4):
        for name in ("alice", "bob", "eve"):
            client.as_(name).put(R, {"n": number})

    rows = [(entry["user_id"], entry["target"]["data"]["n"]) for entry in entries(client, "&resource_name=record")]
    assert sorted(rows) == sorted([(ALICE, 0), (ALICE, 1), *((user, n) for user in (ALICE, BOB, EVE) for n in (2, 3))])
    assert client.get("/").json["capabilities"]["history"]["auto_trim_user_ids"] == [BOB, EVE]
    assert_sound(client)


def test_a_history_is_purged_repaired_and_flushed_like_any_list(client: Client) -> None:
    """Its clock goes on above all entries, whatever happened to it."""
    storage = client.app.extensions["kinto"].storage
    for number in range(3):
        client.put(R, {"n": number})
    client.delete(f"{HISTORY}?resource_name=record&_limit=2")
    assert storage.purge(["/buckets/%/history"], 0) == 2
    assert_sound(client)
    newest = entries(client)[-1]["last_modified"]
    for last_modified, count, fault_count in ((5, 9, 3), (4_000_000_000_000, 1, 1)):
        with storage.writing.begin() as connection:
            moved = update(clocks).where(clocks.c.list == HISTORY).values(last_modified=last_modified, count=count)
            connection.execute(moved)

        scope = CheckScope(now_ms(), LATEST)
        assert storage.check(scope, lambda line: None, lambda rows: None, repair=True) == fault_count
        client.put(R, {"n": last_modified})

        assert entries(client)[-1]["target"]["data"]["n"] == last_modified
        assert newest < entries(client)[-1]["last_modified"]
        assert client.head(HISTORY).headers["Total-Objects"] == str(len(entries(client)))
        assert_sound(client)
    client.app.extensions["kinto"].flush()
    client.put(B)
    assert changes(client) == [("create", B)]


def test_who_gets_the_name_of_a_deleted_account_inherits_no_entries(client_with: ClientMaker) -> None:
    """The deletion ends the grants on entries; it is decided again under the lock of the history."""
    client = client_with(WITH_ACCOUNTS)
    client.as_(None).put("/accounts/dora", {"password": "pw"})
    dora = {"Authorization": basic("dora", "pw")}
    client.put(B)
    client.put(G, permissions={"read": ["account:dora"]})
    assert len(client.as_(None).ask("GET", HISTORY, headers=dora).data) == 1

    answer = client.as_(None).ask("DELETE", "/accounts/dora", headers=dora)

    assert answer.status == 200
    client.as_(None).put("/accounts/dora", {"password": "pw"})
    assert client.as_(None).ask("GET", HISTORY, headers=dora).status == 403
    assert changes(client) == [("create", B), ("create", G)]
    assert_sound(client)


def test_a_batch_that_empties_the_history_is_recorded_after_that(client: Client) -> None:
    client.put(R)
    answer = client.batch(
        {"method": "PUT", "path": R},
        {"method": "DELETE", "path": HISTORY},
        {"method": "PUT", "path": G},
        {"method": "PUT", "path": "/buckets/other"},
    )

    assert [entry["status"] for entry in answer.json["responses"]] == [200, 200, 201, 201]
    assert changes(client) == [("update", R), ("create", G)]
    assert len(client.get(f"{HISTORY}?_since=1").data) == 5
    assert_sound(client)


def test_changes_of_old_buckets_are_recorded_from_the_first_start_with_history(client_with: ClientMaker) -> None:
    before = client_with()
    before.put(B)
    before.put(C)
    url = before.app.extensions["kinto"].storage.reading.url.render_as_string(hide_password=False)
    with_history = Client(create_app({**BASICAUTH, **SETTINGS, "kinto.storage_url": url.replace("+psycopg2", "")}))

    assert with_history.get(HISTORY).data == []
    assert with_history.put(R).status == 201
    assert changes(with_history) == [("create", R)]
    assert with_history.delete(B).status == 200
    with_history.put(B)
    assert changes(with_history) == [("create", B)]
    assert_sound(with_history)
    with_history.app.extensions["kinto"].close()
