"""Random histories on both databases: a batch does what its requests do one by one (C-BATCH-21, C-OBJ-61, C-PERM-23).

`KINTO_TEST_HISTORIES=1000 pytest tests/test_histories.py` looks at more of them, and makes one that fails shorter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, keep_app
from tests.support.examples import examples
from tests.support.histories import (
    FIRST,
    KNOWN,
    LEFT,
    SETTINGS,
    Chunk,
    Reply,
    Request,
    Run,
    Transcript,
    ask_in_batches,
    ask_one_by_one,
    differences,
    histories,
)

MORE = os.environ.get("KINTO_TEST_HISTORIES")


@pytest.fixture(scope="module")
def services(request: pytest.FixtureRequest) -> dict[str, Run]:
    """Give a service on each database, which all histories share."""
    settings = {**BASICAUTH, **SETTINGS}
    return {name: Run(Client(keep_app(database_url(name, request), settings))) for name in DATABASES}


def _assert_all_ways_lead_to_one_end(services: dict[str, Run], history: Sequence[Chunk]) -> Transcript:
    """Compare answers and timestamps, then all rows, and what people see in every list."""
    sqlite, postgresql = services.values()
    transcript = ask_one_by_one(sqlite, [FIRST, *history])
    others = [
        ask_one_by_one(postgresql, transcript.chunks),
        *(ask_in_batches(run, transcript) for run in (sqlite, postgresql)),
    ]
    requests = "\n".join(map(repr, transcript.chunks))
    for other in others:
        assert differences(transcript, other) == [], requests
    assert [run.check() for run in services.values()] == [[], []], requests
    return transcript


@given(history=histories)
@settings(
    max_examples=int(MORE or examples(8)),
    derandomize=not MORE,
    deadline=None,
    phases=[*Phase] if MORE else [Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_batches_give_what_single_requests_give_on_both_databases(
    services: dict[str, Run], history: list[Chunk]
) -> None:
    _assert_all_ways_lead_to_one_end(services, history)


@pytest.mark.parametrize("name", KNOWN)
def test_what_once_went_wrong_goes_right(services: dict[str, Run], name: str) -> None:
    transcript = _assert_all_ways_lead_to_one_end(services, KNOWN[name])

    refused = [(request, reply) for request, reply in _pairs(transcript) if reply[0] >= 400 and request.method != "GET"]
    assert refused == []
    assert transcript.end is not None
    assert [row for row in LEFT[name] if row not in transcript.end["grants"] | transcript.end["memberships"]] == []


def _pairs(transcript: Transcript) -> list[tuple[Request, Reply]]:
    chunks = zip(transcript.chunks, transcript.answers, strict=True)
    return [pair for chunk, answers in chunks for pair in zip(chunk.requests, answers, strict=True)]
