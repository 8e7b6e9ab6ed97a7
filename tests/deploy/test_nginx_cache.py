"""nginx as cache server: what it keeps, for how long, and what it keeps from whom (operations contract, 6.4)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from tests.deploy.asking import OUTSIDE, ask
from tests.deploy.servers import behind_nginx
from tests.support.client import user_id
from tests.support.databases import BASICAUTH

NUMBERS = itertools.count()
EVERYBODY = {"read": ["system.Everyone"]}


@pytest.fixture(
    scope="module",
    params=[pytest.param("proxy_cache", id="over HTTP"), pytest.param("uwsgi_cache", id="over the protocol of uWSGI")],
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of nginx."""
    settings = {**BASICAUTH, "kinto.group_cache_expires_seconds": 60}
    with behind_nginx(request.param, settings) as (url, _):
        yield url


def collection(url: str, cache_expires: int | None = None, *readers: str) -> str:
    """Make a collection with two records, one of which everybody may read; return its list of records."""
    bucket = f"/buckets/b{next(NUMBERS)}"
    records = f"{bucket}/collections/c/records"
    data = {} if cache_expires is None else {"cache_expires": cache_expires}
    ask(url, "PUT", bucket, {}, "alice")
    ask(url, "PUT", f"{bucket}/collections/c", {"data": data, "permissions": {"read": list(readers)}}, "alice")
    ask(url, "PUT", f"{records}/public", {"data": {"n": 1}, "permissions": EVERYBODY}, "alice")
    ask(url, "PUT", f"{records}/secret", {"data": {"n": 2}}, "alice")
    return records


def statuses(url: str, *paths: str, method: str = "GET", **headers: str) -> list[str]:
    """Return what nginx says of its cache for one request after the other."""
    return [ask(url, method, path, **headers).headers.get("X-Cache-Status", "") for path in paths]


def test_what_may_be_cached_is_served_from_the_cache(url: str) -> None:
    """O-DEP-7."""
    records = collection(url, 60)

    assert statuses(url, f"{records}/public", f"{records}/public") == ["MISS", "HIT"]


def test_what_may_not_be_cached_is_fetched_each_time(url: str) -> None:
    records = collection(url)

    assert statuses(url, f"{records}/public", f"{records}/public") == ["MISS", "MISS"]


def test_a_copy_is_served_until_it_expires_even_after_a_write(url: str) -> None:
    records = collection(url, 60)
    ask(url, "GET", f"{records}/public")

    ask(url, "PATCH", f"{records}/public", {"data": {"n": 3}}, "alice")

    assert ask(url, "GET", f"{records}/public").data["n"] == 1


def test_a_copy_answers_304_to_the_etag_that_it_has(url: str) -> None:
    records = collection(url, 60)
    etag = ask(url, "GET", f"{records}/public").headers["ETag"]

    again = ask(url, "GET", f"{records}/public", if_none_match=etag)

    assert (again.status, again.headers["X-Cache-Status"]) == (304, "HIT")


def test_an_expired_copy_is_kept_when_its_etag_is_still_right(url: str) -> None:
    records = collection(url, 1)
    ask(url, "GET", f"{records}/public")
    time.sleep(2.1)

    again = ask(url, "GET", f"{records}/public")

    assert (again.status, again.headers["X-Cache-Status"], again.data["n"]) == (200, "REVALIDATED", 1)


def test_an_expired_copy_is_replaced_when_its_object_has_changed(url: str) -> None:
    records = collection(url, 1)
    ask(url, "GET", f"{records}/public")
    ask(url, "PATCH", f"{records}/public", {"data": {"n": 3}}, "alice")
    time.sleep(2.1)

    again = ask(url, "GET", f"{records}/public")

    assert (again.headers["X-Cache-Status"], again.data["n"]) == ("EXPIRED", 3)


def test_a_private_object_is_never_served_to_somebody_else(url: str) -> None:
    records = collection(url, 60)

    for _ in range(2):
        assert ask(url, "GET", f"{records}/secret", name="alice").data["n"] == 2
        assert ask(url, "GET", f"{records}/secret", name="bob").status == 403
        assert ask(url, "GET", f"{records}/secret").status == 401


