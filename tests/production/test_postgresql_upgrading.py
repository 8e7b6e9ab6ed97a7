"""Upgrading as docs/production.md tells it: the old version serves on, reloading loses no request, clients back off."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import create_engine

from app.factory import create_app
from backends.engines import postgresql_url
from backends.storage.migrations import CORE
from tests.production import guide
from tests.production.conftest import Opener, Place
from tests.support import services
from tests.support.client import Client
from tests.support.databases import BASICAUTH
from tests.support.migrating import migrate_and_report
from tests.support.services import as_environment

TITLE = "Upgrading Kinto"
INI = "production.ini"
DRY_RUN, MIGRATE = guide.commands(TITLE)
BUCKET = "/buckets/b"
LIST = f"{BUCKET}/collections/c/records"
PATIENCE_SECONDS = 60
AT_ONCE_SECONDS = 30

ADDITIVE = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    op.create_table("later", sa.Column("a", sa.BigInteger))
    op.add_column("documents", sa.Column("later", sa.BigInteger))
"""

INDEX = """
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("documents_later", "documents", ["born"], if_not_exists=True, postgresql_concurrently=True)
"""


@pytest.fixture
def alice(client_of: Opener, owner: str, migrated: Client) -> Client:
    """Give alice's client of the version that is there, with a collection."""
    client = client_of(owner, {"multiauth.policies": "basicauth"}, "alice")
    client.put(BUCKET)
    client.put(f"{BUCKET}/collections/c")
    return client


@pytest.fixture
def later(place: Place, owner: str, tmp_path: Path) -> Callable[[str], None]:
    """Migrate to a later version, whose only new step is given, as the owner of the tables."""

    def run(step: str) -> None:
        for known in CORE.versions.glob("0001*"):
            (tmp_path / known.name).write_text(known.read_text())
        (tmp_path / "0002_later.py").write_text(step)
        engine = create_engine(postgresql_url(place.url(owner)))
        try:
            migrate_and_report(engine, versions=tmp_path)
        finally:
            engine.dispose()

    return run


def _traffic(client: Client) -> set[int]:
    """Ask for one of everything, and return the statuses."""
    return {
        client.put(f"{LIST}/r", {"a": 1}).status,
        client.patch(f"{LIST}/r", {"a": 2}).status,
        client.get(f"{LIST}?a=2").status,
        client.post(LIST, {}).status,
        client.batch({"method": "PUT", "path": f"/v1{LIST}/s"}).status,
        client.delete(LIST).status,
    }


def test_the_version_before_serves_on_when_the_tables_are_of_the_next(
    alice: Client, later: Callable[[str], None]
) -> None:
    """O-DEP-12: its servers run until the new ones are up."""
    later(ADDITIVE)

    assert _traffic(alice) <= {200, 201}
    assert alice.get("/__heartbeat__").status == 200


@contextmanager
def _open_transaction(url: str) -> Iterator[Any]:
    """Write something and do not commit: what builds an index must wait for it."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE documents SET data = data")
        yield connection
        connection.rollback()


def test_readers_and_writers_go_on_while_a_migration_builds_an_index(
    place: Place, alice: Client, later: Callable[[str], None]
) -> None:
    """O-DEP-12: `CREATE INDEX CONCURRENTLY` as a step of its own."""
    building = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
    )
    migration = threading.Thread(target=later, args=(INDEX,))

    with _open_transaction(place.url()):
        migration.start()
        _wait_until(lambda: place.execute(building) != [(0,)])
        began = time.monotonic()
        statuses = _traffic(alice)
        took = time.monotonic() - began
        still = migration.is_alive()
    migration.join(PATIENCE_SECONDS)

    assert statuses <= {200, 201}
    assert still
    assert took < AT_ONCE_SECONDS
    assert place.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'documents_later'::regclass") == [(True,)]


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


@pytest.mark.usefixtures("_alone")
@pytest.mark.usefixtures("migrated")
def test_an_older_program_refuses_the_tables_of_a_newer_one(
    place: Place, owner: str, later: Callable[[str], None]
) -> None:
    """O-CLI-18."""
    later(ADDITIVE)
    Path(INI).write_text(f"[app:main]\nstorage_url = {place.url(owner).replace('%', '%%')}\n")

    ended = guide.run(MIGRATE)

    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "The storage schema of the database has version 2, which is newer than version 1 of this program. "
        "Run the newer program. Nothing was changed."
    )


@pytest.mark.usefixtures("_alone")
def test_a_dry_run_finds_a_setting_that_is_not_accepted() -> None:
    """O-DEP-11, O-SET-19."""
    Path(INI).write_text("[app:main]\nkinto.paginate_by = many\n")

    ended = guide.run(DRY_RUN)

    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("paginate_by: ")


def test_the_guide_tells_all_that_an_upgrade_takes() -> None:
    """O-DEP-11: settings, backoff, install, migrate, restart, semver, versions of the API."""
    text = guide.section(TITLE)
    statements = [
        "semver",
        "http_api_version",
        "CHANGELOG.md",
        "configuration file",
        "backoff",
        "pip install --upgrade",
        "kill -HUP",
    ]

    assert [word for word in statements if word not in text] == []
    assert MIGRATE == "kinto --ini production.ini migrate"


@pytest.fixture
def server(place: Place, owner: str, migrated: Client, tmp_path: Path) -> Iterator[tuple[str, int, Path]]:
    """Run gunicorn on an ini file; give its URL, the process id of its master, and the file."""
    ini, port = tmp_path / INI, services.free_port()
    ini.write_text(f"[app:main]\nkinto.storage_url = {place.url(owner).replace('%', '%%')}\n")
    url = f"http://127.0.0.1:{port}/v1/"
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}", "--workers", "1"]
    environment = as_environment({"kinto.ini": str(ini)})
    with services.running(command, lambda: _hello(url) is not None, environment) as process:
        yield url, process.pid, ini


def _hello(url: str) -> dict[str, str] | None:
    """Return the headers of an answer, None where there was none."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return dict(answer.headers)
    except OSError:
        return None


