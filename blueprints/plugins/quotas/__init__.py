"""Limit the sizes of buckets, collections and objects, and the numbers of records (plugins contract, 9.1)."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Final

from flask import Flask

from blueprints.plugins import BackendError, PluginTables, Service
from blueprints.plugins.quotas.limits import read_limits
from blueprints.plugins.quotas.loading import Recount
from blueprints.plugins.quotas.rebuilding import count_new_buckets, rebuild_quotas
from blueprints.plugins.quotas.rule import Quotas
from blueprints.plugins.quotas.tables import any_row, quotas, remove_zeros

log: Final = logging.getLogger("kinto.plugins.quotas")

_DESCRIPTION: Final = "Quotas Management on buckets and collections."
_DOCUMENTATION: Final = "https://kinto.readthedocs.io"

commands: Final = {"rebuild-quotas": rebuild_quotas}


def attach(_app: Flask, service: Service) -> None:
    """Count the objects and bytes of buckets and collections, and refuse requests that exceed a limit."""
    service.add_tables(PluginTables("quotas", Path(__file__).parent / "versions", (quotas,), purge=(remove_zeros,)))
    service.add_migration_step(lambda: count_new_buckets(service))
    service.add_start_check(partial(_warn_without_table, service))
    service.add_load_step(Recount)
    service.add_rule(Quotas(read_limits(service.settings), service.metrics))
    service.add_capability("quotas", _DESCRIPTION, _DOCUMENTATION)


def _warn_without_table(service: Service) -> None:
    """Log a warning if the table cannot be read: without it every write is a 503."""
    try:
        service.storage.execute(any_row)
    except BackendError as error:
        log.warning("The table of quotas cannot be read. If it does not exist yet, run `kinto migrate`: %s", error)
