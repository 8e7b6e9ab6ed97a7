"""Nothing that a client can send makes the service fail (O-PG-32, C-ERR-14): every answer is one of the contract's.

Hypothesis makes bodies, queries, paths, headers and batches; each goes to every endpoint. It is made once and sent to a
service on each database.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ, run_wsgi_app

from tests.support.client import Answer, Client, basic
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app
from tests.support.examples import examples

bounded = settings(
    max_examples=examples(100),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

LOCATIONS = {"path", "querystring", "header", "body", "cookies"}
LEAKS = ("Traceback", 'File "', "sqlalchemy", "psycopg2", "sqlite3", "[SQL", "SELECT ", "INSERT INTO", "UPDATE ")

LISTS = (
    "/buckets",
    "/buckets/b/collections",
    "/buckets/b/groups",
    "/buckets/b/collections/c/records",
    "/buckets/b/collections/strict/records",
    "/buckets/none/collections/none/records",
    "/accounts",
)
OBJECTS = (
    "/buckets/b",
    "/buckets/b/collections/c",
    "/buckets/b/groups/g",
    "/buckets/b/collections/c/records/r",
    "/buckets/b/collections/strict/records/r",
    "/buckets/none/collections/none/records/none",
    "/accounts/alice",
)
PAGES = (
    "/",
    "/batch",
    "/permissions",
    "/contribute.json",
    "/__api__",
    "/__heartbeat__",
    "/__lbheartbeat__",
    "/__version__",
    "/__user_data__/basicauth:x",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TYPES = ("application/json", "application/merge-patch+json", "application/json-patch+json")


OPEN_TO_ALL: Mapping[str, Any] = {
    **BASICAUTH,
    "kinto.bucket_create_principals": "system.Everyone",
    "kinto.bucket_write_principals": "system.Everyone",
    "kinto.experimental_collection_schema_validation": True,
    "kinto.experimental_permissions_endpoint": True,
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.flush",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_bcrypt_rounds": 4,
}
"""All endpoints, and nobody is turned away before what was sent is looked at."""


@pytest.fixture(scope="module")
def apps(request: pytest.FixtureRequest) -> Iterator[list[Flask]]:
    """Make a service on each database, where everybody may do everything; one collection has a schema."""
    apps = [make_app(database_url(name, request), OPEN_TO_ALL) for name in DATABASES]
    for app in apps:
        _restore(Client(app))
    yield apps
    for app in apps:
        app.extensions["kinto"].close()


def _restore(client: Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    client.put("/buckets/b")
    client.put("/buckets/b/groups/g", {"members": ["bob"]})
    client.put("/buckets/b/collections/c")
    client.put("/buckets/b/collections/strict", {"schema": schema})
    client.put("/buckets/b/collections/c/records/r", {"n": 1, "text": "a", "list": [1, None], "deep": {"a": {"b": 2}}})


def send(
    app: Flask,
    method: str,
    path: str | bytes,
    query: str = "",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request as a server hands it over, whatever its text: *path* is without `/v1`, decoded."""
    environ = create_environ(method=method, data=body)
    raw = path.encode("utf-8", "surrogatepass") if isinstance(path, str) else path
    environ["PATH_INFO"] = f"/v1{raw.decode('latin-1')}"
    environ["QUERY_STRING"] = query
    environ["HTTP_AUTHORIZATION"] = basic("alice")
    environ["CONTENT_TYPE"] = "application/json"
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    chunks, status, answered = run_wsgi_app(app, environ, buffered=True)
    return Answer(int(status.split()[0]), answered, b"".join(chunks))


def expect_sane(answer: Answer) -> None:
    """Assert that an answer is no failure, shows no internals, and names place and fault (C-ERR-1, C-ERR-15)."""
    assert answer.status < 500, answer.body
    for value in answer.headers.values():
        value.encode("latin-1")
        assert not {"\r", "\n"} & set(value)
    text = answer.body.decode()
    assert not [leak for leak in LEAKS if leak in text]
    if answer.status >= 400 and text:
        expect_error(answer.status, answer.json)


