"""Errors: their bodies, what is wrong with headers, query, path and body, and what is answered to whom (section 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from app.errors import Forbidden
from app.events import Listener
from app.factory import create_app
from backends import BackendError, Json
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, user_id
from tests.support.databases import BASICAUTH

B, C = "/buckets/b", "/buckets/b/collections/c"
RECORDS, R = f"{C}/records", f"{C}/records/r"
JSON = {"Content-Type": "application/json"}
NOTHING: Mapping[str, str] = {}


@pytest.fixture
def owner(client_with: ClientMaker) -> Client:
    """Return alice's client; she owns bucket b with collection c and record r in it."""
    client = client_with()
    for uri in (B, C, R):
        client.put(uri)
    return client


def error(status: int, errno: int, phrase: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    body = {"code": status, "errno": errno, "error": phrase, **more}
    return body if message is None else {**body, "message": message}


ERRORS = {
    "C-ERR-5 anonymous": (
        ("GET", B, None, NOTHING, None),
        error(401, 104, "Unauthorized", "Please authenticate yourself to use this endpoint."),
        {"WWW-Authenticate": 'Basic realm="Realm"'},
    ),
    "C-ERR-7 forbidden": (
        ("GET", B, None, NOTHING, "bob"),
        error(403, 121, "Forbidden", "This user cannot access this resource."),
        {},
    ),
    "C-ERR-8 unknown object": (
        ("GET", f"{RECORDS}/none", None, NOTHING, "alice"),
        error(404, 110, "Not Found", details={"id": "none", "resource_name": "record"}),
        {},
    ),
    "C-ERR-9 unknown URL": (
        ("GET", "/none", None, NOTHING, "alice"),
        error(404, 111, "Not Found", "The resource you are looking for could not be found."),
        {},
    ),
    "C-ERR-9 unknown parent": (
        ("GET", f"{B}/collections/none/records", None, NOTHING, "alice"),
        error(404, 111, "Not Found", details={"id": "none", "resource_name": "collection"}),
        {},
    ),
    "C-ERR-4 other version": (
        ("GET", "/v2/", None, NOTHING, "alice"),
        error(404, 116, "Not Found", "The requested API version is not available on this server."),
        {},
    ),
    "C-ERR-4 method": (
        ("PATCH", "/buckets", None, NOTHING, "alice"),
        error(405, 115, "Method Not Allowed", "Method not allowed on this endpoint."),
        {"Allow": "GET, HEAD, POST, DELETE, OPTIONS"},
    ),
    "C-ERR-12 taken timestamp": (
        ("PUT", f"{RECORDS}/s", {"data": {"last_modified": 5}}, NOTHING, "alice"),
        error(409, 122, "Conflict", "Integrity constraint violated, please retry."),
        {"Retry-After": "3"},
    ),
    "C-ERR-10 precondition": (
        ("PUT", f"{RECORDS}/none", {}, {"If-Match": '"1"'}, "alice"),
        error(412, 114, "Precondition Failed", "Resource was modified meanwhile"),
        {},
    ),
}


@on_sqlite
@pytest.mark.parametrize(("http_request", "body", "headers"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_has_its_status_body_and_headers(
    owner: Client, http_request: Any, body: Mapping[str, Any], headers: Mapping[str, str]
) -> None:
    """C-ERR-1, C-ERR-2, C-ERR-3, C-ERR-4."""
    method, path, sent, more, who = http_request
    owner.put(f"{RECORDS}/past", {"last_modified": 5})

    answer = owner.as_(who).ask(method, path, sent, more)

    assert answer.json == body
    assert answer.status == body["code"]
    assert answer.headers["Content-Type"] == "application/json"
    assert dict(answer.headers.items()).items() >= headers.items()
    assert ("Retry-After" in answer.headers) == ("Retry-After" in headers)


@on_sqlite
@pytest.mark.parametrize(
    ("path", "status"), [("/none", 404), ("/buckets", 406), ("/v2/", 404), ("/__version__", 404), ("/batch", 405)]
)
def test_an_error_is_json_whatever_the_client_accepts(client: Client, path: str, status: int) -> None:
    """C-ERR-3."""
    answer = client.get(path, accept="text/html")

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert answer.json["code"] == status


def test_a_failing_database_is_503_with_retry_after() -> None:
    """C-ERR-11, C-ERR-4."""
    url = "postgresql://postgres@127.0.0.1:1/none"
    app = create_app({**BASICAUTH, "kinto.storage_url": url, "kinto.retry_after_seconds": "30"})

    answers = [Client(app).ask(method, "/buckets") for method in ("GET", "POST")]
    app.extensions["kinto"].close()

    message = "Service temporary unavailable due to overloading or maintenance, please retry later."
    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["Retry-After"] for answer in answers} == {"30"}
    assert all(answer.json == error(503, 201, "Service Unavailable", message) for answer in answers)


@on_sqlite
@pytest.mark.parametrize(
    ("raised", "settings", "status", "info"),
    [
        (ValueError("secret"), {}, 500, "https://github.com/Kinto/kinto/issues/"),
        (KeyError("secret"), {"kinto.error_info_link": "https://help.test"}, 500, "https://help.test"),
        (BackendError("secret"), {}, 503, None),
    ],
    ids=["C-ERR-14 by default", "C-ERR-14 with a link that is set", "C-ERR-11 of a backend"],
)
def test_a_fault_of_the_service_tells_nothing_of_itself(
    client_with: ClientMaker, raised: Exception, settings: dict[str, Any], status: int, info: str | None
) -> None:
    def fail(event: Any, context: Any) -> None:
        raise raised

    client = client_with(settings)
    client.app.extensions["kinto"].add_listener(Listener(before=fail))

    answer = client.put(B)

    assert answer.status == status
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    assert answer.json.get("info") == info
    assert client.get(B).status == 403
    if status == 500:
        message = "A programmatic error occurred, developers have been informed."
        assert answer.json == error(500, 999, "Internal Server Error", message, info=info)


@on_sqlite
def test_a_service_that_has_ended_is_410(client_with: ClientMaker) -> None:
    """C-ERR-13."""
    answer = client_with({"kinto.eos": "2000-01-01"}).get("/buckets")

    message = "The service you are trying to connect no longer exists at this location."
    assert (answer.status, answer.json) == (410, error(410, 202, "Gone", message))


@on_sqlite
def test_401_has_no_challenge_when_no_policy_has_one(client_with: ClientMaker) -> None:
    """C-ERR-6."""
    answer = client_with({"multiauth.policies": ""}).get("/buckets")

    assert (answer.status, answer.json["errno"]) == (401, 104)
    assert "WWW-Authenticate" not in answer.headers


INVALID_JSON = ("", "Invalid JSON")
MAPPING = "is not a mapping type: Does not implement dict-like functionality."
BODIES = {
    "C-ERR-17 no JSON": (b"{", INVALID_JSON),
    "C-ERR-17 something after it": (b"{} x", INVALID_JSON),
    "C-ERR-23 not UTF-8": (b'{"data": {"a": "\xff"}}', INVALID_JSON),
    "C-ERR-23 NaN": (b'{"data": {"a": NaN}}', INVALID_JSON),
    "C-ERR-23 Infinity": (b'{"data": {"a": -Infinity}}', INVALID_JSON),
    "C-ERR-23 a number beyond range": (b'{"data": {"a": 1e400}}', INVALID_JSON),
    "C-ERR-23 a lone surrogate": (b'{"data": {"a": "\\ud800"}}', INVALID_JSON),
    "C-ERR-18 a text": (b'"x"', ("", "Should be a JSON object or an array")),
    "C-ERR-18 null": (b"null", ("", "Should be a JSON object or an array")),
    "C-ERR-18 a number": (b"1", ("", "Should be a JSON object or an array")),
    "C-ERR-20 an array": (b"[1]", ("", f'"[1]" {MAPPING}')),
    "C-ERR-19 unknown member": (b'{"dta": {}}', ("", "Unrecognized keys in mapping: \"{'dta': {}}\"")),
    "C-ERR-20 data is text": (b'{"data": "x"}', ("data", f'"x" {MAPPING}')),
    "C-ERR-20 data is null": (b'{"data": null}', ("data", f'"None" {MAPPING}')),
    "C-ERR-20 permissions are a list": (b'{"permissions": []}', ("permissions", f'"[]" {MAPPING}')),
    "C-ERR-21 unknown permission": (
        b'{"permissions": {"admin": []}}',
        ("permissions", '"admin" is not one of read, write, record:create'),
    ),
    "C-ERR-22 principals are text": (
        b'{"permissions": {"read": "x"}}',
        ("permissions.read", '"x" is not iterable'),
    ),
    "C-ERR-22 a principal is a number": (
        b'{"permissions": {"read": ["a", 1]}}',
        ("permissions.read.1", "1 is not a string: {'': ''}"),
    ),
    "C-ERR-25 a value with 0x00": (b'{"data": {"a": "\\u0000"}}', ("data.a", "Invalid character 0x00")),
    "C-ERR-25 a key with 0x00": (b'{"data": {"a\\u0000": 1}}', ("data", "Invalid character 0x00")),
}


ALONE: dict[str, tuple[bytes, str]] = {
    "C-ERR-19 beside bad data": (b'{"x": 1, "data": 5}', ""),
    "C-ERR-19 beside bad permissions": (b'{"permissions": {"read": 5}, "x": 1, "y": 2}', ""),
    "C-ERR-21 beside another": (b'{"permissions": {"admin": [], "owner": []}}', "permissions"),
    "C-ERR-21 after null, beside principals of a number": (
        b'{"permissions": {"owner": null, "read": 5, "admin": []}}',
        "permissions",
    ),
}


@pytest.mark.parametrize(("raw", "name"), ALONE.values(), ids=ALONE.keys())
@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
@on_sqlite
def test_unknown_names_are_reported_instead_of_the_others(owner: Client, method: str, raw: bytes, name: str) -> None:
    """As Kinto does."""
    answer = owner.ask(method, f"{B}/collections" if method == "POST" else C, raw=raw, headers=JSON)

    assert answer.status == 400
    (problem,) = answer.json["details"]
    assert (problem["location"], problem["name"]) == ("body", name)
    if name:
        assert problem["description"] == '"admin" is not one of read, write, record:create'


@pytest.mark.parametrize(("raw", "problem"), BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
@on_sqlite
def test_a_bad_body_is_refused_with_the_place_of_the_fault(
    owner: Client, method: str, raw: bytes, problem: tuple[str, str]
) -> None:
    name, description = problem

    answer = owner.ask(method, f"{B}/collections" if method == "POST" else C, raw=raw, headers=JSON)

    assert (answer.status, answer.json["errno"], answer.json["error"]) == (400, 107, "Invalid parameters")
    details = answer.json["details"]
    first = details[0]
    assert (first["location"], first["name"]) == ("body", name)
    assert first["description"].startswith(description)
    required = {"location": "body", "name": "", "description": "Required"}
    assert (required in details) == description.startswith(("Invalid JSON", "Should be"))


PROBLEMS = {
    "C-ERR-16 the description alone for an empty name": (
        ("PUT", B, {"x": 1}, NOTHING),
        "Unrecognized keys in mapping: \"{'x': 1}\"",
    ),
    "C-ERR-16 the description alone when it has the name": (
        ("GET", "/buckets?_since=-5000", None, NOTHING),
        "_since in querystring: -5000 is less than minimum value 0",
    ),
    "C-ERR-16 the description alone when the name is in it": (
        ("GET", "/buckets?_since=", None, NOTHING),
        "Invalid value for _since",
    ),
    "C-ERR-16 the place before it without a name": (("GET", "/buckets/-", None, NOTHING), "path: Invalid object id"),
    "C-ERR-16 name and place before it else": (
        ("PUT", B, {"data": 1}, NOTHING),
        f'data in body: "1" {MAPPING}',
    ),
    "C-ERR-15 of several the first by name": (
        ("GET", "/buckets?_since=x&_limit=y&_before=z", None, {"If-None-Match": "q"}),
        "If-None-Match in header: The value should be integer between double quotes.",
    ),
}


@on_sqlite
@pytest.mark.parametrize(("http_request", "message"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_the_message_is_worded_from_the_first_problem(
    client_with: ClientMaker, http_request: Any, message: str
) -> None:
    method, path, body, headers = http_request
    client = client_with({"kinto.bucket_read_principals": "system.Authenticated"})

    answer = client.ask(method, path, body, headers)

    assert answer.json["message"] == message
    names = [str(problem["name"]) for problem in answer.json["details"]]
    assert names == sorted(names)
    assert all(problem.keys() == {"location", "name", "description"} for problem in answer.json["details"])


@on_sqlite
@pytest.mark.parametrize("headers", [NOTHING, JSON, {"Content-Type": ""}], ids=["no type", "JSON", "an empty type"])
def test_an_empty_body_is_an_empty_object(owner: Client, headers: Mapping[str, str]) -> None:
    """C-ERR-26."""
    created = owner.ask("POST", RECORDS, raw=b"", headers=headers)

    assert created.status == 201
    assert created.data.keys() == {"id", "last_modified"}
    assert owner.ask("PUT", R, raw=b"", headers=headers).status == 200
    refused = owner.ask("PATCH", R, raw=b"", headers=headers)
    assert refused.json["message"] == "Provide at least one of data or permissions"


@on_sqlite
@pytest.mark.parametrize(
    ("raw", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"{", "", 400),
        (b"", "application/json", 200),
        (b"[1]", "application/json", 200),
        (b"{", "text/plain", 200),
    ],
    ids=["no JSON", "no JSON and no type", "nothing", "other JSON", "another type"],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_stray_body_is_refused_only_when_it_should_be_json_and_is_not(
    owner: Client, method: str, raw: bytes, media_type: str, status: int
) -> None:
    """C-ERR-27."""
    answer = owner.ask(method, R, raw=raw, headers={"Content-Type": media_type} if media_type else {})

    assert answer.status == status
    assert status == 200 or answer.json["details"][0]["description"].startswith("Invalid JSON")


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        (b'{"data": {"a": 18446744073709551616}}', 18446744073709551616),
        (b'{"data": {"a": -9223372036854775809}}', -9223372036854775809),
        (b'{"data": {"a": 1, "a": 2}}', 2),
    ],
    ids=["a long integer", "a long negative integer", "the last of duplicate keys"],
)
def test_unusual_json_is_kept(owner: Client, raw: bytes, stored: int) -> None:
    """C-ERR-24; integers of any size stay exact (docs/contract/DECISIONS.md)."""
    owner.ask("PUT", R, raw=raw, headers=JSON)

    assert owner.get(R).data["a"] == stored
    assert owner.get(RECORDS).data[0]["a"] == stored


def test_a_large_body_is_accepted(owner: Client) -> None:
    """C-ERR-46: no 413 and no 411, with or without a length."""
    data = {"text": "x" * 2_000_000, "list": list(range(10_000))}

    assert owner.put(R, data).status == 200
    assert owner.get(R).data["text"] == data["text"]


@on_sqlite
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        pytest.param(None, 200, id="C-ERR-28 nothing said"),
        pytest.param("*/*", 200, id="C-ERR-28 anything"),
        pytest.param("application/*", 200, id="C-ERR-28 any application type"),
        pytest.param("text/html, application/json;q=0.1", 200, id="C-ERR-28 JSON in a list"),
        pytest.param("text/html", 406, id="C-ERR-28 another type"),
        pytest.param("application/json;q=0", 406, id="C-ERR-28 JSON never"),
        pytest.param("", 406, id="C-ERR-29 an empty value"),
    ],
)
def test_json_must_be_acceptable_to_those_who_ask_for_objects(owner: Client, accept: str | None, status: int) -> None:
    headers = {} if accept is None else {"Accept": accept}

    answers = [owner.ask("GET", path, headers=headers) for path in (R, RECORDS)]
    answers.append(owner.ask("PUT", R, {}, headers))

    assert {answer.status for answer in answers} == {status}
    if status == 406:
        problem = {
            "location": "header",
            "name": "Accept",
            "description": "Accept header should be one of ['application/json']",
        }
        assert {answer.json["errno"] for answer in answers} == {107}
        assert all(answer.json["details"] == [problem] for answer in answers)
        assert {answer.json["error"] for answer in answers} == {"Invalid parameters"}


MERGE, PATCH = "application/merge-patch+json", "application/json-patch+json"


@on_sqlite
@pytest.mark.parametrize(
    ("method", "media_type", "status"),
    [
        pytest.param("PUT", "application/json", 200, id="C-ERR-30 JSON"),
        pytest.param("PUT", "application/json; charset=utf-8", 200, id="C-ERR-30 JSON with parameters"),
        pytest.param("PUT", "APPLICATION/JSON", 415, id="C-ERR-30 in capitals"),
        pytest.param("PUT", "text/plain", 415, id="C-ERR-30 a text"),
        pytest.param("PUT", MERGE, 415, id="C-ERR-30 a merge patch for PUT"),
        pytest.param("POST", "application/x-www-form-urlencoded", 415, id="C-ERR-30 a form"),
        pytest.param("POST", PATCH, 415, id="C-ERR-30 a JSON patch for POST"),
        pytest.param("PATCH", "application/json", 200, id="C-ERR-31 JSON"),
        pytest.param("PATCH", MERGE, 200, id="C-ERR-31 a merge patch"),
        pytest.param("PATCH", PATCH, 200, id="C-ERR-31 a JSON patch"),
        pytest.param("PATCH", "text/plain", 415, id="C-ERR-31 a text"),
        pytest.param("PUT", None, 200, id="C-ERR-32 no type for PUT"),
        pytest.param("PATCH", "", 200, id="C-ERR-32 an empty type for PATCH"),
    ],
)
def test_a_body_must_be_of_a_type_that_its_method_reads(
    owner: Client, method: str, media_type: str | None, status: int
) -> None:
    body = [{"op": "add", "path": "/data/a", "value": 1}] if media_type == PATCH else {"data": {"a": 1}}
    headers = {} if media_type is None else {"Content-Type": media_type}

    answer = owner.ask(method, RECORDS if method == "POST" else R, raw=json.dumps(body).encode(), headers=headers)

    assert answer.status == status
    if status == 200:
        assert answer.data["a"] == 1
        return
    assert (answer.json["errno"], answer.json["error"]) == (107, "Invalid parameters")
    (problem,) = answer.json["details"]
    assert (problem["location"], problem["name"]) == ("header", "Content-Type")
    assert problem["description"].startswith("Content-Type header should be one of ['application/json'")
    assert (MERGE in problem["description"]) == (method == "PATCH")


INVALID = {
    "C-ERR-33 If-Match": (
        ("GET", R, {"If-Match": "1"}),
        ("header", "If-Match", "The value should be integer between double quotes."),
    ),
    "C-ERR-33 If-None-Match": (
        ("PUT", R, {"If-None-Match": '"abc"'}),
        ("header", "If-None-Match", "The value should be integer between double quotes."),
    ),
    "C-ERR-33 Response-Behavior": (
        ("PATCH", R, {"Response-Behavior": "Light"}),
        ("header", "Response-Behavior", '"Light" is not one of full, light, diff'),
    ),
    "C-ERR-34 a limit that is no number": (
        ("GET", f"{RECORDS}?_limit=abc", NOTHING),
        ("querystring", "_limit", '"abc" is not a number'),
    ),
    "C-ERR-34 a negative time": (
        ("DELETE", f"{RECORDS}?_before=-1", NOTHING),
        ("querystring", "_before", "-1 is less than minimum value 0"),
    ),
    "C-ERR-34 a time beyond range": (
        ("GET", f"{RECORDS}?last_modified=9223372036854775809", NOTHING),
        ("querystring", "last_modified", "9223372036854775809 is greater than maximum value 9223372036854775808"),
    ),
    "C-ERR-34 an empty time": (
        ("GET", f"{RECORDS}?_to=", NOTHING),
        ("querystring", "_to", "Invalid value for _to"),
    ),
    "C-ERR-35 an object id": (("GET", f"{RECORDS}/-x", NOTHING), ("path", None, "Invalid object id")),
    "C-ERR-35 an object id for PUT": (("PUT", f"{B}/groups/a.b", NOTHING), ("path", None, "Invalid object id")),
    "C-ERR-35 an object id for DELETE": (
        ("DELETE", f"{B}/collections/é", NOTHING),
        ("path", None, "Invalid object id"),
    ),
}


@on_sqlite
@pytest.mark.parametrize(("http_request", "problem"), INVALID.values(), ids=INVALID.keys())
def test_an_invalid_header_query_or_path_is_refused_with_its_place(
    owner: Client, http_request: Any, problem: tuple[str, str | None, str]
) -> None:
    method, path, headers = http_request
    body: Json = {"data": {}} if method in ("PUT", "PATCH") else None

    answer = owner.ask(method, path, body, headers)

    location, name, description = problem
    assert (answer.status, answer.json["errno"]) == (400, 107)
    assert answer.json["details"] == [{"location": location, "name": name, "description": description}]


@on_sqlite
@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/buckets/-x/collections", "bucket"),
        ("PUT", "/buckets/-x/groups/g", "bucket"),
        ("POST", "/buckets/b/collections/x.y/records", "collection"),
        ("GET", "/buckets/b/collections/-x/records", "collection"),
    ],
    ids=["a list in it", "an object in it", "a creation in it", "a list of records"],
)
def test_a_malformed_id_of_a_parent_is_not_found(client_with: ClientMaker, method: str, path: str, kind: str) -> None:
    """C-ERR-36."""
    client = client_with({f"kinto.{name}_read_principals": "system.Everyone" for name in ("collection", "record")})

    answer = client.ask(method, path, {} if method in ("PUT", "POST") else None)

    object_id = "x.y" if "x.y" in path else "-x"
    assert (answer.status, answer.json) == (
        404,
        error(404, 111, "Not Found", details={"id": object_id, "resource_name": kind}),
    )


