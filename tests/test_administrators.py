"""No file and no command of ours lets a stranger become the administrator (DECISIONS, issue 13)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.factory import create_app
from app.settings import load
from blueprints.plugins.accounts import create_user
from tests.plugins.people import ONLY_ACCOUNTS
from tests.support.client import Client, basic
from tests.support.databases import DATABASES, assemble_app, database_url, make_app
from tests.support.services import ROOT
from tests.test_command import _alone, kinto, write

__all__ = ["_alone"]

ADMIN = {"Authorization": basic("admin", "s3cr3t")}
PUBLIC = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.userid_hmac_secret": "secret",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_write_principals": "account:admin",
    "kinto.account_bcrypt_rounds": 4,
}


def is_open(settings: Any) -> bool:
    """Start a server of settings, and say whether a stranger becomes an administrator by taking the name `admin`."""
    app = assemble_app(settings)
    client = Client(app, None)
    taken = client.ask("PUT", "/accounts/admin", {"data": {"password": "stranger"}})
    stranger = {"Authorization": basic("admin", "stranger")}
    bucket = client.ask("PUT", "/buckets/b", headers=stranger)
    other = client.ask("PUT", "/accounts/other", {"data": {"password": "pw"}}, headers=stranger)
    app.extensions["kinto"].close()
    return taken.status == 201 and (bucket.status == 201 or other.status == 201)


class TestMigrate:
    """`kinto migrate` makes the account from KINTO_ADMIN_PASSWORD."""

    @pytest.fixture(params=DATABASES)
    def ini(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        url = f"sqlite:///{tmp_path}/kinto.sqlite"
        if request.param == "postgresql":
            url = request.getfixturevalue("empty_postgresql_url").replace("%", "%%")
        return write(tmp_path, {**PUBLIC, "kinto.storage_url": url})

    def test_migrate_makes_the_administrator(self, ini: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")

        ended = kinto("migrate", "--ini", ini)

        assert ended.code == 0
        assert "Created the administrator 'admin'." in ended.err
        assert not is_open(load(ini=ini))
        app = assemble_app(load(ini=ini))
        assert Client(app, None).ask("GET", "/accounts/admin", headers=ADMIN).status == 200
        app.extensions["kinto"].close()

    def test_migrate_leaves_an_administrator_alone_who_exists(self, ini: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")
        kinto("migrate", "--ini", ini)
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "other")

        ended = kinto("migrate", "--ini", ini)

        assert (ended.code, "administrator" in ended.err) == (0, False)
        app = assemble_app(load(ini=ini))
        assert Client(app, None).ask("GET", "/accounts/admin", headers=ADMIN).status == 200
        app.extensions["kinto"].close()

    @pytest.mark.parametrize("arguments", [["--dry-run"], []], ids=["a dry run", "no password"])
    def test_migrate_makes_nobody_in(self, ini: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
        if arguments:
            monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")

        ended = kinto("migrate", "--ini", ini, *arguments)

        assert (ended.code, "administrator" in ended.err) == (0, False)

    def test_migrate_fails_when_the_password_cannot_be_one(self, ini: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "x" * 73)

        ended = kinto("migrate", "--ini", ini)

        assert ended.code == 1
        assert "KINTO_ADMIN_PASSWORD cannot be used" in ended.err

    def test_migrate_makes_all_administrators_that_settings_name_and_nobody_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = {
            **PUBLIC,
            "kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite",
            "kinto.account_write_principals": "account:admin account:boss /buckets/b/groups/g",
            "kinto.bucket_read_principals": "account:reader",
        }
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")

        ended = kinto("migrate", "--ini", write(tmp_path, settings))

        assert re.findall(r"administrator '(\w+)'", ended.err) == ["admin", "boss"]


class TestInit:
    """`init` names the administrator only together with making the account."""

    @pytest.mark.parametrize("backend", ["memory", "postgresql", "sqlite"])
    @pytest.mark.parametrize("password", [None, ""], ids=["no password", "an empty one"])
    def test_a_file_names_no_administrator_without_a_password(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, password: str | None
    ) -> None:
        if password is not None:
            monkeypatch.setenv("KINTO_ADMIN_PASSWORD", password)
        path = tmp_path / "new.ini"

        ended = kinto("init", "--ini", str(path), "--backend", backend, "--cache-backend", "memory")

        assert ended.code == 0
        assert load(ini=str(path)).principals("account", "write") == frozenset()
        assert load(ini=str(path)).principals("bucket", "create") == frozenset()
        if backend != "postgresql":
            assert not is_open(load(ini=str(path)))

    def test_a_file_for_memory_names_no_administrator(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")
        path = tmp_path / "new.ini"

        ended = kinto("init", "--ini", str(path), "--backend", "memory", "--cache-backend", "memory")

        assert (ended.code, "accounts in memory are lost" in ended.err) == (0, True)
        assert not is_open(load(ini=str(path)))

    @pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
    def test_a_file_names_the_administrator_that_was_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_postgresql_url: str, backend: str
    ) -> None:
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")
        if backend == "postgresql":
            monkeypatch.setenv("KINTO_STORAGE_URL", empty_postgresql_url)
            monkeypatch.setenv("KINTO_PERMISSION_URL", empty_postgresql_url)
        path = tmp_path / "new.ini"

        ended = kinto("init", "--ini", str(path), "--backend", backend, "--cache-backend", "memory")

        assert (ended.code, ended.out) == (0, "")
        assert "kinto.account_write_principals = account:admin\n" in path.read_text()
        assert path.stat().st_mode & 0o077 == 0
        assert not is_open(load(ini=str(path)))
        app = assemble_app(load(ini=str(path)))
        assert Client(app, None).ask("PUT", "/buckets/b", headers=ADMIN).status == 201
        app.extensions["kinto"].close()

    def test_a_file_names_no_administrator_whom_nobody_could_make(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "s3cr3t")
        for name in ("KINTO_STORAGE_URL", "KINTO_PERMISSION_URL"):
            monkeypatch.setenv(name, "postgresql://nobody:pw@127.0.0.1:1/nothing")
        path = tmp_path / "new.ini"

        ended = kinto("init", "--ini", str(path), "--backend", "postgresql", "--cache-backend", "memory")

        assert (ended.code, "the file names none" in ended.err) == (1, True)
        assert load(ini=str(path)).principals("account", "write") == frozenset()


class TestFiles:
    """The files that platforms read."""

    def test_app_json_generates_the_password_of_its_administrator(self) -> None:
        variables = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))["env"]

        assert variables["KINTO_ADMIN_PASSWORD"]["generator"] == "secret"
        assert "migrate" in (ROOT / "Procfile").read_text(encoding="utf-8")

    def test_app_json_and_the_release_leave_nothing_open(
        self, empty_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        variables = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))["env"]
        for name, each in variables.items():
            monkeypatch.setenv(name, each.get("value") or "s3cr3t")
        monkeypatch.setenv("DATABASE_URL", empty_postgresql_url)

        assert kinto("migrate").code == 0

        assert not is_open(load())

    @pytest.mark.parametrize("password", [None, "s3cr3t"], ids=["without a password", "with a password"])
    def test_the_command_of_the_image_leaves_nothing_open(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
    ) -> None:
        text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
        [first] = re.findall(r"kinto --ini \$KINTO_INI (init [^;]*);", text)
        path = str(tmp_path / "kinto.ini")
        if password:
            monkeypatch.setenv("KINTO_ADMIN_PASSWORD", password)

        assert kinto("--ini", path, *first.split()).code == 0
        assert kinto("--ini", path, "migrate").code == 0

        assert not is_open(load(ini=path))

    def test_make_serve_names_no_administrator(self) -> None:
        text = (ROOT / "Makefile").read_text(encoding="utf-8")

        assert "account:" not in text


class TestCreateUser:
    """`kinto create-user` has an effect or fails."""

    @pytest.mark.parametrize("storage", [{}, {"kinto.storage_backend": "memory"}], ids=["unset", "said"])
    def test_create_user_is_refused_in_memory(self, tmp_path: Path, storage: Mapping[str, str]) -> None:
        ended = kinto("create-user", "-u", "admin", "-p", "pw", "--ini", write(tmp_path, {**PUBLIC, **storage}))

        assert (ended.code, "Creating user" in ended.out) == (54, False)
        assert "Cannot create a user in the memory of this process" in ended.err


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database with tables."""
    url = database_url(request.param, request)
    make_app(url, ONLY_ACCOUNTS).extensions["kinto"].close()
    return url


