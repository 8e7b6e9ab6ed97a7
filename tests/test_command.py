"""The `kinto` command: what it prints, what it does, how it ends (operations contract, section 2)."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask

from app.factory import create_app
from app.settings import load
from app.version import KINTO_VERSION, VERSION
from scripts.command import main
from tests.support import services
from tests.support.databases import assemble_app

BACKEND = "Select the backend you would like to use: (1 - postgresql, default - memory) "
CACHE = "Select the cache backend you would like to use: (1 - postgresql, 2 - memcached, 3 - redis, default - memory) "
CREDENTIALS = {"Authorization": "Basic " + b64encode(b"a:b").decode()}
RECORDS = "/v1/buckets/b/collections/c/records"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def kinto(*arguments: str, answers: str = "") -> Ended:
    """Run the command in this process; *answers* is what stands on its standard input."""
    with CliRunner().isolation(input=answers) as (out, err, _):
        code = main(arguments)
        return Ended(code, out.getvalue().decode(), err.getvalue().decode())


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty folder, without settings in the environment but one: hashes of passwords are cheap."""
    clean = services.as_environment({})
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(clean):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KINTO_ACCOUNT_BCRYPT_ROUNDS", "4")


@pytest.fixture
def ini(tmp_path: Path) -> str:
    """Give an ini file with an embedded database."""
    return write(tmp_path, {"kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite"})


def write(folder: Path, settings: Mapping[str, object]) -> str:
    path = folder / "kinto.ini"
    lines = (f"{name} = {value}" for name, value in settings.items())
    path.write_text("\n".join(["[app:main]", *lines, ""]))
    return str(path)


# Common rules


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no command"),
        pytest.param(["nothing"], id="an unknown command"),
        pytest.param(["delete-collection"], id="a command of the past"),
        pytest.param(["version", "--nothing"], id="an unknown option"),
        pytest.param(["start", "--port", "http"], id="a port that is no number"),
        pytest.param(["purge-deleted", "record", "ten"], id="a count that is no number"),
        pytest.param(["purge-deleted", "10"], id="no kind"),
        pytest.param(["purge-deleted", "10", "--older-than", "1"], id="no kind of an age"),
        pytest.param(["purge-deleted", "record", "--older-than", "-1"], id="an age in the future"),
        pytest.param(["purge-deleted", "record", "--older-than", "3m"], id="an age in no known unit"),
        pytest.param(["init", "--backend", "redis"], id="an unknown backend"),
    ],
)
def test_wrong_usage_prints_the_usage_and_the_error(arguments: list[str]) -> None:
    """O-CLI-4, O-CLI-11, O-CLI-30."""
    ended = kinto(*arguments)

    assert ended.code == 2
    assert ended.out == ""
    assert re.match(r"usage: kinto .*\nerror: .+\n$", ended.err, re.DOTALL)


def test_help_names_all_commands() -> None:
    """O-CLI-1."""
    ended = kinto("-h")

    assert ended.code == 0
    for command in (
        "init",
        "start",
        "migrate",
        "flush-cache",
        "version",
        "create-user",
        "purge-deleted",
        "check",
        "index",
        "copy",
        "settings",
    ):
        assert f"\n  {command} " in ended.out


@pytest.mark.parametrize("arguments", [("version",), ("version", "--ini", "nowhere"), ("-q", "version")])
def test_version_needs_no_file(arguments: tuple[str, ...]) -> None:
    """O-CLI-29."""
    assert kinto(*arguments) == Ended(0, f"{VERSION}\n", "")


@pytest.mark.parametrize("arguments", [("version", "-v"), ("--debug", "version")])
def test_version_names_the_kinto_it_stands_in_for_when_asked_for_all(arguments: tuple[str, ...]) -> None:
    assert kinto(*arguments).out == f"{VERSION}\nKinto {KINTO_VERSION}\n"


def test_the_module_is_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "scripts", "version"], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (0, f"{VERSION}\n")


