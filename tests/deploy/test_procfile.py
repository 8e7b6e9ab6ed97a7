"""The Procfile runs the service as Heroku does: release, then web (operations contract, 1.1 and 6.1)."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from tests.deploy.asking import ask, can_be_used
from tests.deploy.servers import environment, serves
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT, as_environment, empty_database, free_port, postgresql_database, running

APP = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
PROCFILE = dict(re.findall(r"^(\w+): (.*)$", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE))
# honcho reads a file .env of its own where it is not told of another.
HONCHO = ["honcho", "-e", "/dev/null", "start"]


def on_heroku(database_url: str, **variables: str) -> dict[str, str]:
    """Return the variables of a process on Heroku, which still spells the database's scheme `postgres`."""
    url = database_url.replace("postgresql://", "postgres://", 1)
    settings = {key: value for key, value in as_environment(BASICAUTH).items() if key.startswith(("KINTO", "MULTI"))}
    return environment(DATABASE_URL=url, WEB_CONCURRENCY="2", **settings, **variables)


def release(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the release phase."""
    return subprocess.run(
        [*HONCHO, "release"], env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give the URL of a service that was released and started by the Procfile alone."""
    port = free_port()
    with postgresql_database() as database_url:
        variables = on_heroku(database_url, DYNO="web.1")
        released = release(variables)
        assert released.returncode == 0, released.stdout
        url = f"http://127.0.0.1:{port}/v1"
        with running([*HONCHO, "-p", str(port), "web"], lambda: serves(url), variables):
            yield url


def test_the_service_of_the_procfile_can_be_used(url: str) -> None:
    """O-DEP-1, O-SET-11: `DATABASE_URL`, `PORT` and `WEB_CONCURRENCY` are all that it is told of where to run."""
    can_be_used(url)


def test_the_database_of_the_platform_is_where_objects_lie(url: str) -> None:
    assert ask(url, "GET", "/__heartbeat__").json == {"storage": True, "permission": True, "cache": True}


def test_the_scheme_that_the_router_of_the_platform_tells_is_the_one_of_urls(url: str) -> None:
    answer = ask(url, "GET", "/", host="kinto.example.org", x_forwarded_proto="https")

    assert answer.json["url"] == "https://kinto.example.org/v1/"


def test_a_client_cannot_contradict_the_router(url: str) -> None:
    """Gunicorn answers 400 where headers that name a scheme differ, unless it believes one only."""
    answer = ask(url, "GET", "/", x_forwarded_proto="https", x_forwarded_ssl="off", x_forwarded_protocol="http")

    assert answer.status == 200


def test_a_client_cannot_move_the_service_by_a_header(url: str) -> None:
    request = urllib.request.Request(f"{url}/__lbheartbeat__", headers={"SCRIPT_NAME": "/v1"})

    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def test_a_release_may_run_again(empty_postgresql_url: str) -> None:
    variables = on_heroku(empty_postgresql_url)

    assert [release(variables).returncode for _ in range(2)] == [0, 0]

    empty_database(empty_postgresql_url)


def test_a_release_that_fails_says_so() -> None:
    """The old version goes on then (operations contract, 6.7)."""
    assert release(on_heroku("postgresql://nobody@127.0.0.1:1/nowhere")).returncode != 0


def test_the_manifest_asks_for_what_its_settings_need() -> None:
    variables = {name: each.get("value", "a-secret") for name, each in APP["env"].items()}
    checked = "from app.settings import load; print(load().policies[0].use)"

    ended = subprocess.run(
        ["python", "-W", "error", "-c", checked], env=environment(**variables), cwd=ROOT, capture_output=True, text=True
    )

    assert ended.stdout.strip() == "kinto.plugins.accounts.AccountsPolicy", ended.stderr
    assert set(APP["formation"]) <= set(PROCFILE)
    assert "heroku-postgresql" in APP["addons"]
