"""Measure what settings cost a gunicorn worker: `python -m tests.bench.in_process observed` or `plugins [postgresql]`.

Two servers with one worker each answer the same requests in turns, one with the settings and one without: StatsD and
JSON request lines, or all plugins. The CPU time is that of the worker with its embedded database, read from the system
before and after each round; client and StatsD server are other processes. With `postgresql` each server has a database
of a PostgreSQL server of the tests, and the time of its backends is added. How fast a process is differs by some
hundredths from start to start, whatever it does: so there are many pairs of servers.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psycopg2

from tests.support import services
from tests.support.client import SECRET, basic

PAIRS = 20
ROUNDS = 5
REQUESTS = 200
LIST = "/v1/buckets/b/collections/c/records"
OBJECT = f"{LIST}/r"

Request = tuple[str, str, object]
"""Method, path and data."""

_HEADERS = {"Authorization": basic("alice"), "Content-Type": "application/json"}
_LENGTH = re.compile(rb"(?i)\r\nContent-Length: (\d+)")
_STATSD = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    server.recv(65536)
"""
_INI = """[app:main]
kinto.storage_url = {url}
kinto.userid_hmac_secret = {secret}
multiauth.policies = basicauth
"""
_SILENT = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys =
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
"""


@dataclass(frozen=True)
class Case:
    """Two sets of lines in the ini file to compare, and the requests by their names. `{port}` is that of StatsD."""

    off: str
    on: str
    requests: Mapping[str, Request]


_GETS: Final[Mapping[str, Request]] = {
    "GET of a record": ("GET", OBJECT, None),
    "GET of a page of 25": ("GET", f"{LIST}?_limit=25", None),
}
_BATCH: Final = {
    "requests": [{"method": "PUT", "path": f"{LIST}/{number}", "body": {"data": {"n": number}}} for number in range(25)]
}
CASES: Final[Mapping[str, Case]] = {
    "observed": Case(
        _SILENT, "kinto.statsd_url = udp://127.0.0.1:{port}\n", {"hello view": ("GET", "/v1/", None), **_GETS}
    ),
    "plugins": Case(
        _SILENT,
        "kinto.includes = kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.quotas kinto.plugins.admin "
        "kinto.plugins.openid kinto.plugins.counters kinto.plugins.flush\n"
        "kinto.quotas.bucket_max_items = 1000000\n" + _SILENT,
        {
            **_GETS,
            "PUT of a record": ("PUT", OBJECT, {"data": {"title": "x" * 300}}),
            "batch of 25 PUTs": ("POST", "/v1/batch", _BATCH),
        },
    ),
}


@dataclass(frozen=True)
class Server:
    """One server with one worker, and the connection that its client keeps."""

    worker: int
    connection: socket.socket
    url: str

    def ask(self, method: str, path: str, body: object = None) -> None:
        """Make a request and read all of the answer. Raises RuntimeError unless it succeeds."""
        self._exchange(_message(method, path, body))

    def cost(self, request: Request) -> float:
        """Return the microseconds of CPU that a request costs the worker."""
        message = _message(*request)
        self._exchange(message)
        processes = [self.worker, *_backends(self.url)]
        before = sum(map(_cpu_seconds, processes))
        for _ in range(REQUESTS):
            self._exchange(message)
        return (sum(map(_cpu_seconds, processes)) - before) / REQUESTS * 1_000_000

    def _exchange(self, message: bytes) -> None:
        # By hand: the client does its work beside the worker, in the same caches.
        self.connection.sendall(message)
        answer = self.connection.recv(65_536)
        while not _complete(answer):
            answer += self.connection.recv(65_536)
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"{message!r}: {answer!r}")


def _message(method: str, path: str, body: object = None) -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(raw)}"]
    lines += [f"{name}: {value}" for name, value in _HEADERS.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def _complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end and length and len(body) >= int(length[1]))


def main(name: str, database: str = "sqlite") -> None:
    """Print the medians over all pairs of servers of a case: both costs and their ratio, for each request."""
    case = CASES[name]
    pairs = [_pair(case, database) for _ in range(PAIRS)]
    for label in case.requests:
        costs = [pair[label] for pair in pairs]
        off, on = (median(each) for each in zip(*costs, strict=True))
        ratios = sorted(on / off for off, on in costs)
        print(
            f"{label:20} off {off:6.0f} µs   on {on:6.0f} µs   ratio {median(ratios):.3f}"
            f"   ({PAIRS} pairs: {ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def _pair(case: Case, database: str) -> dict[str, tuple[float, float]]:
    """Start a pair of servers; return what each request costs, off and on."""
    with tempfile.TemporaryDirectory() as folder, _statsd() as port, ExitStack() as stack:
        off, on = (
            stack.enter_context(
                _server(
                    Path(folder),
                    name,
                    stack.enter_context(services.postgresql_database())
                    if database == "postgresql"
                    else f"sqlite:///{folder}/{name}.sqlite",
                    lines.replace("{port}", str(port)),
                )
            )
            for name, lines in (("off", case.off), ("on", case.on))
        )
        for server in (off, on):
            for path in ("/v1/buckets/b", "/v1/buckets/b/collections/c"):
                server.ask("PUT", path, {"data": {}})
            for path in (OBJECT, *(f"{LIST}/{number}" for number in range(30))):
                server.ask("PUT", path, {"data": {"title": "x" * 300}})
        costs = {}
        for label, request in case.requests.items():
            # The first rounds are slower, whatever is measured.
            rounds = [(off.cost(request), on.cost(request)) for _ in range(2 * ROUNDS)][ROUNDS:]
            costs[label] = median(cost for cost, _ in rounds), median(cost for _, cost in rounds)
        return costs


@contextmanager
def _statsd() -> Iterator[int]:
    """Run a server that reads what comes and forgets it; give its port."""
    process = subprocess.Popen([sys.executable, "-c", _STATSD], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _server(folder: Path, name: str, url: str, more: str) -> Iterator[Server]:
    """Run gunicorn with one worker until the block ends. Its lines go to a file."""
    ini, log, port = folder / f"{name}.ini", folder / f"{name}.log", services.free_port()
    ini.write_text(_INI.format(url=url, secret=SECRET) + more)
    environment = services.as_environment({}) | {
        "KINTO_INI": str(ini),
        "WEB_CONCURRENCY": "1",
        "PYTHONPATH": str(services.ROOT),
    }
    migrate = [sys.executable, "-m", "scripts", "migrate", "--ini", str(ini)]
    subprocess.run(migrate, cwd=services.ROOT, env=environment, capture_output=True, check=True)
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", f"127.0.0.1:{port}", "wsgi:app"]
    with log.open("wb") as lines:
        process = subprocess.Popen(command, cwd=services.ROOT, env=environment, stdout=lines, stderr=lines)
    try:
        services.wait_for(lambda: services.answers(port), process, log)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            yield Server(_worker(process.pid), connection, url)
    finally:
        process.terminate()
        process.wait()


def _worker(master: int) -> int:
    """Return the only child of a process. The list of children may be incomplete while it changes (proc(5))."""
    while not (children := Path(f"/proc/{master}/task/{master}/children").read_text().split()):
        time.sleep(0.01)
    return int(children[0])


def _backends(url: str) -> list[int]:
    """Return the processes of PostgreSQL that serve a database, none for SQLite."""
    if not url.startswith("postgresql"):
        return []
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"  # an autovacuum may end before its time is read again
        )
        return [pid for (pid,) in cursor.fetchall()]


def _cpu_seconds(process: int) -> float:
    """Return the CPU time of a process with all its threads, by the clock that Linux has for each (clock_getres(2))."""
    return time.clock_gettime(~process << 3 | 2)