def test_a_reload_takes_over_the_backoff_of_the_guide_and_loses_no_request(server: tuple[str, int, Path]) -> None:
    """O-DEP-11, O-DEP-13."""
    url, master, ini = server
    before = _hello(url)
    lines = guide.blocks("Using backoff", "ini")[0]
    ini.write_text(f"{ini.read_text()}{lines}")
    answers: list[dict[str, str] | None] = []

    os.kill(master, signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answers and answers[-1] and "Backoff" in answers[-1]) and time.monotonic() < deadline:
        answers.append(_hello(url))

    assert before
    assert "Backoff" not in before
    assert None not in answers
    assert answers[-1]
    assert answers[-1]["Backoff"] == "3600"


ANY_ANSWER = [
    ("GET", "/"),
    ("GET", "/nothing"),
    ("GET", "/buckets/b/"),
    ("POST", "/buckets/b"),
    ("OPTIONS", "/buckets"),
]


def _served(settings: dict[str, str]) -> Client:
    return Client(create_app({**BASICAUTH, **settings}))


@pytest.mark.parametrize(("method", "path"), ANY_ANSWER, ids=[f"{method} {path}" for method, path in ANY_ANSWER])
def test_the_backoff_of_the_guide_stands_on(method: str, path: str) -> None:
    """O-DEP-13: every kind of answer."""
    client = _served(dict(itertools.islice(guide.settings("Using backoff").items(), 1)))

    assert client.ask(method, path).headers["Backoff"] == "3600"


def test_the_share_of_the_guide_backs_off() -> None:
    """O-DEP-13."""
    settings = dict(itertools.islice(guide.settings("Using backoff").items(), 2))
    client = _served(settings)

    number = sum("Backoff" in client.get("/__lbheartbeat__").headers for _ in range(400))

    assert settings["kinto.backoff_percentage"] == "25"
    assert 50 < number < 150


def test_the_end_of_the_guide_is_told_in_time() -> None:
    """O-DEP-15."""
    settings = dict(itertools.islice(guide.settings("Using backoff").items(), 2, None))
    answer = _served(settings).get("/")

    assert '"code":"soft-eol"' in answer.headers["Alert"]
    assert (settings["kinto.eos_message"], settings["kinto.eos_url"]) == (
        "Moved to https://new.example.org",
        "https://example.org/moved",
    )
    assert answer.json["eos"] == "2099-12-31"


def test_everything_is_gone_after_the_end() -> None:
    """O-DEP-15, O-MON-37."""
    client = _served({"kinto.eos": "2020-01-01"})

    for path in ("/", "/__lbheartbeat__", "/nothing"):
        answer = client.get(path)
        assert (answer.status, answer.json["errno"]) == (410, 202)
        assert "hard-eol" in answer.headers["Alert"]


@pytest.mark.usefixtures("alice")
def test_a_service_under_maintenance_reads_on_and_says_so(client_of: Opener, owner: str) -> None:
    """O-SET-21."""
    readonly = client_of(owner, {"multiauth.policies": "basicauth", **guide.settings("Read-only user")}, "alice")

    assert readonly.get(BUCKET).status == 200
    assert readonly.get("/").json["settings"]["readonly"] is True
    assert {readonly.put(BUCKET).status, readonly.batch().status} == {405}
    assert re.search(r"`migrate` then skips storage and permission", " ".join(guide.section("Read-only").split()))


def test_retry_after_stands_on_what_the_database_refuses(client_of: Opener, place: Place) -> None:
    """O-DEP-14: a user that the database does not know, as one whose rights were withdrawn."""
    client = client_of(place.role(), {"multiauth.policies": "basicauth", "kinto.retry_after_seconds": 30}, "alice")

    assert {client.get(BUCKET).headers["Retry-After"], client.put(BUCKET).headers["Retry-After"]} == {"30"}