@pytest.mark.parametrize("arguments", [("--ini", "x.ini", "flush-cache"), ("flush-cache", "--ini", "x.ini")])
def test_a_file_that_is_not_there_is_one_line(arguments: tuple[str, ...]) -> None:
    """O-SET-10, O-CLI-2."""
    assert kinto(*arguments) == Ended(1, "", "x.ini does not exist\n")


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    """O-SET-19."""
    ended = kinto("flush-cache", "--ini", write(tmp_path, {"kinto.paginate_by": "ten"}))

    assert ended == Ended(1, "", "paginate_by: a whole number of 0 or more is expected, not 'ten'.\n")


def test_the_usual_file_is_found(tmp_path: Path) -> None:
    """O-CLI-2."""
    (tmp_path / "config").mkdir()
    write(tmp_path / "config", {"kinto.project_name": "found"})

    assert "INFO   Running found" in kinto("flush-cache").err


# init


def test_init_asks_until_it_understands(tmp_path: Path) -> None:
    """O-CLI-6, O-CLI-8."""
    path = tmp_path / "new" / "folder" / "kinto.ini"

    ended = kinto("--ini", str(path), "init", answers="postgres\n1\n4\n3\n")

    assert ended.code == 0
    questions = re.findall(re.escape(BACKEND) + "|" + re.escape(CACHE), ended.out)
    assert questions == [BACKEND, BACKEND, CACHE, CACHE]
    assert f"INFO   Created config {path}\n" in ended.err
    settings = load(ini=str(path))
    assert (settings.storage_backend, settings.cache_backend) == ("postgresql", "redis")


@pytest.mark.parametrize(
    ("backend", "cache", "expected"),
    [
        (
            "memory",
            "memory",
            {"kinto.storage_backend = kinto.core.storage.memory", "kinto.storage_url =", "kinto.cache_url ="},
        ),
        (
            "postgresql",
            "postgresql",
            {
                "kinto.permission_backend = kinto.core.permission.postgresql",
                "kinto.permission_url = postgresql://postgres:postgres@localhost/postgres",
                "kinto.cache_backend = kinto.core.cache.postgresql",
                "kinto.cache_url = postgresql://postgres:postgres@localhost/postgres",
            },
        ),
        ("memory", "redis", {"kinto.cache_backend = kinto.core.cache.redis", "kinto.cache_url = redis://127.0.0.1/0"}),
        ("memory", "memcached", {"kinto.cache_url =", "kinto.cache_hosts = 127.0.0.1:11211"}),
    ],
)
def test_init_writes_what_a_start_needs(tmp_path: Path, backend: str, cache: str, expected: set[str]) -> None:
    """O-CLI-7, O-CLI-9."""
    path = tmp_path / "kinto.ini"

    ended = kinto("init", "--ini", str(path), "--backend", backend, "--cache-backend", cache, "--host", "::1")

    lines = path.read_text().splitlines()
    assert (ended.code, ended.out) == (0, "")
    assert re.match("# Created at .+", lines[0])
    assert lines[1] == f"# Using Kinto version {VERSION}"
    assert expected <= set(lines)
    assert {"use = egg:waitress#main", "host = ::1", "port = %(http_port)s", "use = egg:kinto"} <= set(lines)
    assert {
        "multiauth.policies = account",
        "multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy",
        "kinto.account_create_principals = system.Everyone",
        "# kinto.account_write_principals = account:admin",
        "# kinto.bucket_create_principals = account:admin",
        "                 kinto.plugins.history",
        "qualname = kinto",
    } <= set(lines)
    load(ini=str(path))


def test_init_makes_fresh_secrets_for_the_owner_alone(tmp_path: Path) -> None:
    """O-CLI-7."""
    paths = [tmp_path / "a.ini", tmp_path / "b.ini"]

    for path in paths:
        kinto("init", "--ini", str(path), "--backend", "memory", "--cache-backend", "memory")

    secrets = [
        re.findall(r"^kinto\.\w+_hmac_secret = ([0-9a-f]{64})$", path.read_text(), re.MULTILINE) for path in paths
    ]
    assert len({*secrets[0], *secrets[1]}) == 4
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600


