"""Every row of the checklist of plugins.md stands in a test that cites it, or the table here says why not."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
CONTRACT = TESTS.parent / "docs" / "contract" / "plugins.md"

_ROW = re.compile(r"^\| (P-[A-Z]+-\d+) \| ", re.MULTILINE)
_ID = re.compile(r"\bP-[A-Z]+-\d+\b")
_RANGE = re.compile(r"\b(P-[A-Z]+-)(\d+) to \1(\d+)\b")

NO_TEST: dict[str, str] = {}
"""Rows without a test, each with the reason."""


@cache
def rows() -> frozenset[str]:
    """Return the rows of the checklist."""
    return frozenset(_ROW.findall(CONTRACT.read_text()))


@cache
def cited() -> frozenset[str]:
    """Return all ids that tests name; `P-ACC-9 to P-ACC-12` names what is between too."""
    texts = [file.read_text() for file in TESTS.rglob("*.py") if file != Path(__file__)]
    ranges = [match for text in texts for match in _RANGE.findall(text)]
    between = {f"{family}{number}" for family, first, last in ranges for number in range(int(first), int(last) + 1)}
    return frozenset(between.union(*map(_ID.findall, texts)))


def test_the_checklist_is_found() -> None:
    assert {"P-API-1", "P-BASIC-8", "P-EVT-13", "P-ACC-29", "P-FLUSH-3", "P-USER-3"} <= rows()


def test_every_row_stands_in_a_test_or_has_a_reason_not_to() -> None:
    assert sorted(rows() - cited() - NO_TEST.keys()) == []


def test_tests_cite_only_rows_that_are_in_the_contract() -> None:
    assert sorted(cited() - rows()) == []


def test_the_table_holds_only_rows_that_no_test_cites() -> None:
    assert sorted(NO_TEST.keys() & cited()) == []
    assert sorted(NO_TEST.keys() - rows()) == []
