"""The console works by keyboard, on a phone, in the dark, for screen readers and from right to left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.console.tabs import PASSWORD, Tab

Open = Callable[..., Tab]
PHONE = {"width": 375, "height": 700}
LONG = "a-very-long-name-" * 8
WIDE = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


def _serious(page: Page) -> list[tuple[str, str]]:
    """Return what axe-core finds serious or critical: the rule and the first element."""
    violations = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in violations if each["impact"] in ("serious", "critical")]


def _faults(tab: Tab, routes: list[str]) -> dict[str, list[Any]]:
    """Return what axe-core finds on routes, and those that are wider than the screen."""
    faults: dict[str, list[Any]] = {}
    for route in routes:
        tab.open(route).settle()
        wide = ["wider than the screen"] if tab.page.evaluate(WIDE) else []
        faults[route] = [*_serious(tab.page), *wide]
    return {route: violations for route, violations in faults.items() if violations}


@pytest.fixture
def routes(open_tab: Open, alice: str, bucket: str) -> list[str]:
    """Return routes to all screens, with long names and every kind of value."""
    tab = open_tab(alice)
    path = f"/buckets/{bucket}/collections/tasks"
    tab.put(f"/buckets/{LONG}{bucket}")
    tab.put(f"/buckets/{bucket}/collections/{LONG}")
    tab.put(f"/buckets/{bucket}/groups/{LONG}", members=["account:bob", f"account:{LONG}"])
    for name in ("collections", "groups"):
        tab.put(f"/buckets/{bucket}/{name}/{LONG}deleted", members=[])
        tab.ask("DELETE", f"/buckets/{bucket}/{name}/{LONG}deleted")
    tab.put(f"{path}/records/{LONG}deleted", title=LONG)
    tab.ask("DELETE", f"{path}/records/{LONG}deleted")
    tab.put(f"{path}/records/{LONG}", title=LONG, number=1, nested={"a": [LONG]}, nothing=None, yes=True)
    tab.put(f"{path}/records/{LONG}", title=f"{LONG} {LONG}", number=2)
    tab.ask("PATCH", path, json={"permissions": {"read": [f"/buckets/{bucket}/groups/{LONG}", "system.Everyone"]}})
    record = f"{path}/records/{LONG}"
    views = ("records", "attributes", "permissions", "history", "deleted", "sync", "create", "import")
    return [
        "/",
        "/server",
        "/accounts",
        *(f"/buckets/{bucket}/{view}" for view in ("collections", "groups", "attributes", "permissions", "deleted")),
        f"/buckets/{bucket}/groups/{LONG}",
        *(f"{path}/{view}" for view in views),
        *(f"{record}/{view}" for view in ("attributes", "history")),
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark", "viewport": PHONE}],
    ids=["light on a desktop", "dark on a phone"],
)
def test_no_screen_has_serious_faults(open_tab: Open, alice: str, routes: list[str], options: dict[str, Any]) -> None:
    """axe-core finds nothing serious, and nothing is wider than the screen."""
    start = open_tab(**options).open()
    assert _serious(start.page) == []
    tab = open_tab(alice, reduced_motion="reduce", **options)

    assert _faults(tab, routes) == {}


def test_no_screen_has_serious_faults_while_it_is_seen_as_somebody(
    open_tab: Open, alice: str, routes: list[str]
) -> None:
    tab = open_tab(alice, reduced_motion="reduce", viewport=PHONE).open()
    tab.button("☰ Menu").click()
    tab.see_as(LONG)

    assert _faults(tab, [route for route in routes if route.endswith(("/", "collections", "records", LONG))]) == {}
    tab.page.locator("main table .mark").first.click()
    assert _serious(tab.page) == []


def test_the_page_reads_from_right_to_left(open_tab: Open, alice: str, routes: list[str]) -> None:
    tab = open_tab(alice).open()
    tab.page.evaluate("document.documentElement.dir = 'rtl'")
    for route in routes:
        tab.open(route)
        tab.settle()
        side, main = (tab.page.locator(each).bounding_box() for each in ("#side", "main"))

        assert side is not None
        assert main is not None
        assert side["x"] > main["x"]
        assert not tab.page.evaluate(WIDE)


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus."""
    label = (
        "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || '')(document.activeElement)"
    )
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(label).strip() == name:
            return
    pytest.fail(f"Tab does not reach {name!r}")


def test_the_keyboard_alone_is_enough(open_tab: Open, alice: str, bucket: str) -> None:
    """Log in, open the collection, create, edit and delete a record without a mouse."""
    tab = open_tab().open()
    page = tab.page
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(alice)
    _tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Buckets")
    _tab_to(page, bucket)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main").get_by_role("link", name="tasks")).to_be_visible()
    _tab_to(page, "tasks")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No records yet")).to_be_visible()
    _tab_to(page, "Create a record")
    page.keyboard.press("Enter")
    expect(page.get_by_label("title")).to_be_visible()
    _tab_to(page, "title")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Control+s")
    expect(tab.rows()).to_have_count(1)
    _tab_to(page, "By keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_label("title")).to_have_value("By keyboard")
    _tab_to(page, "Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(tab.button("Delete")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    _tab_to(page, "Delete")
    page.keyboard.press("Enter")

    expect(page.get_by_text("No records yet")).to_be_visible()


def test_a_phone_has_its_menu(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice, viewport=PHONE, has_touch=True).open()
    navigation = tab.page.get_by_role("navigation", name="Buckets and pages")
    expect(navigation).to_be_hidden()
    tab.page.get_by_role("button", name="Menu").tap()
    navigation.get_by_role("link", name=bucket).tap()

    expect(tab.page.get_by_role("heading", level=1)).to_have_text(bucket)
    expect(navigation).to_be_hidden()
