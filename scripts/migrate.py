"""Create or upgrade the tables of cache, storage and permission (operations contract, 2.4)."""

import importlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from app.errors import Invalid
from app.factory import create_service
from app.service import Service
from app.settings import convert_errors
from backends.storage import Takeover, migrations
from backends.storage.sql import SqlStorage
from scripts.command import FAILED, Command, level, log, settings_of
from scripts.progress import show_progress

ACCOUNTS: Final = "kinto.plugins.accounts"
_SQLITE: Final = "backends.storage.sqlite"


@click.command("migrate", cls=Command)
@click.option("--dry-run", is_flag=True, help="Log the steps without executing them; with -v print the SQL.")
@click.option("--sql", is_flag=True, help="Print the SQL of the steps without executing it.")
@click.option("--again", is_flag=True, help="Take over once more what Kinto wrote after a takeover.")
@click.option("--keep-orphans", is_flag=True, help="Give objects of Kinto whose parent is gone new parents.")
@click.option("--report", type=click.Path(path_type=Path), help="Write all that a takeover finds to a file.")
@click.pass_context
def command(context: click.Context, /, *, dry_run: bool, sql: bool, report: Path | None, **options: bool) -> int:
    """Create or upgrade the tables of the backends, and take over the data of Kinto in the same database.

    If KINTO_ADMIN_PASSWORD is set, create the missing accounts among account_write_principals.
    """
    print_sql = sql or (dry_run and level(context) == logging.DEBUG)
    dry_run = dry_run or sql
    settings = settings_of(context)
    # An embedded database gets its tables when it is opened, so a dry run opens another one.
    simulated = dry_run and settings.storage_backend == "sqlite"
    service: Service = create_service(
        replace(settings, storage_backend="memory", storage_url="") if simulated else settings
    )
    with convert_errors("cache_url", "the cache cannot be migrated", [service.settings.cache_url]):
        _migrate_cache(service, dry_run=dry_run)
        if print_sql:
            click.echo(service.cache.script(), nl=False)
    if settings.readonly:
        for part in ("storage", "permission"):
            log.error("Cannot migrate the %s backend while in readonly mode.", part)
        return 0
    # Each process creates its own storage in memory: there is nothing to migrate (O-CLI-14).
    if settings.storage_backend == "memory":
        return 0
    if simulated:
        with importlib.import_module(_SQLITE).open_unchanged(settings.storage_url) as engine:
            for schema in _schemas(service):
                migrations.migrate(engine, log.info, dry_run=True, schema=schema)
            if print_sql:
                _print_sql(service, engine)
        return 0
    takeover = Takeover(options["again"], options["keep_orphans"], report, show_progress)
    service.migrate(log.info, dry_run=dry_run, takeover=takeover)
    if print_sql and isinstance(service.storage, SqlStorage):
        _print_sql(service, service.storage.writing)
    return 0 if dry_run else _create_administrators(service)


def _create_administrators(service: Service) -> int:
    """Create the accounts that settings name as administrators, so that no stranger can sign up with their names."""
    password = str(service.settings.get("admin_password", ""))
    if not password or ACCOUNTS not in service.settings.includes:
        return 0
    accounts: Any = importlib.import_module("blueprints.plugins.accounts")
    try:
        for name in accounts.make_administrators(service, password):
            log.info("Created the administrator '%s'.", name)
    except Invalid as error:
        log.error("KINTO_ADMIN_PASSWORD cannot be used: %s", error.problems[0].message())
        return FAILED
    return 0


def migrate_all(service: Service) -> None:
    """Create or upgrade cache and storage. Raises BackendError."""
    _migrate_cache(service, dry_run=False)
    service.migrate(log.info)


def _migrate_cache(service: Service, *, dry_run: bool) -> None:
    name = {"postgresql": "PostgreSQL"}.get(service.settings.cache_backend)
    if service.cache.is_initialized():
        if name:
            log.info("%s cache schema is up-to-date.", name)
        return
    if dry_run:
        log.info("Create cache schema")
        return
    service.cache.initialize()
    log.info("Created %s cache tables", name or service.settings.cache_backend)


def _print_sql(service: Service, engine: Any) -> None:
    """Print the SQL that a database administrator can execute instead (O-PG-36)."""
    with engine.connect() as connection:
        for schema in _schemas(service):
            version = migrations.installed_version(connection, schema)
            click.echo(migrations.sql(connection.dialect.name, version, schema))


def _schemas(service: Service) -> list[migrations.Schema]:
    """Return the schemas of the storage and of the plugins."""
    return [migrations.CORE, *map(migrations.schema_of, service.tables)]
