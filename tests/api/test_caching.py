"""How long clients may cache what they read (docs/contract/core.md 9.4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from backends import Json
from backends.codec import dumps
from backends.storage import Change, Stored
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Answer, Client

pytestmark = on_sqlite

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"
NEVER = "no-cache, no-store"


def public(client: Client, data: Any = None) -> Client:
    """Make a bucket that everyone may read, with a collection and a record; return a client of nobody in particular."""
    everyone = {"read": ["system.Everyone"]}
    bodies: tuple[tuple[str, Json], ...] = (
        (B, {"permissions": everyone}),
        (C, {"data": data or {}}),
        (R, {}),
        (f"{B}/groups/g", {}),
    )
    client.batch(*({"method": "PUT", "path": path, "body": body} for path, body in bodies))
    return client.as_(None)


def cached(answer: Answer) -> str:
    """Return `Cache-Control`, having compared `Expires` with it."""
    assert answer.status == 200
    control = answer.headers["Cache-Control"]
    if not control.startswith("max-age"):
        assert "Expires" not in answer.headers
        return control
    seconds = int(control.partition(",")[0].partition("=")[2])
    expires = parsedate_to_datetime(answer.headers["Expires"]) - datetime.now(UTC)
    assert timedelta(seconds=seconds - 30) < expires <= timedelta(seconds=seconds + 1)
    return control


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_is_cached_by_default(client: Client, method: str) -> None:
    """C-HDR-14."""
    nobody = public(client)

    assert {cached(who.ask(method, path)) for who in (client, nobody) for path in (B, C, RECORDS, R)} == {NEVER}


KINDS: dict[str, list[str]] = {
    "bucket": [B],
    "collection": [C, f"{B}/collections"],
    "group": [f"{B}/groups/g", f"{B}/groups"],
    "record": [R, RECORDS],
}


@pytest.mark.parametrize(("kind", "paths"), KINDS.items(), ids=KINDS.keys())
def test_nobody_in_particular_may_cache_as_long_as_the_setting_says_for_the(
    client_with: ClientMaker, kind: str, paths: list[str]
) -> None:
    """C-HDR-15, C-HDR-16: on object and list, and nobody else may."""
    client = client_with({f"kinto.{kind}_cache_expires_seconds": "3600"})
    nobody = public(client)

    every = [path for some in KINDS.values() for path in some]

    assert {path for path in every if cached(nobody.get(path)) == "max-age=3600"} == set(paths)
    assert {cached(client.get(path)) for path in every} == {NEVER}


ZERO = "max-age=0, must-revalidate, no-cache, no-store"
OF_RECORDS: dict[str, tuple[dict[str, str], Any, str]] = {
    "the setting of the collection": (
        {"b.c.record_cache_expires_seconds": "7", "b.record_cache_expires_seconds": "8"},
        None,
        "max-age=7",
    ),
    "the setting of the bucket": (
        {"b.record_cache_expires_seconds": "8", "record_cache_expires_seconds": "9"},
        None,
        "max-age=8",
    ),
    "the setting of all, before old names": (
        {"record_cache_expires_seconds": "9", "b_c_record_cache_expires_seconds": "10"},
        None,
        "max-age=9",
    ),
    "the old name for a collection": (
        {"b_c_record_cache_expires_seconds": "10", "b_record_cache_expires_seconds": "11"},
        None,
        "max-age=10",
    ),
    "the old name for a bucket": ({"b_record_cache_expires_seconds": "11"}, None, "max-age=11"),
    "nothing for another bucket": ({"d.record_cache_expires_seconds": "8"}, None, NEVER),
    "what the collection says": ({}, 60, "max-age=60"),
    "what the collection says, when it is more": ({"record_cache_expires_seconds": "9"}, 60, "max-age=60"),
    "the setting, when the collection says less": ({"record_cache_expires_seconds": "90"}, 60, "max-age=90"),
    "not at all, when the setting says so": ({"b.record_cache_expires_seconds": "0"}, None, ZERO),
    "not at all, when the collection says so": ({}, 0, ZERO),
}


@pytest.mark.parametrize(("settings", "expires", "expected"), OF_RECORDS.values(), ids=OF_RECORDS.keys())
def test_records_are_cached_by(
    client_with: ClientMaker, settings: dict[str, str], expires: int | None, expected: str
) -> None:
    """C-HDR-17."""
    client = client_with({f"kinto.{name}": value for name, value in settings.items()})
    nobody = public(client, None if expires is None else {"cache_expires": expires})

    for path in (R, RECORDS):
        answer = nobody.get(path)

        assert cached(answer) == expected
        assert answer.headers.get("Pragma") == ("no-cache" if expected == ZERO else None)
    assert cached(client.get(R)) == NEVER


UNCACHED: dict[str, tuple[str, str, int]] = {
    "a creation": ("POST", "/buckets", 201),
    "an update": ("PUT", B, 200),
    "a deletion": ("DELETE", R, 200),
    "a deletion of a list": ("DELETE", RECORDS, 200),
    "an error": ("GET", f"{RECORDS}/nope", 404),
    "the hello view": ("GET", "/", 200),
}


@pytest.mark.parametrize(("method", "path", "status"), UNCACHED.values(), ids=UNCACHED.keys())
def test_nothing_is_said_of_caching(client_with: ClientMaker, method: str, path: str, status: int) -> None:
    """C-HDR-18."""
    client = client_with({"kinto.record_cache_expires_seconds": "60"})
    public(client)

    answer = client.ask(method, path)

    assert answer.status == status
    assert not {"Cache-Control", "Expires", "Pragma"} & set(answer.headers.keys())


LONG = "max-age=2147483647"


@pytest.mark.parametrize("seconds", [2**31, 10**12, 2**63, 10**300], ids=str)
def test_a_setting_longer_than_caches_can_keep_counts_as_the_longest(client_with: ClientMaker, seconds: int) -> None:
    """RFC 9111, section 1.2.2: a date is made of it."""
    names = ["bucket", "collection", "group", "record", "b.c.record"]
    client = client_with(
        {
            **{f"kinto.{name}_cache_expires_seconds": seconds for name in names},
            "kinto.bucket_read_principals": "system.Everyone",
            "kinto.version_prefix_redirect_ttl_seconds": seconds,
            "kinto.trailing_slash_redirect_ttl_seconds": seconds,
            "kinto.backoff": seconds,
            "kinto.retry_after_seconds": seconds,
        }
    )
    client.put("/buckets/b", permissions={"read": ["system.Everyone"]})
    client.put("/buckets/b/collections/c")
    nobody = client.as_(None)

    answers = [nobody.get(path) for path in ("/buckets", "/buckets/b", "/buckets/b/collections/c/records", "/buckets/")]

    assert [answer.headers["Cache-Control"] for answer in answers] == [LONG] * len(answers)
    assert {answer.headers["Backoff"] for answer in answers} == {str(min(seconds, 2**53))}


STORED: list[tuple[Any, str]] = [
    (10**12, LONG),
    (2**63, LONG),
    (10**400, LONG),
    (-(10**400), "no-cache, no-store"),
    (True, "no-cache, no-store"),
    (1.5, "no-cache, no-store"),
    ("x", "no-cache, no-store"),
    ([1], "no-cache, no-store"),
]


@pytest.mark.parametrize(("seconds", "header"), STORED, ids=[str(seconds)[:20] for seconds, _ in STORED])
def test_a_lifetime_that_was_stored_without_a_bound_is_served(client: Client, seconds: Any, header: str) -> None:
    """What earlier versions, or Kinto, let in."""
    client.put("/buckets/b", permissions={"read": ["system.Everyone"]})
    known = client.put("/buckets/b/collections/c").etag
    text = dumps({"id": "c", "last_modified": known, "cache_expires": seconds})
    with client.app.extensions["kinto"].storage.transaction() as transaction:
        transaction.lock(("/buckets/b/collections",))
        transaction.write([Change(Stored("/buckets/b/collections/c", known, False, known, text), known)], [])
    client.put("/buckets/b/collections/c/records/r")

    answers = [client.as_(None).get(f"/buckets/b/collections/c/records{object_id}") for object_id in ("", "/r")]

    assert [(answer.status, answer.headers["Cache-Control"]) for answer in answers] == [(200, header)] * 2