SHARED: Mapping[str, Mapping[str, Any]] = {
    B: {"read": ["reader"], "collection:create": ["creator"], "group:create": ["creator"]},
    C: {"read": ["watcher"], "record:create": ["creator"]},
}
GROUP, OTHER = f"{B}/groups/none", f"{B}/collections/none"
MISSING = f"{RECORDS}/none"
ACCESS = [
    ("C-ERR-37", "GET", "/buckets/none", {"eve": 403, None: 401}),
    ("C-ERR-37", "DELETE", "/buckets/none", {"eve": 403, None: 401}),
    ("C-ERR-37", "PATCH", "/buckets/none", {"eve": 403, None: 401}),
    ("C-ERR-37", "GET", B, {"reader": 200, "creator": 200, "watcher": 403, None: 401}),
    ("C-ERR-38", "GET", OTHER, {"alice": 404, "reader": 404, "creator": 403, "watcher": 403, None: 401}),
    ("C-ERR-38", "GET", GROUP, {"alice": 404, "reader": 404, "creator": 403, None: 401}),
    ("C-ERR-38", "GET", "/buckets/none/collections", {"alice": 403, None: 401}),
    ("C-ERR-39", "GET", f"{OTHER}/records", {"alice": 404, "reader": 404, "creator": 403, "eve": 403, None: 401}),
    ("C-ERR-39", "DELETE", f"{OTHER}/records", {"alice": 404, "reader": 403, "eve": 403, None: 401}),
    ("C-ERR-40", "PUT", f"{OTHER}/records/r", {"alice": 404, "eve": 404, None: 404}),
    ("C-ERR-40", "PATCH", f"{OTHER}/records/r", {"alice": 404, "eve": 404, None: 404}),
    ("C-ERR-40", "DELETE", f"{OTHER}/records/r", {"alice": 404, "eve": 404, None: 404}),
    ("C-ERR-40", "POST", f"{OTHER}/records", {"alice": 404, "eve": 404, None: 404}),
    ("C-ERR-41", "GET", MISSING, {"reader": 404, "watcher": 404, "creator": 403, "eve": 403, None: 401}),
    ("C-ERR-41", "PATCH", MISSING, {"reader": 404, "watcher": 404, "creator": 403, "eve": 403, None: 401}),
    ("C-ERR-41", "DELETE", MISSING, {"reader": 404, "watcher": 404, "creator": 403, "eve": 403, None: 401}),
    ("C-ERR-42", "PUT", MISSING, {"watcher": 403, "reader": 403, "eve": 403, None: 401, "creator": 201}),
    ("C-ERR-42", "PUT", OTHER, {"watcher": 403, "reader": 403, None: 401, "creator": 201}),
    ("C-ERR-42", "PUT", GROUP, {"watcher": 403, "reader": 403, None: 401, "creator": 201}),
    ("C-ERR-42", "PUT", R, {"watcher": 403, "reader": 403, "creator": 403, None: 401, "alice": 200}),
    ("C-ERR-43", "GET", R, {"creator": 403, "watcher": 200}),
    ("C-ERR-43", "PATCH", R, {"creator": 403}),
    ("C-ERR-43", "DELETE", R, {"creator": 403}),
    ("C-ERR-43", "POST", RECORDS, {"watcher": 403, "creator": 201}),
]


