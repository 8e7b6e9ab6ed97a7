"""Lists as clients ask for them: filters, sorting, tombstones, totals, pages, fields (docs/contract/core.md 6).

All tests of this file read the same records, which nobody changes. What each filter means for values of every type is
tested in `tests/contracts/test_filters.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app

C = "/buckets/b/collections/c"
LIST = f"{C}/records"

RECORDS: dict[str, dict[str, Any]] = {
    "a": {"n": 1, "title": "Alpha", "tags": ["x", "y"], "o": {"p": "q", "r": 1}, "even": False},
    "b": {"n": "1", "title": "beta", "tags": ["x"], "o.p": "q", "even": True},
    "c": {"n": 2.5, "title": "100%_off", "tags": [], "o": 5, "even": False},
    "d": {"n": [1], "title": "Gamma", "tags": "xy", "even": True},
    "e": {"n": {"k": 1}, "title": 12, "tags": ["z", {"k": 1}], "even": False},
    "f": {"even": True},
    "g": {"n": None, "title": "ALPHABET", "even": False},
    "h": {"n": True, "title": "étoile", "min_a-b": 1, "even": True},
}
"""From the oldest to the newest; `gone` was deleted after them."""

LIVING = "".join(RECORDS)


@pytest.fixture(scope="module", params=DATABASES)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Alice's client of a service with these records."""
    client = Client(make_app(database_url(request.param, request), BASICAUTH))
    client.batch({"method": "PUT", "path": "/buckets/b"}, {"method": "PUT", "path": C})
    puts = [
        {"method": "PUT", "path": f"{LIST}/{object_id}", "body": {"data": data}} for object_id, data in RECORDS.items()
    ]
    client.batch(*puts, {"method": "PUT", "path": f"{LIST}/gone"}, {"method": "DELETE", "path": f"{LIST}/gone"})
    yield client
    client.app.extensions["kinto"].close()


def ids(answer: Answer) -> str:
    """Return the ids of a page in its order, `-` for the tombstone."""
    assert answer.status == 200, answer.json
    return "".join("-" if one["id"] == "gone" else one["id"] for one in answer.data)


def url(client: Client, query: str) -> str:
    """Return the URL of the list with a query in which `<d>` stands for the timestamp of `d`."""
    for object_id in RECORDS:
        if f"<{object_id}>" in query:
            query = query.replace(f"<{object_id}>", str(client.get(f"{LIST}/{object_id}").etag))
    return f"{LIST}?{quote(query, safe='=&,')}"