class TestStart:
    """The start warns while a stranger may take the name of an account that settings give rights."""

    @pytest.mark.parametrize(
        ("settings", "names"),
        [
            pytest.param({}, ["admin"], id="the administrator"),
            pytest.param({"kinto.account_write_principals": "account:boss account:admin"}, ["admin", "boss"], id="two"),
            pytest.param({"kinto.bucket_create_principals": "account:maker"}, ["admin", "maker"], id="of buckets"),
            pytest.param({"kinto.account_create_principals": ""}, [], id="nobody signs up"),
            pytest.param({"kinto.account_write_principals": "/buckets/b/groups/g"}, [], id="a group"),
            pytest.param({"kinto.account_write_principals": "basicauth:123"}, [], id="a user of another policy"),
        ],
    )
    def test_the_start_warns_of(
        self, url: str, caplog: pytest.LogCaptureFixture, settings: Mapping[str, str], names: list[str]
    ) -> None:
        app = create_app({**PUBLIC, **settings, "kinto.storage_url": url})

        assert re.findall(r"ANYBODY CAN BECOME account:(\w+)", caplog.text) == names
        app.extensions["kinto"].close()

    def test_the_start_is_silent_when_the_account_exists(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        settings = {**PUBLIC, "kinto.storage_url": url}
        app = create_app(settings)
        create_user(app.extensions["kinto"], "admin", "pw")
        app.extensions["kinto"].close()
        caplog.clear()

        create_app(settings).extensions["kinto"].close()

        assert "ANYBODY" not in caplog.text

    def test_a_start_without_a_database_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        """Production guide, "Connections": server and database may start in any order."""
        create_app({**PUBLIC, "kinto.storage_url": "postgresql://a:b@127.0.0.1:1/c"}).extensions["kinto"].close()

        assert "Unable to check whether the accounts" in caplog.text


def test_the_settings_of_these_tests_are_open_without_the_account(url: str) -> None:
    """What the other tests look for can be found."""
    assert is_open({**PUBLIC, "kinto.storage_url": url})