@on_sqlite
@pytest.mark.parametrize(
    ("row", "method", "path", "statuses"), ACCESS, ids=[f"{row} {method} {path}" for row, method, path, _ in ACCESS]
)
def test_who_is_told_that_something_is_not_there(
    owner: Client, row: str, method: str, path: str, statuses: Mapping[str | None, int]
) -> None:
    for uri, shared in SHARED.items():
        permissions = {name: [user_id(who) for who in people] for name, people in shared.items()}
        owner.patch(uri, permissions=permissions)
    body: Json = {"data": {}} if method in ("PUT", "PATCH", "POST") else None

    answers = {who: owner.as_(who).ask(method, path, body) for who in statuses}

    assert {who: answer.status for who, answer in answers.items()} == statuses
    unknown = [answer.json for answer in answers.values() if answer.status == 404]
    assert {body["errno"] for body in unknown} <= {111 if row in ("C-ERR-39", "C-ERR-40") else 110}
    assert all(body["details"]["id"] == "none" and "message" not in body for body in unknown)


def test_an_unknown_bucket_is_not_found_by_those_who_may_read_all_buckets(client_with: ClientMaker) -> None:
    """C-ERR-37."""
    client = client_with({"kinto.bucket_read_principals": "system.Everyone"})

    for who in ("alice", None):
        answer = client.as_(who).get("/buckets/none")
        details = {"id": "none", "resource_name": "bucket"}
        assert (answer.status, answer.json) == (404, error(404, 110, "Not Found", details=details))


