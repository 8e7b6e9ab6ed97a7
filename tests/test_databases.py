"""Applications that tests share: one that a test has changed is not used again, and none has data of another test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask

from app.authentication.basicauth import BasicAuth
from app.events import Listener
from tests.support.client import Client
from tests.support.databases import BASICAUTH, keep_app, sqlite_url

SETTINGS: Mapping[str, Any] = {**BASICAUTH, "kinto.project_name": "shared"}


CHANGES: dict[str, Callable[[Flask, Any], object]] = {
    "a listener": lambda app, service: service.add_listener(Listener(after=print)),
    "a heartbeat": lambda app, service: service.heartbeats.update(storage=lambda: False),
    "a capability": lambda app, service: service.add_capability("mine", "", ""),
    "a public setting": lambda app, service: service.public_settings.update(readonly=1),
    "user info": lambda app, service: service.user_info.append(lambda identity: {}),
    "another policy": lambda app, service: service.authenticator.policies.insert(
        0, BasicAuth("basicauth", "s", "realm")
    ),
    "a step of flush": lambda app, service: service.add_flush_step(print),
    "another storage": lambda app, service: setattr(service, "storage", object.__new__(type(service.storage))),
    "a method of the storage": lambda app, service: setattr(service.storage, "read", print),
    "a method of the cache": lambda app, service: setattr(service.cache, "get", print),
    "an extension": lambda app, service: app.extensions.update(mine=1),
    "middleware": lambda app, service: setattr(app, "wsgi_app", print),
}


def test_an_application_is_shared_without_its_data() -> None:
    first = keep_app(sqlite_url(), SETTINGS)
    Client(first).put("/buckets/b")
    first.extensions["kinto"].cache.set("key", 1, 60)

    second = keep_app(sqlite_url(), SETTINGS)

    assert second is first
    assert Client(second).get("/buckets").data == []
    assert second.extensions["kinto"].cache.get("key") is None


def test_an_application_is_that_of_its_settings_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    first = keep_app(sqlite_url(), SETTINGS)

    assert keep_app(sqlite_url(), {**SETTINGS, "kinto.project_name": "other"}) is not first

    monkeypatch.setenv("KINTO_PROJECT_NAME", "other")
    assert keep_app(sqlite_url(), SETTINGS) is not first


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_application_is_not_used_again_after(change: Callable[[Flask, Any], object]) -> None:
    changed = keep_app(sqlite_url(), SETTINGS)
    change(changed, changed.extensions["kinto"])

    another = keep_app(sqlite_url(), SETTINGS)

    assert another is not changed
    assert Client(another).put("/buckets/b").status == 201
    assert keep_app(sqlite_url(), SETTINGS) is another
