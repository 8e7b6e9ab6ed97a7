"""Serve `GET /__counters__`, the numbers of objects and tombstones by kind (plugins contract, 8.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Flask

from blueprints.plugins import Json, Service, add_view

_DESCRIPTION: Final = "The __counters__ endpoint exposes how many objects are stored."
_DOCUMENTATION: Final = "https://kinto.readthedocs.io/en/latest/api/1.x/counters.html"

_OF_OTHER_PLUGINS: Final = {("accounts",): "account", ("buckets", "history"): "history"}
"""Kinds whose objects stay when their plugins are no longer included."""


def attach(app: Flask, service: Service) -> None:
    """Add the URL, which needs no authentication (P-CNT-1)."""

    def get_counters() -> Json:
        return count_by_kind(service)

    add_view(app, service, "/__counters__", get_counters, "The numbers of objects and tombstones, by kind.")
    service.add_capability("counters_endpoint", _DESCRIPTION, _DOCUMENTATION)


def count_by_kind(service: Service) -> Mapping[str, Mapping[str, int]]:
    """Return the numbers of objects and of tombstones by kind, without zeros."""
    lineages = {kind.name: service.kinds.lineage(kind) for kind in service.kinds}
    kinds = _OF_OTHER_PLUGINS | {tuple(each.plural for each in kinds): name for name, kinds in lineages.items()}
    counts = service.storage.count(max(map(len, kinds)))
    named = sorted((kinds[lists], numbers) for lists, numbers in counts.items() if lists in kinds)
    return {
        "objects": {kind: objects for kind, (objects, _) in named if objects},
        "tombstones": {kind: tombstones for kind, (_, tombstones) in named if tombstones},
    }
