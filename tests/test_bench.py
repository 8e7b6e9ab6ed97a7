"""`make bench` runs each of its workloads, and checks their statuses."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import main
from tests.bench.workloads import WORKLOADS


def test_every_workload_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["gunicorn", "--records", "100", "--seconds", "0", "--rounds", "1", "--connections", "2"])

    rows = [line.split(" | ")[0].removeprefix("| ") for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row in {workload.name for workload in WORKLOADS}] == [
        each.name for each in WORKLOADS
    ]
