"""Record every change of buckets, collections, groups and records in a list of each bucket (plugins contract, 7)."""

from __future__ import annotations

from typing import Final

from flask import Flask

from blueprints.plugins import Json, Kind, Listener, Service
from blueprints.plugins.history.exclusions import Exclusions, describe
from blueprints.plugins.history.recording import KINDS, NAME, EntryHooks, Recorder
from blueprints.plugins.history.trimming import Trimming
from blueprints.plugins.history.views import urls

__all__ = ["attach"]

_DESCRIPTION: Final = "Track changes on data."
_DOCUMENTATION: Final = "http://kinto.readthedocs.io/en/latest/api/1.x/history.html"
_IDS: Final = frozenset(f"{kind}_id" for kind in KINDS)
_FIELDS: Final = _IDS | {"user_id", "uri", "action", "date", "resource_name", "target", "target."}


def attach(app: Flask, service: Service) -> None:
    """Add the list of entries, the listener that writes them, snapshots, and the capability. Raises SettingError."""
    settings = service.settings
    service.add_kind(
        Kind(
            NAME,
            "history",
            ("read",),
            service.generator(NAME),
            parent="bucket",
            list_methods=("GET", "HEAD", "DELETE"),
            object_methods=(),
            derived=True,
            fields=_FIELDS,
            text_fields=_IDS | {"date"},
            hooks=EntryHooks(),
        )
    )
    exclusions = Exclusions(settings.history_exclude_resources, settings.history_exclude_user_ids)
    trimming = Trimming(
        settings.history_auto_trim_max_count, settings.history_auto_trim_threshold, settings.history_auto_trim_user_ids
    )
    recorder = Recorder(exclusions, trimming, has_permissions=settings.explicit_permissions)
    listener = Listener(
        together=recorder.record,
        kinds=frozenset(KINDS),
        name="plugins.history",
        ancestor_grants=settings.explicit_permissions,
        old_documents=False,
    )
    service.add_listener(listener)
    app.register_blueprint(urls(service))
    more: dict[str, Json] = {}
    if settings.history_exclude_resources:
        more["excluded_resources"] = [describe(uri) for uri in settings.history_exclude_resources]
    if trimming.max_count > 0:
        more["auto_trim_max_count"] = trimming.max_count
    if trimming.user_ids:
        more["auto_trim_user_ids"] = [*trimming.user_ids]
    service.add_capability("history", _DESCRIPTION, _DOCUMENTATION, **more)
