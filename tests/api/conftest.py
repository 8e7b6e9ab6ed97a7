"""A client on SQLite and on PostgreSQL: `client` with the usual settings, `client_with(settings)` with others.

`client_with(settings, kept=True)` is for tests that leave the service as it is: they share one, which is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client import Client
from tests.databases import BASICAUTH, DATABASES, database_url, keep_app, make_app

ClientMaker = Callable[..., Client]


@pytest.fixture(params=DATABASES)
def client_with(request: pytest.FixtureRequest) -> Iterator[ClientMaker]:
    """Make clients of applications with settings of their own: `client_with({"kinto.paginate_by": 2})`."""
    url = database_url(request.param, request)
    made = []

    def make(settings: dict[str, Any] | None = None, kept: bool = False) -> Client:
        app = (keep_app if kept else make_app)(url, {**BASICAUTH, **(settings or {})})
        made.append(app)
        return Client(app)

    yield make
    for app in made:
        app.extensions["kinto"].close()


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service."""
    return client_with()