def test_init_leaves_a_file_that_exists_as_it_is(ini: str) -> None:
    """O-CLI-5."""
    before = Path(ini).read_text()

    assert kinto("init", "--ini", ini) == Ended(1, "", f"{ini} already exists.\n")
    assert Path(ini).read_text() == before


def test_init_ends_when_nobody_answers(tmp_path: Path) -> None:
    """O-CLI-11."""
    ended = kinto("init", "--ini", str(tmp_path / "kinto.ini"))

    assert (ended.code, ended.err) == (1, "Aborted.\n")
    assert not (tmp_path / "kinto.ini").exists()


# migrate


def lines(ended: Ended) -> list[str]:
    """Return what was logged, without the line that every command logs and what settings make it say."""
    noise = ("Running", "HTTPS")
    return [line for line in ended.err.splitlines() if not line[7:].startswith(noise)]


def test_migrate_creates_everything_once_and_nothing_in_a_dry_run(empty_postgresql_url: str, tmp_path: Path) -> None:
    """O-CLI-14, O-CLI-15, O-CLI-16, O-PG-36."""
    url = empty_postgresql_url.replace("%", "%%")
    backends = {"kinto.storage_url": url, "kinto.cache_backend": "postgresql", "kinto.cache_url": url}
    ini = write(tmp_path, backends)

    dry, first, second = (kinto("migrate", "--ini", ini, *more) for more in (("--dry-run",), (), ()))

    assert lines(dry)[0] == "INFO   Create cache schema"
    assert any(line.startswith("INFO   Create PostgreSQL storage schema at version ") for line in lines(dry))
    assert not any("Created" in line for line in lines(dry))
    assert lines(first)[0] == "INFO   Created PostgreSQL cache tables"
    for face in ("storage", "permission"):
        assert any(line.startswith(f"INFO   Created PostgreSQL {face} schema (version ") for line in lines(first))
        assert f"INFO   PostgreSQL {face} schema is up-to-date." in lines(second)
    assert lines(second)[0] == "INFO   PostgreSQL cache schema is up-to-date."
    assert (dry.code, first.code, second.code) == (0, 0, 0)


def test_migrate_prints_the_sql_of_a_dry_run_when_asked_for_all(empty_postgresql_url: str, tmp_path: Path) -> None:
    """O-PG-36."""
    ini = write(tmp_path, {"kinto.storage_url": empty_postgresql_url.replace("%", "%%")})

    assert "CREATE TABLE" in kinto("migrate", "--dry-run", "-v", "--ini", ini).out


def test_migrate_refuses_storage_and_permission_when_read_only(empty_postgresql_url: str, tmp_path: Path) -> None:
    """O-CLI-19."""
    url = empty_postgresql_url.replace("%", "%%")
    settings = {"kinto.storage_url": url, "kinto.cache_backend": "postgresql", "kinto.cache_url": url}

    ended = kinto("migrate", "--ini", write(tmp_path, settings | {"kinto.readonly": "true"}))

    assert ended.code == 0
    assert lines(ended) == [
        "INFO   Created PostgreSQL cache tables",
        "ERROR  Cannot migrate the storage backend while in readonly mode.",
        "ERROR  Cannot migrate the permission backend while in readonly mode.",
    ]


def test_migrate_has_nothing_to_say_of_memory(tmp_path: Path) -> None:
    ended = kinto("migrate", "--ini", write(tmp_path, {}))

    assert (ended.code, lines(ended)) == (0, [])


# create-user


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"kinto.readonly": "true"}, 51, "ERROR  Cannot create a user with a readonly server."),
        ({}, 52, "ERROR  Cannot create a user when the accounts plugin is not installed."),
    ],
)
def test_create_user_is_refused(tmp_path: Path, settings: dict[str, str], code: int, message: str) -> None:
    """O-CLI-23."""
    ended = kinto("create-user", "-u", "admin", "-p", "secret", "--ini", write(tmp_path, settings))

    assert (ended.code, lines(ended)) == (code, [message])