RESULTS: dict[str, tuple[str, str]] = {
    "C-LIST-1 C-LIST-44 all, newest first": ("", "hgfedcba"),
    "C-LIST-4 names with an underscore that nobody knows": ("_unknown=1&_Sort=n", "hgfedcba"),
    "C-LIST-5 C-LIST-36 a field that nobody has": ("nothing=1", ""),
    "C-LIST-5 C-LIST-9 C-LIST-36 another value of a field that nobody has": ("not_nothing=1", "hgfedcba"),
    "C-LIST-6 C-LIST-7 a number": ("n=1", "a"),
    "C-LIST-7 a number with a fraction of nothing": ("n=1.0", "a"),
    "C-LIST-8 C-LIST-7 text in quotes": ('n="1"', "b"),
    "C-LIST-7 a boolean": ("n=true", "h"),
    "C-LIST-6 text that is not JSON": ("title=Alpha", "a"),
    "C-LIST-38 null": ("n=null", "g"),
    "C-LIST-9 equal": ("eq_n=2.5", "c"),
    "C-LIST-9 C-LIST-36 not equal": ("not_n=1", "hgfedcb"),
    "C-LIST-10 C-LIST-35 C-LIST-36 greater": ("gt_n=1", "hfedc"),
    "C-LIST-10 C-LIST-35 C-LIST-36 not less": ("min_n=1", "hfedca"),
    "C-LIST-10 C-LIST-35 C-LIST-36 less": ("lt_n=1", "gb"),
    "C-LIST-10 C-LIST-35 C-LIST-36 not greater": ("max_n=1", "gba"),
    "C-LIST-11 one of": ('in_n=1,"1",true', "hba"),
    "C-LIST-11 C-LIST-36 none of": ('exclude_n=1,"1",true', "gfedc"),
    "C-LIST-11 one of nothing": ("in_n=", ""),
    "C-LIST-11 none of nothing": ("exclude_n=", "hgfedcba"),
    "C-LIST-12 some ids": ("in_id=a,b,z", "ba"),
    "C-LIST-12 all but some ids": ("exclude_id=a,b,z", "hgfedc"),
    "C-LIST-14 C-LIST-36 text inside, whatever the case": ("like_title=alpha", "ga"),
    "C-LIST-14 text at the end": ("like_title=*A", "dba"),
    "C-LIST-14 text at the beginning": ("like_title=a*", "ga"),
    "C-LIST-16 characters that are no wildcards": ("like_title=%_", "c"),
    "C-LIST-16 a dot": ("like_title=.", ""),
    "C-LIST-14 digits in text alone": ('like_title="12"', ""),
    "C-LIST-17 a field that is there": ("has_n=true", "hgedcba"),
    "C-LIST-17 a field that is missing": ("has_n=false", "f"),
    "C-LIST-18 an array with an element": ("contains_tags=x", "ba"),
    "C-LIST-18 an array with all elements": ('contains_tags=["x","y"]', "a"),
    "C-LIST-18 an array with an object": ('contains_tags={"k": 1}', "e"),
    "C-LIST-18 C-LIST-19 any array": ("contains_tags=[]", "ecba"),
    "C-LIST-18 C-LIST-19 C-LIST-36 an array with one of the elements": ('contains_any_tags=["y","z"]', "ea"),
    "C-LIST-21 C-LIST-22 a nested field": ("o.p=q", "a"),
    "C-LIST-21 a nested field that is missing": ("has_o.p=false", "hgfedcb"),
    "C-LIST-23 a name that carries no operator": ("min_a-b=1", "h"),
    "C-LIST-24 several filters": ("even=false&gt_n=1", "ec"),
    "C-LIST-24 the same filter twice": ("title=Alpha&title=beta", ""),
    "C-LIST-37 greater text": ("gt_title=Gamma&lt_title=0", "hb"),
    "C-LIST-39 a greater array": ("gt_n=[0]", "fed"),
    "C-LIST-25 C-LIST-30 later": ("_since=<d>", "-hgfe"),
    "C-LIST-25 later, as ETag has it": ('_since="<d>"', "-hgfe"),
    "C-LIST-25 earlier": ("_before=<c>", "ba"),
    "C-LIST-25 earlier, as ETag has it": ('_before="<c>"', "ba"),
    "C-LIST-25 between": ("_since=<b>&_before=<e>", "dc"),
    "C-LIST-26 earlier, as one wrote it once": ("_to=<c>", "ba"),
    "C-LIST-27 at a moment": ("last_modified=<d>", "d"),
    "C-LIST-27 at a moment, as ETag has it": ('last_modified="<d>"', "d"),
    "C-LIST-27 C-LIST-30 greater timestamps": ("gt_last_modified=<d>", "-hgfe"),
    "C-LIST-27 C-LIST-30 not less timestamps": ('min_last_modified="<d>"', "-hgfed"),
    "C-LIST-27 less timestamps": ("lt_last_modified=<c>", "ba"),
    "C-LIST-27 not greater timestamps": ("max_last_modified=<c>", "cba"),
    "C-LIST-30 any but a moment": ("not_last_modified=0", "-hgfedcba"),
    "C-LIST-29 since null": ("_since=null", "hgfedcba"),
    "C-LIST-32 tombstones have no other fields": ("_since=0&even=true", "hfdb"),
    "C-LIST-32 tombstones lack other fields": ("_since=0&has_n=false", "-f"),
    "C-LIST-32 tombstones differ in other fields": ("_since=<e>&not_even=true", "-g"),
    "C-LIST-33 tombstones only": ("_since=0&deleted=true", "-"),
    "C-LIST-33 tombstones without a time": ("deleted=true", ""),
    "C-LIST-33 what says that it is not deleted": ("_since=0&deleted=false", ""),
    "C-LIST-33 what is not deleted": ("_since=<e>&not_deleted=true", "hgf"),
    "C-LIST-40 C-LIST-35 C-LIST-42 by a field": ("_sort=n", "gbachdef"),
    "C-LIST-40 C-LIST-35 C-LIST-42 by a field, descending": ("_sort=-n", "fedhcabg"),
    "C-LIST-40 with a plus": ("_sort=+n", "gbachdef"),
    "C-LIST-37 C-LIST-42 by text": ("_sort=title", "cgadbhef"),
    "C-LIST-40 by several fields": ("_sort=even,-title", "eagcfhbd"),
    "C-LIST-40 C-LIST-42 by a nested field": ("_sort=o.r", "ahgfedcb"),
    "C-LIST-41 newest first among equals": ("_sort=even", "gecahfdb"),
    "C-LIST-41 oldest first among equals": ("_sort=even,last_modified", "acegbdfh"),
    "C-LIST-43 C-LIST-41 by nonsense and a field that nobody has": ("_sort=!,,nothing", "hgfedcba"),
    "C-LIST-32 C-LIST-42 tombstones lack what is sorted by": ("_since=<e>&_sort=even", "ghf-"),
    "C-LIST-46 no limit": ("_limit=0", "hgfedcba"),
    "C-LIST-46 an empty limit": ("_limit=&_token=", "hgfedcba"),
    "C-LIST-46 a limit of null": ("_limit=null&_token=null", "hgfedcba"),
}