def test_who_may_only_create_lists_their_own_objects_and_learns_nothing_of_others(owner: Client) -> None:
    """C-ERR-43, C-ERR-44."""
    owner.put(R, {"secret": 1})
    owner.patch(C, permissions={"record:create": [user_id("carol")]})
    carol = owner.as_("carol")

    before = carol.get(RECORDS)
    carol.put(f"{RECORDS}/mine")
    refused = carol.put(R, {}, if_none_match="*")

    assert (before.status, before.data) == (200, [])
    assert [record["id"] for record in carol.get(RECORDS).data] == ["mine"]
    assert (refused.status, refused.json["errno"]) == (412, 114)
    assert "details" not in refused.json
    assert owner.put(R, {}, if_none_match="*").json["details"]["existing"]["secret"] == 1


@pytest.mark.parametrize("credentials", ["Basic !!!", "Basic", "Bearer abc", "nonsense"])
@on_sqlite
def test_bad_credentials_count_as_none(owner: Client, credentials: str) -> None:
    """C-ERR-45."""
    owner.patch(C, permissions={"read": ["system.Everyone"]})

    assert owner.get(C, authorization=credentials).status == 200
    refused = owner.get(B, authorization=credentials)
    assert (refused.status, refused.json["errno"]) == (401, 104)


