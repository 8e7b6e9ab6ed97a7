"""The default bucket: an alias of each user's own bucket, created at its first use (docs/contract/plugins.md 6)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import Forbidden
from app.events import Context, Event, Listener
from backends import BackendError, Json
from backends.storage import Selection
from blueprints.plugins.default_bucket import bucket_id
from tests.api.conftest import ClientMaker, on_sqlite
from tests.plugins.people import ACCOUNTS
from tests.support.client import Answer, Client, basic, user_id

SETTINGS: Mapping[str, Any] = {
    "kinto.includes": "kinto.plugins.default_bucket",
    "kinto.default_bucket_hmac_secret": "salt",
    "kinto.bucket_create_principals": "account:admin",
}
BUCKET = "/buckets/default"
TASKS = f"{BUCKET}/collections/tasks"
RECORDS = f"{TASKS}/records"
OWN = f"/buckets/{bucket_id('salt', user_id('alice'))}"
OWN_TASKS = f"{OWN}/collections/tasks"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of a service where nobody may create buckets."""
    return client_with(SETTINGS)


def creators(client_with: ClientMaker, **more: Any) -> Client:
    """Return alice's client of a service where users may create buckets."""
    return client_with({**SETTINGS, "kinto.bucket_create_principals": "system.Authenticated", **more})


def living(client: Client, *uris: str) -> list[str]:
    """Return the URIs of objects that exist, out of *uris*."""
    storage = client.app.extensions["kinto"].storage
    objects = {
        uri: stored
        for bucket in ("/buckets", OWN)
        for uri, stored in storage.read(Selection(bucket, targets=uris)).objects.items()
    }
    return [uri for uri in uris if uri in objects and not objects[uri].deleted]


@pytest.mark.parametrize(
    ("secret", "user", "expected"),
    [
        (
            "salt",
            "basicauth:a03e25e73dad10cb71a3d084145cdbc2dc9f8a75d2070553a3dee903f44b3d1d",
            "f0edceeb-0822-22eb-bc69-6b0aa6090a21",
        ),
        ("salt", "account:bob", "49bb271c-051c-bf55-747e-4677c48817b2"),
        ("", "account:bob", "320816bc-8da6-73b7-ade4-0ea30681953c"),
    ],
)
def test_the_id_is_that_of_kinto(secret: str, user: str, expected: str) -> None:
    """P-DEF-1."""
    assert bucket_id(secret, user) == expected


@on_sqlite
def test_an_empty_secret_is_used_with_a_warning(client_with: ClientMaker, caplog: pytest.LogCaptureFixture) -> None:
    """P-DEF-1: the key is empty, not `userid_hmac_secret`."""
    client = client_with({"kinto.includes": "kinto.plugins.default_bucket"}, kept=False)

    with caplog.at_level(logging.WARNING, "kinto.plugins.default_bucket"):
        for check in client.app.extensions["kinto"].start_checks:
            check()

    assert "default_bucket_hmac_secret is empty" in caplog.text
    assert client.get("/").json["user"]["bucket"] == bucket_id("", client.id)


@on_sqlite
def test_hello_shows_the_id_and_the_capability(client: Client) -> None:
    """P-DEF-2."""
    hello = client.get("/").json

    assert hello["user"]["bucket"] == OWN.removeprefix("/buckets/")
    assert hello["capabilities"]["default_bucket"] == {
        "description": "The default bucket is an alias for a personal bucket where collections are created implicitly.",
        "url": "https://kinto.readthedocs.io/en/latest/api/1.x/buckets.html#personal-bucket-default",
    }
    assert "user" not in client.as_(None).get("/").json


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"])
def test_anonymous_requests_are_refused_and_create_nothing(client: Client, method: str) -> None:
    """P-DEF-3: alone and in a batch, also where a user gets 404, 405 or a redirect."""
    paths = (BUCKET, TASKS, RECORDS, f"{RECORDS}/r", f"{BUCKET}/foo", f"{BUCKET}/", f"{RECORDS}/")

    alone = [client.as_(None).ask(method, path) for path in paths]
    members = client.as_(None).batch(*({"method": method, "path": path} for path in paths)).json["responses"]

    assert [answer.status for answer in alone] == [member["status"] for member in members] == [401] * len(paths)
    assert all("WWW-Authenticate" in answer.headers for answer in alone)
    assert (
        client.app.extensions["kinto"]
        .storage.read(Selection("/buckets", clocks=("/buckets",)))
        .clocks["/buckets"]
        .count
        == 0
    )


