"""The pages that want an index are counted for an hour, in a bounded part of the memory."""

import pytest

from app import index_demand
from app.index_demand import TIMES, IndexDemand
from backends.storage.indexes import read_definition

MISSING = ("/buckets/b/collections/c/records", read_definition('{"fields":["status"]}'))
OTHER = ("/buckets/b/collections/d/records", read_definition('{"fields":["status"]}'))


def test_ten_pages_within_an_hour_want_an_index() -> None:
    within, beyond = IndexDemand(), IndexDemand()

    assert [within.count(MISSING, 390.0 * number) for number in range(TIMES)] == [*[False] * (TIMES - 1), True]
    assert not any(beyond.count(MISSING, 400.0 * number) for number in range(2 * TIMES))
    assert not any(within.count(MISSING, 9_999.0) for _ in range(TIMES - 1)), "counting has begun again"


def test_the_index_that_was_counted_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_demand, "_MAX_PAIRS", 1)
    demand = IndexDemand()

    for _ in range(TIMES - 1):
        demand.count(MISSING, 0.0)
    demand.count(OTHER, 0.0)

    assert not demand.count(MISSING, 0.0)
