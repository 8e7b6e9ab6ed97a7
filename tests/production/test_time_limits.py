"""The time limits that the guide gives the role of the service reach its sessions, and the service works with them."""

from __future__ import annotations

from app.settings import load
from tests.production import guide
from tests.production.conftest import Opener, Place

TITLE = "Time limits"


def test_the_role_of_the_service_has_the_limits_of_the_guide(place: Place, owner: str, client_of: Opener) -> None:
    statements = guide.statements(TITLE, dbuser=owner)
    limits = {name: value.strip("'") for name, value in (each.split(" SET ")[1].split(" = ") for each in statements)}

    place.execute(*statements)
    client = client_of(owner, {**guide.settings(TITLE), "kinto.bucket_create_principals": "system.Everyone"})
    client.app.extensions["kinto"].migrate(lambda line: None)

    assert client.put("/buckets/b").status == 201
    # Those of TCP are 0 where the session came through a socket of the machine.
    settings = {name: place.execute(f"SHOW {name}", role=owner)[0][0] for name in limits if not name.startswith("tcp")}
    minutes = {name: "1min" if value == "60s" else value for name, value in limits.items()}
    assert settings == {name: value for name, value in minutes.items() if name in settings}


def test_the_limits_that_the_guide_shows_are_the_defaults() -> None:
    defaults = load({}, {})
    limits = {name: float(value) for name, value in guide.settings(TITLE).items()}
    assert limits == {
        "kinto.storage_lock_timeout": defaults.storage_lock_timeout,
        "kinto.storage_request_timeout": defaults.storage_request_timeout,
    }
