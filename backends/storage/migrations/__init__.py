"""Bring the tables of a database to the version of this code.

This module is all that a worker loads. Alembic, which takes a third of a second to import, is loaded by name and only
where there is something to do.
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
"""The table that says which version is installed; its shape is Alembic's."""

FACES: Final = ("storage", "permission")
"""What operations.md 2.4 speaks of as two: here they are two faces of one schema."""

_RUNNER: Final = "backends.storage.migrations.runner"
_DATABASES: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))

Report = Callable[[str], None]


class SchemaError(BackendError):
    """Say that the tables found in the database cannot be used or brought up to date; nothing was changed."""


def installed(connection: Connection) -> str | None:
    """Return the version of our tables in the database, None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(select(_versions.c.version_num)).scalar()
    return version


def migrate(
    engine: Engine,
    dry_run: bool,
    report: Report,
    turn: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """Create or upgrade the tables and *report* each step in the words of operations.md 2.4.

    Many processes may do this at once; *turn* gives the context in which one waits for its turn where the database has
    no queue of its own. With *dry_run* the steps are reported and nothing is written. Raises
    SchemaError when the database holds what this code must not touch (operations.md 3.5).
    """
    with engine.connect() as connection:
        found = installed(connection)
    if found == VERSION:
        report_current(engine.dialect.name, found, report)
        return
    # What happens is told by us (operations.md 2.4); Alembic would add its own, from its import on.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    importlib.import_module(_RUNNER).upgrade(engine, dry_run, report, turn=turn)


def sql(dialect_name: str, since: str | None = None) -> str:
    """Return the SQL that `migrate` runs on a database of version *since*, to be run by hand (O-PG-36)."""
    script: str = importlib.import_module(_RUNNER).script(dialect_name, since)
    return script


def report_current(dialect_name: str, version: str, report: Report) -> None:
    """Say of both faces that there is nothing to do."""
    for face in FACES:
        report(f"Detected {schema(dialect_name, face)} version {number(version)}.")
        report(f"{schema(dialect_name, face)} is up-to-date.")


def schema(dialect_name: str, face: str) -> str:
    """Return what messages call the schema: the database, the face, the word."""
    return f"{_DATABASES[dialect_name]} {face} schema"


def number(version: str) -> str:
    """Return a version as messages show it."""
    return version.lstrip("0")
