"""Names, fields, titles of schemas and texts of errors that try to be scripts are shown as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.console.tabs import Tab

Open = Callable[..., Tab]
SCRIPT = '<img src=x onerror="window.attacked = 1"><script>window.attacked = 2</script>\'"`${attacked}'
LINK = "javascript:window.attacked=3"


@pytest.fixture
def path(open_tab: Open, alice: str, bucket: str) -> str:
    """Return the path of a hostile collection with a hostile record and a hostile member of its readers."""
    tab = open_tab(alice)
    path = f"/buckets/{bucket}/collections/hostile"
    properties = {
        "text": {"type": "string", "title": SCRIPT, "description": f"[click]({LINK}) {SCRIPT}", "default": SCRIPT},
        "link": {"type": "string", "format": "uri", "title": "link"},
        "file": {"type": "string", "format": "data-url", "title": "file"},
        "choice": {"type": "string", "enum": [SCRIPT, LINK], "enumNames": [SCRIPT, LINK]},
        SCRIPT: {"type": "string"},
    }
    hints = {"text": {"ui:help": SCRIPT, "ui:enableMarkdownInDescription": True, "ui:placeholder": SCRIPT}}
    tab.put(
        path,
        schema={"type": "object", "title": SCRIPT, "description": SCRIPT, "properties": properties},
        uiSchema=hints,
        displayFields=["text", SCRIPT, "link", "__proto__"],
        sort=SCRIPT,
        indexes=SCRIPT,
    )
    record = {
        "text": SCRIPT,
        "link": LINK,
        "file": f"data:text/html,{SCRIPT}",
        SCRIPT: SCRIPT,
        "__proto__": {"x": SCRIPT},
    }
    tab.put(f"{path}/records/r", **record)
    tab.ask("PATCH", path, json={"permissions": {"read": [SCRIPT, f"account:{SCRIPT}"]}})
    tab.put(f"/buckets/{bucket}/groups/g", members=[SCRIPT])
    tab.put(f"{path}/records/deleted", **record)
    tab.ask("DELETE", f"{path}/records/deleted")
    return path


def test_nothing_of_the_data_is_executed(open_tab: Open, alice: str, bucket: str, path: str) -> None:
    tab = open_tab(alice)
    parent = f"/buckets/{bucket}"
    routes = [
        f"{path}/{view}" for view in ("records", "attributes", "permissions", "history", "deleted", "sync", "create")
    ]
    routes += [f"{path}/records/r/{view}" for view in ("attributes", "permissions", "history")]
    routes += [f"{parent}/{view}" for view in ("collections", "groups", "history")] + [f"{parent}/groups/g", "/server"]
    for route in routes:
        tab.open(route)
        tab.settle()
        for opener in tab.page.get_by_role("button", name="Changes").all():
            opener.click()

    tab.open(f"{path}/records/r")
    expect(tab.page.get_by_text(SCRIPT).first).to_be_visible()
    tab.button("JSON").click()
    expect(tab.page.locator(".cm-content")).to_contain_text("window.attacked")
    assert tab.page.evaluate("window.attacked") is None
    assert tab.page.locator("main img, main script, a[href^='javascript']").count() == 0


def test_texts_of_errors_and_addresses_are_not_executed(open_tab: Open, alice: str, path: str) -> None:
    """The server's message has the value; filters and routes come from the address, which others may have written."""
    tab = open_tab(alice).open(f"{path}/records?like_{SCRIPT}={SCRIPT}&_sort={SCRIPT}&_since={SCRIPT}")
    expect(tab.page.get_by_role("alert")).to_contain_text("window.attacked")
    tab.open(f"/buckets/{SCRIPT}")
    tab.page.goto(f"{tab.server_url}/admin/#/auth/x/{SCRIPT}")
    tab.page.reload()
    tab.page.get_by_role("heading", level=1).wait_for()

    assert tab.page.evaluate("window.attacked") is None


def test_the_policy_of_the_page_stops_what_would_get_through(open_tab: Open, alice: str) -> None:
    """Inline scripts, handlers, styles and other hosts are refused by the browser itself."""
    page = open_tab(alice, watched=False).open().page
    fetched = page.evaluate(
        """() => {
            window.violations = new Set();
            document.addEventListener("securitypolicyviolation", (event) => violations.add(event.effectiveDirective));
            document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.attacked = 1'>");
            const script = document.createElement("script");
            script.textContent = "window.attacked = 2";
            document.body.append(script);
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.body.append(style);
            return fetch("http://localhost:1/").then(() => true, () => false);
        }"""
    )
    directives = ["connect-src", "script-src-attr", "script-src-elem", "style-src-elem"]
    page.wait_for_function("directives => directives.every((each) => violations.has(each))", arg=directives)

    assert fetched is False
    assert page.evaluate("window.attacked") is None
