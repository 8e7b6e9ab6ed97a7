"""The order of all checks: objects before the lists that count them, lists before the intervals in them."""

from __future__ import annotations

from backends.storage.checks.check import RowChecks
from backends.storage.checks.clocks import CLOCK_CHECKS, INDEX_CHECKS
from backends.storage.checks.documents import document_checks
from backends.storage.checks.entries import EntryExamination
from backends.storage.checks.groups import group_checks
from backends.storage.checks.intervals import grant_checks, membership_checks
from backends.storage.checks.lists import ListExamination
from backends.storage.checks.run import CheckRun, RowExamination
from backends.storage.checks.scope import CheckScope
from backends.storage.checks.terms import term_checks
from backends.storage.dialect import Dialect


def run_checks(run: CheckRun, dialect: Dialect, scope: CheckScope) -> bool:
    """Run all checks; return whether indexes are to be built again."""
    lists, entries = ListExamination(run, dialect, scope), EntryExamination(run, dialect)

    def examine(*checks: RowChecks) -> None:
        for each in checks:
            RowExamination(run, dialect, each, {"now": scope.now, "latest": scope.latest}).run()

    examine(document_checks(dialect), CLOCK_CHECKS)
    lists.run()
    examine(grant_checks(dialect), membership_checks(dialect), group_checks(dialect, scope), INDEX_CHECKS)
    entries.run()
    if dialect.terms_table is not None:
        examine(*term_checks(dialect.terms_table))
    return lists.has_rebuilt or entries.has_rebuilt
