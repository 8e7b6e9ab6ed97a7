"""The commands of docs/production.md make a service on PostgreSQL, however often and by how many they are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from app.settings import load
from tests.production import guide
from tests.production.conftest import PASSWORD, Opener, Place
from tests.support.client import basic
from tests.support.services import ROOT, serve

TITLE = "Initialization"
INI = "production.ini"
ASKING, ANSWERED, MIGRATE, PRINT_SQL, RUN_SQL, CREATE_USER = guide.commands(TITLE)
PROCESSES = 20
ADMIN = {"Authorization": basic("admin", "pw")}

_AT_ONCE = f"""
import os, sys
from app.factory import create_app
from scripts.command import main
import backends.storage.migrations.runner
import blueprints.plugins.accounts
children = []
for number in range({PROCESSES}):
    child = os.fork()
    if not child:
        os._exit(main(sys.argv[1:]))
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""
"""What twenty processes do that have imported all they need: forked, since imports alone would keep them apart."""

pytestmark = pytest.mark.usefixtures("_alone")


@pytest.fixture
def configured(_alone: None, place: Place, owner: str) -> str:
    """Run `init`, and point the file at the database of the test with the lines of the guide; give its URL."""
    assert guide.run(ANSWERED).code == 0
    url = place.url(owner)
    text = Path(INI).read_text(encoding="utf-8")
    for name in guide.settings(TITLE, dbuser=owner, dbpassword="pw", dbname=place.name):
        text, count = re.subn(rf"^{re.escape(name)} = .*$", f"{name} = {url}".replace("%", "%%"), text, flags=re.M)
        assert count == 1, name
    Path(INI).write_text(text, encoding="utf-8")
    return url


def ask(url: str, method: str, path: str, headers: Mapping[str, str]) -> int:
    """Ask a served instance, and return the status."""
    request = urllib.request.Request(f"{url}{path}", method=method, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _lines(ended: guide.Ended) -> list[str]:
    return [line.removeprefix("INFO").strip() for line in ended.err.splitlines()]


def test_the_urls_of_the_guide_are_of_the_user_and_database_that_it_makes() -> None:
    settings = guide.settings(TITLE, dbuser="me", dbpassword="pw", dbname="mine")

    assert settings.keys() == {"kinto.storage_url", "kinto.permission_url", "kinto.cache_url"}
    assert {make_url(url) for url in settings.values()} == {make_url("postgresql://me:pw@localhost:5432/mine")}


def test_a_password_is_escaped_in_the_url_as_the_guide_says(tmp_path: Path) -> None:
    written = guide.settings("Connections", dbuser="me", dbname="mine")["kinto.storage_url"]
    (tmp_path / INI).write_text(f"[app:main]\nkinto.storage_url = {written}\n")

    url = make_url(load(ini=INI).storage_url)

    assert (url.password, url.query) == ("p@ss", {"sslmode": "require"})


def test_init_asks_for_the_backend_and_the_postgresql_option_refers_to_localhost() -> None:
    assert guide.run(ASKING, "1\n1\n").code == 0

    settings = load(ini=INI)

    assert {settings.storage_backend, settings.cache_backend} == {"postgresql"}
    assert settings.storage_url.endswith("://postgres:postgres@localhost/postgres")
    assert settings.cache_url == settings.storage_url


@pytest.mark.usefixtures("configured")
def test_the_commands_of_the_guide_make_a_service_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """O-PG-1, O-CLI-14: what is generated, with the user of the guide, up to its administrator."""
    text = Path(INI).read_text(encoding="utf-8").replace("\nkinto.bucket_create_principals =\n", "\n")
    [block] = guide.blocks("The administrator", "text")
    for line in block.splitlines():
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    Path(INI).write_text(text, encoding="utf-8")
    monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "first")

    migrated = guide.run(MIGRATE)
    created = guide.run(f"{CREATE_USER} -p pw")

    assert "Created the administrator 'admin'." in migrated.err

    assert (migrated.code, created.code) == (0, 0)
    with serve({"kinto.ini": str(Path(INI).absolute())}) as url:
        assert ask(url, "PUT", "/buckets/b", ADMIN) == 201
        assert ask(url, "PUT", "/buckets/c", {}) == 401
        assert ask(url, "GET", "/__heartbeat__", {}) == 200


@pytest.mark.usefixtures("configured")
def test_migrate_makes_the_tables_that_the_guide_names(place: Place) -> None:
    sentence = re.search(r"The tables are([^.]*)\.", guide.section(TITLE))
    assert sentence is not None
    named = set(sentence[1].split("`")[1::2])

    guide.run(MIGRATE)

    tables = place.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner <> 'postgres'")
    assert {name for (name,) in tables} == named


@pytest.mark.usefixtures("configured")
def test_migrate_changes_nothing_when_it_runs_again() -> None:
    """O-CLI-15."""
    guide.run(MIGRATE)

    again = guide.run(MIGRATE)

    assert again.code == 0
    assert [line for line in _lines(again) if "schema is" in line] == [
        "PostgreSQL cache schema is up-to-date.",
        "PostgreSQL storage schema is up-to-date.",
        "PostgreSQL permission schema is up-to-date.",
    ]