def expect_error(status: int, body: Any) -> None:
    """Assert that the body of an error has the shape of C-ERR-1 and C-ERR-2; problems name location and field."""
    assert body["code"] == status
    assert body.keys() <= {"code", "errno", "error", "message", "details"}
    if body["error"] == "Invalid parameters":
        assert body["details"]
        for problem in body["details"]:
            assert problem.keys() == {"location", "name", "description"}
            assert problem["location"] in LOCATIONS
            assert problem["name"] is None or isinstance(problem["name"], str | int)
            assert problem["description"]
    elif status == 400:
        assert body["message"]


@pytest.fixture(autouse=True)
def _services_work_afterwards(apps: list[Flask]) -> Iterator[None]:
    """Assert that the stored objects can be read, sorted and deleted, and that a new object is as it was sent."""
    yield
    for app in apps:
        _expect_working(Client(app))


def _expect_working(client: Client) -> None:
    for path in ("/buckets/b", "/buckets/b/collections/c"):
        client.put(path)
    for path in LISTS[:4]:
        answer = client.get(f"{path}?_sort=n,-text,deep.a&_since=0")
        assert answer.status == 200, answer.body
    assert client.put("/buckets/b/collections/c/records/after", {"n": 1}).status in (200, 201)
    assert client.get("/buckets/b/collections/c/records/after").data["n"] == 1
    assert client.delete("/buckets/b").status == 200
    _restore(client)


text = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from("\0\n\"'\\%_*{}[]/.:;$é\ud800\udfff\u2028😀 a1"), max_size=12),
    st.sampled_from(
        [
            "",
            "id",
            "last_modified",
            "deleted",
            "schema",
            "members",
            "password",
            "__proto__",
            "a.b",
            "x" * 5000,
            "system.Everyone",
            "basicauth:x",
            "/buckets/b/groups/g",
            "default",
            "2020-01-01",
            "true",
            "null",
        ]
    ),
)
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 2**65, 10**30, -(10**4000), 1606000000000]),
    st.floats(allow_nan=True),
    st.sampled_from([1e308, -0.0, 5e-324, 253370764800001]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12
)
fields = st.sampled_from(["id", "last_modified", "deleted", "schema", "members", "n", "a", "cache_expires", "password"])
data = st.one_of(st.dictionaries(fields | text, values, max_size=4), values)
schemas = st.fixed_dictionaries(
    {},
    optional={
        "type": values | st.sampled_from(["object", "string", "array"]),
        "pattern": text,
        "properties": st.dictionaries(text, values, max_size=2),
        "$ref": st.sampled_from(["#", "#/properties/n", "http://127.0.0.1:1/x", "file:///etc/passwd", "x"]) | text,
        "$schema": text | st.sampled_from(["http://json-schema.org/draft-04/schema#", "http://127.0.0.1:1/"]),
        "required": values,
        "multipleOf": numbers,
        "$defs": values,
    },
)
permissions = st.one_of(
    values,
    st.dictionaries(
        st.sampled_from(["read", "write", "record:create", "collection:create", "x"]),
        st.lists(text | values, max_size=3) | values,
        max_size=3,
    ),
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "data": data | st.fixed_dictionaries({"schema": schemas}),
        "permissions": permissions,
        "x": values,
    },
)
pointers = st.one_of(
    st.sampled_from(
        [
            "",
            "/",
            "/data",
            "/data/n",
            "/data/list/-",
            "/data/list/01",
            "/data/list/99",
            "/data/deep/a/b",
            "/data/id",
            "/permissions/read/alice",
            "/permissions",
            "/permissions/x/y",
            "/data/~2",
            "/data/~",
            "x",
            "/nothing",
        ]
    ),
    text,
)
patches = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]) | values},
        optional={"path": pointers | values, "from": pointers | values, "value": values},
    )
    | values,
    max_size=3,
)
broken = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"[" * 90,
            b"[" * 5000,
            b'{"a":' * 200 + b"1" + b"}" * 200,
            b'{"data":{"a":' + b"[" * 110 + b"]" * 110 + b"}}",
            b'{"data":{"a":1e400}}',
            b'{"data":{"a":NaN}}',
            b'{"data":{"a":' + b"9" * 5000 + b"}}",
            b"\xef\xbb\xbf{}",
            b'{"data":{"a":"\\ud800"}}',
            b'{"data":{"\\u0000":1}}',
            b'{"data":{}}}',
            b"null",
            b'"x"',
            b"[]",
            b"\xff",
            b'{"data":{"a":1,"a":2,"last_modified":99999999999999999}}',
            b'{"data":{"last_modified":1e3}}',
        ]
    ),
)


