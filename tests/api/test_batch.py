"""Many requests as one transaction (docs/contract/core.md 8)."""

from __future__ import annotations

from typing import Any

import pytest

from backends import BackendError
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client, basic, user_id

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


def put(path: str, data: Any = None, **more: Any) -> dict[str, Any]:
    """Return a member that puts an object."""
    return {"method": "PUT", "path": path, "body": {"data": data or {}}, **more}


def get(path: str, **headers: str) -> dict[str, Any]:
    """Return a member that gets something."""
    return {"path": path, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}


@pytest.fixture
def stocked(client: Client) -> Client:
    """Alice's client of a service with a collection and the record `r`."""
    client.batch(put(B), put(C), put(R, {"n": 1}))
    return client


def entries(answer: Answer) -> list[dict[str, Any]]:
    """Return the entries of a batch that went well."""
    assert answer.status == 200, answer.json
    responses: list[dict[str, Any]] = answer.json["responses"]
    return responses


def statuses(answer: Answer) -> list[int]:
    """Return the statuses of the entries."""
    return [entry["status"] for entry in entries(answer)]


def header(entry: dict[str, Any], name: str) -> str | None:
    """Return a header of an entry, whatever its case."""
    headers: dict[str, str] = {key.lower(): value for key, value in entry["headers"].items()}
    return headers.get(name.lower())


def test_a_batch_answers_each_request_in_order(client: Client) -> None:
    """C-BATCH-1, C-BATCH-13, C-BATCH-10: with and without the version."""
    answer = client.batch(put("/v1/buckets/b%2Dc"), put(B), get("/buckets?_limit=5"), get(f"/v1{B}"))

    assert list(answer.json) == ["responses"]
    responses = entries(answer)
    assert [(entry["status"], entry["path"]) for entry in responses] == [
        (201, "/v1/buckets/b-c"),
        (201, "/v1/buckets/b"),
        (200, "/v1/buckets"),
        (200, "/v1/buckets/b"),
    ]
    assert all(set(entry) == {"status", "path", "headers", "body"} for entry in responses)
    assert responses[3]["body"]["data"] == client.get(B).data


@on_sqlite
def test_an_entry_has_the_headers_of_a_request_of_its_own(stocked: Client) -> None:
    """C-BATCH-29, C-BATCH-13, C-HDR-26."""
    stocked.put(f"{RECORDS}/s")

    one, page, total = entries(stocked.batch(get(R), get(f"{RECORDS}?_limit=1"), {"method": "HEAD", "path": RECORDS}))

    for entry, alone in ((one, stocked.get(R)), (page, stocked.get(f"{RECORDS}?_limit=1"))):
        for name in ("ETag", "Last-Modified", "Content-Type", "Cache-Control", "Access-Control-Expose-Headers"):
            assert header(entry, name) == alone.headers[name]
        assert header(entry, "Next-Page") == alone.headers.get("Next-Page")
    assert header(total, "Total-Objects") == "2"
    assert all(isinstance(value, str) for entry in (one, page, total) for value in entry["headers"].values())


@on_sqlite
def test_the_entry_of_a_head_has_an_empty_body(stocked: Client) -> None:
    """C-BATCH-25."""
    responses = entries(stocked.batch({"method": "HEAD", "path": R}, {"method": "HEAD", "path": RECORDS}))

    assert [(entry["status"], entry["body"]) for entry in responses] == [(200, ""), (200, "")]


def test_a_request_reads_what_earlier_ones_wrote(client: Client) -> None:
    """C-BATCH-21, C-BATCH-2: GET is the method of a request without one."""
    answer = client.batch(
        put(B),
        put(C),
        put(R, {"n": 1}),
        {"method": "PATCH", "path": R, "body": {"data": {"m": 2}}},
        get(R),
        get(RECORDS),
        {"method": "DELETE", "path": R},
        {"method": None, "path": R},
        get(RECORDS),
    )

    assert statuses(answer) == [201, 201, 201, 200, 200, 200, 200, 404, 200]
    bodies = [entry["body"] for entry in entries(answer)]
    assert bodies[4]["data"] == bodies[3]["data"] == bodies[5]["data"][0]
    assert (bodies[4]["data"]["n"], bodies[4]["data"]["m"], bodies[8]["data"]) == (1, 2, [])


