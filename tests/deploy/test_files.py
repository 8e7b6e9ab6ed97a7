"""The systemd unit and the Dockerfile name what there is. Neither systemd nor Docker runs here; their commands do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.asking import ask
from tests.deploy.servers import DEPLOY, environment, folder, put_in, serves, write_ini
from tests.support.services import ROOT, free_port, missing, running

UNIT = re.findall(r"^(\w+)=(.*)$", (DEPLOY / "kinto.service").read_text(encoding="utf-8"), re.MULTILINE)
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
DOCKERIGNORE = [
    line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
]
INSTALLED = {"/srv/kinto/.venv/bin/": ""}


def settings(key: str) -> list[str]:
    """Return the values of a key of the unit."""
    return [value for name, value in UNIT if name == key]


def instructions(name: str) -> list[str]:
    """Return what follows an instruction of the Dockerfile."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE)


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze (package systemd)")
    # It looks for the programs: put one in their place.
    unit = (DEPLOY / "kinto.service").read_text(encoding="utf-8").replace("/srv/kinto/.venv/bin/python", sys.executable)
    file = tmp_path / "kinto.service"
    file.write_text(unit)

    ended = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True)

    assert (ended.returncode, [line for line in ended.stderr.splitlines() if "kinto" in line]) == (0, [])


def test_the_unit_migrates_before_it_starts(tmp_path: Path) -> None:
    ini = tmp_path / "kinto.ini"
    write_ini(ini, {"kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite"})
    command = put_in(settings("ExecStartPre")[0], INSTALLED)
    variables = dict(value.split("=", 1) for value in settings("Environment"))

    ended = subprocess.run(command.split(), env=environment(**variables | {"KINTO_INI": str(ini)}), cwd=ROOT)

    assert ended.returncode == 0
    assert (tmp_path / "kinto.sqlite").exists()


def test_the_unit_reloads_and_stops_the_master_alone() -> None:
    """Its command itself is run by test_restarts.py and test_nginx.py."""
    assert settings("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert settings("KillMode") == ["mixed"]
    assert settings("KillSignal") == [], "SIGTERM is what gunicorn stops at, after the requests that run"


def test_the_unit_gives_the_server_the_time_that_it_takes_to_stop() -> None:
    configuration = (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8")
    graceful = re.search(r"^graceful_timeout = (\d+)$", configuration, re.MULTILINE)

    assert graceful is not None
    assert int(settings("TimeoutStopSec")[0]) > int(graceful[1])


def test_the_image_copies_files_that_there_are_and_runs_as_somebody_else_than_root() -> None:
    copied = [name for line in instructions("COPY") for name in line.split()[:-1]]

    assert all((ROOT / name).exists() for name in copied)
    assert instructions("USER") == ["kinto"]


def test_the_image_is_given_nothing_that_the_repository_ignores() -> None:
    """Secrets, databases and virtualenvs of the one who builds it."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    kept_out = {line.lstrip("/").removeprefix("**/") for line in DOCKERIGNORE}

    assert {line.lstrip("/") for line in ignored} | {".git/"} <= kept_out


def test_the_image_is_given_what_it_runs() -> None:
    needed = ("requirements.txt", "requirements.in", "pyproject.toml", "LICENSE", "wsgi.py", "gunicorn.conf.py")
    folders = ("app", "blueprints", "backends", "measuring", "scripts", "servers")
    patterns = [line.strip("/") for line in DOCKERIGNORE]

    assert [name for name in (*needed, *folders) if any(fnmatch(name, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("written", [False, True], ids=["and makes a file at the first start", "of a file that it has"])
def test_the_command_of_the_image_serves(written: bool) -> None:
    with folder() as place:
        port, ini = free_port(), place / "kinto.ini"
        if written:
            write_ini(ini, {"kinto.project_name": "written"}, "[server:main]", "host = 127.0.0.1")
        [command] = [json.loads(each) for each in instructions("CMD")]
        # The image listens for other machines, a test must not.
        command[-1] = put_in(command[-1], {"--host 0.0.0.0": "--host 127.0.0.1"})
        url = f"http://127.0.0.1:{port}/v1"
        with running(command, lambda: serves(url), environment(KINTO_INI=str(ini), PORT=str(port))):
            assert ask(url, "GET", "/").json["project_name"] == ("written" if written else "kinto")
