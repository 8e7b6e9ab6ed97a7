"""Rows come first: no count delays them, typing sends few requests, and a newer question aborts the older one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Request, Route, expect

from tests.console.tabs import Tab

Open = Callable[..., Tab]
RECORDS = re.compile(r"/records\?")


@pytest.fixture
def tab(open_tab: Open, alice: str, bucket: str) -> Tab:
    """Give a tab with the table of 120 records."""
    tab = open_tab(alice)
    path = f"/buckets/{bucket}/collections/tasks"
    for start in range(0, 120, 24):
        requests = [
            {"method": "PUT", "path": f"{path}/records/r{n}", "body": {"data": {"title": f"Task {n}", "number": n}}}
            for n in range(start, start + 24)
        ]
        tab.ask("POST", "/batch", json={"requests": requests})
    tab.open(path)
    expect(tab.page.get_by_text("120 records")).to_be_visible()
    return tab


def _watch(tab: Tab) -> list[str]:
    """Return a list that grows by the method and the query of each request for the records of the list."""
    sent: list[str] = []

    def note(request: Request) -> None:
        if RECORDS.search(request.url) and "if-none-match" not in request.headers:
            sent.append(f"{request.method} {request.url.partition('?')[2]}")

    tab.page.on("request", note)
    return sent


def _type_fast(tab: Tab, text: str) -> None:
    """Type into the field of the search, by the clock of the page a letter every 50 ms."""
    clock, search = tab.page.clock, tab.page.get_by_label("Search", exact=True)
    clock.pause_at(tab.page.evaluate("Date.now() / 1000") + 1)
    for letter in text:
        search.press_sequentially(letter)
        clock.run_for(50)
    clock.resume()


def test_ten_letters_are_one_search_and_one_count(tab: Tab) -> None:
    sent = _watch(tab)
    tab.page.clock.install()

    _type_fast(tab, "task 1")
    expect(tab.page.get_by_text("31 records", exact=True)).to_be_visible()
    _type_fast(tab, "19 or more")
    expect(tab.page.get_by_text("No record matches")).to_be_visible()
    expect(tab.page.get_by_text("0 records", exact=True)).to_be_visible()

    # The first page has all records that match: they need no count.
    assert [each.partition(" ")[0] for each in sent] == ["GET", "GET"]


def test_the_count_delays_no_rows_and_is_asked_again_for_other_filters_only(tab: Tab) -> None:
    sent, held = _watch(tab), []

    def hold_counts(route: Route) -> None:
        if route.request.method == "HEAD":
            held.append(route)
        else:
            route.continue_()

    tab.page.route(RECORDS, hold_counts)
    tab.page.get_by_label("Search", exact=True).fill("task")
    expect(tab.rows().first).to_contain_text("Task 119")
    tab.page.wait_for_function("() => !document.querySelector('.stale')")
    expect(tab.page.get_by_text("120 records")).to_have_count(0)
    tab.page.get_by_role("columnheader", name="number").get_by_role("button").click()
    expect(tab.rows().first).to_contain_text("Task 0")
    tab.button("Next").hover()
    tab.button("Next").click()
    expect(tab.rows().first).to_contain_text("Task 50")
    # A slow page may send it later than the rows appear.
    deadline = time.monotonic() + 60
    while not held and time.monotonic() < deadline:
        tab.page.wait_for_timeout(10)
    [count] = held
    count.continue_()

    expect(tab.page.get_by_text("120 records")).to_be_visible()
    assert [each for each in sent if each.startswith("HEAD")] == ["HEAD like_title=task"]
    assert len(sent) == len(set(sent)), "a page was asked for twice"


def test_a_newer_search_aborts_the_older_one_and_the_rows_stay_meanwhile(tab: Tab) -> None:
    held: list[Route] = []
    older = re.compile(r"like_title=task\+1(&|$)")
    tab.page.route(older, lambda route: held.append(route))
    search = tab.page.get_by_label("Search", exact=True)
    search.fill("task 1")
    expect(tab.page.get_by_text("Searching…")).to_be_visible()
    expect(tab.page.locator(".stale")).to_have_attribute("aria-busy", "true")
    expect(tab.rows()).to_have_count(50)

    with tab.page.expect_event("requestfailed", lambda request: older.search(request.url) is not None):
        search.press_sequentially("17")

    expect(tab.rows()).to_have_count(1)
    expect(tab.page.locator(".stale")).to_have_count(0)
    assert len(held) == 1


def test_another_list_is_asked_for_once(open_tab: Open, alice: str, bucket: str) -> None:
    """Not with the columns and the sort of the former one first."""
    tab = open_tab(alice)
    path = f"/buckets/{bucket}/collections/other"
    tab.put(path)
    tab.open(f"/buckets/{bucket}/collections/tasks")
    expect(tab.page.get_by_text("No records yet")).to_be_visible()
    sent = _watch(tab)
    tab.open(path)
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("other")
    tab.settle()
    expect(tab.page.get_by_text("No records yet")).to_be_visible()

    assert len(sent) == 1
