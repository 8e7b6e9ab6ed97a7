"""The clients of the tests over HTTP, and the people of tests of accounts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from flask import Flask

from app.service import Service
from tests.api.conftest import ClientMaker, client, client_with
from tests.plugins.logins import MakeService, services
from tests.plugins.people import People, count_hashes, two_people
from tests.support.client import Client
from tests.support.openid_provider import Provider, openid_provider

__all__ = ["ClientMaker", "client", "client_with"]

Attach = Callable[[Flask, Service], None]
MakeClient = Callable[[Attach], Client]


@pytest.fixture
def client_of(client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> MakeClient:
    """Make alice's client of a service with a plugin."""

    def make(attach: Attach) -> Client:
        module = ModuleType("kinto_views")
        module.__spec__ = ModuleSpec(module.__name__, None)
        vars(module)["attach"] = attach
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return client_with({"kinto.includes": module.__name__}, kept=False)

    return make


@pytest.fixture
def people(client_with: ClientMaker) -> People:
    """Return the people of a service with accounts alone; alice and admin have one."""
    return two_people(client_with)


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count the comparisons with a hash."""
    return count_hashes(monkeypatch)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Run a provider of OpenID Connect."""
    with openid_provider() as running:
        yield running


@pytest.fixture
def make_service() -> Iterator[MakeService]:
    """Make anonymous clients of services with the plugin openid: `make_service(policy(provider))`."""
    with services() as make:
        yield make
