"""What Sentry is told, by a real client to a server of ours (operations contract, 5.7, O-MON-33)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.support.processes import ROOT, answer_in_process

GUIDE = (Path(__file__).parent / "ini" / "guide.ini").read_text()
SECRET = "hidden-word-7b1f"
FAILING = f"""
from blueprints.http import to_response
from flask import request
import logging

def attach(app, service):
    def failing():
        password = request.headers["Authorization"]
        logging.getLogger("kinto.some").warning("beware of %s", "dogs", extra={{"password": "{SECRET}"}})
        raise ValueError("it fell over at https://login.test/?code={SECRET}")
    app.add_url_rule("/v1/failing", view_func=failing, methods=["GET", "POST"])
"""
CREDENTIALS = {"Authorization": f"Bearer {SECRET}", "Cookie": f"a={SECRET}", "X-Api-Key": SECRET, "X-Request-Id": "abc"}
REQUESTS = (
    {"path": "/v1/buckets/nope"},
    {
        "path": "/v1/failing",
        "method": "POST",
        "query_string": f"token={SECRET}&a=1",
        "json": {"password": SECRET},
        "headers": CREDENTIALS,
    },
)


class Ingest:
    """A server that takes what a Sentry client sends; `dsn` is its address."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        ingest = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ingest.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://public@127.0.0.1:{self.server.server_port}/1"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events of all envelopes: after the head, pairs of a line about an item and the item."""
        result = []
        for body in self.bodies:
            _, *items = body.splitlines()
            for about, item in zip(items[::2], items[1::2], strict=True):
                assert json.loads(about)["type"] == "event"
                result.append(json.loads(item))
        return result

    def texts(self) -> list[tuple[str, str]]:
        """Return level and text of each event."""
        return [(event["level"], event.get("message") or event["logentry"]["formatted"]) for event in self.events]


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    made = Ingest()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def environ(ingest: Ingest, tmp_path: Path) -> dict[str, str]:
    """Give settings with a plugin that fails, and Sentry."""
    (tmp_path / "failing.py").write_text(FAILING)
    return {
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
        "KINTO_INCLUDES": "failing",
        "SENTRY_DSN": ingest.dsn,
        "SENTRY_ENV": "stage",
    }


def test_a_start_is_told(ingest: Ingest, environ: dict[str, str], tmp_path: Path) -> None:
    answer_in_process(
        environ={**environ, "KINTO_PROJECT_VERSION": "26.5.0", "KINTO_HTTP_SCHEME": "https"}, folder=tmp_path
    )

    (event,) = ingest.events
    assert (event["level"], event["message"]) == ("info", "Running kinto 26.5.0.")
    assert (event["environment"], event["release"]) == ("stage", "kinto 26.5.0")


def test_a_crash_is_one_event_and_a_refusal_none(ingest: Ingest, environ: dict[str, str], tmp_path: Path) -> None:
    done = answer_in_process(*REQUESTS, environ=environ, folder=tmp_path)

    assert done.stderr == ""
    levels = [level for level, _ in ingest.texts()]
    assert sorted(levels) == ["error", "info", "warning", "warning"]
    (crash,) = [event for event in ingest.events if event["level"] == "error"]
    (error,) = crash["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "it fell over at https://login.test/?code=***")
    assert crash["request"]["url"] == "http://localhost/v1/failing"
    assert crash["request"]["query_string"] == "token=***&a=1"
    assert (crash["extra"]["rid"], crash["extra"]["errno"]) == ("abc", 999)
    crumbs = [crumb["message"] for crumb in crash["breadcrumbs"]["values"]]
    assert "beware of dogs" in crumbs


def test_no_secret_is_sent(ingest: Ingest, environ: dict[str, str], tmp_path: Path) -> None:
    """No bodies, credentials, cookies, values of variables (5.7: send_default_pii false)."""
    answer_in_process(*REQUESTS, environ=environ, folder=tmp_path)

    assert len(ingest.events) == 4
    assert SECRET not in b"".join(ingest.bodies).decode()
    for event in ingest.events:
        assert {"data", "cookies", "env"}.isdisjoint(event.get("request", {}))
        assert "user" not in event


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        pytest.param({"KINTO_SENTRY_EVENTS_MIN_LEVEL": "40"}, ["error", "info"], id="events from ERROR"),
        pytest.param({"KINTO_SENTRY_EVENTS_MIN_LEVEL": "60"}, ["info"], id="no events"),
    ],
)
def test_the_level_of_events_is_a_setting(
    ingest: Ingest, environ: dict[str, str], tmp_path: Path, settings: dict[str, str], levels: list[str]
) -> None:
    answer_in_process(*REQUESTS, environ={**environ, **settings}, folder=tmp_path)

    assert sorted(event["level"] for event in ingest.events) == levels


def test_the_level_of_breadcrumbs_is_a_setting(ingest: Ingest, environ: dict[str, str], tmp_path: Path) -> None:
    answer_in_process(*REQUESTS, environ={**environ, "KINTO_SENTRY_BREADCRUMBS_MIN_LEVEL": "40"}, folder=tmp_path)

    (crash,) = [event for event in ingest.events if event["level"] == "error"]
    assert "beware of dogs" not in [crumb.get("message") for crumb in crash["breadcrumbs"]["values"]]


def test_the_handler_of_the_production_guide_sends_what_its_loggers_hand_over(
    ingest: Ingest, environ: dict[str, str], tmp_path: Path
) -> None:
    """O-MON-30, O-MON-33: raven's handler without raven, the file as written but for the host. No line of a request."""
    del environ["SENTRY_DSN"]
    host = f"127.0.0.1:{ingest.server.server_port}"

    done = answer_in_process(*REQUESTS, ini=GUIDE.replace("example.com", host), environ=environ, folder=tmp_path)

    assert done.stderr == ""
    texts = ingest.texts()
    assert [text for level, text in texts if level == "error"] == ["it fell over at https://login.test/?code=***"]
    assert sum(level == "warning" for level, _ in texts) == 2
    assert ("info", "Running kinto 1.8.0.") in texts
    assert "" not in [text for _, text in texts]
    assert SECRET not in b"".join(ingest.bodies).decode()


def test_setting_and_handler_together_send_each_line_once(
    ingest: Ingest, environ: dict[str, str], tmp_path: Path
) -> None:
    answer_in_process(*REQUESTS, ini=GUIDE, environ=environ, folder=tmp_path)

    texts = ingest.texts()
    assert sorted(set(texts)) == sorted(texts)
    assert "error" in [level for level, _ in texts]


def test_the_client_is_not_loaded_without_a_dsn(tmp_path: Path) -> None:
    program = "import sys; from app.factory import create_app; create_app(); sys.exit('sentry_sdk' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False)

    assert done.returncode == 0


def test_a_dsn_without_the_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    monkeypatch.delitem(sys.modules, "backends.sentry", raising=False)

    with pytest.raises(SettingError, match=r"^sentry_dsn: the package sentry-sdk is not installed"):
        create_app({"kinto.sentry_dsn": "https://key@127.0.0.1/1"})


def test_a_dsn_that_is_none_stops_the_start() -> None:
    with pytest.raises(SettingError, match=r"^sentry_dsn: a DSN like"):
        create_app({"kinto.sentry_dsn": f"https://{SECRET}/1"})
