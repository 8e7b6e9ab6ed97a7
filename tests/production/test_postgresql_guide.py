"""The users of the database that docs/production.md makes can do what it says, and no more (operations.md 3.1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import create_engine

from backends.engines import postgresql_url
from backends.storage.migrations import CORE
from tests.production import guide
from tests.production.conftest import PASSWORD, Opener, Place
from tests.support.client import Answer, Client, basic
from tests.support.migrating import migrate_and_report

BUCKET = "/buckets/b"
COLLECTION = f"{BUCKET}/collections/c"
GROUP = f"{BUCKET}/groups/g"
RECORD = f"{COLLECTION}/records/r"
READABLE = {"permissions": {"read": ["system.Everyone"]}, "data": {}}
NEVER_WRITTEN = [f"{BUCKET}/collections/empty/records", "/buckets/empty/groups", "/buckets/empty/collections"]
ALICE = {"Authorization": basic("alice", "pw")}

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    op.create_table("later", sa.Column("a", sa.BigInteger))
"""


@pytest.fixture
def writing(migrated: Client) -> Client:
    """Give a client of the service that wrote what the others read: an account of alice, objects for everybody."""
    signed_up = migrated.put("/accounts/alice", {"password": "pw"})
    assert signed_up.status == 201, signed_up.body
    for path in (BUCKET, COLLECTION, GROUP, RECORD, "/buckets/empty", f"{BUCKET}/collections/empty"):
        body = {**READABLE, "data": {"members": []}} if path == GROUP else READABLE
        answer = migrated.ask("PUT", path, body, ALICE)
        assert answer.status == 201, answer.body
    return migrated


@pytest.fixture
def reader(place: Place, writing: Client) -> str:
    """Give a user that the guide lets read the tables that are there."""
    name = place.role()
    place.execute(*_for_the_reader(name)[:3])
    return name


@pytest.fixture
def server(place: Place, owner: str, migrated: Client) -> str:
    """Give the user that the guide lets serve, but not migrate."""
    name = place.role()
    values = {"dbuser": name, "dbpassword": PASSWORD, "dbowner": owner}
    place.execute(*guide.statements("One user that migrates and one that serves", **values))
    return name


def _for_the_reader(role: str, owner: str = "") -> list[str]:
    """Return what the guide says of the read-only user: three statements, the grant on the cache, future tables."""
    statements = guide.statements("Read-only user", dbuser=role, dbpassword=PASSWORD, dbowner=owner)
    assert len(statements) == 5
    return statements


def _read_only(client_of: Opener, role: str) -> Client:
    return client_of(role, guide.settings("Read-only user"))


def _grant_on_cache(place: Place, role: str) -> None:
    place.execute(_for_the_reader(role)[3])


def _migrate_later(place: Place, owner: str, folder: Path) -> None:
    """Let the owner migrate to a version that has another table."""
    for step in CORE.versions.glob("0001*"):
        (folder / step.name).write_text(step.read_text())
    (folder / "0002_later.py").write_text(LATER)
    engine = create_engine(postgresql_url(place.url(owner)))
    migrate_and_report(engine, versions=folder)
    engine.dispose()


def test_the_user_of_the_guide_serves_everything(writing: Client) -> None:
    """O-PG-1."""
    assert writing.get(RECORD).status == 200
    assert writing.get("/__heartbeat__").json == {"storage": True, "permission": True, "cache": True}


@pytest.mark.parametrize(
    "path",
    ["/", BUCKET, COLLECTION, GROUP, RECORD, f"{BUCKET}/collections", f"{BUCKET}/groups", f"{COLLECTION}/records"],
)
def test_the_read_only_user_serves_what_anybody_may_read(client_of: Opener, reader: str, path: str) -> None:
    """O-PG-2."""
    client = _read_only(client_of, reader)

    assert client.get(path).status == 200
    assert client.head(path).status == 200


@pytest.mark.parametrize("path", NEVER_WRITTEN)
def test_the_read_only_user_serves_lists_that_nobody_has_visited(client_of: Opener, reader: str, path: str) -> None:
    """O-PG-6: a list's clock is born with its parent."""
    answer = _read_only(client_of, reader).get(path)

    assert (answer.status, answer.data) == (200, [])
    assert answer.etag > 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_read_only_service_refuses_writes(client_of: Opener, reader: str, method: str) -> None:
    """O-SET-21."""
    answer = _read_only(client_of, reader).ask(method, RECORD, {"data": {}} if method != "DELETE" else None, ALICE)

    assert (answer.status, answer.json["errno"]) == (405, 115)


