"""Plugins of anybody's: the one in docs/writing-plugins.md, run as it stands there (plugins contract, 1)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.factory import create_app
from app.service import Service
from app.settings import SettingError
from scripts.command import main
from scripts.settings_doc import PATH
from tests.plugins.conftest import ClientMaker
from tests.support.client import Client

NAME = "kinto_stars"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "writing-plugins.md"
STARS: Mapping[str, Any] = {
    "kinto.includes": NAME,
    "kinto.stars.most": "3",
    "kinto.star_create_principals": "system.Authenticated",
    "multiauth.policies": "givers basicauth",
    "multiauth.policy.givers.use": f"{NAME}.TokenPolicy",
    "multiauth.policy.givers.token": "t0k3n",
}


def add_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Make a module that can be imported until the test ends."""
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def client(client_with: ClientMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Return alice's client of a service with the plugin of the document."""
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example is not None
    add_module(tmp_path, monkeypatch, NAME, example[1])
    return client_with(dict(STARS), kept=False)


def test_a_plugin_shows_itself_in_the_hello_view(client: Client) -> None:
    """P-API-6, P-API-9: capability, public setting, user information, typed setting."""
    hello = client.get("/").json

    assert hello["capabilities"]["stars"] == {
        "description": "Give stars.",
        "url": "https://example.com/stars",
        "most": 3,
    }
    assert hello["settings"]["stars.most"] == 3
    assert hello["user"]["may_give"] == 3


def test_a_plugin_adds_a_heartbeat(client: Client) -> None:
    """P-API-6, P-API-9."""
    assert client.get("/__heartbeat__").json["stars"] is True


def test_a_plugin_adds_a_url(client: Client) -> None:
    """P-API-6, P-API-9."""
    answer = client.get("/__stars__", origin="https://x.org")

    assert (answer.status, answer.json) == (200, {"most": 3})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert client.post("/__stars__").status == 405


def test_a_plugin_adds_a_kind(client: Client) -> None:
    """P-API-6, P-API-9."""
    made = client.post("/stars", {"number": 2})

    assert made.status == 201
    assert client.get(f"/stars/{made.data['id']}").json["permissions"] == {"write": [client.id]}
    assert [star["number"] for star in client.get("/stars?min_number=2").data] == [2]
    assert client.as_("bob").get("/stars").data == []


def test_a_listener_refuses_and_nothing_is_kept(client: Client) -> None:
    """P-API-7, P-API-9."""
    requests = [{"method": "POST", "path": "/stars", "body": {"data": {"number": number}}} for number in (1, 4)]

    answer = client.batch(*requests)

    assert (answer.status, answer.json["message"]) == (400, "data.number in body: More than 3")
    assert client.get("/stars").data == []


def test_a_plugin_adds_a_policy(client: Client) -> None:
    """P-API-6, P-API-9, P-BASIC-7."""
    answer = client.as_(None).get("/", authorization="Token t0k3n")

    assert answer.json["user"]["id"] == "givers:giver"
    challenges = client.as_(None).get("/stars/x").challenges
    assert challenges == ["Token", 'Basic realm="Realm"']


@pytest.mark.usefixtures("client")
def test_a_command_prints_the_settings_that_a_plugin_declares(tmp_path: Path) -> None:
    """O-SET-50, P-API-6: in the form of docs/settings.md, although neither storage nor cache is there."""
    ini, url = tmp_path / "kinto.ini", "postgresql://nobody:x@127.0.0.1:1/nowhere"
    ini.write_text(
        f"[app:main]\nkinto.includes = {NAME}\nkinto.storage_backend = postgresql\nkinto.storage_url = {url}\n"
    )

    with CliRunner().isolation() as (out, _, _):
        codes = main(["--ini", str(ini), "settings"]), main(["settings", "--plugins", "--ini", str(ini)])
        printed = out.getvalue().decode()

    row = "| `stars.most` | `KINTO_STARS_MOST` | `5` | int | maximum number of stars of an object |\n"
    own = f"## Settings of plugins\n\n| setting | variable | default | type | meaning |\n|---|---|---|---|---|\n{row}"
    assert (codes, printed) == ((0, 0), f"{PATH.read_text()}\n{own}{own}")


def test_a_plugin_that_is_not_included_leaves_no_trace(client_with: ClientMaker) -> None:
    """P-API-2."""
    client = client_with()

    assert client.get("/stars").status == 404
    assert "stars" not in client.get("/").json["capabilities"]


def test_plugins_are_attached_in_order_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-API-1."""
    for name in ("kinto_first", "kinto_second"):
        text = f"def attach(app, service):\n    service.public_settings[{name!r}] = len(service.public_settings)\n"
        add_module(tmp_path, monkeypatch, name, text)

    app = create_app({"kinto.includes": "kinto_second kinto_first kinto_second"})

    service: Service = app.extensions["kinto"]
    assert list(service.public_settings)[-2:] == ["kinto_second", "kinto_first"]
    service.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("kinto_absent", None, id="a module that is not there"),
        pytest.param("kinto.plugins.absent", None, id="a plugin that Kinto does not have"),
        pytest.param("kinto_foreign", "def includeme(config): ...", id="a module made for Kinto"),
    ],
)
def test_the_start_is_refused_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None) -> None:
    """P-API-1."""
    if text is not None:
        add_module(tmp_path, monkeypatch, name, text)

    with pytest.raises(SettingError, match=f"includes: .*{name}"):
        create_app({"kinto.includes": name})


@pytest.mark.parametrize("policy", ["accounts.AccountsPolicy", "openid.AbsentPolicy"])
def test_the_start_is_refused_for_a_policy_whose_plugin_is_not_included(policy: str) -> None:
    setting = "multiauth.policy.p.use"

    with pytest.raises(SettingError, match=rf"^{setting}: kinto\.plugins\.\w+ has no policy \w+, or is not named"):
        create_app({"multiauth.policies": "p", setting: f"kinto.plugins.{policy}"})


def test_the_start_is_refused_when_two_plugins_offer_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-API-5."""
    text = "def attach(app, service):\n    service.add_capability('x', 'X.', 'https://x.org')\n"
    for name in ("kinto_first", "kinto_second"):
        add_module(tmp_path, monkeypatch, name, text)

    with pytest.raises((ValueError, SettingError), match="The 'x' API capability was already registered"):
        create_app({"kinto.includes": "kinto_first kinto_second"})


def test_two_applications_in_a_process_share_nothing() -> None:
    """P-API-3."""
    with_flush = create_app({"kinto.includes": "kinto.plugins.flush"})
    without = create_app({})

    try:
        assert Client(with_flush).as_(None).post("/__flush__").status == 202
        assert Client(without).as_(None).post("/__flush__").status == 404
    finally:
        for app in (with_flush, without):
            app.extensions["kinto"].close()
