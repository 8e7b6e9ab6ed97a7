"""Measure what requests cost in this process: CPU time, as ratios to an empty Flask view of the same run.

    python -m tests.bench.in_process [POSTGRESQL_URL]
    python -m tests.bench.in_process observed    what StatsD and JSON lines cost a worker (`tests/bench/pairs.py`)
    python -m tests.bench.in_process plugins [postgresql]     what all plugins cost a worker, with its database

Machines are noisy: read the ratios of one run, the lowest of several rounds, never single absolute times.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable

from flask import Flask, Response
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.factory import create_app
from tests.bench import pairs
from tests.support.client import Client, basic
from tests.support.databases import BASICAUTH

ROUNDS = 7
REQUESTS = 200
LIST = "/buckets/b/collections/c/records"


def main(url: str | None) -> None:
    """Print a table: microseconds of CPU per request and their ratio to the empty view."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app({**BASICAUTH, "kinto.storage_url": url or f"sqlite:///{folder}/kinto.sqlite"})
        service = app.extensions["kinto"]
        service.migrate(lambda line: None)
        client = Client(app)
        client.put("/buckets/b")
        client.put("/buckets/b/collections/c")
        for number in range(100):
            client.put(f"{LIST}/r{number}", {"title": "x" * 300, "n": number})
        empty = measured(_asking(_empty_view(), "GET", "/"))
        print(f"{'an empty Flask view':40} {empty:8.0f} µs   1.0")
        for name, method, path, body in _requests():
            cost = measured(_asking(app, method, f"/v1{path}", body))
            print(f"{name:40} {cost:8.0f} µs {cost / empty:5.1f}")
        service.close()


def _requests() -> list[tuple[str, str, str, object]]:
    batch = {"requests": [{"method": "PUT", "path": f"{LIST}/b{n}", "body": {"data": {"n": n}}} for n in range(25)]}
    gets = {"requests": [{"path": f"{LIST}/r{n}"} for n in range(25)]}
    return [
        ("hello", "GET", "/", None),
        ("GET of a record", "GET", f"{LIST}/r1", None),
        ("GET of a page of 25", "GET", f"{LIST}?_limit=25", None),
        ("GET of what changed since", "GET", f"{LIST}?_since=5&_limit=25", None),
        ("GET of a page of 25 with a filter", "GET", f"{LIST}?_limit=25&min_n=10&_sort=n", None),
        ("PUT of a record", "PUT", f"{LIST}/r1", {"data": {"title": "y" * 300}}),
        ("batch of 25 GETs", "POST", "/batch", gets),
        ("batch of 25 PUTs", "POST", "/batch", batch),
    ]


def _empty_view() -> Flask:
    app = Flask("empty")
    app.add_url_rule("/", "empty", lambda: Response(b"{}", 200, {"Content-Type": "application/json"}))
    return app


def _asking(app: Flask, method: str, path: str, body: object = None) -> Callable[[], None]:
    data = None if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")

    def ask() -> None:
        headers = Headers({"Authorization": basic("alice"), "Content-Type": "application/json"})
        builder = EnvironBuilder(path, query_string=query, method=method, headers=headers, data=data)
        environ = builder.get_environ()
        _, status, _ = run_wsgi_app(app.wsgi_app, environ)
        builder.close()
        if not status.startswith("2"):
            raise RuntimeError(f"{method} {path}: {status}")

    return ask


def measured(ask: Callable[[], None]) -> float:
    """Return the lowest cost of several rounds, in microseconds of CPU."""
    ask()
    costs = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(REQUESTS):
            ask()
        costs.append((time.process_time() - start) / REQUESTS * 1_000_000)
    return min(costs)


if __name__ == "__main__":
    argument = sys.argv[1] if len(sys.argv) > 1 else None
    if argument and argument in pairs.CASES:
        pairs.main(argument, *sys.argv[2:])
    else:
        main(argument)
