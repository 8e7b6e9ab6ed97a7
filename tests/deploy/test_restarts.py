"""Reloading and stopping a server loses no request (operations contract, 6.7)."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.deploy import servers
from tests.deploy.asking import ask
from tests.deploy.load import load
from tests.deploy.sockets import status
from tests.support.client import basic
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT, free_port

_PATIENCE_SECONDS = 60
# So many answers of new workers in a row that none of the old ones is likely to be left.
_IN_A_ROW = 10

Served = tuple[str, subprocess.Popen[bytes], pathlib.Path]
"""The URL that ends in `/v1`, the master, and the ini file of the service."""


def _write(ini: pathlib.Path, name: str, *sections: str) -> None:
    settings = {**BASICAUTH, "kinto.storage_url": f"sqlite:///{ini.parent}/kinto.sqlite", "kinto.project_name": name}
    servers.write_ini(ini, settings, *sections)


@contextlib.contextmanager
def gunicorn() -> Iterator[Served]:
    """Run gunicorn, asked directly."""
    with servers.folder() as place:
        ini = place / "kinto.ini"
        _write(ini, "old")
        with servers.gunicorn({"KINTO_INI": str(ini)}) as (address, process):
            yield f"http://{address}/v1", process, ini


@contextlib.contextmanager
def gunicorn_behind_nginx() -> Iterator[Served]:
    """Run gunicorn, asked through nginx."""
    with gunicorn() as (url, process, ini), servers.nginx("proxy", {"127.0.0.1:8001": urlsplit(url).netloc}) as front:
        yield front, process, ini


def _section(ini: pathlib.Path) -> str:
    text = servers.deployed("uwsgi.ini", {"/srv/kinto": str(ROOT), "/etc/kinto/kinto.ini": str(ini)})
    return servers.uwsgi_section(text, ini.parent / "kinto.sock")


@contextlib.contextmanager
def uwsgi_behind_nginx() -> Iterator[Served]:
    """Run uWSGI, asked through nginx."""
    with servers.folder() as place:
        ini, socket = place / "kinto.ini", place / "kinto.sock"
        _write(ini, "old", _section(ini))
        with (
            servers.uwsgi(ini, socket) as process,
            servers.nginx("uwsgi", {"/var/run/uwsgi/kinto.sock": str(socket)}) as url,
        ):
            yield url, process, ini


@contextlib.contextmanager
def uwsgi() -> Iterator[Served]:
    """Run uWSGI, asked directly over HTTP."""
    with servers.folder() as place:
        ini, port = place / "kinto.ini", free_port()
        _write(ini, "old", _section(ini))
        with servers.uwsgi(ini, place / "kinto.sock", "--http-socket", f"127.0.0.1:{port}") as process:
            yield f"http://127.0.0.1:{port}/v1", process, ini


Server = Callable[[], contextlib.AbstractContextManager[Served]]


@pytest.mark.parametrize(
    "server",
    [gunicorn, gunicorn_behind_nginx, uwsgi_behind_nginx],
    ids=["gunicorn", "gunicorn behind nginx", "uWSGI behind nginx"],
)
def test_a_hup_brings_new_settings_and_loses_no_request(server: Server) -> None:
    """A request that runs is finished (nginx sends uWSGI none before it has the whole of it)."""
    with server() as (url, process, ini), load(url) as requests, half_sent(url) as finish:
        _write(ini, "new", _section(ini))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert finish() == 201
        until_named(url, "new")

    assert (requests.failed, requests.lost, requests.refused) == ({}, [], 0)
    assert requests.answered[200] > 0


def test_a_stop_of_gunicorn_loses_no_request() -> None:
    """A request that runs is finished. Later ones are refused: a balancer asks another server then."""
    with gunicorn() as (url, process, _), load(url) as requests, half_sent(url) as finish:
        _wait(lambda: requests.answered[200] > 0)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert finish() == 201
        process.wait(_PATIENCE_SECONDS)
        requests.done()

        assert (requests.failed, requests.lost) == ({}, [])
        assert (process.returncode, requests.refused > 0, requests.answered[200] > 0) == (0, True, True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops requests for connections")
def test_who_is_connected_to_a_gunicorn_that_stops_is_answered_and_any_other_refused() -> None:
    """Both workers are paused, so that nobody accepts connections until the master has told Linux to make no others."""
    with gunicorn() as (url, process, _), contextlib.ExitStack() as stack:
        workers = _children(process.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
            stack.callback(_continue, worker)
        connected = [stack.enter_context(_begin_to_connect(url))]
        process.send_signal(signal.SIGTERM)
        while (client := stack.enter_context(_begin_to_connect(url))) in select.select([], [client], [], 0.5)[1]:
            connected.append(client)
            assert len(connected) < 200, "no connection is made after the signal"
            time.sleep(0.05)
        for worker in workers:
            _continue(worker)

        assert [_ask_once(each) for each in connected] == [200] * len(connected)
        assert process.wait(_PATIENCE_SECONDS) == 0
        assert select.select([], [client], [], _PATIENCE_SECONDS)[1] == [client]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def _children(pid: int) -> list[int]:
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _begin_to_connect(url: str) -> socket.socket:
    """Return a socket that can be written to as soon as it is connected or refused."""
    parts = urlsplit(url)
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((parts.hostname or "", parts.port or 80))
    return client


def _ask_once(client: socket.socket) -> int | None:
    """Send a request, close the connection after the answer, and return its status."""
    with client:
        client.settimeout(_PATIENCE_SECONDS)
        client.sendall(b"GET /v1/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return status(client.recv(65536))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=["SIGHUP", "SIGTERM"])
def test_a_request_that_uwsgi_runs_is_finished(number: signal.Signals) -> None:
    with uwsgi() as (url, process, _), half_sent(url) as finish:
        process.send_signal(number)
        time.sleep(0.5)

        assert finish() == 201

        if number is signal.SIGTERM:
            assert process.wait(_PATIENCE_SECONDS) == 0


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_read(server: int, client: int) -> bool:
    """Return whether a server has accepted the connection between two ports and read all that was sent.

    Source: proc_net_tcp(5). Until then the connection has no inode, or a receive queue.
    """
    if sys.platform != "linux":
        return True
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, _, _, _, _, inode, *_ = line.split()
        if (local[-4:], remote[-4:]) == (f"{server:04X}", f"{client:04X}"):
            return inode != "0" and queues.endswith(":00000000")
    return False


def until_named(url: str, name: str) -> None:
    """Wait until each process that answers was started with the project of that name."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    named = 0
    while named < _IN_A_ROW:
        named = named + 1 if ask(url, "GET", "/").json["project_name"] == name else 0
        assert time.monotonic() < deadline, f"the service is called {name!r}"
        time.sleep(0.02)


@contextlib.contextmanager
def half_sent(url: str) -> Iterator[Callable[[], int]]:
    """Send half a request to write a bucket; give what sends the rest and returns the status of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_SECONDS)
    body = b'{"data": {"half": true}}'

    def finish() -> int:
        connection.send(body[10:])
        return connection.getresponse().status

    connection.putrequest("PUT", f"{parts.path}/buckets/half")
    connection.putheader("Authorization", basic("alice"))
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:10])
    client = connection.sock.getsockname()[1]
    _wait(lambda: _is_read(parts.port or 80, client))
    # The server has the bytes, and begins with them.
    time.sleep(0.5)
    try:
        yield finish
    finally:
        connection.close()
