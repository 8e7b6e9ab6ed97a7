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

OBJECTS, LISTS, SHARING = "api/test_objects.py::", "api/test_lists.py::", "api/test_sharing.py::"
PAGING, TIMES, CACHE = "api/test_paging.py::", "api/test_timestamps.py::", "contracts/test_cache.py::"

SHOWN_BY = {
    "C-STO-1": [OBJECTS + "test_an_object_is_created_read_listed_and_deleted_in_its_shapes"],
    "C-STO-2": [
        OBJECTS + "test_a_post_without_id_creates_an_object_with_a_generated_one",
        OBJECTS + "test_a_post_of_a_known_id_answers_the_object_and_changes_nothing",
    ],
    "C-STO-3": [
        "api/test_errors.py::test_who_is_told_that_something_is_not_there",
        OBJECTS + "test_an_object_is_created_read_listed_and_deleted_in_its_shapes",
    ],
    "C-STO-4": [
        OBJECTS + "test_put_with_data_replaces_all_attributes",
        OBJECTS + "test_put_refuses_another_id_in_its_body",
        OBJECTS + "test_a_deleted_object_is_created_anew",
    ],
    "C-STO-5": [OBJECTS + "test_a_deletion_time_is_used_when_it_is_later_than_the_object"],
    "C-STO-6": [
        OBJECTS + "test_of_a_list_is_deleted_what_the_query_chooses",
        OBJECTS + "test_a_list_is_deleted_page_by_page_under_any_sort",
        "api/test_cascades.py::test_a_cascade_deletes_however_many_there_are",
    ],
    "C-STO-7": ["test_command.py::test_purge_deleted_keeps_the_newest_tombstones_of_each_list_and_all_that_lives"],
    "C-STO-8": ["test_command.py::test_purge_deleted_keeps_the_newest_tombstones_of_each_list_and_all_that_lives"],
    "C-STO-9": [
        "contracts/test_filters.py::test_pages_agree_with_the_model_whatever_is_stored_and_asked",
        LISTS + "test_a_list_holds",
    ],
    "C-STO-10": [LISTS + "test_totals_stand_on_head_alone", LISTS + "test_head_ignores_pages"],
    "C-STO-11": [TIMES + "test_an_empty_list_has_a_timestamp_and_keeps_it"],
    "C-STO-12": [TIMES + "test_the_timestamp_of_a_sibling_in_another_list_is_free"],
    "C-STO-13": [
        "api/test_unreachable.py::test_what_needs_the_database_is_unavailable_when_it_does_not_listen",
        TIMES + "test_a_past_timestamp_that_a_sibling_has_is_a_conflict_in",
    ],
    "C-STO-14": [
        "contracts/test_filters.py::test_pages_agree_with_the_model_whatever_is_stored_and_asked",
        "test_races.py::test_many_writers_lose_nothing_and_pollers_miss_nothing",
        TIMES + "test_a_timestamp_is_one_more_than_the_last_when_the_clock_goes_back",
        PAGING + "test_a_list_holds_the_objects_of_one_parent_alone",
    ],
    "C-ACL-1": [SHARING + "test_all_that_is_allowed_with"],
    "C-ACL-2": [
        SHARING + "test_all_that_is_allowed_with",
        SHARING + "test_a_member_has_what_the_group_has_with_the_next_request",
        SHARING + "test_what_a_deleted_group_was_granted_revives_with_it",
        SHARING + "test_permissions_go_with_their_object",
        OBJECTS + "test_put_with_a_list_of_principals_replaces_all_permissions",
    ],
    "C-ACL-3": [
        PAGING + "test_a_list_holds_the_objects_of_one_parent_alone",
        "api/test_permissions_endpoint.py::test_ids_with_wildcards_of_databases_are_only_ids",
    ],
    "C-ACL-4": [SHARING + "test_all_that_is_allowed_with"],
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
    return frozenset(id for file in files for id in _ID.findall(file.read_text()))


def test_the_checklist_is_found() -> None:
    assert len(rows()) > 400
    assert {"C-URL-1", "C-BATCH-1", "C-EVT-17"} <= rows().keys()


def test_every_row_that_must_match_stands_in_a_test() -> None:
    binding = [id for id, kind in rows().items() if kind == "M"]

    assert [id for id in binding if id not in cited() and id not in SHOWN_BY] == []


def test_every_other_row_stands_in_a_test_or_has_a_reason_not_to() -> None:
    others = [id for id, kind in rows().items() if kind != "M"]

    assert [id for id in others if id not in cited() and id not in SHOWN_BY and id not in NO_TEST] == []


def test_tests_cite_only_rows_that_are_in_the_contract() -> None:
    assert sorted(cited() - rows().keys()) == []


def test_the_tables_hold_only_rows_that_no_test_cites() -> None:
    assert sorted((SHOWN_BY.keys() | NO_TEST.keys()) & cited()) == []
    assert sorted((SHOWN_BY.keys() | NO_TEST.keys()) - rows().keys()) == []
    assert {rows()[id] for id in NO_TEST} <= {"S", "F", "H"}


@pytest.mark.parametrize("name", sorted({name for names in SHOWN_BY.values() for name in names}))
def test_a_test_that_the_table_names_is_there(name: str) -> None:
    file, _, test = name.partition("::")

    assert test in _TEST.findall((TESTS / file).read_text())