def _encode(value: Any) -> bytes:
    """Return JSON with all that the standard library lets through: NaN, lone surrogates."""
    return json.dumps(value).encode()


bodies = st.one_of(envelopes.map(_encode), patches.map(_encode), values.map(_encode), broken)
paths = st.sampled_from((*LISTS, *OBJECTS, *PAGES))


@bounded
@given(method=st.sampled_from(METHODS), path=paths, body=bodies, media_type=st.sampled_from(TYPES))
def test_a_body_is_stored_or_refused_whatever_it_holds(
    apps: list[Flask], method: str, path: str, body: bytes, media_type: str
) -> None:
    """C-ERR-17, C-ERR-18, C-ERR-23, C-ERR-25, C-ERR-27."""
    for app in apps:
        answer = send(app, method, path, body=body, headers={"Content-Type": media_type})

        expect_sane(answer)
        if answer.status in (200, 201) and method in ("PUT", "POST", "PATCH") and path not in PAGES:
            uri = path if path in OBJECTS else f"{path}/{answer.data['id']}"
            assert send(app, "GET", uri).data == answer.data


@bounded
@given(path=st.sampled_from(OBJECTS), patch=patches)
def test_a_json_patch_is_applied_or_refused_whatever_it_holds(apps: list[Flask], path: str, patch: Any) -> None:
    """C-OBJ-35, C-OBJ-36, C-OBJ-37."""
    for app in apps:
        expect_sane(
            send(app, "PATCH", path, body=_encode(patch), headers={"Content-Type": TYPES[2] + "; charset=utf-8"})
        )


@bounded
@given(schema=schemas, record=data)
def test_a_schema_and_its_records_are_stored_or_refused_whatever_they_hold(
    apps: list[Flask], schema: Any, record: Any
) -> None:
    for app in apps:
        changed = send(app, "PUT", "/buckets/b/collections/strict", body=_encode({"data": {"schema": schema}}))
        created = send(app, "POST", "/buckets/b/collections/strict/records", body=_encode({"data": record}))

        expect_sane(changed)
        expect_sane(created)


operators = st.sampled_from(
    [
        "",
        "not_",
        "gt_",
        "min_",
        "lt_",
        "max_",
        "in_",
        "exclude_",
        "like_",
        "has_",
        "contains_",
        "contains_any_",
        "x_",
        "_",
    ]
)
parameters = st.one_of(
    st.tuples(
        st.builds(
            "".join, st.tuples(operators, st.sampled_from(["n", "text", "deep.a.b", "list", "id"]) | fields | text)
        ),
        values.map(json.dumps) | text,
    ),
    st.tuples(
        st.sampled_from(["_limit", "_since", "_before", "_to", "_sort", "_fields", "_token", "last_modified", "_x"]),
        st.one_of(
            text,
            numbers.map(str),
            st.sampled_from(
                ['"5"', '""', "-1", "1" * 400, "-n,text", "n,n,-n", "deep.a.b,..,.", "last_modified,id", "\u0661"]
            ),
            st.binary(max_size=30).map(lambda raw: base64.b64encode(raw).decode()),
            values.map(lambda value: base64.b64encode(json.dumps(value).encode()).decode()),
            st.lists(values, min_size=2, max_size=3).map(
                lambda last: base64.b64encode(
                    json.dumps({"last_record": {"id": last[0], "last_modified": last[1]}, "nonce": last[-1]}).encode()
                ).decode()
            ),
        ),
    ),
)


def _query(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in pairs)


queries = st.lists(parameters, max_size=4).map(_query) | st.text(st.characters(max_codepoint=255), max_size=20)


