"""The order of all checks: objects before the lists that count them, lists before the intervals in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from backends.storage.checks.clocks import CLOCK_CHECKS, INDEX_CHECKS
from backends.storage.checks.documents import document_checks
from backends.storage.checks.entries import EntryExamination, EntryStatements
from backends.storage.checks.groups import group_checks
from backends.storage.checks.intervals import grant_checks, membership_checks
from backends.storage.checks.lists import ListExamination, ListStatements
from backends.storage.checks.run import CheckRun, RowExamination, RowStatements
from backends.storage.checks.scope import CheckScope
from backends.storage.checks.terms import term_checks
from backends.storage.dialect import Dialect


@dataclass(frozen=True, slots=True)
class _Statements:
    """The statements of all checks, in their order."""

    objects: Sequence[RowStatements]
    lists: ListStatements
    intervals: Sequence[RowStatements]
    entries: EntryStatements
    terms: Sequence[RowStatements]


def run_checks(run: CheckRun, dialect: Dialect, scope: CheckScope) -> bool:
    """Run all checks; return whether indexes are to be built again."""
    users = tuple(sorted(scope.users.items()))
    statements = _build_statements(dialect, tuple(scope.groups), users)  # type: ignore[arg-type]  # any has a hash
    lists, entries = ListExamination(run, statements.lists, scope), EntryExamination(run, statements.entries)

    def examine(tables: Sequence[RowStatements]) -> None:
        for each in tables:
            RowExamination(run, dialect, each, {"now": scope.now, "latest": scope.latest}).run()

    examine(statements.objects)
    lists.run()
    examine(statements.intervals)
    entries.run()
    examine(statements.terms)
    return lists.has_rebuilt or entries.has_rebuilt


@lru_cache(maxsize=2)
def _build_statements(dialect: Dialect, groups: Sequence[str], users: Sequence[tuple[str, str]]) -> _Statements:
    """Build the statements, which are kept for the next run; *groups* and *users* are those of a scope."""
    intervals = grant_checks(dialect), membership_checks(dialect), group_checks(dialect, groups, users), INDEX_CHECKS
    return _Statements(
        [*map(RowStatements, (document_checks(dialect), CLOCK_CHECKS))],
        ListStatements(dialect),
        [*map(RowStatements, intervals)],
        EntryStatements(dialect),
        [] if dialect.terms_table is None else [*map(RowStatements, term_checks(dialect.terms_table))],
    )
