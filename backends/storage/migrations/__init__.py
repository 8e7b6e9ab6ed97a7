"""Upgrade the tables of a database to the version of this code.

A worker loads only this module. Alembic, whose import takes a third of a second, is loaded by name, and only if there
is a step to run.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select

from backends import BackendError
from backends.storage.plugin_tables import STEPS, PluginTables

VERSION: Final = "0001"
"""The version of `backends.storage.tables`: the newest file of the folder `versions`."""

VERSION_TABLE: Final = "kinto_flask_versions"
"""The table with the installed version; its columns are those of Alembic."""

SCHEMAS: Final = ("storage", "permission")
"""The two schemas of Kinto that messages name (operations.md 2.4); here they are one."""

_RUNNER: Final = "backends.storage.migrations.runner"
_DATABASES: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

Report = Callable[[str], None]


class SchemaError(BackendError):
    """The tables in the database can be neither used nor upgraded; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that are upgraded together: those of the storage, or those of a plugin.

    `version` is the newest version in the folder `versions`; the table `version_table` has the installed one. `names`
    are the names in messages.
    """

    names: tuple[str, ...]
    versions: Path
    version: str
    version_table: str


CORE: Final = Schema(SCHEMAS, Path(__file__).parent / "versions", VERSION, VERSION_TABLE)
"""The tables of the storage."""


def schema_of(tables: PluginTables) -> Schema:
    """Return the schema of a plugin. The names of its files begin with their versions: `0001_tables.py`."""
    versions = sorted(file.stem.partition("_")[0] for file in tables.versions.glob(STEPS))
    return Schema((tables.name,), tables.versions, versions[-1], f"{VERSION_TABLE}_{tables.name}")


def installed_version(connection: Connection, schema: Schema = CORE) -> str | None:
    """Return the version of a schema in the database, None where it is not installed."""
    if not inspect(connection).has_table(schema.version_table):
        return None
    versions = Table(schema.version_table, MetaData(), Column("version_num", String(32), primary_key=True))
    version: str | None = connection.execute(select(versions.c.version_num)).scalar()
    return version


def migrate(
    engine: Engine,
    report: Report,
    turn: Callable[[], AbstractContextManager[Any]] = nullcontext,
    *,
    dry_run: bool,
    schema: Schema = CORE,
) -> None:
    """Create or upgrade the tables of a schema and *report* each step in the words of operations.md 2.4.

    Several processes may do this at once. For a database that does not queue its writers, *turn* returns a context
    manager that waits for the turn to write. With *dry_run* the steps are reported and nothing is written. Raises
    SchemaError when the database has tables that this code must not change (operations.md 3.5).
    """
    with engine.connect() as connection:
        version = installed_version(connection, schema)
    if version == schema.version:
        report_current(engine.dialect.name, schema, report)
        return
    load_with_alembic(_RUNNER).upgrade(engine, report, schema, turn, dry_run=dry_run)


def load_with_alembic(module: str) -> Any:
    """Import a module that needs Alembic, which takes a third of a second.

    The messages are those of operations.md 2.4: Alembic would log its own, from its import on.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return importlib.import_module(module)


def sql(dialect_name: str, since: str | None = None, schema: Schema = CORE) -> str:
    """Return the SQL that `migrate` runs on a database of version *since*, to run it by hand (O-PG-36)."""
    script: str = importlib.import_module(_RUNNER).script(dialect_name, since, schema)
    return script


def report_current(dialect_name: str, schema: Schema, report: Report) -> None:
    """Report by each name of a schema that there is nothing to do."""
    for name in schema.names:
        report(f"Detected {schema_label(dialect_name, name)} version {version_label(schema.version)}.")
        report(f"{schema_label(dialect_name, name)} is up-to-date.")


def schema_label(dialect_name: str, name: str) -> str:
    """Return the name of a schema in messages: "PostgreSQL storage schema"."""
    return f"{_DATABASES[dialect_name]} {name} schema"


def version_label(version: str) -> str:
    """Return a version as messages show it, without leading zeros."""
    return version.lstrip("0")
