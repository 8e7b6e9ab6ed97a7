"""Run a takeover: decide whether there is something to take over, lock, copy, verify and record it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, Engine, delete, inspect

from backends.storage.migrations import CORE, SchemaError, installed_version
from backends.storage.migrations.preconditions import check_beside_kinto
from backends.storage.migrations.runner import migrating
from backends.storage.plugin_tables import PluginTables
from backends.storage.tables import metadata
from backends.storage.takeover.copying import copy_all, count_objects
from backends.storage.takeover.declaring import declare_indexes
from backends.storage.takeover.detection import find_kinto
from backends.storage.takeover.findings import Findings, find_all
from backends.storage.takeover.mark import (
    Mark,
    expect_kinto_unchanged,
    is_empty,
    is_written_since,
    read_mark,
    write_mark,
)
from backends.storage.takeover.verification import simulate, verify
from backends.storage.takeover_options import Takeover

_SETTINGS: Final = """
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_bitmapscan = on;
    SET LOCAL plan_cache_mode = auto;
    SET LOCAL cursor_tuple_fraction = 1;
    SET LOCAL work_mem = '64MB';
    SET LOCAL maintenance_work_mem = '256MB'
"""
"""A connection of the service has settings for small statements; these are for statements on whole tables."""

_LOCK: Final = "LOCK TABLE objects, timestamps, access_control_entries, user_principals, metadata IN SHARE MODE"
_DONE_REPORT: Final = "Took over the data of Kinto. Its tables are as they were."
_DRY_RUN_REPORT: Final = "Takeover of the data of Kinto simulated: nothing was written."

Report = Callable[[str], None]


def take_over(
    engine: Engine, report: Report, options: Takeover, plugins: Sequence[PluginTables], *, dry_run: bool
) -> bool:
    """Take over the data of Kinto if the database has them and ours has none; return whether that was done.

    With *dry_run* they are only counted: no lock is taken and nothing is written. Raises SchemaError when they cannot
    be taken over, when Kinto wrote after a takeover, and when both sides have data.
    """
    with migrating(engine, report, CORE, dry_run=dry_run) as (connection, create):
        if not _must_take_over(connection, report, options):
            return False
        connection.exec_driver_sql(_SETTINGS)
        if not dry_run:
            connection.exec_driver_sql(_LOCK)
            _remove_own(connection, plugins)
        check_beside_kinto(connection, report)
        create()
        now = time.time_ns() // 1_000_000
        report(f"{'Count' if dry_run else 'Take over'} {count_objects(connection)} objects of Kinto.")
        findings = find_all(connection, options, now)
        if dry_run:
            simulate(connection, findings, report)
        else:
            _fill(connection, findings, options, now, report)
        findings.report(report)
    report(_DRY_RUN_REPORT if dry_run else _DONE_REPORT)
    return True


def _fill(connection: Connection, findings: Findings, options: Takeover, now: int, report: Report) -> None:
    """Copy everything, compare both sides, and set the mark. Raises SchemaError."""
    adoptions = copy_all(connection, options, now)
    number = declare_indexes(connection, options, now)
    verify(connection, findings, adoptions, report)
    write_mark(connection, now)
    if number:
        report(f'{number} declared indexes will be built by the servers, or by "kinto index".')


def _must_take_over(connection: Connection, report: Report, options: Takeover) -> bool:
    """Return whether to take over. Raises SchemaError."""
    mark, is_installed = read_mark(connection), installed_version(connection) is not None
    if mark is not None:
        return _must_repeat(connection, mark, report, options)
    if options.again:
        raise SchemaError("Nothing has been taken over yet, so it cannot be done again. Nothing was changed.")
    if is_installed and not is_empty(connection):
        return False
    kinto = find_kinto(connection)
    if kinto is None or (kinto.refusal and is_installed):
        return False
    if kinto.refusal:
        raise SchemaError(kinto.refusal)
    return True


def _must_repeat(connection: Connection, mark: Mark, report: Report, options: Takeover) -> bool:
    """Return whether to take over once more, after the takeover of *mark*. Raises SchemaError."""
    if not options.again:
        expect_kinto_unchanged(connection, mark, fully=True)
        report(f"The data of Kinto were taken over at {mark.when} UTC.")
        return False
    if is_written_since(connection, mark):
        raise SchemaError(
            f"This service was written to after the takeover at {mark.when} UTC: another takeover would lose that. "
            "Nothing was changed."
        )
    kinto = find_kinto(connection)
    if kinto is None or kinto.refusal:
        raise SchemaError(kinto.refusal if kinto else "The tables of Kinto are gone. Nothing was changed.")
    return True


def _remove_own(connection: Connection, plugins: Sequence[PluginTables]) -> None:
    """Remove our tables, which have nothing that Kinto's lack, and the rows of plugins, which count what is in ours."""
    if installed_version(connection) is not None:
        metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE {CORE.version_table}")
    for table in (table for plugin in plugins for table in plugin.tables if inspect(connection).has_table(table.name)):
        connection.execute(delete(table))