def test_create_user_asks_until_name_and_password_can_be_used(tmp_path: Path) -> None:
    """O-CLI-23, O-CLI-24."""
    ini = write(tmp_path, {"kinto.includes": "kinto.plugins.accounts"})

    ended = kinto("create-user", "-u", "no name", "--ini", ini, answers="\n_x\nbob\none\ntwo\n")

    assert ended.code == 53
    assert "no name is not a valid username.\n" in ended.out
    assert ended.out.count("Username should match ^[a-zA-Z0-9][+.@a-zA-Z0-9_-]*$, please try again.\n") == 3
    assert ended.out.count("Username: ") == 3
    assert ended.out.count("Please enter a password for bob: ") == 2
    assert ended.out.count("Please confirm the password: ") == 1
    assert "Sorry, passwords do not match, please try again.\n" in ended.out
    assert ended.out.endswith("User creation aborted\n")


def with_accounts(folder: Path) -> str:
    """Write the file that `init` writes, but with a database that is kept."""
    path = folder / "new.ini"
    kinto("init", "--ini", str(path), "--backend", "memory", "--cache-backend", "memory")
    storage = f"kinto.storage_url = sqlite:///{folder}/kinto.sqlite"
    text = path.read_text().replace("kinto.storage_url =", storage)
    path.write_text(re.sub(r"^kinto\.(storage|permission)_backend = .+$", "", text, flags=re.MULTILINE))
    return str(path)


def user_of(ini: str, name: str, password: str) -> str | None:
    headers = {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}
    answer = assemble_app(load(ini=ini)).test_client().get("/v1/", headers=headers).get_json()
    user: str | None = answer.get("user", {}).get("id")
    return user


def test_create_user_makes_an_account_that_can_log_in(tmp_path: Path) -> None:
    """O-CLI-22, O-CLI-24."""
    ini = with_accounts(tmp_path)

    ended = kinto("create-user", "--ini", ini, answers="admin\ns3cr3t\ns3cr3t\n")

    assert ended.code == 0
    assert ended.out.endswith("Creating user 'admin'\n")
    assert user_of(ini, "admin", "s3cr3t") == "account:admin"