@pytest.mark.parametrize(("query", "expected"), RESULTS.values(), ids=RESULTS.keys())
def test_a_list_holds(client: Client, query: str, expected: str) -> None:
    """C-LIST-2, C-LIST-34: HEAD counts the same without tombstones."""
    path = url(client, query)

    assert ids(client.get(path)) == expected
    head = client.head(path)
    assert (head.status, head.body) == (200, b"")
    living = str(len(expected.replace("-", "")))
    assert (head.headers["Total-Objects"], head.headers["Total-Records"]) == (living, living)


REFUSED: dict[str, tuple[str, str | None, str | None]] = {
    "C-LIST-12 an id that is a number": ("id=12", "id", None),
    "C-LIST-12 ids that are numbers": ("in_id=a,1", "in_id", "Invalid value for in_id"),
    "C-LIST-13 one of some timestamps": ("in_last_modified=1,2", "in_last_modified", None),
    "C-LIST-13 none of some timestamps": ("exclude_last_modified=1,2", "exclude_last_modified", None),
    "C-LIST-15 a number in text": ("like_title=1", "like_title", "Invalid value for like_title"),
    "C-LIST-20 elements of an id": ("contains_id=a", "contains_id", "Field 'id' is not an array"),
    "C-LIST-20 elements of a timestamp": ("contains_any_last_modified=1", "contains_any_last_modified", None),
    "C-LIST-28 text": ("_since=abc", "_since", '"abc" is not a number'),
    "C-LIST-28 a boolean": ("_before=true", "_before", '"true" is not a number'),
    "C-LIST-28 nothing": ("_since=", "_since", "Invalid value for _since"),
    "C-LIST-28 a negative number": ("_since=-1", "_since", "-1 is less than minimum value 0"),
    "C-LIST-28 a negative timestamp": ("gt_last_modified=-1", "gt_last_modified", None),
    "C-LIST-28 a large number": ("_since=9223372036854775809", "_since", None),
    "C-LIST-28 the day after tomorrow": ("_since=9999999999999", "_since", "Invalid value for _since"),
    "C-LIST-46 a negative limit": ("_limit=-1", "_limit", "-1 is less than minimum value 0"),
    "C-LIST-46 a limit of text": ("_limit=abc", "_limit", '"abc" is not a number'),
    "C-LIST-51 a token that is none": ("_token=abc", None, "_token has invalid content"),
    "C-LIST-51 a token of other JSON": ("_token=W10=", None, "_token has invalid content"),
    "C-LIST-59 a null character in a value": ("title=a\0b", "title", "Invalid character 0x00"),
    "C-LIST-59 a null character in a name": ("a\0b=1", "a\0b", "Invalid character 0x00"),
}


@pytest.mark.parametrize(("query", "name", "description"), REFUSED.values(), ids=REFUSED.keys())
def test_a_query_is_refused_for(client: Client, query: str, name: str | None, description: str | None) -> None:
    for method in ("GET", "DELETE"):
        answer = client.ask(method, url(client, query))

        assert answer.status == 400
        problem = answer.json["details"][0]
        assert (problem["location"], problem["name"]) == ("querystring", name)
        assert description in (None, problem["description"])
    assert client.head(url(client, query)).status == 400


def test_a_tombstone_has_three_fields(client: Client) -> None:
    """C-LIST-31."""
    (tombstone,) = client.get(f"{LIST}?_since=0&deleted=true").data

    assert tombstone == {"id": "gone", "last_modified": client.get(LIST).etag, "deleted": True}


def test_totals_stand_on_head_alone(client: Client) -> None:
    """C-LIST-2, C-LIST-1: GET has neither."""
    headers = client.get(LIST).headers

    assert not {"Total-Objects", "Total-Records"} & set(headers.keys())


def test_head_ignores_pages(client: Client) -> None:
    """C-LIST-3, C-LIST-2."""
    token = dict(parse_qsl(urlsplit(client.get(f"{LIST}?_limit=3").headers["Next-Page"]).query))["_token"]

    head = client.head(f"{LIST}?_limit=3&_token={token}")

    assert head.headers["Total-Objects"] == "8"
    assert "Next-Page" not in head.headers


