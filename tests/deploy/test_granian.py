"""Granian behind nginx runs the service as the guide says: `deploy/granian.service`."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from tests.deploy import servers
from tests.deploy.asking import ask, can_be_used
from tests.deploy.load import load
from tests.deploy.test_restarts import until_named
from tests.support.databases import BASICAUTH
from tests.support.statsd_server import StatsdServer, statsd_server

_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class _Place:
    """A folder with the ini file, the socket and the output of a Granian, and the URL of nginx before it."""

    folder: Path
    url: str
    statsd: StatsdServer

    def write_ini(self, name: str) -> None:
        """Write the settings of a project of that name."""
        settings = {
            **BASICAUTH,
            "kinto.storage_url": f"sqlite:///{self.folder}/kinto.sqlite",
            "kinto.project_name": name,
            "kinto.statsd_url": self.statsd.url,
            "kinto.trusted_proxies": "1",
            "kinto.includes": "kinto.plugins.prometheus",
        }
        servers.write_ini(self.folder / "kinto.ini", settings)

    def start(self) -> contextlib.AbstractContextManager[Popen[bytes]]:
        """Run Granian."""
        metrics = self.folder / "metrics"
        metrics.mkdir(exist_ok=True)
        paths = (self.folder / name for name in ("granian.sock", "kinto.ini", "log"))
        return servers.granian_unit(*paths, PROMETHEUS_MULTIPROC_DIR=str(metrics))

    def request_lines(self) -> list[dict[str, object]]:
        """Return the fields of the log lines of requests: JSON documents, the last of which may be half written."""
        whole, _, _ = (self.folder / "log").read_text(encoding="utf-8").rpartition("\n")
        lines = map(json.loads, whole.splitlines())
        return [line["Fields"] for line in lines if line["Type"] == "request.summary"]


@pytest.fixture
def place() -> Iterator[_Place]:
    """Give nginx before a socket on which nobody listens yet."""
    with (
        servers.folder() as folder,
        statsd_server() as statsd,
        servers.nginx("proxy", {"127.0.0.1:8001": f"unix:{folder}/granian.sock"}) as url,
    ):
        made = _Place(folder, url, statsd)
        made.write_ini("old")
        yield made


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_service_can_be_used_and_is_observed(place: _Place) -> None:
    with place.start():
        can_be_used(place.url)
        ask(place.url, "GET", "/buckets", name="alice", x_request_id="one-request")

        _wait(lambda: "old.authn_type.basicauth" in place.statsd.names())
        _wait(lambda: "one-request" in [fields["rid"] for fields in place.request_lines()])
        [fields] = [fields for fields in place.request_lines() if fields["rid"] == "one-request"]
        assert (fields["path"], fields["code"]) == ("/v1/buckets", 200)
        assert ask(place.url, "GET", "/__metrics__").status == 200


def test_a_hup_brings_new_settings_and_loses_no_request(place: _Place) -> None:
    with place.start() as process, load(place.url) as requests:
        place.write_ini("new")
        process.send_signal(signal.SIGHUP)
        until_named(place.url, "new")
        # The last of the old workers stops now.
        time.sleep(2)

    assert (requests.failed, requests.lost, requests.refused) == ({}, [], 0)
    assert requests.answered[200] > 0


def test_requests_at_a_stop_are_answered_and_a_new_start_serves_again(place: _Place) -> None:
    """While nobody listens nginx answers 502."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(place.start())
        requests = stack.enter_context(load(place.url))
        _wait(lambda: requests.answered[200] > 20)
        first.send_signal(signal.SIGTERM)
        assert first.wait(_PATIENCE_SECONDS) == 0
        _wait(lambda: requests.answered[502] > 0)
        stack.enter_context(place.start())
        before = requests.answered[200]
        _wait(lambda: requests.answered[200] > before + 20)
        requests.ended.set()
        requests.done()

    assert (set(requests.failed), requests.lost, requests.refused) == ({502}, [], 0)