def test_create_user_gives_an_account_another_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O-CLI-25."""
    ini = with_accounts(tmp_path)
    monkeypatch.setenv("KINTO_ADMIN_PASSWORD", "new")
    kinto("create-user", "--ini", ini, "-u", "admin", "-p", "old")

    ended = kinto("create-user", "--ini", ini, "-u", "admin")

    assert (ended.code, ended.out) == (0, "Creating user 'admin'\n")
    assert user_of(ini, "admin", "new") == "account:admin"
    assert user_of(ini, "admin", "old") is None


def test_create_user_says_that_a_password_is_too_long(tmp_path: Path) -> None:
    ended = kinto("create-user", "--ini", with_accounts(tmp_path), "-u", "admin", "-p", "x" * 73)

    assert ended.code == 1
    assert lines(ended)[-1] == "ERROR  data.password in body: Longer than 72 bytes"


# purge-deleted


def application(ini: str) -> Flask:
    settings = {"kinto.storage_url": load(ini=ini).storage_url, "multiauth.policies": "basicauth"}
    return create_app(settings)


def test_purge_deleted_keeps_the_newest_tombstones_of_each_list_and_all_that_lives(ini: str) -> None:
    """O-CLI-26, O-CLI-27."""
    client = application(ini).test_client()
    for path in ("/v1/buckets/b", "/v1/buckets/b/collections/c", "/v1/buckets/b/collections/d"):
        client.put(path, headers=CREDENTIALS)
    for object_id in ("one", "two", "three"):
        client.put(f"{RECORDS}/{object_id}", headers=CREDENTIALS)
        client.delete(f"{RECORDS}/{object_id}", headers=CREDENTIALS)
    other = "/v1/buckets/b/collections/d/records/one"
    client.put(other, headers=CREDENTIALS)

    ended = kinto("purge-deleted", "record", "mushroom", "1", "--ini", ini)

    assert ended.code == 0
    assert lines(ended) == [
        "INFO   Keep only 1 tombstones per parent and resource.",
        "INFO   2 tombstone(s) deleted.",
    ]
    answer = client.get(f"{RECORDS}?_since=0", headers=CREDENTIALS)
    assert [each["id"] for each in answer.get_json()["data"]] == ["three"]
    assert client.get(other, headers=CREDENTIALS).status_code == 200


def test_purge_deleted_removes_what_is_older_than_some_days(ini: str) -> None:
    """Beside a count, or without one."""
    client = application(ini).test_client()
    for path in ("/v1/buckets/b", "/v1/buckets/b/collections/c", f"{RECORDS}/one"):
        client.put(path, headers=CREDENTIALS)
    client.delete(f"{RECORDS}/one", headers=CREDENTIALS)

    recent = kinto("purge-deleted", "record", "10", "--older-than", "1.5", "--ini", ini)
    weeks = kinto("purge-deleted", "record", "--older-than", "2w", "--ini", ini)
    hours = kinto("purge-deleted", "record", "--older-than", "36h", "--ini", ini)
    old = kinto("purge-deleted", "record", "--older-than", "0d", "--ini", ini)

    assert lines(weeks)[0] == "INFO   Keep only tombstones of the last 14 days."
    assert lines(hours)[0] == "INFO   Keep only tombstones of the last 1.5 days."
    assert lines(recent) == [
        "INFO   Keep only 10 tombstones per parent and resource.",
        "INFO   Keep only tombstones of the last 1.5 days.",
        "INFO   0 tombstone(s) deleted.",
    ]
    assert lines(old) == ["INFO   Keep only tombstones of the last 0 days.", "INFO   1 tombstone(s) deleted."]


# flush-cache


def test_flush_cache_removes_the_keys_with_the_prefix(redis_url: str, tmp_path: Path) -> None:
    """O-CLI-28."""
    settings = {"kinto.cache_backend": "redis", "kinto.cache_url": redis_url}
    ini = write(tmp_path, settings | {"kinto.cache_prefix": "mine:"})
    mine, other = (create_app(settings | {"kinto.cache_prefix": prefix}) for prefix in ("mine:", "other:"))
    for app in (mine, other):
        app.extensions["kinto"].cache.set("key", 1, 60)

    ended = kinto("flush-cache", "--ini", ini)

    assert (ended.code, lines(ended)) == (0, ["INFO   Cache has been cleared."])
    assert mine.extensions["kinto"].cache.get("key") is None
    assert other.extensions["kinto"].cache.get("key") == 1


# start


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("kinto")), "start", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_start_serves_the_application_until_it_is_told_to_end(ini: str) -> None:
    """O-CLI-12."""
    port = services.free_port()

    with start("--ini", ini, "--port", str(port)) as process:
        assert process.stdout
        said = [process.stdout.readline() for _ in range(2)]
        # The socket listens already: the request waits for the worker.
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/", timeout=60) as answer:
            hello = json.load(answer)
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)

    assert said == [f"Starting server in PID {process.pid}.\n", f"Serving on http://127.0.0.1:{port}\n"]
    assert hello["url"] == f"http://127.0.0.1:{port}/v1/"
    assert code == 0


def test_start_says_that_the_port_is_busy(ini: str) -> None:
    """O-CLI-13."""
    port = services.free_port()
    Path(ini).write_text(f"[server:main]\nport = {port}\nthreads = 3\n[app:main]\n")

    with socket.create_server(("127.0.0.1", port)), start("--ini", ini, "--port", "1") as process:
        out, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert out == ""
    assert err.splitlines() == [
        "WARNI  The setting threads of [server:main] has no effect here.",
        f"Cannot listen on 127.0.0.1:{port}: Address already in use",
    ]
