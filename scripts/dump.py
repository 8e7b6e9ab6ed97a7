"""Write all data as lines of JSON: a backup, of one moment, that people can read (docs/production.md)."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

import click

from app.dumps.writing import UnknownKind, Writer
from app.factory import create_service
from app.service import Service
from backends.storage import id_of
from backends.storage.sql import SqlStorage
from backends.storage.transfer.entries import Export
from backends.storage.transfer.rows import report_progress
from scripts.command import FAILED, Command, log, settings_of
from scripts.dump_files import STANDARD_STREAM, create_dump
from scripts.progress import show_progress

_NO_SQL: Final = "storage_backend: this storage has no tables of ours to dump or load."


@click.command("dump", cls=Command)
@click.argument("file", default=STANDARD_STREAM)
@click.option("--bucket", "buckets", metavar="ID", multiple=True, help="This bucket only; may be repeated.")
@click.option("--with-secrets", is_flag=True, help="Write private fields too: the hashes of passwords.")
@click.pass_context
def command(context: click.Context, file: str, buckets: tuple[str, ...], *, with_secrets: bool) -> int:
    """Write all objects, permissions and timestamps to FILE (.zst and .gz compress), or to standard output.

    It is a state that the database had, while others write. FILE appears when it is complete.
    """
    service: Service = create_service(settings_of(context))
    uris = [f"/buckets/{bucket}" for bucket in dict.fromkeys(buckets)]
    try:
        return _dump(service, file, uris, with_secrets=with_secrets)
    except UnknownKind as error:
        log.error(
            "The database has objects in %s, a kind of no plugin of the settings: nobody knows what is secret. "
            "Include the plugin, or use --with-secrets.",
            error,
        )
    except OSError as error:
        if error.errno == errno.EPIPE:
            # The reader has ended. Python would report that again when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        log.error("Cannot write the dump to %s: %s.", file, error.strerror)
    finally:
        service.close()
    return FAILED


def _dump(service: Service, file: str, uris: list[str], *, with_secrets: bool) -> int:
    """Write the dump; return the exit code. Raises UnknownKind, OSError, BackendError."""
    storage = service.storage
    if not isinstance(storage, SqlStorage):
        log.error(_NO_SQL)
        return FAILED
    with storage.snapshot() as connection:
        export = Export(connection, storage.dialect, uris or None)
        if missing := export.missing_buckets():
            log.error("There is no bucket %s.", ", ".join(map(id_of, missing)))
            return FAILED
        lines = Writer(service.kinds, secrets=with_secrets).lines(export.entries(), map(id_of, uris))
        total = None if uris else export.count()
        with create_dump(file) as stream, show_progress("objects dumped", total) as note:
            for line in report_progress(lines, note):
                stream.write(line)
    if export.orphans:
        log.warning("%d permission(s) and membership(s) of no object were left out: see kinto check.", export.orphans)
    if file != STANDARD_STREAM:
        log.info("Wrote %s, %d bytes.", file, Path(file).stat().st_size)
    return 0