@on_sqlite
def test_a_preflight_needs_no_authentication(client: Client) -> None:
    """P-DEF-3."""
    answer = client.as_(None).ask(
        "OPTIONS", TASKS, headers={"Origin": "http://a.example", "Access-Control-Request-Method": "GET"}
    )

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"]


@on_sqlite
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "created"),
    [
        ("GET", BUCKET, None, 200, [OWN]),
        ("HEAD", BUCKET, None, 200, [OWN]),
        ("PATCH", BUCKET, {"data": {"a": 1}}, 200, [OWN]),
        ("GET", f"{BUCKET}/collections", None, 200, [OWN]),
        ("POST", f"{BUCKET}/collections", {"data": {"id": "tasks"}}, 201, [OWN, OWN_TASKS]),
        ("DELETE", f"{BUCKET}/collections", None, 200, [OWN]),
        ("GET", TASKS, None, 200, [OWN, OWN_TASKS]),
        ("HEAD", TASKS, None, 200, [OWN, OWN_TASKS]),
        ("PUT", TASKS, None, 201, [OWN, OWN_TASKS]),
        ("PATCH", TASKS, {"data": {"a": 1}}, 200, [OWN, OWN_TASKS]),
        ("DELETE", TASKS, None, 200, [OWN]),
        ("GET", RECORDS, None, 200, [OWN, OWN_TASKS]),
        ("HEAD", RECORDS, None, 200, [OWN, OWN_TASKS]),
        ("POST", RECORDS, {"data": {"a": 1}}, 201, [OWN, OWN_TASKS]),
        ("DELETE", RECORDS, None, 200, [OWN, OWN_TASKS]),
        ("GET", f"{RECORDS}/r", None, 404, [OWN, OWN_TASKS]),
        ("PUT", f"{RECORDS}/r", None, 201, [OWN, OWN_TASKS]),
        ("PATCH", f"{RECORDS}/r", {"data": {"a": 1}}, 404, [OWN, OWN_TASKS]),
        ("DELETE", f"{RECORDS}/r", None, 404, [OWN, OWN_TASKS]),
        ("PUT", f"{RECORDS}/r", {"data": 7}, 400, [OWN, OWN_TASKS]),
        ("PUT", f"{RECORDS}/-r", None, 400, [OWN, OWN_TASKS]),
        ("GET", f"{BUCKET}/groups", None, 200, [OWN]),
        ("GET", f"{BUCKET}/groups/g", None, 404, [OWN]),
        ("PUT", f"{BUCKET}/groups/g", {"data": {"members": []}}, 201, [OWN]),
        ("POST", BUCKET, None, 405, [OWN]),
        ("PATCH", f"{BUCKET}/groups", None, 405, [OWN]),
        ("PUT", f"{BUCKET}/collections", None, 405, [OWN]),
        ("POST", TASKS, None, 405, [OWN, OWN_TASKS]),
        ("PUT", RECORDS, None, 405, [OWN, OWN_TASKS]),
        ("POST", f"{RECORDS}/r", None, 405, [OWN, OWN_TASKS]),
        ("POST", f"{TASKS}/foo", None, 404, []),
        ("DELETE", f"{BUCKET}/foo", None, 404, []),
    ],
)
def test_every_request_creates_what_its_path_implies(
    client: Client, method: str, path: str, body: Json, status: int, created: list[str]
) -> None:
    """P-DEF-4, P-DEF-5, P-DEF-7, P-DEF-10: without permission to create buckets, alone and in a batch."""
    alone = client.ask(method, path, body)
    stored = living(client, OWN, OWN_TASKS)
    request = {"method": method, "path": path} | ({} if body is None else {"body": body})
    [member] = client.as_("bob").batch(request).json["responses"]

    assert alone.status == status
    assert stored == created
    assert member["status"] == status
    assert member["path"] == f"/v1{path}"


