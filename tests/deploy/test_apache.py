"""Apache with mod_wsgi runs the service as the guide says (operations contract, 6.2)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import servers
from tests.deploy.asking import ask, can_be_used
from tests.support.client import user_id
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("apache.conf", id="in the processes of Apache"),
        pytest.param("apache_daemon.conf", id="in processes of its own"),
    ],
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a service that only SetEnv tells where its file is."""
    with servers.folder() as place:
        ini = place / "kinto.ini"
        servers.write_ini(ini, {**BASICAUTH, "kinto.storage_url": f"sqlite:///{place}/kinto.sqlite"})
        values = {"/srv/kinto/.venv": str(Path(sys.prefix)), "/srv/kinto": str(ROOT), "/etc/kinto/kinto.ini": str(ini)}
        with servers.apache(servers.deployed(request.param, values)) as url:
            yield url


def test_the_service_under_apache_can_be_used(url: str) -> None:
    can_be_used(url)


def test_setenv_names_the_file_of_the_service(url: str) -> None:
    """O-DEP-3: the process of Apache does not have the variable, only requests have."""
    assert ask(url, "GET", "/").json["config"]["path"].endswith("/kinto.ini")


def test_apache_hands_over_who_asks(url: str) -> None:
    """O-DEP-3: without `WSGIPassAuthorization On` everybody is nobody."""
    assert ask(url, "GET", "/", name="alice").json["user"]["id"] == user_id("alice")


def test_apache_leaves_an_encoded_slash_to_the_service(url: str) -> None:
    assert ask(url, "GET", "/buckets/a%2Fb/groups/c", name="alice").json["errno"] == 111
