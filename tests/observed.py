"""Measure what StatsD and JSON request lines cost a gunicorn worker: `python -m tests.bench observed`.

Two servers with one worker each answer the same GETs in turns, one with neither, one with both. The CPU time is that of
the worker, read from the system before and after each round; client and StatsD server are other processes.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests import services
from tests.client import SECRET, basic

ROUNDS = 9
REQUESTS = 1000
OBJECT = "/v1/buckets/b/collections/c/records/r"

_HEADERS = {"Authorization": basic("alice"), "Content-Type": "application/json"}
_STATSD = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    server.recv(65536)
"""
_INI = """[app:main]
kinto.storage_url = sqlite:///{folder}/{name}.sqlite
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
class Server:
    """One server with one worker, and the connection that its client keeps."""

    worker: int
    connection: http.client.HTTPConnection

    def ask(self, method: str, path: str, data: object = None) -> None:
        """Make a request and read all of the answer. Raises RuntimeError unless it succeeds."""
        body = None if data is None else json.dumps({"data": data})
        self.connection.request(method, path, body, _HEADERS)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status}")

    def cost(self, path: str) -> float:
        """Return the microseconds of CPU that a GET costs the worker."""
        before = _cpu_seconds(self.worker)
        for _ in range(REQUESTS):
            self.ask("GET", path)
        return (_cpu_seconds(self.worker) - before) / REQUESTS * 1_000_000


def main() -> None:
    """Print the medians of both servers and their ratio, for a record and for the hello view."""
    with tempfile.TemporaryDirectory() as folder, _statsd() as statsd_port, ExitStack() as stack:
        off = stack.enter_context(_server(Path(folder), "off", _SILENT))
        on = stack.enter_context(_server(Path(folder), "on", f"kinto.statsd_url = udp://127.0.0.1:{statsd_port}\n"))
        for server in (off, on):
            for path in ("/v1/buckets/b", "/v1/buckets/b/collections/c"):
                server.ask("PUT", path, {})
            server.ask("PUT", OBJECT, {"title": "x" * 300})
        for name, path in (("GET of a record", OBJECT), ("hello", "/v1/")):
            off.cost(path), on.cost(path)
            pairs = [(off.cost(path), on.cost(path)) for _ in range(ROUNDS)]
            without, with_both = (median(costs) for costs in zip(*pairs, strict=True))
            print(f"{name:20} off {without:6.0f} µs   on {with_both:6.0f} µs   ratio {with_both / without:.3f}")


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
def _server(folder: Path, name: str, more: str) -> Iterator[Server]:
    """Run gunicorn with one worker until the block ends. Its lines go to a file."""
    ini, log, port = folder / f"{name}.ini", folder / f"{name}.log", services.free_port()
    ini.write_text(_INI.format(folder=folder, name=name, secret=SECRET) + more)
    environment = services.as_environment({}) | {
        "KINTO_INI": str(ini),
        "WEB_CONCURRENCY": "1",
        "PYTHONPATH": str(services.ROOT),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", f"127.0.0.1:{port}", "wsgi:app"]
    with log.open("wb") as lines:
        process = subprocess.Popen(command, cwd=services.ROOT, env=environment, stdout=lines, stderr=lines)
    try:
        services.wait_for(lambda: services.answers(port), process, log)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Server(int(children[0]), connection)
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(process: int) -> float:
    """Return the CPU time of a process and its threads: `utime` and `stime` (proc_pid_stat(5))."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
