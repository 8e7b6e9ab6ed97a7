"""`If-Match` and `If-None-Match`: 304 and 412 (docs/contract/core.md 5.3 to 5.8)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from backends import Json
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
GONE = f"{RECORDS}/gone"
FREE = f"{RECORDS}/free"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with()


VERBS: dict[str, tuple[Any, ...]] = {
    "GET": ("GET", R),
    "HEAD": ("HEAD", R),
    "PUT": ("PUT", R, {"data": {"n": 2}}),
    "PATCH": ("PATCH", R, {"data": {"n": 2}}),
    "DELETE": ("DELETE", R),
    "POST of its id": ("POST", RECORDS, {"data": {"id": "r"}}),
}
"""The requests that bear on the record `r`, which is there."""

each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@pytest.fixture
def stocked(client: Client) -> Client:
    """Alice's client of a service with the records `r` and, deleted, `gone`; the list is newer than `r`."""
    puts = [{"method": "PUT", "path": path} for path in (B, C, R, GONE)]
    client.batch(*puts, {"method": "DELETE", "path": GONE})
    return client


def ask(client: Client, request: tuple[Any, ...], **headers: str) -> Answer:
    """Send a method, a path and maybe a body with headers."""
    method, path, body = (*request, None)[:3]
    return client.ask(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})


def quoted(timestamp: int) -> str:
    """Return a timestamp as `ETag` has it."""
    return f'"{timestamp}"'


@on_sqlite
@each_verb
def test_the_current_timestamp_is_a_match(stocked: Client, verb: Any) -> None:
    """C-PRE-29, C-PRE-34, C-PRE-16, C-PRE-32: so is anything, when the object is there."""
    assert ask(stocked, verb, If_Match=stocked.get(R).headers["ETag"]).status == 200
    if verb[0] != "DELETE":
        assert ask(stocked, verb, If_Match="*").status == 200


@on_sqlite
@each_verb
def test_any_other_timestamp_is_412(stocked: Client, verb: Any) -> None:
    """C-PRE-29, C-PRE-34, C-PRE-36, C-PRE-38: equality, not order; nothing is written."""
    before, list_before = stocked.get(R), stocked.get(RECORDS).etag

    for other in (before.etag - 1, before.etag + 1):
        answer = ask(stocked, verb, If_Match=quoted(other))

        assert answer.status == 412
        if verb[0] != "HEAD":
            assert (answer.json["errno"], answer.json["message"]) == (114, "Resource was modified meanwhile")
            assert answer.json["details"] == {"existing": before.data}
    assert (stocked.get(R).data, stocked.get(RECORDS).etag) == (before.data, list_before)


@on_sqlite
@each_verb
def test_an_object_that_should_not_be_there_is_412(stocked: Client, verb: Any) -> None:
    """C-PRE-25, C-PRE-34, C-PRE-36, C-PRE-38."""
    before, list_before = stocked.get(R), stocked.get(RECORDS).etag

    answer = ask(stocked, verb, If_None_Match="*")

    assert answer.status == 412
    if verb[0] != "HEAD":
        assert answer.json["details"] == {"existing": before.data}
    assert (stocked.get(R).data, stocked.get(RECORDS).etag) == (before.data, list_before)


@on_sqlite
def test_a_412_carries_the_timestamp_of_the_object(stocked: Client) -> None:
    """C-PRE-15."""
    known = stocked.get(R).headers

    answer = stocked.put(R, {"n": 2}, if_match='"5"')

    assert [answer.headers[name] for name in ("ETag", "Last-Modified")] == [known["ETag"], known["Last-Modified"]]


@on_sqlite
def test_a_412_tells_nothing_of_an_object_to_who_may_not_read_it(stocked: Client) -> None:
    """C-PRE-36, C-ERR-44: whoever may only create learns no more than that it is there."""
    stocked.patch(C, permissions={"record:create": [stocked.as_("bob").id]})

    answer = stocked.as_("bob").put(R, {"n": 2}, if_none_match="*")

    assert answer.status == 412
    assert "details" not in answer.json


CREATIONS: dict[str, tuple[Any, ...]] = {
    "PUT of a free id": ("PUT", FREE),
    "PUT of a deleted id": ("PUT", GONE),
    "POST without id": ("POST", RECORDS),
    "POST of a free id": ("POST", RECORDS, {"data": {"id": "free"}}),
    "POST of a deleted id": ("POST", RECORDS, {"data": {"id": "gone"}}),
}


