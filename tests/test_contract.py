"""Every row of the checklist of core.md stands in a test that cites it, or one of the tables here says where."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CONTRACT = TESTS.parent / "docs" / "contract" / "core.md"
_ROW = re.compile(r"^\| (C-[A-Z]+-\d+) \| .* \| (M|S|F|H|D\??) \| ", re.MULTILINE)
_ID = re.compile(r"\bC-[A-Z]+-\d+\b")
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)

CACHE = "contracts/test_cache.py::"

SHOWN_BY = {
    "C-CACHE-1": [
        CACHE + "test_a_value_comes_back_as_it_was_set",
        CACHE + "test_bytes_are_refused",
        CACHE + "test_delete_returns_the_value_and_removes_it",
    ],
    "C-CACHE-4": [CACHE + "test_ttl_tells_the_whole_life_when_it_is"],
}
"""Rows on methods of Kinto's backends, which bind in meaning only (docs/contract/DECISIONS.md): what shows it."""

NO_TEST = {
    "C-STO-16": "there are no bytes to refuse: what is stored is the text of decoded JSON",
}
"""Rows that clients do not depend on and that have no test, each with the reason."""


@cache
def rows() -> dict[str, str]:
    """Return the kind of each row of the checklist."""
    return dict(_ROW.findall(CONTRACT.read_text()))


@cache
def cited() -> frozenset[str]:
    """Return all ids that tests and recorded exchanges name."""
    files = [file for pattern in ("*.py", "*.jsonl") for file in TESTS.rglob(pattern) if file != Path(__file__)]
    return frozenset(row_id for file in files for row_id in _ID.findall(file.read_text()))


def test_the_checklist_is_found() -> None:
    assert len(rows()) > 400
    assert {"C-URL-1", "C-BATCH-1", "C-EVT-17"} <= rows().keys()


def test_every_row_that_must_match_stands_in_a_test() -> None:
    binding = [row_id for row_id, kind in rows().items() if kind == "M"]

    assert [row_id for row_id in binding if row_id not in cited() and row_id not in SHOWN_BY] == []


def test_every_other_row_stands_in_a_test_or_has_a_reason_not_to() -> None:
    others = [row_id for row_id, kind in rows().items() if kind != "M"]

    assert [
        row_id for row_id in others if row_id not in cited() and row_id not in SHOWN_BY and row_id not in NO_TEST
    ] == []


def test_tests_cite_only_rows_that_are_in_the_contract() -> None:
    assert sorted(cited() - rows().keys()) == []


def test_the_tables_hold_only_rows_that_no_test_cites() -> None:
    assert sorted((SHOWN_BY.keys() | NO_TEST.keys()) & cited()) == []
    assert sorted((SHOWN_BY.keys() | NO_TEST.keys()) - rows().keys()) == []
    assert {rows()[row_id] for row_id in NO_TEST} <= {"S", "F", "H"}


@pytest.mark.parametrize("name", sorted({name for names in SHOWN_BY.values() for name in names}))
def test_a_test_that_the_table_names_is_there(name: str) -> None:
    file, _, test = name.partition("::")

    assert test in _TEST.findall((TESTS / file).read_text())
