"""Count the instructions of a request without and with all plugins, by Valgrind: nothing else on the machine matters.

    python -m tests.bench.instructions [POSTGRESQL_URL]

They are those of the application with its driver and, unless a URL of an empty database of PostgreSQL is named, of
SQLite; those of Linux and of the server of PostgreSQL are not among them.
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.factory import create_app
from tests.bench.pairs import CASES, LIST, OBJECT
from tests.support.client import basic
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT

WARM_UP: Final = 6
REQUESTS: Final = 10
_CASE: Final = CASES["plugins"]
_TOTAL: Final = re.compile(r"^desc: Trigger: dump ([^\n]+)$.*?^summary: (\d+)", re.MULTILINE | re.DOTALL)

Ask = Callable[[], None]


def main(url: str | None) -> None:
    """Print for each request of the case `plugins` both numbers and their ratio."""
    off, on = (_measure(lines, url) for lines in (_CASE.off, _CASE.on))
    for name in _CASE.requests:
        print(f"{name:20} off {off[name]:10,}   on {on[name]:10,}   ratio {on[name] / off[name]:.3f}")


def _measure(lines: str, url: str | None) -> Mapping[str, int]:
    """Return the instructions of one request by name, with these lines of an ini file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **BASICAUTH,
            "kinto.storage_url": url or f"sqlite:///{folder}/kinto.sqlite",
            **dict(line.split(" = ", 1) for line in lines.partition("[")[0].splitlines() if line),
        }
        tool = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
        child = [sys.executable, "-m", "tests.bench.instructions", "--count", json.dumps(settings)]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        subprocess.run([*tool, *child], cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
        texts = [file.read_text() for file in Path(folder).glob("counts.*")]
    return {name: int(total) // REQUESTS for text in texts for name, total in _TOTAL.findall(text)}


def count(settings: Mapping[str, object]) -> None:
    """Make the requests, in the process that Valgrind watches."""
    logging.disable(logging.WARNING)
    app = create_app(settings)
    service = app.extensions["kinto"]
    service.migrate(lambda _: None)
    service.flush()

    def prepare(method: str, path: str, body: object) -> Ask:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = Headers({"Authorization": basic("alice"), "Content-Type": "application/json"})
        environ = EnvironBuilder(path, method=method, headers=headers, data=raw or None).get_environ()

        def ask() -> None:
            _, status, _ = run_wsgi_app(app.wsgi_app, {**environ, "wsgi.input": io.BytesIO(raw)})
            if not status.startswith("2"):
                raise RuntimeError(f"{method} {path}: {status}")

        return ask

    objects = (OBJECT, *(f"{LIST}/{number}" for number in range(30)))
    for path in ("/v1/buckets/b", "/v1/buckets/b/collections/c", *objects):
        prepare("PUT", path, {"data": {"title": "x" * 300}})()
    asks = {name: prepare(*request) for name, request in _CASE.requests.items()}
    for ask in asks.values():
        _repeat(ask, WARM_UP)
    gc.collect()
    gc.freeze()
    gc.disable()
    for name, ask in asks.items():
        ask()
        _control("--instr=on")
        ask()
        _control("--zero")
        _repeat(ask, REQUESTS)
        _control(f"--dump={name}")
        _control("--instr=off")
    service.close()


def _repeat(ask: Ask, times: int) -> None:
    for _ in range(times):
        ask()


def _control(option: str) -> None:
    subprocess.run(["callgrind_control", option, str(os.getpid())], stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--count"]:
        count(json.loads(arguments[1]))
    else:
        main(arguments[0] if arguments else None)