def test_a_deleted_bucket_is_empty_at_once(stocked: Client) -> None:
    """C-OBJ-61, C-BATCH-21: what is made again in it stays."""
    answer = stocked.batch({"method": "DELETE", "path": B}, get(R), put(B), put(C), get(RECORDS), put(f"{RECORDS}/new"))

    assert statuses(answer) == [200, 403, 201, 201, 200, 201]
    assert [one["id"] for one in stocked.get(RECORDS).data] == ["new"]


def test_an_error_is_an_entry_and_undoes_nothing_of_the_others(stocked: Client) -> None:
    """C-BATCH-14, C-BATCH-16."""
    answer = stocked.batch(
        put(f"{RECORDS}/one"),
        put("/buckets/none/collections/c"),
        get(f"{RECORDS}/nope"),
        {"method": "PUT", "path": R, "headers": {"If-Match": '"5"'}},
        {"method": "PUT", "path": R, "body": {"data": 1}},
        get("/nowhere"),
        {"method": "TRACE", "path": R},
        put(f"{RECORDS}/two"),
    )

    assert statuses(answer) == [201, 403, 404, 412, 400, 404, 405, 201]
    assert [entry["body"]["errno"] for entry in entries(answer)[1:7]] == [121, 110, 114, 107, 111, 115]
    assert {one["id"] for one in stocked.get(RECORDS).data} == {"r", "one", "two"}


