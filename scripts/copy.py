"""Copy all data from one storage to another: from an embedded database to PostgreSQL, or the other way."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import click

from app.factory import create_service, new_flask, open_storage
from app.service import Service
from app.settings import SettingError, Settings, convert_errors, is_same_database, locate_storage
from backends.storage.sql import SqlStorage
from backends.storage.transfer.copying import Copy, CopyResult
from scripts.command import FAILED, READONLY, Command, log, settings_of
from scripts.progress import show_progress

_MAX_LISTS: Final = 10
_SQLITE: Final = "sqlite:///"


@click.command("copy", cls=Command)
@click.option("--from", "source", metavar="URL", required=True, help="Storage to copy: a storage_url.")
@click.option("--to", "target", metavar="URL", required=True, help="Empty storage, whose tables are made if missing.")
@click.pass_context
def command(context: click.Context, source: str, target: str) -> int:
    """Copy all data to an empty storage, with the tables of the plugins in the settings.

    The command may be stopped at any time, and started again: it continues. No server starts on the target meanwhile.
    """
    settings = settings_of(context)
    if is_same_database(source, target):
        raise SettingError("--to", "another database than that of --from is expected.")
    if settings.readonly and settings.storage_url and is_same_database(target, settings.storage_url):
        log.error("Cannot copy to the storage of a readonly server.")
        return READONLY
    with _naming("--from", source):
        source_storage = _open_source(settings, source)
    with _naming("--to", target):
        service: Service = create_service(_with_storage(settings, "--to", target))
    copy = Copy(source_storage, cast(SqlStorage, service.storage), service.tables)
    with _naming("--from", source):
        copy.expect_source()
        total = copy.count()
    with _naming("--to", target):
        service.migrate(log.info)
        copy.claim()
    with show_progress("rows copied and compared", 2 * total) as note:
        result = copy.run(note)
    return _report(result)


@contextmanager
def _naming(option: str, url: str) -> Iterator[None]:
    """Raise SettingError with the name of an option for all errors of the storage at its URL."""
    with convert_errors(option, "the storage cannot be used", [url]):
        try:
            yield
        except SettingError as error:
            raise SettingError(option if error.name == "storage_url" else error.name, error.problem) from error


def _with_storage(settings: Settings, option: str, url: str) -> Settings:
    """Return the settings with the storage at a URL. Raises SettingError."""
    backend, url = locate_storage(option, url)
    return replace(settings, storage_backend=backend, storage_url=url, permission_backend=backend, permission_url=url)


def _open_source(settings: Settings, url: str) -> SqlStorage:
    """Open the storage at a URL, whose file exists. Raises SettingError."""
    settings = _with_storage(settings, "--from", url)
    file = url.removeprefix(_SQLITE)
    if settings.storage_backend == "sqlite" and not Path(file).is_file():
        raise SettingError("--from", f"there is no file {file}.")
    return cast(SqlStorage, open_storage(settings, new_flask()))


def _report(result: CopyResult) -> int:
    """Report what was copied; return the exit code."""
    for name, rows in result.rows.items():
        log.info("%s: %d row(s) copied.", name, rows)
    if result.different_lists:
        for name in result.different_lists[:_MAX_LISTS]:
            log.error("The copy differs: %s.", name)
        log.error("%d list(s) differ: run the command again.", len(result.different_lists))
        return FAILED
    log.info("Both storages have the same rows in all lists.")
    if result.written_lists:
        log.warning(
            "%d list(s) of the source were written to after the copy had begun, and the copy lacks these changes (%s). "
            "Set readonly on the server of the source first.",
            len(result.written_lists),
            ", ".join(result.written_lists[:_MAX_LISTS]),
        )
    return 0
