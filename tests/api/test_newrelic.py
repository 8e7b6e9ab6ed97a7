"""New Relic's agent around the application (O-MON-34)."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT

# The agent changes how a process imports, for good, so it has one of its own. It reports to a collector inside it.
INI = """[newrelic]
license_key = 0123456789012345678901234567890123456789
app_name = tests
developer_mode = true
log_file = {folder}/agent.log
[newrelic:prod]
app_name = tests of production
"""
PROGRAM = """
import json, sys
from app.factory import create_app
from tests.support.client import Client

app = create_app(json.loads(sys.argv[1]))
import newrelic.agent

transactions = []

@app.before_request
def before():
    transaction = newrelic.agent.current_transaction()
    transactions.append((transaction.application.name, transaction.background_task))

assert newrelic.agent.register_application(timeout=30).active
status = Client(app).get("/").status
app.extensions["kinto"].close()
print(json.dumps([status, transactions]))
"""


@pytest.fixture
def config(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a file for the agent; as long as the test runs, no module of it is loaded."""
    for name in ("newrelic", "newrelic.agent", "backends.metrics.newrelic"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    file = tmp_path / "newrelic.ini"
    file.write_text("[newrelic]\n")
    return str(file)


@pytest.mark.parametrize(
    ("settings", "name"), [({}, "tests"), ({"kinto.newrelic_env": "prod"}, "tests of production")], ids=["dev", "prod"]
)
def test_a_request_is_a_transaction_of_the_agent(tmp_path: pathlib.Path, settings: dict[str, str], name: str) -> None:
    file = tmp_path / "newrelic.ini"
    file.write_text(INI.format(folder=tmp_path))
    configuration = json.dumps({**BASICAUTH, "kinto.newrelic_config": str(file), **settings})

    command = [sys.executable, "-c", PROGRAM, configuration]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=120)

    assert json.loads(done.stdout.splitlines()[-1]) == [200, [[name, False]]]


def test_the_start_is_refused_without_the_package(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "newrelic", None)

    with pytest.raises(SettingError, match=r"newrelic_config.*the package newrelic is not installed"):
        create_app({**BASICAUTH, "kinto.newrelic_config": config})


@pytest.mark.usefixtures("config")
def test_the_start_is_refused_without_the_file() -> None:
    with pytest.raises(SettingError, match="there is no file"):
        create_app({**BASICAUTH, "kinto.newrelic_config": "/nowhere.ini"})