def test_each_reader_gets_the_list_that_is_theirs(url: str) -> None:
    """Somebody with a name is neither served the copy of those without, nor makes one for them."""
    records = collection(url, 60)

    for _ in range(2):
        assert [each["id"] for each in ask(url, "GET", records).data] == ["public"]
        assert len(ask(url, "GET", records, name="alice").data) == 2


def test_somebody_with_a_name_is_never_served_a_copy(url: str) -> None:
    records = collection(url, 60)
    ask(url, "GET", f"{records}/public")

    assert ask(url, "GET", f"{records}/public", name="bob").headers["X-Cache-Status"] == "BYPASS"


def test_what_somebody_with_a_name_asked_for_is_not_kept(url: str) -> None:
    """Not even what anybody may keep, such as a redirect."""
    records = collection(url)

    moved = ask(url, "GET", f"{records}/", name="alice")

    assert (moved.status, moved.headers["Cache-Control"]) == (307, "max-age=3600")
    assert statuses(url, f"{records}/", f"{records}/") == ["MISS", "HIT"]


def test_a_record_that_was_made_private_is_not_revalidated(url: str) -> None:
    records = collection(url, 1)
    assert ask(url, "GET", f"{records}/public").status == 200
    ask(url, "PATCH", f"{records}/public", {"permissions": {"read": []}}, "alice")
    time.sleep(2.1)

    assert ask(url, "GET", f"{records}/public").status == 401


def test_the_home_page_of_one_user_is_never_served_to_another(url: str) -> None:
    for name in ("alice", "bob"):
        assert ask(url, "GET", "/", name=name).json["user"]["id"] == user_id(name)
    assert "user" not in ask(url, "GET", "/").json


def test_the_query_is_part_of_what_is_kept(url: str) -> None:
    """O-DEP-9."""
    records = collection(url, 60, "system.Everyone")

    assert [len(ask(url, "GET", f"{records}?_limit={limit}").data) for limit in (1, 2, 1)] == [1, 2, 1]


def test_head_has_an_entry_of_its_own_with_the_total(url: str) -> None:
    records = collection(url, 60, "system.Everyone")
    ask(url, "GET", records)

    answers = [ask(url, "HEAD", records) for _ in range(2)]

    assert [answer.headers["Total-Objects"] for answer in answers] == ["2", "2"]
    assert [answer.headers["X-Cache-Status"] for answer in answers] == ["MISS", "HIT"]
    assert len(ask(url, "GET", records).data) == 2


def test_a_browser_may_read_what_somebody_without_one_has_fetched_before(url: str) -> None:
    """A copy without `Access-Control-Allow-Origin` must not be served to who needs that."""
    records = collection(url, 60)
    ask(url, "GET", f"{records}/public")

    answers = [ask(url, "GET", f"{records}/public", origin="https://a.org") for _ in range(2)]

    assert [answer.headers["Access-Control-Allow-Origin"] for answer in answers] == ["*", "*"]
    assert [answer.headers["X-Cache-Status"] for answer in answers] == ["MISS", "HIT"]


def test_other_kinds_are_cached_for_as_long_as_a_setting_says(url: str) -> None:
    ask(url, "PUT", "/buckets/groups", {}, "alice")
    ask(url, "PUT", "/buckets/groups/groups/g", {"data": {"members": []}, "permissions": EVERYBODY}, "alice")

    assert statuses(url, "/buckets/groups/groups/g", "/buckets/groups/groups/g") == ["MISS", "HIT"]


def test_private_urls_are_private_on_a_cache_server_too(url: str) -> None:
    inside = [ask(url, "GET", "/__heartbeat__").status for _ in range(2)]

    assert (inside, ask(url, "GET", "/__heartbeat__", source=OUTSIDE).status) == ([200, 200], 403)


def test_the_id_of_a_request_is_given_to_nobody_else(url: str) -> None:
    path = f"{collection(url, 60)}/public"

    answers = [
        ask(url, "GET", path, x_request_id=request_id) for request_id in ("mine-1", "yours/2", "o dd", "x" * 300)
    ]

    assert [answer.headers.get("X-Request-Id") for answer in answers] == ["mine-1", "yours/2", None, None]
    assert "X-Request-Id" not in ask(url, "GET", path).headers
    assert [answer.headers["X-Cache-Status"] for answer in answers] == ["MISS", "HIT", "HIT", "HIT"]
