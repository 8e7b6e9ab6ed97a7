"""A served instance with the console, a browser, and tabs in which users are logged in."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from tests.console.serving import browser_executable, serve_console
from tests.console.tabs import PASSWORD, Tab, session_script
from tests.support import services

# Long, for machines that do much else meanwhile; what is there at once does not wait.
_TIMEOUT_MILLISECONDS = 20_000
expect.set_options(timeout=_TIMEOUT_MILLISECONDS)
_SIZE: ViewportSize = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Give the URL of a served instance."""
    with tempfile.TemporaryDirectory(dir=services.folder_in_memory()) as folder, serve_console(Path(folder)) as url:
        yield url


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give Chromium of the system. Its event loop must end before tests that run one of their own."""
    executable = browser_executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def user(server_url: str) -> Callable[[str], str]:
    """Create a user whose name begins with a word, and return the name."""

    def create(word: str) -> str:
        name = f"{word}-{uuid.uuid4().hex[:8]}"
        body = {"data": {"password": PASSWORD}}
        requests.put(f"{server_url}/accounts/{name}", json=body, timeout=60).raise_for_status()
        return name

    return create


@pytest.fixture
def bucket(alice: str, server_url: str) -> Iterator[str]:
    """Give the id of a bucket of alice, with the collection `tasks`, whose records have a title and a number."""
    bucket = f"b-{uuid.uuid4().hex[:8]}"
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "number": {"type": "integer"}},
    }
    attributes: dict[str, Any] = {"schema": schema, "displayFields": ["title", "number"]}
    for path, data in ((bucket, {}), (f"{bucket}/collections/tasks", attributes)):
        url = f"{server_url}/buckets/{path}"
        requests.put(url, json={"data": data}, auth=(alice, PASSWORD), timeout=60).raise_for_status()
    yield bucket
    # What a test has shared with everyone must not be there for strangers of others.
    requests.delete(f"{server_url}/buckets/{bucket}", auth=(alice, PASSWORD), timeout=60)


@pytest.fixture
def alice(user: Callable[[str], str]) -> str:
    """Return the name of a user."""
    return user("alice")


@pytest.fixture
def open_tab(browser: Browser, server_url: str) -> Iterator[Callable[..., Tab]]:
    """Open tabs of separate sessions, maybe logged in. A script error or a violated policy fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def watch(page: Page) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                faults.append(message.text)

        page.on("console", on_console)
        page.on("pageerror", lambda error: faults.append(str(error)))

    def open_page(user: str | None = None, *, watched: bool = True, url: str = server_url, **options: Any) -> Tab:
        context = browser.new_context(viewport=options.pop("viewport", _SIZE), **options)
        contexts.append(context)
        context.set_default_timeout(_TIMEOUT_MILLISECONDS)
        if user is not None:
            context.add_init_script(session_script(user))
        if watched:
            context.on("page", watch)
        return Tab(context.new_page(), url, user)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
