"""Upgrade the tables of a database to the version of this code.

A worker loads only this module. Alembic, whose import takes a third of a second, is loaded by name, and only if there
is a step to run.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select

from backends import BackendError

VERSION: Final = "0001"
"""The version of `backends.storage.tables`: the newest file of the folder `versions`."""

VERSION_TABLE: Final = "kinto_flask_versions"
"""The table with the installed version; its columns are those of Alembic."""

SCHEMAS: Final = ("storage", "permission")
"""The two schemas of Kinto that messages name (operations.md 2.4); here they are one."""

_RUNNER: Final = "backends.storage.migrations.runner"
_DATABASES: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))

Report = Callable[[str], None]


class SchemaError(BackendError):
    """The tables in the database can be neither used nor upgraded; nothing was changed."""


def installed_version(connection: Connection) -> str | None:
    """Return the version of our tables in the database, None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(select(_versions.c.version_num)).scalar()
    return version


def migrate(
    engine: Engine,
    report: Report,
    turn: Callable[[], AbstractContextManager[Any]] = nullcontext,
    *,
    dry_run: bool,
) -> None:
    """Create or upgrade the tables and *report* each step in the words of operations.md 2.4.

    Several processes may do this at once. For a database that does not queue its writers, *turn* returns a context
    manager that waits for the turn to write. With *dry_run* the steps are reported and nothing is written. Raises
    SchemaError when the database has tables that this code must not change (operations.md 3.5).
    """
    with engine.connect() as connection:
        version = installed_version(connection)
    if version == VERSION:
        report_current(engine.dialect.name, version, report)
        return
    # The messages are those of operations.md 2.4; Alembic would log its own, from its import on.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    importlib.import_module(_RUNNER).upgrade(engine, report, turn=turn, dry_run=dry_run)


def sql(dialect_name: str, since: str | None = None) -> str:
    """Return the SQL that `migrate` runs on a database of version *since*, to run it by hand (O-PG-36)."""
    script: str = importlib.import_module(_RUNNER).script(dialect_name, since)
    return script


def report_current(dialect_name: str, version: str, report: Report) -> None:
    """Report for both schemas that there is nothing to do."""
    for name in SCHEMAS:
        report(f"Detected {schema_label(dialect_name, name)} version {version_label(version)}.")
        report(f"{schema_label(dialect_name, name)} is up-to-date.")


def schema_label(dialect_name: str, name: str) -> str:
    """Return the name of a schema in messages: "PostgreSQL storage schema"."""
    return f"{_DATABASES[dialect_name]} {name} schema"


def version_label(version: str) -> str:
    """Return a version as messages show it, without leading zeros."""
    return version.lstrip("0")