@bounded
@example(path=LISTS[3], method="GET", query="_token=" + base64.b64encode(b'[[1e400],"' + b"x" * 9000 + b'"]').decode())
@example(path=LISTS[3], method="GET", query="%ff=1")
@example(path=LISTS[3], method="GET", query="a%00b=1&_sort=%00&_fields=%00&in_id=%00")
@example(path=LISTS[3], method="GET", query="\xff\xfe")
@example(path=LISTS[3], method="GET", query="in_n=" + ",".join(map(str, range(5000))))
@example(path=LISTS[3], method="GET", query="_sort=" + ",".join(f"f{number}" for number in range(300)))
@example(path=LISTS[3], method="GET", query="&".join(f"f{number}=1" for number in range(1200)))
@given(path=paths, method=st.sampled_from(["GET", "HEAD", "DELETE", "POST", "PUT"]), query=queries)
def test_a_query_is_answered_or_refused_whatever_it_says(apps: list[Flask], path: str, method: str, query: str) -> None:
    """C-URL-25, C-ERR-34."""
    for app in apps:
        expect_sane(send(app, method, path, query))


@pytest.fixture(scope="module")
def tokens(apps: list[Flask]) -> list[str]:
    """Return a token of each service for the second page of the records, of which there are two."""
    for app in apps:
        send(app, "PUT", f"{LISTS[3]}/second", body=b'{"data":{"n":3}}')
    pages = [send(app, "GET", LISTS[3], "_limit=1&_sort=n") for app in apps]
    return [page.headers["Next-Page"].partition("_token=")[2].partition("&")[0] for page in pages]


@bounded
@given(position=st.integers(0, 200), replaced=st.sampled_from("A0=-_ %é"), sort=text)
def test_a_token_is_used_or_refused_when_it_is_bent(
    apps: list[Flask], tokens: list[str], position: int, replaced: str, sort: str
) -> None:
    path = LISTS[3]
    for app, token in zip(apps, tokens, strict=True):
        cut = position % len(token)

        bent = token[:cut] + quote(replaced) + token[cut + 1 :]

        expect_sane(send(app, "GET", path, f"_limit=1&_sort=n&_token={bent}"))
        expect_sane(send(app, "GET", path, f"_limit=1&_sort={quote(sort, errors='replace')}&_token={token}"))


segments = st.one_of(
    st.sampled_from(["buckets", "collections", "groups", "records", "b", "c", "r", "accounts", "batch", "default"]),
    st.sampled_from(
        ["", ".", "..", "x" * 255, "x" * 256, "x" * 9000, "a b", "%2F", "%", "é", "\0", "a\n", "-", "_a", "__x__"]
    ),
    text,
)


def _named(template: str, ids: tuple[str, str, str]) -> bytes:
    return template.format(*ids).encode("utf-8", "surrogatepass")


templates = st.sampled_from(
    [
        "/buckets/{}",
        "/buckets/{}/groups",
        "/buckets/b/groups/{}",
        "/buckets/b/collections/{}",
        "/buckets/{}/collections/{}/records",
        "/buckets/b/collections/c/records/{}",
        "/accounts/{}",
        "/__user_data__/{}",
        "/buckets/{}/{}/{}",
    ]
)
raw_paths = st.one_of(
    st.builds(_named, templates, st.tuples(segments, segments, segments)),
    st.lists(segments, max_size=7).map(lambda names: ("/" + "/".join(names)).encode("utf-8", "surrogatepass")),
    st.binary(max_size=30),
    st.builds(lambda known, tail: f"{known}/".encode() + tail, paths, st.binary(max_size=10)),
)


@pytest.mark.parametrize("path", [*OBJECTS[:4], *LISTS[:4], "/accounts/a", "/__user_data__/x", "/"])
def test_a_path_is_refused_when_it_holds_a_nul(apps: list[Flask], path: str) -> None:
    """O-PG-32: no database could look for it."""
    for app in apps:
        answers = [send(app, method, f"{path}\0") for method in METHODS]

        for answer in answers:
            expect_sane(answer)
        assert {answer.status for answer in answers} == {400}


@bounded
@given(method=st.sampled_from(METHODS), path=raw_paths)
def test_a_path_is_answered_or_refused_whatever_it_is(apps: list[Flask], method: str, path: bytes) -> None:
    """C-URL-24, C-ERR-35, C-ERR-36."""
    for app in apps:
        expect_sane(send(app, method, path, body=b"{}" if method in ("PUT", "POST", "PATCH") else b""))


