"""What servers are pointed at: the names of the application, and the lines of the Procfile (operations.md 6.1)."""

from __future__ import annotations

import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.production.conftest import Place
from tests.support import services
from tests.support.services import ROOT, as_environment

PROCFILE = dict(
    line.split(": ", 1)
    for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)

_ASK_TWICE = """
import sys
from gunicorn.util import import_app
from werkzeug.test import Client
made = import_app(sys.argv[1])
print(Client(made).get("/v1/").status_code, import_app(sys.argv[1]) is made)
"""

_LOG = """
import logging, sys
logger = logging.getLogger("made.before")
from app.factory import create_app
create_app()
print(logger.disabled)
"""


def _run(program: str, *arguments: str, settings: Mapping[str, str]) -> str:
    command = [sys.executable, "-c", program, *arguments]
    environment = as_environment(settings) | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", ["wsgi:application", "wsgi:app", "app:application"])
def test_a_server_finds_the_application_under(name: str) -> None:
    """O-DEP-2; `app.wsgi` is in tests/deploy."""
    assert _run(_ASK_TWICE, name, settings={}).splitlines()[-1] == "200 True"


def test_the_lines_of_the_procfile_migrate_and_serve(place: Place, owner: str) -> None:
    """O-DEP-1: with the variables that a platform sets."""
    port = services.free_port()
    environment = as_environment({"database-url": place.url(owner), "port": str(port), "web-concurrency": "1"})
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    url = f"http://127.0.0.1:{port}/v1/__heartbeat__"

    subprocess.run(shlex.split(PROCFILE["release"]), check=True, cwd=ROOT, env=environment, capture_output=True)
    with (
        services.running(shlex.split(PROCFILE["web"]), lambda: services.answers(port), environment),
        urllib.request.urlopen(url, timeout=120) as answer,
    ):
        assert answer.status == 200


def test_loggers_that_were_there_before_are_not_disabled(tmp_path: Path) -> None:
    """O-SET-18."""
    sections = [
        "[app:main]",
        "[loggers]\nkeys = root",
        "[handlers]\nkeys = console",
        "[formatters]\nkeys =",
        "[logger_root]\nlevel = INFO\nhandlers = console",
        "[handler_console]\nclass = StreamHandler\nargs = (sys.stderr,)\nlevel = NOTSET",
    ]
    (tmp_path / "kinto.ini").write_text("\n".join(sections))

    assert _run(_LOG, settings={"kinto.ini": str(tmp_path / "kinto.ini")}) == "False\n"
