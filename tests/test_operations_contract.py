"""Every row of the checklist of operations.md stands in a test that cites it, or a table here says why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CONTRACT = TESTS.parent / "docs" / "contract" / "operations.md"

_ROW = re.compile(r"^\| (O-[A-Z]+-\d+) \| ", re.MULTILINE)
_ID = re.compile(r"\bO-[A-Z]+-\d+\b")
_RANGE = re.compile(r"\b(O-[A-Z]+-)(\d+) to \1(\d+)\b")
_TEST = re.compile(r"^ *def (test_\w+)", re.MULTILINE)

OBJECTS, PAGING, SCHEMAS = "api/test_objects.py::", "api/test_paging.py::", "api/test_schemas.py::"
URLS, PAGES, TIMES = "api/test_urls.py::", "api/test_utilities.py::", "api/test_timestamps.py::"
CACHING, EVENTS, BATCH = "api/test_caching.py::", "api/test_events.py::", "api/test_batch.py::"

SHOWN_BY = {
    "O-SET-23": [PAGING + "test_a_page_holds"],
    "O-SET-24": [
        OBJECTS + "test_nobody_becomes_a_writer_when_permissions_are_not_explicit",
        PAGES + "test_hello_shows_public_settings_with_their_types",
    ],
    "O-SET-26": [
        SCHEMAS + "test_schemas_are_applied_only_when_the_setting_says_so",
        PAGES + "test_hello_names_a_capability_that_is_switched_on",
    ],
    "O-SET-27": ["api/test_sharing.py::test_settings_grant"],
    "O-SET-34": [CACHING + "test_records_are_cached_by"],
    "O-SET-35": [
        CACHING + "test_records_are_cached_by",
        OBJECTS + "test_the_cache_lifetime_of_a_collection_becomes_an_integer",
    ],
    "O-SET-39": [
        OBJECTS + "test_any_other_id_is_refused",
        "api/test_errors.py::test_a_malformed_id_of_a_parent_is_not_found",
    ],
    "O-SET-40": [
        URLS + "test_a_path_without_version_is_redirected_whatever_the_method",
        URLS + "test_options_of_a_path_without_version_is_answered_and_not_redirected",
        URLS + "test_a_redirect_may_be_kept_as_long_as_its_setting_says",
        URLS + "test_a_redirect_that_is_switched_off_is_not_found",
    ],
    "O-SET-41": [
        URLS + "test_a_path_with_slashes_at_its_end_is_redirected",
        URLS + "test_a_redirect_may_be_kept_as_long_as_its_setting_says",
        URLS + "test_a_redirect_that_is_switched_off_is_not_found",
    ],
    "O-SET-48": [
        PAGES + "test_hello_shows_what_is_set",
        "api/test_errors.py::test_a_fault_of_the_service_tells_nothing_of_itself",
    ],
    "O-SET-49": [URLS + "test_all_endpoints_are_under_the_major_version"],
    "O-CLI-17": ["contracts/test_migrations.py::test_migrate_tells_each_step_when_the_schema_is_older"],
    "O-PG-20": [
        TIMES + "test_timestamps_of_a_list_are_milliseconds_that_only_grow",
        TIMES + "test_a_timestamp_is_one_more_than_the_last_when_the_clock_goes_back",
        "test_races.py::test_many_writers_lose_nothing_and_pollers_miss_nothing",
    ],
    "O-PG-25": ["test_distributed.py::test_typical_requests_keep_the_rules"],
    "O-PG-27": [
        EVENTS + "test_an_error_before_the_commit_is_the_answer_and_undoes_everything",
        SCHEMAS + "test_an_invalid_record_is_refused_and_nothing_stored",
    ],
    "O-PG-28": [
        BATCH + "test_an_error_is_an_entry_and_undoes_nothing_of_the_others",
        BATCH + "test_a_backend_that_fails_undoes_the_whole_batch",
    ],
    "O-PG-29": [BATCH + "test_a_conflict_fails_the_whole_batch"],
    "O-PG-30": ["api/test_errors.py::test_what_was_cached_stays_when_the_request_is_undone"],
    "O-PG-31": [
        EVENTS + "test_an_error_before_the_commit_is_the_answer_and_undoes_everything",
        EVENTS + "test_an_error_after_the_commit_is_logged_and_changes_nothing",
    ],
    "O-PG-33": [
        "api/test_cascades.py::test_a_cascade_touches_no_bucket_of_a_similar_name",
        "api/test_cascades.py::test_a_cascade_touches_no_collection_of_a_similar_name",
    ],
    "O-PG-34": ["api/test_cascades.py::test_a_cascade_deletes_however_many_there_are"],
    "O-PG-35": ["api/test_groups.py::test_the_members_of_a_group_lose_its_principal_with_its_bucket"],
    "O-CACHE-16": ["contracts/test_cache.py::test_a_value_comes_back_as_it_was_set"],
    "O-MON-36": [
        PAGES + "test_the_heartbeat_asks_every_backend_and_leaves_nothing_behind",
        PAGES + "test_the_heartbeat_is_503_when_the_database_is_down_and_that_of_load_balancers_is_not",
        PAGES + "test_the_heartbeat_does_not_wait_longer_than_its_setting_says",
        PAGES + "test_the_heartbeat_asks_all_at_the_same_time",
    ],
    "O-MON-38": [
        PAGES + "test_the_version_is_what_the_file_holds",
        PAGES + "test_the_version_is_not_found_without_its_file",
    ],
    "O-MON-39": [PAGES + "test_contribute_tells_where_to_help"],
    "O-MON-40": [PAGES + "test_hello_tells_which_configuration_file_is_in_use"],
    "O-DEP-16": ["api/test_headers.py::test_every_answer_has_its_headers_on"],
}
"""Rows that tests show under the ids of another contract, or under none."""

REASONS = {
    "O-CLI-10": "needs Kinto 26.5 itself; that the file has the names which it reads is O-CLI-7",
    "O-SCALE-1": "docs/performance.md has what was measured; sizes of a million were not tried",
    "O-SCALE-3": "not tried with a million: a cascade has few statements (test_budget.py) on one bucket "
    "(test_distributed.py)",
    "O-SCALE-4": "advice in docs/metrics.md, which no test can check",
}
"""Rows that no test shows, each with the reason."""


@cache
def rows() -> frozenset[str]:
    """Return the ids of the checklist."""
    return frozenset(_ROW.findall(CONTRACT.read_text(encoding="utf-8")))


@cache
def cited() -> frozenset[str]:
    """Return all ids that tests name, `O-MON-5 to O-MON-7` being three."""
    files = [file for file in TESTS.rglob("*.py") if file != Path(__file__)]
    return frozenset(row_id for file in files for row_id in _named(file.read_text(encoding="utf-8")))


def _named(text: str) -> Iterator[str]:
    yield from _ID.findall(text)
    for prefix, first, last in _RANGE.findall(text):
        yield from (f"{prefix}{number}" for number in range(int(first), int(last) + 1))


def test_the_checklist_of_operations_is_found() -> None:
    assert len(rows()) > 180
    assert {"O-SET-1", "O-PG-36", "O-SCALE-4"} <= rows()


def test_every_row_of_operations_stands_in_a_test_or_has_a_reason_not_to() -> None:
    assert sorted(rows() - cited() - SHOWN_BY.keys() - REASONS.keys()) == []


def test_tests_cite_only_rows_of_operations_that_are_there() -> None:
    assert sorted((cited() | SHOWN_BY.keys() | REASONS.keys()) - rows()) == []


def test_a_reason_is_taken_back_when_a_test_cites_its_row() -> None:
    """Delete it from `REASONS`."""
    assert sorted(REASONS.keys() & (cited() | SHOWN_BY.keys())) == []


@pytest.mark.parametrize("name", sorted({name for names in SHOWN_BY.values() for name in names}))
def test_a_test_that_shows_a_row_of_operations_is_there(name: str) -> None:
    file, _, test = name.partition("::")

    assert test in _TEST.findall((TESTS / file).read_text(encoding="utf-8"))