def test_the_creator_may_write_what_is_created(client: Client) -> None:
    """P-DEF-4, P-DEF-14: the response has the real id."""
    client.post(RECORDS, {"a": 1})

    for uri, path in ((OWN, BUCKET), (OWN_TASKS, TASKS)):
        answer = client.get(path)
        assert answer.json["permissions"] == {"write": [client.id]}
        assert answer.data["id"] == uri.rpartition("/")[2]
        assert client.get(uri).data == answer.data


def test_an_explicit_put_of_the_bucket_needs_the_permission(client_with: ClientMaker) -> None:
    """P-DEF-5, P-DEF-6."""
    refused = client_with(SETTINGS).put(BUCKET)
    client = creators(client_with)

    statuses = [client.put(path).status for path in (BUCKET, BUCKET, TASKS, TASKS)]

    assert refused.status == 403
    assert statuses == [201, 200, 201, 200]


def test_a_put_of_a_collection_creates_the_bucket_alone(client: Client) -> None:
    """P-DEF-6: without permission to create buckets."""
    answer = client.put(TASKS, {"a": 1})

    assert answer.status == 201
    assert living(client, OWN, OWN_TASKS) == [OWN, OWN_TASKS]


@on_sqlite
@pytest.mark.parametrize("path", [BUCKET, TASKS])
def test_deletion_of_what_never_was_is_a_deletion(client: Client, path: str) -> None:
    """P-DEF-7."""
    answer = client.delete(path)

    assert answer.status == 200
    assert answer.data["deleted"] is True