def test_a_parameter_of_the_past_is_told_in_an_alert(client: Client) -> None:
    """C-LIST-26."""
    alert = json.loads(client.get(f"{LIST}?_to=1").headers["Alert"])

    assert (alert["code"], alert["message"]) == ("soft-eol", "_to is now deprecated, you should use _before instead")
    assert "Alert" not in client.get(f"{LIST}?_before=1").headers


SORTS = ["", "_sort=n", "_sort=-n", "_sort=title", "_sort=-tags", "_sort=even,-o", "_sort=id", "_since=0&_sort=-even"]


def pages(client: Client, first: str) -> list[Answer]:
    """Follow `Next-Page` to the end."""
    answers = [client.get(first)]
    while "Next-Page" in answers[-1].headers:
        answers.append(client.get(path_of(answers[-1])))
    return answers


def path_of(answer: Answer) -> str:
    """Return `Next-Page` without scheme and host."""
    place = urlsplit(answer.headers["Next-Page"])
    assert (place.scheme, place.netloc) == ("http", "localhost")
    return f"{place.path}?{place.query}"


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("query", SORTS, ids=[sort or "the usual order" for sort in SORTS])
def test_pages_hold_each_object_once_with(client: Client, query: str, size: int) -> None:
    """C-LIST-53, C-LIST-54, C-LIST-47, C-LIST-45: ties, missing values, arrays, objects and tombstones too."""
    whole = ids(client.get(f"{LIST}?{query}"))

    ids_of_pages = [ids(page) for page in pages(client, f"{LIST}?{query}&_limit={size}")]

    assert "".join(ids_of_pages) == whole
    assert [len(page) for page in ids_of_pages[:-1]] == [size] * (len(ids_of_pages) - 1)


def test_the_last_page_names_no_next_when_it_is_full(client: Client) -> None:
    """C-LIST-48."""
    assert [len(page.data) for page in pages(client, f"{LIST}?_limit=4")] == [4, 4]


def test_the_next_page_has_the_parameters_of_this(client: Client) -> None:
    """C-LIST-47, C-LIST-50: in their order, of repeated ones the last."""
    answer = client.get(f"{LIST}?_sort=title&even=true&_limit=1&_sort=n")

    place = urlsplit(answer.headers["Next-Page"])
    assert place.path == f"/v1{LIST}"
    assert [pair for pair in parse_qsl(place.query) if pair[0] != "_token"] == [
        ("_sort", "n"),
        ("even", "true"),
        ("_limit", "1"),
    ]


def test_a_token_can_be_used_again(client: Client) -> None:
    """C-LIST-52."""
    following = path_of(client.get(f"{LIST}?_limit=3"))

    assert [ids(client.get(following)) for _ in range(2)] == ["edc", "edc"]


REDUCED: dict[str, tuple[str, dict[str, Any]]] = {
    "C-LIST-56 a field": ("n", {"n": 1}),
    "C-LIST-56 a nested field": ("o.p,n", {"n": 1, "o": {"p": "q"}}),
    "C-LIST-56 a field of something else": ("title.x", {"title": "Alpha"}),
    "C-LIST-58 a field that is not there": ("nothing", {}),
    "C-LIST-58 no field": ("", RECORDS["a"]),
}


@pytest.mark.parametrize(("fields", "expected"), REDUCED.values(), ids=REDUCED.keys())
def test_objects_are_reduced_to(client: Client, fields: str, expected: dict[str, Any]) -> None:
    """C-LIST-57: so is a single one, and it goes without its permissions."""
    whole = client.get(f"{LIST}/a").data
    always = {name: whole[name] for name in ("id", "last_modified")}

    (record,) = client.get(f"{LIST}?id=a&_fields={fields}").data
    lone = client.get(f"{LIST}/a?_fields={fields}").json

    assert record == lone["data"] == always | expected
    assert ("permissions" in lone) is (fields == "")


@pytest.mark.parametrize(("fields", "is_shown"), [("n", False), ("n,deleted", True)])
def test_a_tombstone_says_that_it_is_one_when_asked(client: Client, fields: str, is_shown: bool) -> None:
    """C-LIST-58."""
    (tombstone,) = client.get(f"{LIST}?_since=0&deleted=true&_fields={fields}").data

    assert ("deleted" in tombstone) is is_shown


def test_the_answer_on_a_list_has_data_alone(client: Client) -> None:
    """C-LIST-1, C-PERM-8."""
    answer = client.get(LIST)

    assert list(answer.json) == ["data"]
    assert answer.data[-1] == client.get(f"{LIST}/a").data
