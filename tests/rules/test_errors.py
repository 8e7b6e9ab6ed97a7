"""Errors: how much they list and quote."""

import tracemalloc

import pytest

from app.errors import MAX_PROBLEMS, MAX_TEXT, Invalid, Malformed, Problem, first_problems
from app.parsing.bodies import decode


def problems(count: int) -> list[Problem]:
    return [Problem("body", f"a{number:05}", "Required") for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, MAX_PROBLEMS])
def test_an_error_lists_all_problems_up_to_its_bound(count: int) -> None:
    assert [detail["name"] for detail in Invalid(*problems(count)).details] == [
        problem.name for problem in problems(count)
    ]


@pytest.mark.parametrize("bounded_before", [False, True], ids=["when they are raised", "when they are found"])
@pytest.mark.parametrize("others", [1, 2, 5_000])
def test_an_error_counts_the_problems_that_it_does_not_list(others: int, *, bounded_before: bool) -> None:
    entries = problems(MAX_PROBLEMS + others)
    *listed, last = Invalid(*(first_problems(entries) if bounded_before else entries)).details

    assert [detail["name"] for detail in listed] == [problem.name for problem in entries[:MAX_PROBLEMS]]
    assert last == {"location": "body", "name": None, "description": f"{others} more problems are not listed"}


def test_an_error_adds_up_what_several_checks_did_not_list() -> None:
    header = Problem("header", "If-Match", "x")
    details = Invalid(*first_problems(problems(30)), header).details

    assert len(details) == MAX_PROBLEMS + 1
    assert details[0]["name"] == "If-Match"
    assert details[-1]["description"] == "11 more problems are not listed"


def test_an_error_quotes_no_more_than_its_bound() -> None:
    error = Invalid(Problem("body", "n" * 5000, "d" * 5000))

    assert error.details[0] == {
        "location": "body",
        "name": "n" * MAX_TEXT + "...",
        "description": "d" * MAX_TEXT + "...",
    }
    assert len(error.message or "") < 3 * MAX_TEXT
    assert len(Malformed("x" * 5000).message or "") == MAX_TEXT + 3


def test_names_are_not_made_for_problems_that_are_not_listed() -> None:
    """The name of each would repeat the long key above it."""
    raw = b'{"' + b"k" * 50_000 + b'":[' + b",".join([b'"\\u0000"'] * 5_000) + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(Invalid) as refused:
            decode(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert refused.value.details[-1]["description"] == f"{5_000 - MAX_PROBLEMS} more problems are not listed"
    assert peak < 20 * len(raw)