@pytest.mark.parametrize("creation", CREATIONS.values(), ids=CREATIONS.keys())
def test_what_should_not_be_there_is_created(stocked: Client, creation: Any) -> None:
    """C-PRE-26, C-PRE-28."""
    assert ask(stocked, creation, If_None_Match="*").status == 201


@on_sqlite
@pytest.mark.parametrize("match", ["own timestamp", "timestamp of the list", "anything"])
@pytest.mark.parametrize("path", [FREE, GONE], ids=["never there", "deleted"])
def test_put_of_what_is_not_there_is_412_without_details(stocked: Client, path: str, match: str) -> None:
    """C-PRE-31, C-PRE-32, C-PRE-37, C-PRE-15, C-PRE-28."""
    known = stocked.get(RECORDS).etag
    values = {"own timestamp": '"1"', "timestamp of the list": quoted(known), "anything": "*"}

    answer = stocked.put(path, {}, if_match=values[match])

    assert (answer.status, answer.etag) == (412, known)
    assert "details" not in answer.json
    assert stocked.get(path).status == 404


@on_sqlite
@pytest.mark.parametrize("header", ["If_Match", "If_None_Match"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_is_not_there_is_404_whatever_is_expected(stocked: Client, method: str, header: str) -> None:
    """C-PRE-31, C-PRE-15, C-PRE-28: with neither of the headers of a timestamp."""
    body: Json = {"data": {}} if method == "PATCH" else None

    answer = ask(stocked, (method, GONE, body), **{header: "*"})

    assert answer.status == 404
    assert not {"ETag", "Last-Modified"} & set(answer.headers.keys())


@on_sqlite
@pytest.mark.parametrize("match", ["timestamp of the list", "anything"])
@pytest.mark.parametrize("body", [None, {"data": {"id": "free"}}], ids=["without id", "of a free id"])
def test_post_is_412_with_any_match_when_nothing_has_its_id(stocked: Client, body: Any, match: str) -> None:
    """C-PRE-33."""
    value = "*" if match == "anything" else stocked.get(RECORDS).headers["ETag"]

    assert ask(stocked, ("POST", RECORDS, body), If_Match=value).status == 412


@on_sqlite
def test_anything_is_a_match_when_an_object_is_deleted(stocked: Client) -> None:
    """C-PRE-32."""
    assert stocked.delete(R, if_match="*").status == 200


ON_LISTS: dict[str, tuple[dict[str, str], int]] = {
    "C-PRE-30 the timestamp of the list is a match": ({"If_Match": "list"}, 200),
    "C-PRE-30 C-PRE-29 that of an object in it is none": ({"If_Match": "object"}, 412),
    "C-PRE-32 anything is a match": ({"If_Match": "*"}, 200),
    "C-PRE-27 a list is always there": ({"If_None_Match": "*"}, 412),
}


@pytest.mark.parametrize(("headers", "status"), ON_LISTS.values(), ids=ON_LISTS.keys())
def test_of_lists(stocked: Client, headers: dict[str, str], status: int) -> None:
    """C-PRE-37, C-PRE-38, C-PRE-15: a 412 of a list has its timestamp and no details."""
    known = stocked.get(RECORDS).etag
    etags = {"list": quoted(known), "object": stocked.get(R).headers["ETag"]}
    expected = {name: etags.get(value, value) for name, value in headers.items()}

    for method in ("GET", "HEAD", "DELETE"):
        answer = ask(stocked, (method, RECORDS), **expected)

        assert answer.status == status
        if status == 412:
            assert answer.etag == known
            assert "details" not in (answer.json or {})
            assert stocked.get(R).status == 200


FRESH = {
    "an object": R,
    "a list": RECORDS,
    "a list with filters": f"{RECORDS}?n=7",
    "a list with a filter that is refused": f"{RECORDS}?like_n=1",
}


@pytest.mark.parametrize("path", FRESH.values(), ids=FRESH.keys())
def test_a_current_copy_is_304(client_with: ClientMaker, path: str) -> None:
    """C-PRE-22, C-PRE-15, C-PRE-24, C-HDR-18: no body and no caching, but all that stands on every answer."""
    client = client_with({"kinto.backoff": "10"})
    client.put(B)
    client.put(C)
    client.put(R)
    known = client.get(path.partition("?")[0]).headers

    for method in ("GET", "HEAD"):
        answer = client.ask(method, path, headers={"If-None-Match": known["ETag"], "Origin": "https://a.example"})

        assert (answer.status, answer.body) == (304, b"")
        assert "Cache-Control" not in answer.headers
        for name in ("ETag", "Last-Modified", "Content-Security-Policy", "X-Content-Type-Options", "Backoff"):
            assert answer.headers[name] == known[name]
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]


@on_sqlite
@pytest.mark.parametrize("path", [R, RECORDS], ids=["an object", "a list"])
def test_any_other_copy_is_sent_anew(stocked: Client, path: str) -> None:
    """C-PRE-23: an older one and a newer one."""
    known = stocked.get(path).etag

    assert stocked.get(path, if_none_match=quoted(known - 1)).status == 200
    assert stocked.get(path, if_none_match=quoted(known + 1)).status == 200


@on_sqlite
@pytest.mark.parametrize("path", [R, RECORDS], ids=["an object", "a list"])
def test_a_current_copy_is_304_though_the_match_fails(stocked: Client, path: str) -> None:
    """C-PRE-23."""
    current = stocked.get(path).headers["ETag"]

    assert stocked.get(path, if_none_match=current, if_match='"5"').status == 304


@on_sqlite
@pytest.mark.parametrize("path", [R, RECORDS], ids=["an object", "a list"])
def test_nobody_learns_whether_a_copy_is_current_who_may_not_read_it(stocked: Client, path: str) -> None:
    """C-PRE-22, C-PRE-15."""
    answer = stocked.as_("eve").get(path, if_none_match=stocked.get(path).headers["ETag"])

    assert answer.status == 403
    assert "ETag" not in answer.headers


@on_sqlite
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_ignores_whether_a_copy_is_current(stocked: Client, method: str) -> None:
    """C-PRE-35."""
    body: Json = None if method == "DELETE" else {"data": {}}

    assert ask(stocked, (method, R, body), If_None_Match=stocked.get(R).headers["ETag"]).status == 200


@on_sqlite
def test_both_headers_hold_when_both_are_given(stocked: Client) -> None:
    """C-PRE-25, C-PRE-31: the object is there and should not be; it is not there and should be."""
    current = stocked.get(R).headers["ETag"]

    assert stocked.put(R, {}, if_none_match="*", if_match=current).status == 412
    assert stocked.put(FREE, {}, if_none_match="*", if_match=current).status == 412


MALFORMED = {
    "C-PRE-16 a bare number": "1700000000000",
    "C-PRE-16 text": '"abc"',
    "C-PRE-16 empty quotes": '""',
    "C-PRE-16 a fraction": '"1.5"',
    "C-PRE-16 a negative number": '"-5"',
    "C-PRE-20 a weak one": 'W/"1700000000000"',
    "C-PRE-20 several": '"1", "2"',
    "C-PRE-19 something after the star": "*foo",
    "C-PRE-19 stars around a number": "*12*",
}


@on_sqlite
@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_timestamp_is_400(stocked: Client, value: str) -> None:
    requests: tuple[tuple[Any, ...], ...] = (
        ("GET", R),
        ("PUT", R, {"data": {}}),
        ("GET", RECORDS),
        ("DELETE", RECORDS),
        ("POST", RECORDS),
    )
    for request, header in product(requests, ("If-Match", "If-None-Match")):
        answer = ask(stocked, request, **{header: value})

        assert answer.status == 400
        assert answer.json["details"] == [
            {
                "location": "header",
                "name": header,
                "description": "The value should be integer between double quotes.",
            }
        ]
        assert "ETag" not in answer.headers


IGNORED: dict[str, dict[str, str]] = {
    "C-PRE-17 an empty match": {"If-Match": ""},
    "C-PRE-17 an empty none-match": {"If-None-Match": ""},
    "C-PRE-21 a date since": {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    "C-PRE-21 a date until": {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
}


@on_sqlite
@pytest.mark.parametrize("headers", IGNORED.values(), ids=IGNORED.keys())
def test_nothing_is_expected_with(stocked: Client, headers: dict[str, str]) -> None:
    assert stocked.ask("GET", R, headers=headers).status == 200
    assert stocked.ask("PUT", R, {"data": {"n": 2}}, headers).status == 200


@on_sqlite
def test_zero_is_a_timestamp_like_any_other(stocked: Client) -> None:
    """C-PRE-18."""
    assert stocked.put(R, {}, if_match='"0"').status == 412
    assert stocked.get(R, if_none_match='"0"').status == 200