@pytest.mark.usefixtures("configured")
def test_migrate_does_all_once_when_twenty_processes_start_together(place: Place) -> None:
    """O-CLI-21."""
    words = MIGRATE.split()[1:]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", _AT_ONCE, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=True,
    )

    assert ended.stdout.strip() == str([0] * PROCESSES), ended.stderr
    assert ended.stderr.count("Created PostgreSQL storage schema (version 1).") == 1
    assert ended.stderr.count("PostgreSQL storage schema is up-to-date.") == PROCESSES - 1
    assert place.execute("SELECT list FROM clocks ORDER BY list") == [("/accounts",), ("/buckets",)]


@pytest.mark.usefixtures("configured")
def test_the_nightly_command_of_the_guide_removes_tombstones() -> None:
    """O-SCALE-2."""
    guide.run(MIGRATE)
    (command,) = guide.commands("Tombstones")

    ended = guide.run(command)

    assert ended.code == 0
    assert _lines(ended)[-2:] == [
        "Keep only tombstones of the last 90 days.",
        "0 tombstone(s) deleted.",
    ]


def test_migrate_says_what_the_user_lacks_when_only_the_seeds_grant_was_given(place: Place) -> None:
    """O-PG-1: the third statement is needed since PostgreSQL 15."""
    role = place.role()
    grants = guide.statements("Privileges basics", dbuser=role, dbpassword=PASSWORD, dbname=place.name)
    place.execute(*grants[:2])
    Path(INI).write_text(f"[app:main]\nstorage_url = {place.url(role).replace('%', '%%')}\n")

    ended = guide.run(MIGRATE)

    assert ended.code == 1
    assert "permission denied for schema public" in ended.err
    assert "Traceback" not in ended.err


def test_the_printed_sql_leaves_nothing_to_migrate_when_it_was_run_by_hand(place: Place, configured: str) -> None:
    """O-PG-36, O-CLI-16: tables of the cache too."""
    printed = guide.run(PRINT_SQL)
    assert place.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    file = RUN_SQL.split()[2]
    with psycopg2.connect(configured) as connection, connection.cursor() as cursor:
        cursor.execute(Path(file).read_text(encoding="utf-8"))
    connection.close()

    migrated = guide.run(MIGRATE)

    assert (printed.code, migrated.code) == (0, 0)
    assert [line for line in _lines(migrated) if line.startswith("Create")] == []
    assert len([line for line in _lines(migrated) if line.endswith("is up-to-date.")]) == 3


@pytest.mark.parametrize(
    ("options", "levels"),
    [("", {"INFO ", "WARNI"}), (" -q", set()), (" --quiet", set()), (" -v", {"DEBUG", "INFO ", "WARNI"})],
    ids=["nothing said", "-q", "--quiet", "-v"],
)
@pytest.mark.usefixtures("configured")
def test_lines_of_a_command_begin_with_their_level_and_are_as_many_as_wished(options: str, levels: set[str]) -> None:
    """O-CLI-3: the level cut to 5 characters, two blanks, the message."""
    ended = guide.run(MIGRATE + options)

    beginnings = [re.match(r"(\S{4,5} ?)  \S", line) for line in ended.err.splitlines() if not line.startswith(" ")]
    assert {match[1] for match in beginnings if match} >= levels
    assert bool(ended.err) == bool(levels)
    assert ended.out == ""


@pytest.mark.usefixtures("configured")
def test_migrate_mentions_a_time_zone_that_is_not_utc_and_goes_on(place: Place) -> None:
    """O-PG-8."""
    place.execute(f"ALTER DATABASE {place.name} SET timezone TO 'Asia/Tokyo'")

    ended = guide.run(MIGRATE)

    assert ended.code == 0
    assert "Database timezone is not UTC (ASIA/TOKYO)" in ended.err


@pytest.mark.usefixtures("configured")
def test_migrate_says_nothing_of_the_time_zone_that_the_guide_sets() -> None:
    assert "timezone" not in guide.run(MIGRATE).err


@pytest.mark.usefixtures("migrated")
def test_the_service_keeps_time_when_the_sessions_are_not_in_utc(place: Place, owner: str, client_of: Opener) -> None:
    """O-PG-8: timestamps, and lives in the cache."""
    place.execute(f"ALTER DATABASE {place.name} SET timezone TO 'Asia/Tokyo'")
    client = client_of(owner, {"multiauth.policies": "basicauth"}, "alice")
    cache = client.app.extensions["kinto"].cache

    put = client.put("/buckets/b")
    cache.set("key", 1, 100)

    assert client.get(f"/buckets?_since={put.etag - 1}").data == [put.data]
    assert place.execute(
        "SELECT abs(extract(epoch FROM now()) - last_modified / 1000.0) < 60 FROM documents LIMIT 1"
    ) == [(True,)]
    assert 90 < cache.ttl("key") <= 100
