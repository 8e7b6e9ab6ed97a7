"""Load a dump into an empty storage, or one of its buckets under another name into any storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

from app.dumps.reading import BadLine, Reader
from app.dumps.renaming import WrongBucket, rename_bucket, select_bucket
from app.factory import create_service
from app.service import Service
from backends import BackendError
from backends.storage import Stored, Transaction
from backends.storage.sql import SqlStorage
from backends.storage.tables import metadata
from backends.storage.transfer.entries import Entry, ObjectEntry
from backends.storage.transfer.importing import BucketImport, Import
from backends.storage.transfer.rows import report_progress
from scripts.command import FAILED, READONLY, Command, log, settings_of
from scripts.dump_files import Damaged, open_dump
from scripts.progress import show_progress

_BUCKETS: Final = "/buckets"
_HINTS: Final = {"account": ": create-user gives each of them a new one."}

VOLATILE: Final = 54
"""The exit code where the data would be lost with this process."""


@click.command("load", cls=Command)
@click.argument("file")
@click.option("--into", metavar="ID", help="Load one bucket, under this id; the storage need not be empty.")
@click.option("--bucket", metavar="ID", help="Which bucket of the dump; needed where it has several.")
@click.pass_context
def command(context: click.Context, file: str, into: str | None, bucket: str | None) -> int:
    """Load FILE, or - for standard input, as `kinto dump` wrote it: all of it, or after any error nothing."""
    settings = settings_of(context)
    if bucket is not None and into is None:
        raise click.UsageError("--bucket needs --into.")
    if settings.readonly:
        log.error("Cannot load with a readonly server.")
        return READONLY
    if settings.storage_backend == "memory":
        log.error("Cannot load into the memory of this process. Set storage_backend to sqlite or postgresql.")
        return VOLATILE
    service: Service = create_service(settings)
    if into is not None and not service.kinds["bucket"].generator.match(into):
        raise click.UsageError(f"Invalid value for '--into': {into!r} is no valid id of a bucket.")
    try:
        return _load(service, file, into, bucket)
    except (BadLine, Damaged, WrongBucket) as error:
        log.error("Nothing was loaded from %s: %s", file, error)
    except BackendError as error:
        log.error("Nothing was loaded: %s", " ".join(str(error).split()))
    finally:
        service.close()
    return FAILED


def _load(service: Service, file: str, into: str | None, bucket: str | None) -> int:
    storage = service.storage
    if not isinstance(storage, SqlStorage):
        log.error("storage_backend: this storage has no tables of ours.")
        return FAILED
    reader = Reader(service.kinds)
    with open_dump(file) as lines, show_progress("lines loaded") as note:
        entries = reader.entries(report_progress(lines, note))
        if into is None:
            objects = _import_all(service, storage, entries)
        else:
            objects = _import_bucket(service, storage, entries, into, bucket)
    log.info("Loaded %d object(s).", objects)
    for name, number in reader.oddities.items():
        if number:
            log.warning("Loaded %d %s, as they were.", number, name)
    for (kind, name), number in reader.missing_secrets.items():
        if into is not None and service.kinds[kind].parent is None:
            continue  # it is in no bucket, so it was not loaded
        log.warning("%d %s(s) have no %s, since the dump has no secrets%s", number, kind, name, _HINTS.get(kind, "."))
    storage.build_indexes(log.info)
    return 0


def _import_all(service: Service, storage: SqlStorage, entries: Iterable[Entry]) -> int:
    """Load all entries in one transaction; return the number of objects."""
    tables = [table for plugin in service.tables for table in plugin.tables]
    with storage.transaction(service.kinds.derived) as writer:
        sink = Import(writer, storage.dialect, service.lists_at_top(), tables)
        number = _write(service, sink, writer, entries)
        storage.dialect.update_statistics(writer.connection, metadata.sorted_tables)
    return number


def _import_bucket(
    service: Service, storage: SqlStorage, entries: Iterable[Entry], into: str, bucket: str | None
) -> int:
    """Load one bucket under another id in one transaction; return the number of objects."""
    uri = f"{_BUCKETS}/{into}"
    bucket_entries = select_bucket(entries, bucket and f"{_BUCKETS}/{bucket}")
    with storage.transaction(service.kinds.derived) as writer:
        sink = BucketImport(writer, storage.dialect, uri)
        number = _write(service, sink, writer, rename_bucket(bucket_entries, uri, service.kinds))
    return number


def _write(service: Service, sink: Import, transaction: Transaction, entries: Iterable[Entry]) -> int:
    """Write the entries, and what plugins compute from them; return the number of objects."""
    steps = [make() for make in service.load_steps]
    number = 0
    for entry in entries:
        sink.add(entry)
        if isinstance(entry, ObjectEntry):
            number += 1
            if steps and (route := service.kinds.match(entry.uri)):
                stored = Stored(entry.uri, entry.last_modified, entry.deleted, entry.born, entry.text)
                for step in steps:
                    step.add(route.kind, stored)
    sink.finish()
    for step in steps:
        step.finish(transaction)
    return number
