"""Run an application in a process of its own, since logging and Sentry belong to the whole process."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_FORKING = """
import json, os, socket, sys
import app.factory, backends.cache.memory, backends.sentry, backends.storage.migrations.runner, backends.storage.sqlite

asking = socket.socket(fileno=int(sys.argv[1]))
while True:
    text, files, _, _ = socket.recv_fds(asking, 1_000_000, 3)
    if not text:
        sys.exit()
    child = os.fork()
    if not child:
        break
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for each in files:
        os.close(each)
    asking.send(json.dumps(status).encode())
asking.close()
for number, each in enumerate(files):
    os.dup2(each, number)
    os.close(each)
message = json.loads(text)
sys.argv[1:] = []
os.environ.clear()
os.environ.update(message["environ"])
os.chdir(message["folder"])
exec(compile(message["program"], "<string>", "exec"), {"__name__": "__main__"})
"""
"""Runs each program that it is sent in a fork, which has the modules of the application already.

A message has the program with its environment and folder, and its standard files; the answer is the exit code.
"""

_PROGRAM = """
import json, sys
from app.factory import create_app

application = create_app()
service = application.extensions["kinto"]
service.migrate(lambda line: None)
client = application.test_client()
for one in json.load(sys.stdin):
    client.open(**one)
service.close()
"""

Request = Mapping[str, Any]


@cache
def _forking() -> socket.socket:
    """Return the socket of a process that forks, which ends when this one does."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", _FORKING, str(its.fileno())]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    # A path beside the checkout, so that nobody's `.env` and `config/kinto.ini` are read.
    process = subprocess.Popen(command, pass_fds=[its.fileno()], env=environ, cwd=tempfile.gettempdir())
    its.close()
    ours.settimeout(60)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def answer_in_process(
    *requests: Request,
    ini: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path,
    stdout: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Answer requests (the arguments of Werkzeug's test client) and return what the process wrote.

    *ini* is the text of a file for it; beside *environ* nothing but `PATH` is set.
    """
    environment = dict(environ or {})
    if ini is not None:
        (folder / "kinto.ini").write_text(ini)
        environment["KINTO_INI"] = str(folder / "kinto.ini")
    return run_in_process(_PROGRAM, environment, folder=folder, stdin=json.dumps(requests), stdout=stdout)


def run_in_process(
    program: str, environ: Mapping[str, str], *, folder: Path, stdin: str = "", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process that has imported the application already, and return what it wrote.

    Beside *environ* nothing but `PATH` and `PYTHONPATH` is set.
    """
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    message = json.dumps({"program": program, "environ": environment, "folder": str(folder)}).encode()
    with (
        tempfile.TemporaryFile("w+") as input_file,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        input_file.write(stdin)
        input_file.seek(0)
        files = [input_file.fileno(), output.fileno() if stdout == subprocess.PIPE else stdout, errors.fileno()]
        socket.send_fds(_forking(), [message], files)
        returncode = json.loads(_forking().recv(100))
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess("served", returncode, output.read(), errors.read())


def json_lines(text: str) -> Sequence[dict[str, Any]]:
    """Return lines of JSON decoded; a line that is none fails the test."""
    return [json.loads(line) for line in text.splitlines()]
