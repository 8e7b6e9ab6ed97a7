"""`kinto rebuild-quotas`: count all objects anew, one bucket after the other (operations contract, 2.7)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Final

import click

from blueprints.plugins import Service, Stored, Transaction, list_objects, with_locked_bucket
from blueprints.plugins.quotas.rule import write
from blueprints.plugins.quotas.sizes import size_of
from blueprints.plugins.quotas.tables import stored_buckets
from blueprints.plugins.quotas.usage import COUNTED, Changes, Usage

log: Final = logging.getLogger("kinto.plugins.quotas")

_BUCKET: Final = "Bucket %s. Final size: %s collections, %s records, %s bytes."
_COLLECTION: Final = "Bucket %s, collection %s. Final size: %s records, %s bytes."

READONLY: Final = 41
"""The exit code if the service is read-only, as in Kinto."""


@click.command(help="Count anew what buckets and collections hold.")
@click.option("--dry-run", is_flag=True, help="Log the numbers without storing them.")
@click.pass_obj
def rebuild_quotas(service: Service, *, dry_run: bool) -> int:
    """Count the objects of each bucket while it is locked, and log the numbers of each bucket and collection."""
    if service.settings.readonly:
        log.error("Cannot rebuild quotas while in readonly mode.")
        return READONLY
    existing = {stored.uri for stored in list_objects(service.storage.read, "/buckets")}
    for bucket in sorted(existing.union(*service.storage.execute(stored_buckets))):
        usages = with_locked_bucket(service, bucket, partial(_rebuild, service, bucket, dry_run=dry_run))
        if bucket in existing:
            _log(bucket, usages)
    return 0


def count_new_buckets(service: Service) -> None:
    """Count the objects of the buckets that have never been counted: they are older than the plugin, or Kinto's."""
    existing = {stored.uri for stored in list_objects(service.storage.read, "/buckets")}
    for bucket in sorted(existing.difference(*service.storage.execute(stored_buckets))):
        with_locked_bucket(service, bucket, partial(_rebuild, service, bucket, dry_run=False))


def _rebuild(
    service: Service, bucket: str, transaction: Transaction, objects: Iterable[Stored], *, dry_run: bool
) -> dict[str, Usage]:
    """Store the numbers of a bucket and its collections, and return them."""
    changes = Changes()
    changes.deleted_buckets.add(bucket)
    for stored in objects:
        route = service.kinds.match(stored.uri)
        if route is not None and route.kind.name in COUNTED:
            changes.count(route.kind.name, stored.uri, 1, size_of(stored))
    if not dry_run:
        write(changes, transaction)
    return changes.usages


def _log(bucket: str, usages: dict[str, Usage]) -> None:
    bucket_id = bucket.rpartition("/")[2]
    for uri, usage in sorted(usages.items()):
        if uri != bucket:
            name = uri.rpartition("/")[2]
            log.info(_COLLECTION, bucket_id, name, usage.records, usage.bytes)
    total = usages.get(bucket, Usage())
    log.info(_BUCKET, bucket_id, total.collections, total.records, total.bytes)
