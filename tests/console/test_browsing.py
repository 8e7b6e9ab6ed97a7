"""Lists are sorted, filtered, searched and paged by the server."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.console.tabs import Tab

Open = Callable[..., Tab]


def _fill(tab: Tab, path: str, count: int) -> None:
    """Create records with the numbers from 1 to *count* in batches."""
    for start in range(1, count + 1, 25):
        numbers = range(start, min(start + 25, count + 1))
        requests = [
            {"method": "PUT", "path": f"{path}/r{n}", "body": {"data": {"title": f"Task {n}", "number": n}}}
            for n in numbers
        ]
        tab.ask("POST", "/batch", json={"requests": requests})


def test_a_list_is_sorted_searched_filtered_and_paged_by_the_server(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    _fill(tab, f"{path}/records", 120)
    tab.open(path)
    page = tab.page
    expect(page.get_by_text("120 records")).to_be_visible()
    expect(tab.rows()).to_have_count(50)
    expect(tab.rows().first).to_contain_text("Task 120")

    page.get_by_role("columnheader", name="number").get_by_role("button").click()
    expect(tab.rows().first.get_by_role("link", name="Task 1", exact=True)).to_be_visible()
    tab.button("Next").click()
    expect(tab.rows().first).to_contain_text("Task 51")
    tab.button("Next").click()
    expect(tab.rows()).to_have_count(20)
    expect(tab.button("Next")).to_be_disabled()
    tab.button("Previous").click()
    expect(tab.rows().first).to_contain_text("Task 51")

    page.get_by_label("Search", exact=True).press_sequentially("task 11")
    expect(page.get_by_text("11 records", exact=True)).to_be_visible()
    expect(tab.rows().first).to_contain_text("Task 11")
    tab.button("Add a filter").click()
    page.get_by_label("Field").fill("number")
    page.get_by_label("Operator").select_option(label="is at least")
    page.get_by_label("Value").fill("115")
    tab.button("Apply").click()
    expect(page.get_by_text("5 records", exact=True)).to_be_visible()
    tab.button("Show the URL").click()
    url = page.get_by_label("Show the URL").last.inner_text()
    assert url.startswith(f"GET {tab.server_url}{path}/records?")
    assert {"min_number=115", "_sort=number", "like_title=%22task+11%22"} <= set(url.partition("?")[2].split("&")) or (
        "like_title=task+11" in url
    )

    page.reload()
    expect(page.get_by_text("5 records", exact=True)).to_be_visible()
    page.get_by_role("button", name="Remove the filter on number").click()
    expect(page.get_by_text("11 records", exact=True)).to_be_visible()


def test_the_words_of_texts_are_searched_where_an_index_has_them(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    tab.ask("PATCH", path, json={"data": {"indexes": [{"text": ["title"]}]}})
    tab.put(f"{path}/records/a", title="Un café crème")
    tab.put(f"{path}/records/b", title="Tea")
    tab.open(path)
    tab.page.get_by_label("Search", exact=True).fill("CREME cafe")

    expect(tab.page.get_by_text("1 record", exact=True)).to_be_visible()
    expect(tab.rows()).to_have_text([re.compile("Un café crème")])


def test_one_shared_record_is_found_without_its_list(open_tab: Open, alice: str, bucket: str) -> None:
    """A reader of one record may list neither bucket nor collection."""
    owner = open_tab(alice)
    path = f"/buckets/{bucket}/collections/tasks/records/only"
    owner.put(path, title="Only this", number=7)
    reader = open_tab()
    owner.ask("PATCH", path, json={"permissions": {"read": ["system.Everyone"]}})

    reader.open()
    reader.button("Look around without an account").click()
    reader.page.get_by_role("link", name=f"{bucket}/tasks/only").click()

    expect(reader.page.get_by_label("title")).to_have_value("Only this")


def test_the_sync_view_shows_changes_and_tombstones_as_they_happen(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    tab.put(f"{path}/records/kept", title="a")
    tab.put(f"{path}/records/gone", title="b")
    tab.open(f"{path}/sync")
    changes = tab.page.get_by_role("region", name="Changes since").get_by_role("row")
    expect(changes).to_have_count(3)

    tombstone = tab.ask("DELETE", f"{path}/records/gone")["data"]

    expect(changes.nth(1)).to_contain_text("Deleted")
    expect(changes.nth(1)).to_contain_text(str(tombstone["last_modified"]))


def test_the_server_page_shows_health_counts_and_lines_for_curl(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice)
    tab.put(f"/buckets/{bucket}/collections/tasks/records/r", title="a")
    tab.open("/server")

    expect(tab.page.get_by_text("storage works")).to_be_visible()
    expect(tab.page.get_by_role("row", name=bucket)).to_contain_text(re.compile(r"1\s*0\s*1"))
    expect(tab.page.get_by_text("batch_max_requests")).to_be_visible()
    expect(tab.page.get_by_text(f"curl -s -u {alice} {tab.server_url}/buckets")).to_be_visible()


def test_a_screen_that_loads_slowly_does_not_replace_the_next_one(open_tab: Open, alice: str, bucket: str) -> None:
    """Neither a page nor a view of an object, whose modules arrive after the user has gone on."""
    tab = open_tab(alice).open()
    held: list[Route] = []
    for module in ("accounts", "sync"):
        tab.page.route(f"**/screens/{module}.js", lambda route: held.append(route))
    for slow, following, heading in (
        ("/accounts", "/server", "Server"),
        (f"/buckets/{bucket}/collections/tasks/sync", f"/buckets/{bucket}/collections/tasks/attributes", "tasks"),
    ):
        with tab.page.expect_request(re.compile("(accounts|sync).js")):
            tab.page.evaluate("hash => { location.hash = hash }", f"#{slow}")
        tab.page.evaluate("hash => { location.hash = hash }", f"#{following}")
        expect(tab.page.get_by_role("heading", level=1)).to_have_text(heading)
        tab.settle()
        with tab.page.expect_request_finished(lambda request: request.url == held[-1].request.url):
            held[-1].continue_()

        tab.settle()
        expect(tab.page.get_by_role("heading", level=1)).to_have_text(heading)
