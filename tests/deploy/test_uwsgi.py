"""uWSGI behind nginx runs the service as the guide says (operations contract, 6.3)."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy import servers
from tests.deploy.asking import ask, can_be_used
from tests.support.client import user_id
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT

SECTION_OF_THE_GUIDE = """
[uwsgi]
wsgi-file = app.wsgi
enable-threads = true
socket = /var/run/uwsgi/kinto.sock
chmod-socket = 666
processes =  3
master = true
module = kinto
harakiri = 120
uid = kinto
gid = kinto
virtualenv = .venv
lazy = true
lazy-apps = true
single-interpreter = true
buffer-size = 65535
post-buffering = 65535
plugin = python
"""
"""What stands in files of Kinto. It names a module that nothing here has, and is to work unchanged (O-DEP-4)."""


@dataclass(frozen=True)
class _Server:
    """A uWSGI that runs: the URL of nginx before it, its socket, and the mode and group that its section asks for."""

    url: str
    socket: Path
    mode: int
    group: int


@pytest.fixture(
    scope="module",
    params=[pytest.param("", id="section of Kinto's guide"), pytest.param("uwsgi.ini", id="section of this guide")],
)
def server(request: pytest.FixtureRequest) -> Iterator[_Server]:
    """Give a service whose one ini file serves uWSGI as well."""
    group = grp.getgrall()[1] if os.geteuid() == 0 else grp.getgrgid(os.getegid())
    with servers.folder() as place:
        ini, socket = place / "kinto.ini", place / "kinto.sock"
        paths: Mapping[str, str] = {"/srv/kinto": str(ROOT), "/etc/kinto/kinto.ini": str(ini)}
        text = servers.deployed(request.param, paths) if request.param else SECTION_OF_THE_GUIDE
        settings = {**BASICAUTH, "kinto.storage_url": f"sqlite:///{place}/kinto.sqlite"}
        servers.write_ini(ini, settings, servers.uwsgi_section(text, socket, nginx_group=group.gr_name))
        with (
            servers.uwsgi(ini, socket),
            servers.nginx("uwsgi", {"/var/run/uwsgi/kinto.sock": str(socket)}) as url,
        ):
            mode, gid = (0o660, group.gr_gid) if request.param else (0o666, os.getegid())
            yield _Server(url, socket, mode, gid)


@pytest.fixture
def url(server: _Server) -> str:
    """Return the URL of the service."""
    return server.url


def test_the_service_under_uwsgi_can_be_used(url: str) -> None:
    can_be_used(url)


def test_the_file_with_the_section_is_the_file_of_the_service(url: str) -> None:
    assert ask(url, "GET", "/").json["config"]["path"].endswith("/kinto.ini")


def test_uwsgi_hands_over_who_asks(url: str) -> None:
    assert ask(url, "GET", "/", name="alice").json["user"]["id"] == user_id("alice")


def test_heartbeats_run_in_threads_under_uwsgi(url: str) -> None:
    """`enable-threads` is needed for them (operations contract, 6.3)."""
    answer = ask(url, "GET", "/__heartbeat__")

    assert (answer.status, answer.json["storage"]) == (200, True)


def test_nobody_but_nginx_may_write_to_the_socket(server: _Server) -> None:
    """uWSGI's protocol can name a file to execute. The section of Kinto's guide opens the socket to all users."""
    state = server.socket.stat()

    assert (stat.S_IMODE(state.st_mode), state.st_gid) == (server.mode, server.group)


def test_uwsgi_ends_where_a_setting_cannot_be() -> None:
    """Else it would answer 500 for as long as it runs."""
    with servers.folder() as place:
        ini, socket = place / "kinto.ini", place / "kinto.sock"
        section = servers.deployed("uwsgi.ini", {"/srv/kinto": str(ROOT), "/etc/kinto/kinto.ini": str(ini)})
        servers.write_ini(ini, {"kinto.paginate_by": "many"}, servers.uwsgi_section(section, socket))

        command, variables = servers.uwsgi_command(ini), servers.environment()
        ended = subprocess.run(
            command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

    assert ended.returncode != 0
    assert "paginate_by" in ended.stderr