@on_sqlite
@pytest.mark.parametrize("cache", ["memory", "postgresql"])
def test_what_was_cached_stays_when_the_request_is_undone(
    client_with: ClientMaker, postgresql_url: str, cache: str
) -> None:
    """C-CACHE-3."""
    client = client_with({"kinto.cache_backend": cache, "kinto.cache_url": postgresql_url})
    service = client.app.extensions["kinto"]
    service.cache.initialize()

    def remember_and_refuse(event: Any, context: Any) -> None:
        service.cache.set("seen", event.payload["uri"], 60)
        raise Forbidden

    service.add_listener(Listener(before=remember_and_refuse))

    assert client.put(B).status == 403
    assert service.cache.get("seen") == B
    service.cache.flush()


@on_sqlite
@pytest.mark.parametrize("raw", [b"null", b"true", b"false", b"0", b"1", b'""', b'"x"'], ids=str)
@pytest.mark.parametrize("media_type", ["application/json", "application/json-patch+json"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_a_body_that_is_no_container_is_refused(client: Client, method: str, media_type: str, raw: bytes) -> None:
    """C-ERR-18, C-ERR-27: with every method."""
    client.put("/buckets/b")

    answer = client.ask(method, "/buckets/b", raw=raw, headers={"Content-Type": media_type})

    reads = method in ("PUT", "PATCH")
    if media_type != "application/json" and method == "PUT":
        assert answer.status == 415
        return
    assert answer.status == 400
    if method != "HEAD":
        expected = ["Should be a JSON object or an array", *(["Required"] if reads else [])]
        assert [detail["description"] for detail in answer.json["details"]] == expected


JSON_TYPES = (
    *("application/json", "application/json; charset=latin-1", "application/merge-patch+json"),
    *("application/json-patch+json;charset=utf-8", "application/vnd.api+json", "application/+json"),
    *("application/problem+json; charset=utf-8", "application/x-json", ""),
)
OTHER_TYPES = (
    *("text/plain", "text/x+json", "image/svg+json", "application/json-seq", "application/json+x", "application/jsonx"),
    *("APPLICATION/JSON", "Application/x+json", "application/x+JSON", "application/json,text/plain", "json"),
)


@on_sqlite
@pytest.mark.parametrize(
    ("method", "path"),
    [*product(("GET", "HEAD", "DELETE"), (B, "/buckets")), ("GET", "/permissions"), ("HEAD", "/permissions")],
)
def test_a_body_that_is_not_needed_is_checked_where_its_type_is_json(
    client_with: ClientMaker, method: str, path: str
) -> None:
    """C-ERR-27: the types that Kinto 26.5 reads as JSON, and none."""
    client = client_with({"kinto.experimental_permissions_endpoint": True})
    client.put(B)

    def statuses(media_type: str) -> list[int]:
        headers = {"Content-Type": media_type}
        answers = []
        for raw in (b"null", b"{", b"[]", b""):
            if method == "DELETE":
                client.put(B)
            answers.append(client.ask(method, path, raw=raw, headers=headers).status)
        return answers

    for media_type in JSON_TYPES:
        assert statuses(media_type) == [400, 400, 200, 200], media_type
    for media_type in OTHER_TYPES:
        assert statuses(media_type) == [200] * 4, media_type


@on_sqlite
def test_the_charset_of_a_body_that_is_not_needed_is_known_where_its_type_is_json(client_with: ClientMaker) -> None:
    """docs/contract/DECISIONS.md."""
    client = client_with({"kinto.experimental_permissions_endpoint": True})
    client.put(B)

    for path in (B, "/buckets", "/permissions"):
        for media_type, status in (("application/problem+json", 415), ("text/plain", 200)):
            headers = {"Content-Type": f"{media_type}; charset=nonsense"}
            assert client.ask("GET", path, raw=b"{}", headers=headers).status == status, (path, media_type)


@on_sqlite
def test_unknown_members_are_told_in_the_order_of_the_body(client: Client) -> None:
    answer = client.ask("PUT", "/buckets/b", dict.fromkeys("zyxcba", 1))

    assert "{'z': 1, 'y': 1, 'x': 1, 'c': 1, 'b': 1, 'a': 1}" in answer.json["message"]


@pytest.mark.parametrize("path", ["/buckets/*/collections", "/buckets/%2A/groups", "/buckets/*/collections/c/records"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_list_below_a_wildcard_is_not_found_by_who_may_create_buckets(
    client_with: ClientMaker, method: str, path: str
) -> None:
    """As Kinto 26.5: 404 with details on lists, and 403 or 401 for everybody else."""
    client = client_with({"kinto.bucket_create_principals": "system.Authenticated"})

    answer = client.ask(method, path)

    assert answer.status == 404
    if method != "HEAD":
        assert answer.json["details"] == {"id": "*", "resource_name": "bucket"}
    assert client.as_(None).ask(method, path).status == 401