def test_a_backend_that_fails_undoes_the_whole_batch(stocked: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-BATCH-15."""
    storage = stocked.app.extensions["kinto"].storage
    opened = storage.transaction

    class Full:
        """A transaction of a database that takes no more."""

        def __init__(self, derived: Any) -> None:
            self.inner = opened(derived)

        def __enter__(self) -> Any:
            writer = self.inner.__enter__()
            write = writer.write

            def fail_late(*parts: Any) -> None:
                write(*parts)
                raise BackendError("the disk is full")

            writer.write = fail_late
            return writer

        def __exit__(self, *raised: Any) -> Any:
            return self.inner.__exit__(*raised)

    monkeypatch.setattr(storage, "transaction", Full)
    answer = stocked.batch(put(f"{RECORDS}/one"), get(R), put(f"{RECORDS}/two"))
    monkeypatch.undo()

    assert (answer.status, answer.json["errno"]) == (503, 201)
    assert "Retry-After" in answer.headers
    assert [one["id"] for one in stocked.get(RECORDS).data] == ["r"]


def test_a_current_copy_is_an_entry_of_304(stocked: Client) -> None:
    """C-BATCH-17: beside reads, and beside writes."""
    known = stocked.get(R).headers["ETag"]

    for others in ([get(B)], [put(f"{RECORDS}/s")]):
        entry = entries(stocked.batch(get(R, If_None_Match=known), *others))[0]

        assert (entry["status"], entry["body"], header(entry, "ETag")) == (304, "", known)


def test_a_conflict_fails_the_whole_batch(stocked: Client) -> None:
    """C-BATCH-18."""
    stocked.put(f"{RECORDS}/old", {"last_modified": 1000})

    answer = stocked.batch(put(f"{RECORDS}/new"), put(f"{RECORDS}/twin", {"last_modified": 1000}))

    assert (answer.status, answer.json["errno"]) == (409, 122)
    assert "Retry-After" in answer.headers
    assert stocked.get(f"{RECORDS}/new").status == 404


DEFAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a method and a body": ({"method": "PUT", "body": {"data": {"n": 1}}}, {}, {"n": 1}),
    "objects merged": (
        {"method": "PUT", "body": {"data": {"o": {"a": 1, "b": 1}}}},
        {"body": {"data": {"o": {"b": 2}, "m": 3}}},
        {"o": {"a": 1, "b": 2}, "m": 3},
    ),
    "nothing that is there": ({"method": "GET", "body": {"data": {"n": 1}}}, put(R, {"n": 2}), {"n": 2}),
    "nothing, as there are none": ({}, put(R, {"n": 2}), {"n": 2}),
}


@on_sqlite
@pytest.mark.parametrize(("defaults", "member", "expected"), DEFAULTS.values(), ids=DEFAULTS.keys())
def test_requests_are_completed_by_defaults(
    stocked: Client, defaults: dict[str, Any], member: dict[str, Any], expected: dict[str, Any]
) -> None:
    """C-BATCH-6: missing members are taken over, objects merged, what is there wins."""
    stocked.delete(R)

    (entry,) = entries(stocked.batch({"path": R, **member}, defaults=defaults))

    assert {name: value for name, value in entry["body"]["data"].items() if name in expected} == expected


@on_sqlite
def test_the_path_comes_from_defaults_too(stocked: Client) -> None:
    """C-BATCH-6, C-BATCH-4."""
    assert statuses(stocked.batch({}, defaults={"path": R})) == [200]


MALFORMED: dict[str, tuple[Any, str, str]] = {
    "C-BATCH-26 a list": ([], "", "not a mapping"),
    "C-BATCH-5 no requests": ({}, "requests", "Required"),
    "C-BATCH-5 requests of null": ({"requests": None}, "requests", "Required"),
    "C-BATCH-5 requests of text": ({"requests": "x"}, "requests", '"x" is not iterable'),
    "C-BATCH-1 another member": ({"requests": [], "more": 1}, "", "Unrecognized keys in mapping"),
    "C-BATCH-6 defaults of text": ({"requests": [], "defaults": "x"}, "defaults", "not a mapping"),
    "C-BATCH-2 a request of text": ({"requests": ["x"]}, "requests.0", "not a mapping"),
    "C-BATCH-2 another member of a request": ({"requests": [{"path": "/", "a": 1}]}, "requests.0", "Unrecognized keys"),
    "C-BATCH-2 headers of text": ({"requests": [{"path": "/", "headers": "x"}]}, "requests.0.headers", "not a mapping"),
    "C-BATCH-2 headers of null": (
        {"requests": [{"path": "/", "headers": None}]},
        "requests.0.headers",
        "not a mapping",
    ),
    "C-BATCH-2 a header of a number": (
        {"requests": [{"path": "/", "headers": {"X": 1}}]},
        "requests.0.headers",
        "{'X': 1} contains non string value",
    ),
    "C-BATCH-2 a body of a list": ({"requests": [{"path": "/", "body": []}]}, "requests.0.body", "not a mapping"),
    "C-BATCH-3 a small method": (
        {"requests": [{"path": "/", "method": "get"}]},
        "requests.0.method",
        '"get" is not one of GET, HEAD, DELETE, TRACE, POST, PUT, PATCH',
    ),
    "C-BATCH-3 OPTIONS": ({"requests": [{"path": "/", "method": "OPTIONS"}]}, "requests.0.method", "is not one of"),
    "C-BATCH-4 no path": ({"requests": [{"path": B}, {}]}, "requests.1.path", "Required"),
    "C-BATCH-4 a path without slash": (
        {"requests": [{"path": "buckets"}]},
        "requests.0.path",
        "String does not match expected pattern",
    ),
    "C-BATCH-7 one too many": ({"requests": [{"path": B}] * 26}, "requests", "Number of requests is limited to 25"),
    "C-BATCH-8 itself": (
        {"requests": [{"path": "/batch"}]},
        "requests",
        "Recursive call on /batch endpoint is forbidden.",
    ),
    "C-BATCH-8 itself in disguise": ({"requests": [{"path": "/v1/b%61tch/?a"}]}, "requests", "Recursive call"),
}


@on_sqlite
@pytest.mark.parametrize(("body", "name", "description"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_batch_is_refused_for(client: Client, body: Any, name: str, description: str) -> None:
    """Nothing of it is run."""
    if (
        isinstance(body, dict)
        and body.get("requests")
        and isinstance(body["requests"], list)
        and len(body["requests"]) < 25
    ):
        body = {**body, "requests": [*body["requests"], put("/buckets/never")]}

    answer = client.ask("POST", "/batch", body)

    assert answer.status == 400
    problem = answer.json["details"][0]
    assert (problem["location"], problem["name"]) == ("body", name)
    assert description in problem["description"]
    assert client.get("/buckets").data == []


UNKNOWN: dict[str, tuple[Any, list[str]]] = {
    "beside nothing": ({"x": 1}, [""]),
    "two": ({"y": 1, "x": 1}, [""]),
    "beside requests of text": ({"x": 1, "requests": "x"}, [""]),
    "beside requests of null": ({"x": 1, "requests": None}, [""]),
    "beside a bad request": ({"x": 1, "requests": [{"path": "x"}]}, [""]),
    "beside bad defaults": ({"x": 1, "defaults": 5}, [""]),
    "in a request without path": ({"requests": [{"x": 1}]}, ["requests.0"]),
    "in a request that is wrong throughout": (
        {"requests": [{"x": 1, "path": "x", "method": "get", "headers": 5, "body": 5}, {"path": "x"}]},
        ["requests.0", "requests.1.path"],
    ),
}


@on_sqlite
@pytest.mark.parametrize(("body", "names"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_members_are_reported_instead_of_the_others(client: Client, body: Any, names: list[str]) -> None:
    """C-BATCH-1, C-BATCH-2, as Kinto does."""
    answer = client.ask("POST", "/batch", body)

    assert answer.status == 400
    assert [problem["name"] for problem in answer.json["details"]] == names
    unknown = {name: value for name, value in body.items() if name in ("x", "y")} or {"x": 1}
    assert answer.json["details"][0]["description"] == f'Unrecognized keys in mapping: "{unknown}"'


@on_sqlite
def test_a_batch_is_refused_for_what_is_no_json(client: Client) -> None:
    """C-BATCH-26."""
    answer = client.ask("POST", "/batch", raw=b"{", headers={"Content-Type": "application/json"})

    assert (answer.status, answer.json["errno"]) == (400, 107)


@on_sqlite
def test_a_batch_of_nothing_answers_nothing(client: Client) -> None:
    """C-BATCH-5."""
    assert client.batch().json == {"responses": []}


@on_sqlite
@pytest.mark.parametrize(("most", "status"), [(0, 200), ("", 200), (3, 400)], ids=["no limit", "an empty one", "three"])
def test_as_many_requests_as_the_setting_allows(client_with: ClientMaker, most: Any, status: int) -> None:
    """C-BATCH-30, C-BATCH-7."""
    client = client_with({"kinto.batch_max_requests": most})

    assert client.batch(*([get("/")] * 30)).status == status


@on_sqlite
def test_objects_may_be_called_batch(client: Client) -> None:
    """C-BATCH-9."""
    assert statuses(client.batch(put("/buckets/batch"), put("/buckets/batch/collections/batches"))) == [201, 201]


@on_sqlite
def test_only_post_is_answered(client: Client) -> None:
    """C-BATCH-27."""
    answer = client.get("/batch")

    assert (answer.status, answer.json["errno"]) == (405, 115)
    assert "POST" in answer.headers["Allow"]


@on_sqlite
def test_a_readonly_service_has_no_batch(client_with: ClientMaker) -> None:
    """C-BATCH-24."""
    answer = client_with({"kinto.readonly": "true"}).batch(get("/"))

    assert (answer.status, answer.json["errno"]) == (405, 115)


@on_sqlite
def test_a_batch_needs_no_authentication_of_its_own(stocked: Client) -> None:
    """C-BATCH-22: each request is judged by itself."""
    stocked.patch(R, permissions={"read": ["system.Everyone"]})

    assert statuses(stocked.as_(None).batch(get(R), get(B), get("/"), put(R))) == [200, 401, 200, 401]


@on_sqlite
def test_each_request_may_have_credentials_of_its_own(stocked: Client) -> None:
    """C-BATCH-23, C-BATCH-11: named in any case, they win over those of the batch."""
    bob = {"authorization": basic("bob")}
    answer = stocked.batch(
        put("/buckets/bobs", headers=bob), {**get("/buckets/bobs"), "headers": bob}, get("/buckets/bobs"), get(R)
    )

    assert statuses(answer) == [201, 200, 403, 200]
    assert entries(answer)[0]["body"]["permissions"] == {"write": [user_id("bob")]}


INHERITED: dict[str, tuple[dict[str, str], dict[str, Any], int]] = {
    "C-BATCH-11 Accept": ({"Accept": "text/html"}, get(R), 406),
    "C-BATCH-11 Accept, overridden": ({"Accept": "text/html"}, get(R, accept="application/json"), 200),
    "C-BATCH-28 If-Match": ({"If-Match": '"5"'}, put(R), 412),
    "C-BATCH-28 If-None-Match": ({"If-None-Match": "*"}, put(R), 412),
    "C-BATCH-28 If-None-Match, overridden": ({"If-None-Match": "*"}, put(R, headers={"if-none-match": '"1"'}), 200),
    "C-BATCH-11 Response-Behavior": (
        {"Response-Behavior": "loud"},
        {"method": "PATCH", "path": R, "body": {"data": {}}},
        400,
    ),
}


@on_sqlite
@pytest.mark.parametrize(("headers", "member", "status"), INHERITED.values(), ids=INHERITED.keys())
def test_requests_inherit_the_headers_of_the_batch(
    stocked: Client, headers: dict[str, str], member: dict[str, Any], status: int
) -> None:
    assert statuses(stocked.ask("POST", "/batch", {"requests": [member]}, headers)) == [status]


@on_sqlite
@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_a_request_may_say_of_which_type_its_body_is(stocked: Client, name: str) -> None:
    """C-BATCH-12."""
    stocked.put(R, {"o": {"a": 1, "b": 1}})
    patch = {"method": "PATCH", "path": R, "body": {"data": {"o": {"a": None}}}}

    merged, plain = entries(stocked.batch({**patch, "headers": {name: "application/merge-patch+json"}}, patch))

    assert merged["body"]["data"]["o"] == {"b": 1}
    assert plain["body"]["data"]["o"] == {"a": None}


@on_sqlite
@pytest.mark.parametrize("path", [f"{B}/", f"/v1{B}/", f"{B}//"])
def test_redirects_are_followed(stocked: Client, path: str) -> None:
    """C-BATCH-19: with method and body."""
    (entry,) = entries(stocked.batch(put(path, {"followed": True})))

    assert (entry["status"], entry["path"]) == (200, f"/v1{B}")
    assert entry["body"]["data"]["followed"] is True


@on_sqlite
def test_the_hello_view_is_found_without_version(client: Client) -> None:
    """C-BATCH-19, C-BATCH-10."""
    responses = entries(client.batch(get("/"), get("/v1/")))

    assert [(entry["path"], entry["body"]["project_name"]) for entry in responses] == [("/v1/", "kinto")] * 2


def test_paths_may_hold_any_character(client: Client) -> None:
    """C-BATCH-20: raw or percent-encoded; no id has one, but a filter may."""
    client.batch(put(B), put(C), put(R, {"name": "é ü"}))

    responses = entries(
        client.batch(
            get("/buckets/é"), get("/buckets/%C3%A9"), get(f"{RECORDS}?name=é ü"), get(f"{RECORDS}?name=%C3%A9+%C3%BC")
        )
    )

    assert [entry["status"] for entry in responses] == [403, 403, 200, 200]
    assert [entry["path"] for entry in responses[:2]] == ["/v1/buckets/é"] * 2
    assert [len(entry["body"]["data"]) for entry in responses[2:]] == [1, 1]


def test_a_path_that_is_not_utf8_is_an_entry_of_400(client: Client) -> None:
    """C-BATCH-20."""
    assert statuses(client.batch(get("/buckets/%FF"))) == [400]


@on_sqlite
@pytest.mark.parametrize("path", ["/__heartbeat__", "/v1/__version__", "/__flush__", "/%5F_api__"])
def test_what_proxies_keep_private_is_not_reached_through_a_batch(client: Client, path: str) -> None:
    """Private URLs inside a batch are unknown (docs/contract/DECISIONS.md)."""
    (entry,) = entries(client.batch({"method": "GET", "path": path}))

    assert (entry["status"], entry["body"]["errno"]) == (404, 111)
