"""Give a database and roles of their own, made as the guide says and gone after the test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import URL, make_url

from app.factory import create_app
from app.service import Service
from tests.plugins.people import ACCOUNTS
from tests.production import guide
from tests.support import services
from tests.support.client import SECRET, Client

PASSWORD = "p@ss/word"


@dataclass
class Place:
    """A database of the test, and the roles made for it: roles belong to the whole server, so their names are new."""

    name: str
    administrator: URL
    roles: list[str] = field(default_factory=list)

    def role(self) -> str:
        """Return a name that no role has yet."""
        self.roles.append(f"kinto_test_{uuid.uuid4().hex[:12]}")
        return self.roles[-1]

    def execute(
        self, *statements: str, role: str | None = None, database: str | None = None
    ) -> list[tuple[object, ...]]:
        """Run statements, each on its own, as administrator or as a role; return the rows of the last one."""
        with closing(psycopg2.connect(self.url(role, database))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, role: str | None = None, database: str | None = None) -> str:
        """Return the URL of the database for a role with the password of the tests."""
        url = self.administrator.set(database=database or self.name)
        if role:
            url = url.set(username=role, password=PASSWORD)
        return url.render_as_string(hide_password=False)


@pytest.fixture
def place(postgresql_url: str) -> Iterator[Place]:
    """Give a database as the guide makes it."""
    made = Place(f"kinto_test_{uuid.uuid4().hex[:12]}", make_url(postgresql_url))
    made.execute(*guide.statements("Run a PostgreSQL server", dbname=made.name), database="postgres")
    yield made
    made.execute(
        f"DROP DATABASE {made.name} WITH (FORCE)",
        *(f"DROP ROLE IF EXISTS {role}" for role in made.roles),
        database="postgres",
    )


@pytest.fixture
def owner(place: Place) -> str:
    """Give a role made by the first statements of the guide: it may make the tables."""
    name = place.role()
    place.execute(*guide.statements("Privileges basics", dbuser=name, dbpassword=PASSWORD, dbname=place.name))
    return name


@pytest.fixture
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test in an empty folder, without settings in the environment."""
    clean = services.as_environment({})
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(clean):
        monkeypatch.delenv(name)


Opener = Callable[..., Client]


@pytest.fixture
def client_of(place: Place) -> Iterator[Opener]:
    """Make clients of services that log in to the database as a role: `client_of(role, {"kinto.readonly": True})`."""
    made: list[Service] = []

    def open_client(role: str, settings: Mapping[str, Any] | None = None, name: str | None = None) -> Client:
        url = place.url(role)
        app = create_app(
            {
                **ACCOUNTS,
                "kinto.userid_hmac_secret": SECRET,
                "kinto.storage_url": url,
                "kinto.cache_backend": "postgresql",
                "kinto.cache_url": url,
                **(settings or {}),
            }
        )
        made.append(app.extensions["kinto"])
        return Client(app, name)

    yield open_client
    for service in made:
        service.close()
        service.cache.close()


@pytest.fixture
def migrated(owner: str, client_of: Opener) -> Client:
    """Give a client of a service of the owner of the tables, which are there."""
    client = client_of(owner)
    service: Service = client.app.extensions["kinto"]
    service.cache.initialize()
    service.migrate(lambda line: None)
    return client
