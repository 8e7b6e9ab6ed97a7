"""`make bench` measures each of its workloads, checks their responses, and writes tables and plots."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.bench import document
from tests.bench.__main__ import main
from tests.bench.growth import SUBJECTS
from tests.bench.load import request
from tests.bench.results import Comparison, Cost, load_comparison, load_curves
from tests.bench.workloads import COMMON, WORKLOADS


def test_every_workload_is_measured_and_the_data_grows(tmp_path: Path) -> None:
    size = ["--records", "50", "--largest", "10", "--seconds", "0", "--rounds", "1"]
    main(["gunicorn", "growth", *size, "--folder", str(tmp_path)])

    comparison, curves = load_comparison(tmp_path), load_curves(tmp_path)
    assert comparison is not None
    assert curves is not None
    assert [name for name in comparison.costs["8 connections"] if "indexed" not in name] == [
        workload.name for workload in WORKLOADS
    ]
    assert all(set(COMMON) <= set(costs) for costs in comparison.costs.values())
    assert list(curves.costs) == [subject.name for subject in SUBJECTS]
    for plot in (document.comparison_plot(comparison), document.curves_plot(curves)):
        ElementTree.fromstring(plot)
    assert all(f"| {workload.name} |" in document.comparison_text(comparison) for workload in WORKLOADS)
    assert all(f"| {subject.name} |" in document.curves_text(curves) for subject in SUBJECTS)


def test_the_ratio_is_that_of_all_processor_time_and_failures_are_shown() -> None:
    costs = {"PUT": {"gunicorn": Cost(10, 0.010, 0.010, 30, 0), "kinto": Cost(10, 0.040, 0.030, 30, 3)}}
    comparison = Comparison("here", 100, {"8 connections": costs}, {"gunicorn": 2_000_000}, 0.5)

    assert "| PUT | 4.00 + 3.00 (3 of 30 failed) | 1.00 + 1.00 | 3.5 |" in document.comparison_text(comparison)


@pytest.mark.parametrize(
    ("status", "body", "accepted"),
    [
        (200, b'{"responses":[{"status":201}]}', True),
        (200, b'{"responses":[{"status": 201}, {"status": 409}]}', False),
        (503, b"{}", False),
    ],
    ids=["a batch", "a batch with a member that failed", "a batch that failed"],
)
def test_a_batch_is_accepted_if_each_member_succeeded(status: int, body: bytes, accepted: bool) -> None:
    response = b"HTTP/1.1 %d X\r\n\r\n%s" % (status, body)

    assert request("POST", "/batch", {}).accepts(response) is accepted


def test_results_are_written_between_their_marks_only() -> None:
    text = "a\n<!-- growth: written by tests/bench -->\nold\n<!-- growth: end -->\nb\n"

    assert document.put_between(text, "growth", "new") == text.replace("old\n", "\nnew\n")
    with pytest.raises(ValueError, match="substring not found"):
        document.put_between(text, "comparison", "new")
