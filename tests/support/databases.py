"""One database for each worker of the tests and kind of database, emptied before each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Any

import pytest
from flask import Flask

from app.factory import assemble, new_flask, open_logs, open_storage
from app.service import Service
from app.settings import Settings, load
from backends import BackendError
from backends.storage import Disconnected, Storage
from backends.storage.migrations import SchemaError
from tests.support.services import SETTING_PREFIXES, empty_database, folder_in_memory

BASICAUTH: Mapping[str, Any] = {
    "multiauth.policies": "basicauth",
    "kinto.userid_hmac_secret": "golden-secret",
    "kinto.storage_prepare": os.environ.get("KINTO_TEST_PREPARE") != "0",
}
"""The settings of most services of the tests. With KINTO_TEST_PREPARE=0 their connections prepare no statements."""

DATABASES = ("sqlite", "postgresql")

_folder = tempfile.TemporaryDirectory(prefix="kinto-tests-", dir=folder_in_memory())


@cache
def sqlite_url() -> str:
    """Return the URL of the SQLite file that this worker uses."""
    return f"sqlite:///{_folder.name}/kinto.sqlite"


def database_url(name: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of the database of this worker, with its tables."""
    if name == "sqlite":
        return sqlite_url()
    url: str = request.getfixturevalue("postgresql_url")
    return url


def make_tables(url: str, service: Service) -> None:
    """Make the tables where they are missing, also where a test of migrations left others."""
    try:
        service.storage.migrate(lambda line: None, service.tables, dry_run=False)
    except SchemaError:
        empty_database(url)
        service.storage.migrate(lambda line: None, service.tables, dry_run=False)


_apps: dict[tuple[Any, ...], tuple[Flask, list[Any]]] = {}
_storages: dict[tuple[Any, ...], tuple[Storage, dict[str, Any]]] = {}


def assemble_app(settings: Mapping[str, Any] | Settings, storage: Storage | None = None) -> Flask:
    """Make an application as `create_app` does, but leave logging alone; on *storage*, by default on its own."""
    app, loaded = new_flask(), settings if isinstance(settings, Settings) else load(settings)
    assemble(app, loaded, lambda: storage or open_storage(loaded, app))
    return app


def make_app(url: str, settings: Mapping[str, Any], storage: Storage | None = None) -> Flask:
    """Make an application on an emptied database; its tables are made where they are missing."""
    loaded = load({"kinto.storage_url": url, **settings})
    open_logs(loaded, by_default=False)
    app = assemble_app(loaded, storage)
    service = app.extensions["kinto"]
    make_tables(url, service)
    service.storage.flush(plugins=service.tables)
    service.start()
    return app


def new_app(url: str, settings: Mapping[str, Any]) -> Flask:
    """Make an application on an emptied database, on the storage that all applications of tests share."""
    storage = keep_storage(url, settings)
    try:
        return make_app(url, settings, storage)
    except Disconnected:
        storage.close()
        return make_app(url, settings, storage)


def keep_app(url: str, settings: Mapping[str, Any]) -> Flask:
    """Return the application of a database and settings that tests share, on no data.

    An application that a test has changed is not used again. Not for settings that name a module of the test: another
    test may give its name to another module.
    """
    key = (url, *_as_key(settings))
    app, parts = _apps.get(key, (None, None))
    if app is None or _parts(app) != parts or not _remove_data(app.extensions["kinto"]):
        app = new_app(url, settings)
        _apps[key] = app, _parts(app)
    return app


def _remove_data(service: Service) -> bool:
    """Remove all data; return whether that succeeded: a test may have ended connections, or its cache is down."""
    try:
        service.flush()
    except BackendError:
        service.storage.close()
        return False
    return True


def keep_storage(url: str, settings: Mapping[str, Any]) -> Storage:
    """Return the storage that applications of a database share: compiling its statements takes longer than most tests.

    A storage that a test, or a plugin of a test, has changed is not used again.
    """
    of_storage = {name: value for name, value in settings.items() if "storage" in name}
    key = (url, *_as_key(of_storage))
    if key not in _storages or _storages[key][1] != _attributes(_storages[key][0]):
        storage = open_storage(load({**of_storage, "kinto.storage_url": url}), Flask("kinto"))
        _storages[key] = storage, _attributes(storage)
    return _storages[key][0]


def _as_key(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the key of an application in its database: its settings, those of the environment included."""
    inherited = [(name, value) for name, value in os.environ.items() if name.startswith(SETTING_PREFIXES)]
    return sorted([*inherited, *((name, repr(value)) for name, value in settings.items())])


def _parts(app: Flask) -> list[Any]:
    """Return the parts of an application that a test may replace or add to."""
    service = app.extensions["kinto"]
    holders = (service, service.kinds, service.authenticator, service.notifier, service.storage, _innermost(app))
    caches = [service.cache, getattr(service.cache, "_cache", service.cache)]
    return [
        app.wsgi_app,
        dict(app.extensions),
        [_attributes(each) for each in holders],
        [list(vars(each)) for each in caches],
    ]


def _innermost(app: Flask) -> Any:
    """Return the storage of an application without the wrapper that measures it."""
    storage = app.extensions["kinto"].storage
    return getattr(storage, "_storage", storage)


def _attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of an object, and copies of those that are collections."""
    return {
        name: copy(value) if isinstance(value, list | dict | set) else value for name, value in vars(holder).items()
    }
