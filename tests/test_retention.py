"""What a purge leaves: bounded tables, and clients that know what they missed (docs/reliability.md, "Retention")."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import select

from app.entries import list_patterns
from blueprints.plugins.quotas.tables import quotas
from tests.bench.month import TRIMMING, Sizes, open_month
from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app

B, C = "/buckets/b", "/buckets/b/collections/c"
RECORDS = f"{C}/records"
INCLUDED = {**BASICAUTH, "kinto.includes": "kinto.plugins.quotas"}


@pytest.mark.parametrize("database", DATABASES)
def test_tables_are_bounded_if_they_are_purged_each_night(database: str) -> None:
    """Every table of the service, those of plugins and of the cache too; `kinto check` finds no fault."""
    trimming = {TRIMMING: 4, "kinto.history.auto_trim_threshold": 0}
    with open_month(database, records=10, keep_days=1, settings=trimming) as month:
        nights = list(month.run(8))
        lines = month.check()

    assert lines == []
    assert _rows([nights[-1].after]) == _rows([nights[-2].after]) == _rows([nights[-3].after])
    assert all(
        _rows([night.after])[name] < rows
        for night in nights[2:]
        for name, rows in _rows([night.before]).items()
        if name in ("documents", "grants", "members", "clocks")
    )
    assert _rows([nights[-1].after]).keys() > {"documents", "grants", "members", "clocks", "indexes", "quotas"}


def _rows(sizes: Sequence[Sizes]) -> dict[str, int]:
    return {name: size.rows for each in sizes for name, size in each.items()}


@pytest.mark.parametrize("database", DATABASES)
def test_a_client_that_slept_longer_than_a_purge_reaches_fetches_the_list_anew(
    database: str, request: pytest.FixtureRequest
) -> None:
    """Below `floor` a poll has changes, but no tombstones that were purged; above it nothing is missed."""
    app = make_app(database_url(database, request), INCLUDED)
    client, service = Client(app), app.extensions["kinto"]
    for path in (B, C, *(f"{RECORDS}/r{number}" for number in range(4))):
        client.put(path)
    copy = {row["id"] for row in client.get(RECORDS).data}
    slept = client.get(RECORDS).etag
    client.delete(f"{RECORDS}/r0")
    client.put(f"{RECORDS}/new")
    awake = client.delete(f"{RECORDS}/r1").data["last_modified"]
    client.delete(f"{RECORDS}/r2")

    service.storage.purge(list_patterns(service.kinds, service.kinds), None, awake + 1)

    changes = client.get(f"{RECORDS}?_since={slept}")
    assert (changes.status, {row["id"]: "deleted" in row for row in changes.data}) == (200, {"new": False, "r2": True})
    assert copy | {"new"} > {row["id"] for row in client.get(RECORDS).data} == {"r3", "new"}
    assert [row["id"] for row in client.get(f"{RECORDS}?_since={awake}").data] == ["r2"]
    assert client.get(RECORDS, if_none_match=f'"{client.get(RECORDS).etag}"').status == 304
    service.close()


@pytest.mark.parametrize("database", DATABASES)
def test_a_purge_removes_the_numbers_of_deleted_collections(database: str, request: pytest.FixtureRequest) -> None:
    app = make_app(database_url(database, request), INCLUDED)
    client, service = Client(app), app.extensions["kinto"]
    for path in (B, C, f"{RECORDS}/r", f"{B}/collections/gone", f"{B}/collections/gone/records/r"):
        client.put(path)
    client.delete(f"{B}/collections/gone")
    before = set(service.storage.execute(select(quotas)))

    service.storage.purge(list_patterns(service.kinds, service.kinds), 0, None, service.tables)

    after = set(service.storage.execute(select(quotas)))
    assert {row[1] for row in before - after} == {f"{B}/collections/gone"}
    assert {row[1] for row in after} == {B, C}
    service.close()
