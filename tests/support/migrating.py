"""Words for the tests of migrations: migrate a database, and look at what is in it."""

import pathlib
from contextlib import nullcontext
from dataclasses import replace

from sqlalchemy import Engine, create_engine, inspect

from backends.engines import postgresql_url
from backends.storage.migrations import CORE, installed_version, migrate
from backends.storage.migrations.runner import upgrade


def engine_of(url: str) -> Engine:
    """Make the engine on which the service writes."""
    return create_engine(postgresql_url(url) if url.startswith("postgres") else url)


def word(engine: Engine) -> str:
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[engine.dialect.name]


def migrate_and_report(engine: Engine, dry_run: bool = False, versions: pathlib.Path | None = None) -> list[str]:
    """Migrate, by the program or by the files of another folder, and return the lines that were reported."""
    lines: list[str] = []
    if versions is None:
        migrate(engine, lines.append, dry_run=dry_run)
    else:
        upgrade(engine, lines.append, replace(CORE, versions=versions), nullcontext, dry_run=dry_run)
    return lines


def version_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return installed_version(connection)


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def tables_of(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())
