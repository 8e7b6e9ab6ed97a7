"""One database for each worker of the tests and kind of database, emptied before each test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from flask import Flask

from app.factory import create_app
from app.service import Service
from backends.storage.migrations import SchemaError
from tests.services import empty_database

BASICAUTH: Mapping[str, Any] = {"multiauth.policies": "basicauth", "kinto.userid_hmac_secret": "golden-secret"}
DATABASES = ("sqlite", "postgresql")

_folder = tempfile.TemporaryDirectory(prefix="kinto-tests-")


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


AppMaker = Callable[..., Flask]


def make_tables(url: str, service: Service) -> None:
    """Make the tables where they are missing, also where a test of migrations left others."""
    try:
        service.storage.migrate(False, lambda line: None)
    except SchemaError:
        empty_database(url)
        service.storage.migrate(False, lambda line: None)


def make_app(url: str, settings: Mapping[str, Any]) -> Flask:
    """Make an application on an emptied database; its tables are made where they are missing."""
    app = create_app({"kinto.storage_url": url, **settings})
    service = app.extensions["kinto"]
    make_tables(url, service)
    service.storage.flush()
    service.start()
    return app


_kept: dict[tuple[Any, ...], Flask] = {}


def keep_app(url: str, settings: Mapping[str, Any]) -> Flask:
    """Return the application of a database and settings that all tests share which leave it as it is, on no data.

    A new one compiles every statement anew, which takes longer than most tests.
    """
    key = (url, *sorted(settings.items()))
    if key not in _kept:
        _kept[key] = make_app(url, settings)
        return _kept[key]
    service = _kept[key].extensions["kinto"]
    make_tables(url, service)
    service.flush()
    return _kept[key]