latin = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
headers = st.fixed_dictionaries(
    {},
    optional={
        "If-Match": latin
        | st.sampled_from(['"1"', "*", '"*"', "1", '"' + "9" * 400 + '"', '"-1"', '""', 'W/"1"', '"²"']),
        "If-None-Match": latin | st.sampled_from(['"1"', "*", '"*"', '"1", "2"', '"' + "9" * 25 + '"']),
        "Accept": latin | st.sampled_from(["*/*", "application/*;q=0", "a/b;q=x", "application/json;q=9e9", ",", ";"]),
        "Content-Type": latin
        | st.sampled_from([*TYPES, "application/json; charset=latin-1", "multipart/form-data", ";"]),
        "Authorization": latin
        | st.sampled_from(["Basic", "Basic ?", "Basic YQ==", "Basic YQA6Yg==", "Basic /w==", "Bearer x", "Basic OjE="]),
        "Origin": latin | st.sampled_from(["null", "http://x", "*", "http://x\x00"]),
        "Response-Behavior": latin | st.sampled_from(["light", "diff", "full", "Light"]),
        "Access-Control-Request-Method": latin | st.sampled_from(METHODS),
        "Access-Control-Request-Headers": latin | st.just("If-Match, é,,"),
        "Host": latin | st.sampled_from(["x:99999", "[::1]:80", "a b", ""]),
        "X-Request-Id": latin | st.just("x" * 5000),
        "X-Forwarded-Proto": latin,
        "Range": latin,
        "Cookie": latin,
        "Content-Encoding": latin,
    },
)


@bounded
@example(method="GET", path=LISTS[3], sent={"If-None-Match": '"' + "9" * 25 + '"'}, query="")
@example(method="PUT", path=OBJECTS[3], sent={"If-Match": '"' + "9" * 25 + '"'}, query="")
@given(method=st.sampled_from(METHODS), path=paths, sent=headers, query=st.sampled_from(["", "_limit=1&_sort=n"]))
def test_headers_are_obeyed_or_refused_whatever_they_say(
    apps: list[Flask], method: str, path: str, sent: dict[str, str], query: str
) -> None:
    """C-ERR-28, C-ERR-30, C-ERR-33."""
    body = b'{"data":{"n":1}}' if method in ("PUT", "POST", "PATCH") else b""

    for app in apps:
        expect_sane(send(app, method, path, query, body, sent))


member_paths = st.one_of(
    paths,
    paths.map(lambda path: f"/v1{path}"),
    st.builds(lambda path, query: f"{path}?{query}", paths, queries),
    raw_paths.map(lambda raw: "/" + quote(raw)),
    text.map(lambda name: f"/{name}"),
    st.sampled_from(
        ["/v1", "/v2/buckets", "/v1/", "//", "/%ff", "/v1/batch", "/buckets/", "/buckets/b?_sort=%ff", "/__api__"]
    ),
)
members = st.fixed_dictionaries(
    {"path": member_paths},
    optional={
        "method": st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]),
        "headers": headers | st.dictionaries(text, text, max_size=2),
        "body": envelopes | patches,
    },
)


@bounded
@example(sent=[{"path": "/buckets", "headers": {"Accept": "a\nb", "X\r\nY": "\r\n"}}, {"path": "/x"}], origin={})
@given(sent=st.lists(members, min_size=1, max_size=4), origin=st.sampled_from([{}, {"Origin": "http://x"}]))
def test_members_of_a_batch_are_answered_one_by_one_whatever_they_are(
    apps: list[Flask], sent: list[Any], origin: dict[str, str]
) -> None:
    for app in apps:
        answer = send(app, "POST", "/batch", body=_encode({"requests": sent}), headers=origin)

        expect_sane(answer)
        for entry in answer.json.get("responses", []):
            assert entry.keys() == {"status", "path", "headers", "body"}
            assert entry["status"] < 500
            if entry["status"] >= 400 and entry["body"]:
                expect_error(entry["status"], entry["body"])


@bounded
@given(
    body=st.one_of(
        st.fixed_dictionaries(
            {}, optional={"requests": st.lists(values, max_size=3) | values, "defaults": values, "x": values}
        ),
        values,
    )
)
def test_a_batch_is_run_or_refused_whatever_its_shape(apps: list[Flask], body: Any) -> None:
    for app in apps:
        expect_sane(send(app, "POST", "/batch", body=_encode(body)))