def test_a_write_of_the_read_only_user_is_unavailable_when_the_setting_is_missing(
    client_of: Opener, reader: str
) -> None:
    """What the setting is for: the database refuses too, but nobody could say that it always will."""
    assert client_of(reader).ask("PUT", RECORD, {"data": {}}, ALICE).status == 503


def test_the_read_only_user_logs_accounts_in_when_it_may_write_the_cache(
    client_of: Opener, place: Place, reader: str
) -> None:
    """O-PG-3."""
    _grant_on_cache(place, reader)
    place.execute("DELETE FROM cache")
    client = _read_only(client_of, reader)

    hello = client.ask("GET", "/", headers=ALICE)

    assert hello.json["user"]["id"] == "account:alice"
    assert client.ask("GET", RECORD, headers=ALICE).status == 200
    assert place.execute("SELECT count(*) FROM cache") == [(1,)]
    assert client.get("/__heartbeat__").json == {"storage": True, "permission": True, "cache": True}


def test_the_read_only_user_is_said_to_lack_the_cache_when_it_may_not_write_it(client_of: Opener, reader: str) -> None:
    """O-PG-3, as DECISIONS.md has it: a login that cannot be remembered is checked each time."""
    client = _read_only(client_of, reader)

    assert client.ask("GET", RECORD, headers=ALICE).status == 200
    heartbeat = client.get("/__heartbeat__")
    assert (heartbeat.status, heartbeat.json["cache"], heartbeat.json["storage"]) == (503, False, True)


def test_the_read_only_user_may_read_a_table_that_a_later_version_makes(
    place: Place, owner: str, reader: str, tmp_path: Path
) -> None:
    """O-PG-4."""
    place.execute(_for_the_reader(reader, owner)[4])

    _migrate_later(place, owner, tmp_path)

    assert place.execute("SELECT * FROM later", role=reader) == []


def test_default_privileges_are_without_effect_when_they_do_not_name_the_migrating_role(
    place: Place, owner: str, reader: str, tmp_path: Path
) -> None:
    """O-PG-4: why the guide says `FOR ROLE`."""
    place.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}")

    _migrate_later(place, owner, tmp_path)

    with pytest.raises(InsufficientPrivilege):
        place.execute("SELECT * FROM later", role=reader)


def test_the_serving_user_can_do_all_that_clients_ask_for(client_of: Opener, server: str) -> None:
    """O-PG-5."""
    client = client_of(server)

    def ask(method: str, path: str, body: object = None) -> Answer:
        return client.ask(method, path, body, ALICE)

    statuses = [
        client.put("/accounts/alice", {"password": "pw"}).status,
        ask("PUT", BUCKET, READABLE).status,
        ask("PUT", COLLECTION, READABLE).status,
        ask("PUT", GROUP, {"data": {"members": ["account:alice"]}}).status,
        ask("POST", "/batch", {"requests": [{"method": "PUT", "path": f"/v1{RECORD}", "body": READABLE}]}).status,
        ask("PATCH", RECORD, {"data": {"a": 1}, "permissions": {"write": ["account:bob"]}}).status,
        ask("GET", f"{COLLECTION}/records?a=1").status,
        ask("DELETE", f"{COLLECTION}/records").status,
        ask("DELETE", BUCKET).status,
        ask("DELETE", "/accounts/alice").status,
        ask("GET", "/__heartbeat__").status,
    ]

    assert statuses == [201, 201, 201, 201, 200, 200, 200, 200, 200, 200, 200]


def test_the_serving_user_finds_nothing_to_migrate(client_of: Opener, server: str) -> None:
    """O-PG-5, O-CLI-15."""
    lines: list[str] = []

    client_of(server).app.extensions["kinto"].migrate(lines.append)

    assert lines[-1] == "PostgreSQL permission schema is up-to-date."


def test_the_serving_user_may_not_change_tables(place: Place, server: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        place.execute("CREATE TABLE mine (a bigint)", role=server)


def test_the_serving_user_may_write_a_table_that_a_later_version_makes(
    place: Place, owner: str, server: str, tmp_path: Path
) -> None:
    """O-PG-4, O-PG-5."""
    _migrate_later(place, owner, tmp_path)

    place.execute("INSERT INTO later VALUES (1)", "UPDATE later SET a = 2", "DELETE FROM later", role=server)
    assert place.execute("SELECT * FROM later", role=server) == []
