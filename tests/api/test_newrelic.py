"""New Relic around the application (O-MON-34); a stand-in has the place of the optional package."""

from __future__ import annotations

import pathlib
import sys

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.client import Client
from tests.databases import BASICAUTH

AGENT = """
initialized = []
requests = []

def initialize(config, environment):
    initialized.append((config, environment))

class WSGIApplicationWrapper:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        requests.append(environ["PATH_INFO"])
        return self.application(environ, start_response)
"""


@pytest.fixture
def config(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a file for the agent; as long as the test runs, no module of it is loaded."""
    for name in ("newrelic", "newrelic.agent", "backends.metrics.newrelic"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    file = tmp_path / "newrelic.ini"
    file.write_text("[newrelic]\n")
    return str(file)


def test_requests_go_through_the_agent(config: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "newrelic").mkdir()
    (tmp_path / "newrelic" / "__init__.py").touch()
    (tmp_path / "newrelic" / "agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(tmp_path)

    app = create_app({**BASICAUTH, "kinto.newrelic_config": config, "kinto.newrelic_env": "prod"})
    Client(app).get("/")

    agent = sys.modules["newrelic.agent"]
    assert agent.initialized == [(config, "prod")]
    assert agent.requests == ["/v1/"]
    app.extensions["kinto"].close()
    for name in ("newrelic", "newrelic.agent", "backends.metrics.newrelic"):
        del sys.modules[name]


def test_the_start_is_refused_without_the_package(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "newrelic", None)

    with pytest.raises(SettingError, match=r"newrelic_config.*the package newrelic is not installed"):
        create_app({**BASICAUTH, "kinto.newrelic_config": config})


def test_the_start_is_refused_without_the_file(config: str) -> None:
    with pytest.raises(SettingError, match="there is no file"):
        create_app({**BASICAUTH, "kinto.newrelic_config": "/nowhere.ini"})