RECORD, RECORDS = OBJECTS[3], LISTS[3]
LONG = b'"n":12345678901234567890123'
"""A number for which another decoder is used."""

PATCH_TYPES = [{"content_type": name} for name in TYPES]
LONE_SURROGATES: Mapping[str, tuple[str, str, str, bytes, Mapping[str, str]]] = {
    "a value": ("PUT", RECORD, "", b'{"data":{"a":"\\ud800"}}', {}),
    "a value beside a long number": ("PUT", RECORD, "", b'{"data":{"a":"\\udc00",' + LONG + b"}}", {}),
    "a name": ("PUT", RECORD, "", b'{"data":{"\\ud800":1}}', {}),
    "a name beside a long number": ("PUT", RECORD, "", b'{"data":{"\\ud800":1,' + LONG + b"}}", {}),
    "bytes": ("PUT", RECORD, "", b'{"data":{"a":"\xed\xa0\x80"}}', {}),
    "an id in a body": ("POST", RECORDS, "", b'{"data":{"id":"\\ud800",' + LONG + b"}}", {}),
    "a principal": ("PUT", RECORD, "", b'{"permissions":{"read":["\\ud800"]},' + LONG + b"}", {}),
    "a permission": ("PUT", RECORD, "", b'{"permissions":{"\\ud800":[]},' + LONG + b"}", {}),
    "a member of a group": ("PUT", OBJECTS[2], "", b'{"data":{"members":["\\ud800"],' + LONG + b"}}", {}),
    "a merge patch": ("PATCH", RECORD, "", b'{"data":{"a":"\\ud800",' + LONG + b"}}", PATCH_TYPES[1]),
    "a JSON Patch": ("PATCH", RECORD, "", b'[{"op":"add","path":"/data/\\ud800","value":1}]', PATCH_TYPES[2]),
    "a path of a batch": ("POST", "/batch", "", b'{"requests":[{"path":"/v1/buckets/\\ud800",' + LONG + b"}]}", {}),
    "a header of a batch": (
        "POST",
        "/batch",
        "",
        b'{"requests":[{"path":"/v1/","headers":{"If-Match":"\\ud800"},' + LONG + b"}]}",
        {},
    ),
    "a path": ("GET", "/buckets/\ud800", "", b"", {}),
    "a filter": ("GET", RECORDS, "a=%ed%a0%80", b"", {}),
    "a sort": ("GET", RECORDS, "_sort=%ed%a0%80", b"", {}),
    "a token": ("GET", RECORDS, "_token=WzEsICJcdWQ4MDAiXQ==", b"", {}),
    "a token of a sort": ("GET", RECORDS, "_sort=a&_token=WyJcdWQ4MDAiLCAxLCAiYSJd", b"", {}),
    "a header": ("GET", RECORDS, "", b"", {"if_none_match": '"\xed\xa0\x80"'}),
}


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "headers"), LONE_SURROGATES.values(), ids=LONE_SURROGATES.keys()
)
def test_a_lone_surrogate_is_refused(
    apps: list[Flask], method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]
) -> None:
    """It is no character and cannot be encoded."""
    for app in apps:
        answer = send(app, method, path, query, body, headers)

        expect_sane(answer)
        assert answer.status == 400
        assert not body or answer.json["details"][0]["description"].startswith("Invalid JSON: ")


@pytest.mark.parametrize("value", ['"\\ud800"', '["\\ud800",12345678901234567890123]', '{"\\ud800":1}'])
def test_a_filter_that_is_no_json_because_of_a_lone_surrogate_is_a_text(apps: list[Flask], value: str) -> None:
    for app in apps:
        Client(app).put(RECORD, {"a": value})
        for query in (
            f"a={quote(value)}",
            f"in_a={quote(value)}",
            f"not_a={quote(value)}",
            f"contains_a={quote(value)}",
        ):
            expect_sane(send(app, "GET", RECORDS, query))
        assert [each["id"] for each in send(app, "GET", RECORDS, f"a={quote(value)}").data] == ["r"]
