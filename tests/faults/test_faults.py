"""Some faults, one after the other under one load; `make faults` tries all of them, each for longer."""

from __future__ import annotations

import pytest

from tests.faults.catalogue import POSTGRESQL, SQLITE, Fault, in_turn
from tests.faults.trial import Effort, attempt_all

_SECONDS = 1.0
_EFFORT = Effort(seconds=0, before_seconds=0.5, pause_seconds=0.05)
_TRIED = {
    SQLITE: ("workers killed", "server killed"),
    POSTGRESQL: ("workers killed", "PostgreSQL killed", "connections cut", "read-only"),
}


@pytest.mark.parametrize("database", _TRIED)
def test_nothing_is_lost_missed_or_half_done(database: str) -> None:
    apply = in_turn(*_TRIED[database], seconds=_SECONDS)
    fault = Fault("several", (database,), apply, breaks_connections=True)
    [result] = attempt_all([fault], database, _EFFORT)

    assert result.problems == []
    assert result.broken + result.refused > 0, "the faults were noticed"
    assert result.acknowledged > 0