@on_sqlite
@pytest.mark.parametrize("id_in_path", ["bad%20id", "-x", "a%C3%A9", "a.b"])
@pytest.mark.parametrize("suffix", ["", "/records", "/records/r"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_an_invalid_id_of_a_collection_is_a_400(client: Client, id_in_path: str, suffix: str, method: str) -> None:
    """P-DEF-8: with each method, also one that the path lacks."""
    answer = client.ask(method, f"{BUCKET}/collections/{id_in_path}{suffix}")

    assert answer.status == 400
    assert answer.json["message"] == "path: Invalid collection id"
    assert answer.json["details"] == [{"location": "path", "name": None, "description": "Invalid collection id"}]
    assert living(client, OWN) == []


@on_sqlite
def test_an_unknown_path_creates_nothing(client: Client) -> None:
    """P-DEF-9."""
    answer = client.get(f"{BUCKET}/foo")

    assert (answer.status, answer.json["errno"]) == (404, 111)
    assert living(client, OWN) == []


@on_sqlite
@pytest.mark.parametrize("path", [BUCKET, f"{BUCKET}/collections", TASKS, RECORDS, f"{RECORDS}/r"])
def test_a_slash_at_the_end_is_redirected(client: Client, path: str) -> None:
    """P-DEF-11."""
    answer = client.get(f"{path}/")

    assert answer.status == 307
    assert answer.headers["Location"] == f"http://localhost/v1{path}"


@on_sqlite
def test_methods_that_the_path_lacks_are_refused(client: Client) -> None:
    answer = client.post(BUCKET)

    assert answer.status == 405
    assert "PUT" in answer.headers["Allow"]


def test_queries_conditions_and_cors_work_as_on_the_real_path(client: Client) -> None:
    """P-DEF-12: `Next-Page` has the real id."""
    first = client.post(RECORDS, {"n": 1}, Origin="http://a.example")
    client.post(RECORDS, {"n": 2})
    page = client.get(f"{RECORDS}?_limit=1&_sort=n")
    record = f"{RECORDS}/{first.data['id']}"

    fresh = client.get(record, If_None_Match=first.headers["ETag"])
    stale = client.put(record, {"n": 3}, If_Match='"1"')
    missing = client.get(f"{RECORDS}/none", Origin="http://a.example")

    assert [each["n"] for each in page.data] == [1]
    assert page.headers["Next-Page"].startswith(f"http://localhost/v1{OWN_TASKS}/records?_limit=1&_sort=n&_token=")
    following = client.get(page.headers["Next-Page"].removeprefix("http://localhost").replace(OWN, BUCKET))
    assert [each["n"] for each in following.data] == [2]
    assert (fresh.status, fresh.etag) == (304, first.etag)
    assert (stale.status, stale.etag) == (412, first.etag)
    assert missing.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_id_default_in_the_body_means_the_bucket(client_with: ClientMaker, method: str) -> None:
    """P-DEF-13."""
    client = creators(client_with)

    answer = client.ask(method, BUCKET, {"data": {"id": "default", "a": 1}})
    other = client.ask(method, BUCKET, {"data": {"id": "other"}})

    assert answer.data == {"id": OWN.removeprefix("/buckets/"), "a": 1, "last_modified": answer.etag}
    assert other.status == 400


@on_sqlite
def test_the_id_default_elsewhere_is_an_ordinary_id(client: Client) -> None:
    """P-DEF-13."""
    record = client.put(f"{RECORDS}/default", {"id": "default"})
    collection = client.put(f"{BUCKET}/collections/my-default-id", {"id": "my-default-id"})

    assert record.data["id"] == "default"
    assert collection.data["id"] == "my-default-id"


def test_a_post_of_the_id_default_means_the_own_bucket(client_with: ClientMaker) -> None:
    """DECISIONS: `default` as `data.id` of POST /buckets."""
    client = creators(client_with)

    statuses = [client.post("/buckets", {"id": "default"}).status for _ in range(2)]
    anonymous = client.as_(None).post("/buckets", {"id": "default"})

    assert statuses == [201, 200]
    assert living(client, OWN, "/buckets/default") == [OWN]
    assert anonymous.status == 401


def heard(client: Client) -> list[tuple[str, str, list[Any]]]:
    """Return a list that gets URI, action and ids of each event."""
    events: list[tuple[str, str, list[Any]]] = []

    def hear(event: Event, _: Context) -> None:
        events.append((event.payload["uri"], event.action, [each["new"]["id"] for each in event.impacted_objects]))

    client.app.extensions["kinto"].add_listener(Listener(before=hear))
    return events


def test_a_batch_creates_once_and_later_members_see_it(client_with: ClientMaker) -> None:
    """P-DEF-14, P-DEF-15: events of bucket and collection once, before those of the requests."""
    client = client_with(SETTINGS, kept=False)
    events = heard(client)

    responses = client.batch(
        {"method": "GET", "path": RECORDS},
        *({"method": "PUT", "path": f"{RECORDS}/r{number}"} for number in range(3)),
        {"method": "GET", "path": RECORDS},
        {"method": "GET", "path": TASKS},
    ).json["responses"]

    assert [each["status"] for each in responses] == [200, 201, 201, 201, 200, 200]
    assert [each["path"] for each in responses][-1] == f"/v1{TASKS}"
    assert len(responses[0]["body"]["data"]) == 0
    assert len(responses[4]["body"]["data"]) == 3
    assert events == [
        (OWN, "create", [OWN.removeprefix("/buckets/")]),
        (OWN_TASKS, "create", ["tasks"]),
        (f"{OWN_TASKS}/records/r0", "create", ["r0", "r1", "r2"]),
    ]


def test_existing_objects_make_no_events(client_with: ClientMaker) -> None:
    """P-DEF-15."""
    client = client_with(SETTINGS, kept=False)
    client.get(TASKS)
    events = heard(client)

    client.put(f"{RECORDS}/r")

    assert [uri for uri, _, _ in events] == [f"{OWN_TASKS}/records/r"]


def test_a_member_after_the_deletion_creates_again(client: Client) -> None:
    responses = client.batch(
        {"method": "PUT", "path": f"{RECORDS}/old"},
        {"method": "DELETE", "path": BUCKET},
        {"method": "PUT", "path": f"{RECORDS}/new"},
        {"method": "GET", "path": RECORDS},
    ).json["responses"]

    assert [each["status"] for each in responses] == [201, 200, 201, 200]
    assert [each["id"] for each in responses[3]["body"]["data"]] == ["new"]
    assert [each["id"] for each in client.get(RECORDS).data] == ["new"]


def test_a_user_that_the_batch_creates_has_a_default_bucket(client_with: ClientMaker) -> None:
    """P-ACC-27 with an alias: the credentials are valid only after the first member."""
    includes = "kinto.plugins.accounts kinto.plugins.default_bucket"
    client = client_with({**ACCOUNTS, **SETTINGS, "multiauth.policies": "account", "kinto.includes": includes})
    bucket = bucket_id("salt", "account:carl")

    responses = client.ask(
        "POST",
        "/batch",
        {
            "requests": [
                {"method": "PUT", "path": "/accounts/carl", "body": {"data": {"password": "pw"}}},
                {"method": "PUT", "path": f"{RECORDS}/r", "body": {"data": {"a": 1}}},
                {"method": "GET", "path": f"{RECORDS}/r"},
                {"method": "GET", "path": BUCKET},
            ]
        },
        {"Authorization": basic("carl", "pw")},
    ).json["responses"]

    assert [each["status"] for each in responses] == [201, 201, 200, 200]
    assert responses[3]["body"]["data"]["id"] == bucket


ALIASED = [
    ("GET", BUCKET, None),
    ("PUT", BUCKET, None),
    ("PATCH", BUCKET, {"data": {"a": 1}}),
    ("DELETE", BUCKET, None),
    ("GET", RECORDS, None),
    ("PUT", f"{RECORDS}/r", None),
    ("POST", "/buckets", {"data": {"id": "default"}}),
]


@pytest.mark.parametrize(("method", "path", "body"), ALIASED)
def test_a_deleted_user_has_no_default_bucket(client_with: ClientMaker, method: str, path: str, body: Json) -> None:
    """Whether the batch deletes the account, or another worker does while this one remembers the login."""
    includes = "kinto.plugins.accounts kinto.plugins.default_bucket"
    settings = {
        **ACCOUNTS,
        **SETTINGS,
        "kinto.bucket_create_principals": "system.Everyone",
        "multiauth.policies": "account",
        "kinto.includes": includes,
    }
    client, other = client_with(settings).as_(None), client_with(settings).as_(None)
    bucket = f"/buckets/{bucket_id('salt', 'account:carl')}"
    carl = {"Authorization": basic("carl", "pw")}
    storage = client.app.extensions["kinto"].storage

    def sign_up() -> None:
        client.ask("PUT", "/accounts/carl", {"data": {"password": "pw"}})
        client.ask("GET", "/", headers=carl)

    sign_up()
    member = {"method": method, "path": path} | ({} if body is None else {"body": body})
    batch = client.ask("POST", "/batch", {"requests": [{"method": "DELETE", "path": "/accounts/carl"}, member]}, carl)
    sign_up()
    assert other.ask("DELETE", "/accounts/carl", headers=carl).status == 200
    alone = client.ask(method, path, body, carl)

    assert [each["status"] for each in batch.json["responses"]] == [200, 401]
    assert alone.status == 401
    assert storage.read(Selection("/buckets", targets=(bucket,))).objects == {}


@pytest.mark.parametrize("remedy", ["/__user_data__/account:carl", f"/buckets/{bucket_id('salt', 'account:carl')}"])
def test_a_later_account_of_the_name_gets_no_data_of_the_former(client_with: ClientMaker, remedy: str) -> None:
    """DECISIONS: it inherits nothing; the bucket is usable again when it was deleted."""
    settings = {
        **ACCOUNTS,
        **SETTINGS,
        "kinto.bucket_write_principals": "account:admin",
        "kinto.user-data_delete_principals": "account:admin",
        "multiauth.policies": "account",
        "kinto.includes": "kinto.plugins.accounts kinto.plugins.default_bucket",
    }
    client = client_with(settings).as_(None)
    admin, carl = ({"Authorization": basic(name, "pw")} for name in ("admin", "carl"))

    def sign_up(name: str) -> None:
        client.ask("PUT", f"/accounts/{name}", {"data": {"password": "pw"}})

    sign_up("admin")
    sign_up("carl")
    client.ask("PUT", f"{RECORDS}/r", {"data": {"a": 1}}, carl)
    if remedy.startswith("/__user_data__"):
        assert client.ask("DELETE", remedy, headers=admin).status == 200
    client.ask("DELETE", "/accounts/carl", headers=carl)
    sign_up("carl")
    if remedy.startswith("/buckets"):
        assert client.ask("GET", RECORDS, headers=carl).status == 403
        assert client.ask("DELETE", remedy, headers=admin).status == 200

    answer = client.ask("GET", RECORDS, headers=carl)

    assert (answer.status, answer.data) == (200, [])


def test_a_listener_refuses_the_creation(client_with: ClientMaker) -> None:
    """P-DEF-16."""
    client = client_with(SETTINGS, kept=False)

    def refuse(_event: Event, _context: Context) -> None:
        raise Forbidden

    client.app.extensions["kinto"].add_listener(Listener(before=refuse, kinds=frozenset({"bucket"})))

    answer = client.get(TASKS)

    assert answer.status == 403
    assert living(client, OWN, OWN_TASKS) == []


def test_a_failing_backend_is_a_503(client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-DEF-16."""
    client = client_with(SETTINGS, kept=False)

    def fail(_: Any) -> None:
        raise BackendError("the database is away")

    monkeypatch.setattr(client.app.extensions["kinto"].storage, "transaction", fail)

    assert client.get(TASKS).status == 503


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_read_only_service_refuses_users(client_with: ClientMaker, method: str) -> None:
    """P-DEF-17."""
    client = client_with({**SETTINGS, "kinto.readonly": True})

    for path in (TASKS, f"{TASKS}/", f"{TASKS}/foo"):
        assert client.ask(method, path).status == 405
        assert client.as_(None).get(path).status == 401
    assert client.get("/").status == 200


def test_the_schema_of_the_bucket_is_for_explicit_collections(client_with: ClientMaker) -> None:
    """P-DEF-18."""
    client = creators(client_with, **{"kinto.experimental_collection_schema_validation": True})
    schema = {"type": "object", "required": ["title"]}
    client.put(BUCKET, {"collection:schema": schema})

    implicit = client.post(RECORDS, {"a": 1})
    explicit = client.put(f"{BUCKET}/collections/other", {})

    assert implicit.status == 201
    assert explicit.status == 400


@on_sqlite
def test_other_ids_are_ordinary(client_with: ClientMaker) -> None:
    """P-DEF-19."""
    client = creators(client_with)
    without = client_with({"kinto.bucket_create_principals": "system.Authenticated"})

    assert client.get("/buckets/default-x").status == 403
    assert client.put("/buckets/default-x").data["id"] == "default-x"
    assert without.put("/buckets/default").data["id"] == "default"


def test_users_have_buckets_of_their_own(client: Client) -> None:
    client.put(f"{RECORDS}/r", {"by": "alice"})
    bob = client.as_("bob")
    bob.put(f"{RECORDS}/r", {"by": "bob"}, {"read": [client.id]})

    shared = f"/buckets/{bucket_id('salt', bob.id)}/collections/tasks/records/r"
    assert client.get(f"{RECORDS}/r").data["by"] == "alice"
    assert client.get(shared).data["by"] == "bob"
    assert bob.get(f"{OWN_TASKS}/records/r").status == 403


def test_many_first_requests_at_once_succeed(client: Client) -> None:
    """P-DEF-20: ten requests of one user in as many threads; each object is created once."""
    ready, answers = threading.Barrier(10), list[Answer]()

    def ask(number: int) -> None:
        path = f"{BUCKET}/collections/c{number % 2}/records"
        ready.wait()
        answers.append(client.get(path) if number % 3 == 0 else client.post(path, {"number": number}))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status for answer in answers) == [200] * 4 + [201] * 6
    assert len(client.get(f"{BUCKET}/collections").data) == 2
    numbers = [record["number"] for c in (0, 1) for record in client.get(f"{BUCKET}/collections/c{c}/records").data]
    assert sorted(numbers) == [1, 2, 4, 5, 7, 8]


def test_permissions_lists_the_real_uris(client_with: ClientMaker) -> None:
    client = client_with({**SETTINGS, "kinto.experimental_permissions_endpoint": True})
    client.get(TASKS)

    entries = client.get("/permissions").data

    assert {entry["uri"] for entry in entries} - {"/"} == {OWN, OWN_TASKS}


def test_the_id_of_a_stranger_is_not_found_by_guessing(client: Client) -> None:
    """A bucket of another user is created by that user's requests alone."""
    answer = client.as_("bob").get(OWN_TASKS)

    assert answer.status == 403
    assert living(client, OWN) == []
