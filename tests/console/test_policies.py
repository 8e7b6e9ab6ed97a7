"""Users log in by every policy that the server announces."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.console.serving import serve_console
from tests.console.tabs import Tab
from tests.support import services
from tests.support.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider, openid_provider

Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Give an OpenID provider that knows one user."""
    with openid_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def url(provider: Provider) -> Iterator[str]:
    """Give the URL of an instance with that provider, basic authentication and default buckets."""
    settings = {
        "kinto.includes": "kinto.plugins.openid kinto.plugins.default_bucket kinto.plugins.admin",
        "kinto.bucket_create_principals": "account:nobody",
        "multiauth.policies": "basicauth google",
        "multiauth.policy.google.use": "kinto.plugins.openid.OpenIDConnectPolicy",
        "multiauth.policy.google.issuer": provider.url,
        "multiauth.policy.google.client_id": CLIENT_ID,
        "multiauth.policy.google.client_secret": CLIENT_SECRET,
    }
    temporary = tempfile.TemporaryDirectory(dir=services.folder_in_memory())
    with temporary as folder, serve_console(Path(folder), **settings) as url:
        yield url


def test_a_provider_s_token_is_taken_over_and_leaves_the_address(open_tab: Open, url: str) -> None:
    tab = open_tab(url=url).open()
    tab.button("Log in with google").click()

    expect(tab.page.get_by_text("google:alice").first).to_be_visible()
    assert tab.page.url == f"{url}/admin/#/"
    assert "access_token" not in str(tab.page.evaluate("[location.href, document.referrer, history.state]"))


def test_a_provider_s_login_in_a_second_window_keeps_what_was_typed(open_tab: Open, url: str) -> None:
    """The session ends while something is typed; the provider's page opens beside it."""
    tab = open_tab(url=url).open()
    tab.button("Log in with google").click()
    expect(tab.page.get_by_label("Collection id")).to_be_visible()
    tab.page.get_by_label("Collection id").fill("typed")
    tab.page.route("**/collections/typed", lambda route: route.fulfill(status=401, body="{}"), times=1)
    tab.button("Create my collection").click()
    dialog = tab.page.get_by_role("dialog", name="Log in again")
    dialog.get_by_role("button", name="Log in with google").click()
    expect(dialog).to_be_hidden()
    expect(tab.page.get_by_label("Collection id")).to_have_value("typed")
    tab.button("Create my collection").click()

    expect(tab.page.get_by_text("No records yet")).to_be_visible()


def test_a_link_with_somebody_s_token_logs_nobody_in(open_tab: Open, url: str, provider: Provider) -> None:
    """Only a tab that has begun a login takes a token: else a link could make others work as its author."""
    answer = base64.b64encode(json.dumps({"access_token": provider.issue(), "token_type": "Bearer"}).encode())
    tab = open_tab(url=url)
    tab.page.goto(f"{url}/admin/#/auth/google/{quote(answer)}")

    expect(tab.button("Log in with google")).to_be_visible()
    assert tab.page.url == f"{url}/admin/#/"
    assert tab.page.evaluate("sessionStorage.length") == 0


def test_any_name_and_password_are_a_user_with_a_bucket_of_its_own(open_tab: Open, url: str) -> None:
    """Basic authentication; who may not create buckets begins in the default bucket."""
    tab = open_tab(url=url).open()
    expect(tab.page.get_by_text("accepts any name and password")).to_be_visible()
    tab.page.get_by_label("Name").fill("ännie")
    tab.page.get_by_label("Password").fill("pass:wörd")
    tab.button("Log in").click()

    expect(tab.page.get_by_text("basicauth:").first).to_be_visible()
    expect(tab.page.get_by_label("Bucket id")).to_be_disabled()
    tab.page.get_by_label("Collection id").fill("notes")
    tab.button("Create my collection").click()
    expect(tab.page.get_by_text("No records yet")).to_be_visible()
    expect(tab.page.get_by_role("link", name="Your own bucket").first).to_be_visible()
