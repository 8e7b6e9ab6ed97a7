"""A client on SQLite and on PostgreSQL: `client` with the usual settings, `client_with(settings)` with others.

Tests share the application of the same settings, which is faster. A second one in a test is new, and so is that of
`client_with(settings, kept=False)`: for settings that name a module of the test, for tests of what the start does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, keep_app, new_app

ClientMaker = Callable[..., Client]

on_sqlite = pytest.mark.parametrize("client_with", ["sqlite"], indirect=True)
"""For rules that HTTP and `app/` decide, whatever the database; `tests/golden` has some of each kind on PostgreSQL."""


@pytest.fixture(params=DATABASES)
def client_with(request: pytest.FixtureRequest) -> ClientMaker:
    """Make clients of applications with settings of their own: `client_with({"kinto.paginate_by": 2})`."""
    url = database_url(request.param, request)
    shared: list[dict[str, Any]] = []

    def make(settings: dict[str, Any] | None = None, kept: bool = True) -> Client:
        chosen = {**BASICAUTH, **(settings or {})}
        if not kept or chosen in shared:
            return Client(new_app(url, chosen))
        shared.append(chosen)
        return Client(keep_app(url, chosen))

    return make


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service."""
    return client_with()
