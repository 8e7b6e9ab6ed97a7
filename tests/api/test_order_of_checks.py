"""Of a request that is wrong in several ways, the first check of section 1.9 gives the answer (C-URL-28)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.api.conftest import ClientMaker, on_sqlite

pytestmark = on_sqlite

HTML = {"Accept": "text/html"}
TEXT = {"Content-Type": "text/plain"}
STALE = {"If-Match": '"1"'}
BAD_ETAG = {"If-Match": "x"}
PATCH_TYPE = {"Content-Type": "application/json-patch+json"}
B, C = "/buckets/b", "/buckets/b/collections/c"
R, RECORDS = f"{C}/records/r", f"{C}/records"
NO_COLLECTION = f"{B}/collections/none/records"
ENDED, READONLY = {"kinto.eos": "2000-01-01"}, {"kinto.readonly": "true"}


@dataclass
class Case:
    """A request of alice, who owns bucket b with all in it, or of somebody else, and the answer to it."""

    method: str
    path: str
    status: int
    errno: int
    said: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    who: str | None = "alice"
    settings: Mapping[str, str] = field(default_factory=dict)


CASES = {
    "1 end of service before 2 readonly": Case("PUT", B, 410, 202, "no longer", settings={**ENDED, **READONLY}),
    "1 end of service before 3 encoding": Case("GET", "/buckets/%FF", 410, 202, "no longer", settings=ENDED),
    "2 readonly before 4 no such URL": Case("POST", "/none", 405, 115, "not allowed", settings=READONLY),
    "2 readonly before 9 anonymous": Case("PUT", B, 405, 115, "not allowed", who=None, settings=READONLY),
    "3 encoding of the path before 4 no such URL": Case("GET", "/none/%FF", 400, 107, "Invalid URL path."),
    "3 encoding of the query before 4 no such URL": Case("GET", "/none?%FF", 400, 107, "encoding in the querystring"),
    "3 encoding before 6 method": Case("PATCH", "/buckets?%FF", 400, 107, "encoding in the querystring"),
    "4 no such URL before 6 method": Case("FOO", "/none", 404, 111, "could not be found", headers=HTML),
    "5 malformed parent before 7 accept": Case("PUT", "/buckets/-b/groups/g", 404, 111, "", {}, headers=HTML, who=None),
    "5 malformed parent before 8 type": Case("PATCH", "/buckets/-b/collections/c", 404, 111, "", 1, headers=TEXT),
    "5 unknown collection before 7 accept": Case("PUT", f"{NO_COLLECTION}/r", 404, 111, "", {}, headers=HTML),
    "5 unknown collection before 9 anonymous": Case("POST", NO_COLLECTION, 404, 111, "", {}, who=None),
    "5 unknown collection before 9 forbidden": Case("DELETE", f"{NO_COLLECTION}/r", 404, 111, "", who="bob"),
    "5 unknown collection before 11 body": Case("PATCH", f"{NO_COLLECTION}/r", 404, 111, "", 1, who="bob"),
    "5 malformed id of a POST before 7 accept": Case(
        "POST", RECORDS, 400, 107, "path: Invalid object id", {"data": {"id": "-"}}, headers=HTML
    ),
    "5 malformed id of a POST before 9 anonymous": Case(
        "POST", "/buckets", 400, 107, "path: Invalid object id", {"data": {"id": "-"}}, who=None
    ),
    "6 method before 7 accept": Case("PATCH", "/buckets", 405, 115, "not allowed", 1, headers=HTML),
    "6 method before 9 anonymous": Case("PUT", RECORDS, 405, 115, "not allowed", {}, who=None),
    "7 accept before 8 type": Case("PUT", R, 406, 107, "Accept header", 1, headers={**HTML, **TEXT}),
    "7 accept before 9 anonymous": Case("GET", R, 406, 107, "Accept header", headers=HTML, who=None),
    "8 type before 9 anonymous": Case("PUT", R, 415, 107, "Content-Type header", 1, headers=TEXT, who=None),
    "8 type before 11 headers": Case("PUT", R, 415, 107, "Content-Type header", 1, headers={**TEXT, **BAD_ETAG}),
    "9 anonymous before 10 unknown collection": Case("GET", NO_COLLECTION, 401, 104, "authenticate", who=None),
    "9 forbidden before 10 unknown collection": Case("DELETE", NO_COLLECTION, 403, 121, "cannot access", who="bob"),
    "9 anonymous before 11 body": Case("PUT", R, 401, 104, "authenticate", {"nope": 1}, who=None),
    "9 forbidden before 11 headers": Case("GET", R, 403, 121, "cannot access", headers=BAD_ETAG, who="bob"),
    "9 forbidden before 12 malformed id": Case("GET", f"{RECORDS}/-", 403, 121, "cannot access", who="bob"),
    "9 forbidden before 13 condition": Case("PUT", R, 403, 121, "cannot access", {}, headers=STALE, who="bob"),
    "10 unknown collection before 11 query": Case("GET", f"{NO_COLLECTION}?_limit=x", 404, 111, ""),
    "10 unknown collection before 11 headers": Case("DELETE", NO_COLLECTION, 404, 111, "", headers=BAD_ETAG),
    "11 headers before 12 malformed id": Case("GET", f"{RECORDS}/-", 400, 107, "If-Match in header", headers=BAD_ETAG),
    "11 headers before 12 unknown object": Case(
        "GET", f"{RECORDS}/none", 400, 107, "If-Match in header", headers=BAD_ETAG
    ),
    "11 body before 12 malformed id": Case("PUT", f"{RECORDS}/-", 400, 107, "Unrecognized keys", {"nope": 1}),
    "11 body before 12 unknown object": Case("PATCH", f"{RECORDS}/none", 400, 107, "Unrecognized keys", {"nope": 1}),
    "11 attributes before 12 malformed id": Case(
        "PUT", f"{B}/groups/-", 400, 107, "data.members", {"data": {"members": 1}}
    ),
    "11 attributes before 13 condition": Case(
        "PUT", f"{B}/groups/g", 400, 107, "data.members", {"data": {"members": 1}}, headers=STALE
    ),
    "11 attributes before a known object": Case(
        "POST", f"{B}/groups", 400, 107, "data.members", {"data": {"id": "g", "members": 1}}
    ),
    "12 unknown object before 15 nothing to patch": Case("PATCH", f"{RECORDS}/none", 404, 110, "", {}),
    "11 body before 13 condition": Case("PUT", R, 400, 107, "Unrecognized keys", {"nope": 1}, headers=STALE),
    "11 query before 13 condition": Case("GET", f"{RECORDS}?_limit=x", 400, 107, "not a number", headers=STALE),
    "12 malformed id before 13 condition": Case("PUT", f"{RECORDS}/-", 400, 107, "object id", {}, headers=STALE),
    "12 unknown object before 13 condition": Case("DELETE", f"{RECORDS}/none", 404, 110, "", headers=STALE),
    "13 condition before 14 token": Case("GET", f"{RECORDS}?_token=x", 412, 114, "modified", headers=STALE),
    "13 condition before 14 filter": Case("DELETE", f"{RECORDS}?like_a=1", 412, 114, "modified", headers=STALE),
    "13 condition before 15 other id": Case("PUT", R, 412, 114, "modified", {"data": {"id": "x"}}, headers=STALE),
    "13 condition before 15 patch": Case(
        "PATCH", R, 412, 114, "modified", [{"op": "remove", "path": "/data/x"}], headers={**PATCH_TYPE, **STALE}
    ),
    "13 condition before 15 attributes": Case(
        "PATCH", f"{B}/groups/g", 412, 114, "modified", {"data": {"members": 1}}, headers=STALE
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_first_check_that_fails_gives_the_answer(client_with: ClientMaker, case: Case) -> None:
    """C-URL-28."""
    alice = client_with(dict(case.settings))
    for uri in (B, C, R, f"{B}/groups/g"):
        alice.put(uri)

    answer = alice.as_(case.who).ask(case.method, case.path, case.body, case.headers)

    assert (answer.status, answer.json["errno"]) == (case.status, case.errno)
    assert case.said in answer.json.get("message", "")


def test_304_is_answered_before_412_and_before_filters_are_looked_at(client_with: ClientMaker) -> None:
    """C-URL-28: steps 13 and 14."""
    client = client_with()
    client.put(B)
    etag = client.get("/buckets").headers["ETag"]

    answer = client.get("/buckets?_token=x&like_a=1", if_none_match=etag, if_match='"1"')

    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "headers", "body", "names"),
    [
        ("GET /buckets?_limit=x&_since=y", BAD_ETAG, None, ["If-Match", "_limit", "_since"]),
        ("PUT /buckets/b", BAD_ETAG, {"data": 1, "permissions": {"read": 1}}, ["If-Match", "data", "permissions.read"]),
        (
            "PUT /buckets/b",
            BAD_ETAG,
            {"data": {"record:schema": 1, "last_modified": 10**16}},
            ["If-Match", "data.last_modified", "data.record:schema"],
        ),
        ("GET /buckets?_sort=-a&_token=x&like_a=1", {}, None, None),
    ],
    ids=[
        "headers and query together",
        "headers and body together",
        "headers and attributes together",
        "filters and tokens one at a time",
    ],
)
def test_what_one_step_finds_is_told_together(
    client_with: ClientMaker, path: str, headers: Mapping[str, str], body: Any, names: list[str] | None
) -> None:
    """C-URL-28: steps 11 and 14; C-ERR-15."""
    client = client_with()
    client.put(B)

    method, _, target = path.partition(" ")
    answer = client.ask(method, target, body, headers)

    assert answer.status == 400
    names_of_problems = [problem["name"] for problem in answer.json["details"]]
    assert names_of_problems == names if names else len(names_of_problems) == 1
