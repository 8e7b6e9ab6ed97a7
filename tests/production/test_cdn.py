"""Behind a CDN as docs/production.md says: no host leaks, and what is cached is for those who get it (O-DEP-9)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.factory import create_app
from app.service import Service
from tests.production import guide
from tests.support.client import Client
from tests.support.databases import BASICAUTH

TITLE = "Handling CDN"
CDN = "https://cdn.example.org"
RECORDS = "/buckets/b/collections/c/records"
RECORD = f"{RECORDS}/a"
ORIGIN = {"Origin": "https://app.example.org"}
PREFLIGHT = {**ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "if-none-match"}


@pytest.fixture(params=["*", "https://app.example.org https://other.example.org"], ids=["any origin", "some origins"])
def alice(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give alice's client of a service behind the CDN of the guide, with two records that everybody may read."""
    app = create_app({**BASICAUTH, **guide.settings(TITLE), "kinto.cors_origins": request.param})
    client, everybody = Client(app), {"read": ["system.Everyone"]}
    client.put("/buckets/b", permissions=everybody)
    client.put("/buckets/b/collections/c")
    client.put(RECORD)
    client.put(f"{RECORDS}/b")
    yield client
    service: Service = app.extensions["kinto"]
    service.close()


@pytest.fixture
def nobody(alice: Client) -> Client:
    """Give a client of nobody in particular, whose answers a CDN may keep."""
    return alice.as_(None)


def test_the_home_page_shows_the_url_of_the_cdn(nobody: Client) -> None:
    """O-DEP-9, O-SET-42."""
    assert nobody.get("/").json["url"] == f"{CDN}/v1/"


def test_no_answer_shows_the_host_of_the_main_server(nobody: Client) -> None:
    """O-DEP-9, O-SET-42."""
    answers = [
        nobody.get("/", host="origin.internal"),
        nobody.get(f"{RECORDS}?_limit=1", host="origin.internal"),
        nobody.get(f"{RECORDS}/", host="origin.internal"),
        nobody.get("/__api__", host="origin.internal"),
        nobody.get("/nothing", host="origin.internal"),
    ]

    assert not [answer for answer in answers if "origin.internal" in f"{answer.headers}{answer.body.decode()}"]
    assert answers[1].headers["Next-Page"].startswith(f"{CDN}/v1{RECORDS}?")
    assert answers[2].headers["Location"] == f"{CDN}/v1{RECORDS}"
    assert answers[3].json["host"] == "cdn.example.org"


def test_options_of_browsers_pass(nobody: Client) -> None:
    answer = nobody.ask("OPTIONS", RECORDS, headers=PREFLIGHT)

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN["Origin"])


@pytest.mark.parametrize("path", [RECORD, RECORDS])
def test_what_anybody_may_read_has_all_that_a_cache_goes_by(nobody: Client, path: str) -> None:
    answer = nobody.get(path)

    assert answer.headers["Cache-Control"] == "max-age=60"
    assert {"ETag", "Last-Modified", "Expires"} <= set(answer.headers.keys())
    assert "Authorization" in answer.headers["Vary"]


def test_a_cache_can_ask_whether_its_copy_is_current(nobody: Client) -> None:
    known = nobody.get(RECORDS).headers["ETag"]

    assert nobody.get(RECORDS, if_none_match=known).status == 304


def test_answers_depend_on_the_query_string(nobody: Client) -> None:
    one, two = nobody.get(f"{RECORDS}?_limit=1"), nobody.get(f"{RECORDS}?_limit=2")

    assert (len(one.data), len(two.data)) == (1, 2)


def test_what_somebody_asked_for_is_not_cached(alice: Client) -> None:
    """O-DEP-8."""
    assert alice.get(RECORDS).headers["Cache-Control"] == "no-cache, no-store"


@pytest.mark.parametrize("origin", [{}, ORIGIN], ids=["without an origin", "of an origin"])
def test_a_copy_for_one_origin_is_not_for_another_when_they_are_named(nobody: Client, origin: dict[str, str]) -> None:
    """O-SET-44: also the copy of a request without origin, which would let no script read it."""
    named = nobody.app.extensions["kinto"].settings.cors_origins != ("*",)

    answer = nobody.ask("GET", RECORDS, headers=origin)

    assert ("Origin" in answer.headers["Vary"]) == named


def test_an_origin_that_is_not_named_is_refused_before_anything_is_done(alice: Client) -> None:
    """O-SET-43."""
    foreign = {"Origin": "https://c.example.org"}
    named = alice.app.extensions["kinto"].settings.cors_origins != ("*",)

    answer = alice.ask("DELETE", RECORD, headers=foreign)

    assert answer.status == (400 if named else 200)
    assert alice.get(RECORD).status == (200 if named else 404)


def test_the_home_page_of_a_read_only_service_is_cached_for_nobody_in_particular_alone() -> None:
    """O-SET-36, O-DEP-8."""
    app = create_app({**BASICAUTH, **guide.settings("Read-only user")})
    nobody = Client(app, None)

    answer, own = nobody.get("/"), nobody.as_("alice").get("/")

    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("max-age=86400", "Authorization")
    assert own.headers["Cache-Control"] == "no-cache, no-store"
    app.extensions["kinto"].close()
