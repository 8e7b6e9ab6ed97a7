"""What was deleted comes back from the history, exactly, and nothing that exists is overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Route, expect

from tests.console.tabs import PASSWORD, Tab

Open = Callable[..., Tab]
BOB = "account:bob"
COUNT = 300
HOSTILE_IDS = ("constructor", "toString", "hasOwnProperty", "42", "1e3", "true", "null", "a--b", "A_")
COLLECTION: dict[str, Any] = {
    "schema": {"type": "object", "properties": {"title": {"type": "string"}}},
    "indexes": [{"unique": ["number"]}],
    "displayFields": ["title"],
    "more": {"__proto__": {"deep": [1.0, 12345678901234567890, None]}},
}


def _fill(tab: Tab, path: str) -> None:
    """Create a collection whose records have hostile ids, exact numbers, several versions and permissions."""
    tab.ask("PUT", path, json={"data": COLLECTION, "permissions": {"read": [BOB], "record:create": ["account:eve"]}})
    ids = [*HOSTILE_IDS, *(f"r{number}" for number in range(len(HOSTILE_IDS), COUNT))]
    uris = [f"{path}/records/{each}" for each in ids]
    data = [{"title": f"Record {number}", "number": number, "exact": 2**64 + number} for number in range(COUNT)]
    tab.batch("PUT", {uri: {"data": each} for uri, each in zip(uris, data, strict=True)})
    tab.batch("PATCH", {uri: {"permissions": {"read": [BOB, "system.Everyone"]}} for uri in uris[::3]})
    tab.batch("PATCH", {uri: {"data": {"title": "Changed"}} for uri in uris[::7]})


def _state(tab: Tab, path: str) -> dict[str, Any]:
    """Return a collection and its records with their permissions, without what each write changes."""
    uris = [path, *(f"{path}/records/{each['id']}" for each in tab.ask("GET", f"{path}/records")["data"])]
    state = dict(zip(uris, tab.batch("GET", {uri: {} for uri in uris}), strict=True))
    for uri, body in state.items():
        del body["data"]["last_modified"]
        if uri != path:
            body["data"].pop("schema", None)
        for principals in body["permissions"].values():
            principals.sort()
    return state


def test_a_collection_comes_back_with_its_records_and_permissions(open_tab: Open, alice: str, bucket: str) -> None:
    """Those that were deleted before stay deleted, so do records of its former lives and rights that had ended."""
    path, group = f"/buckets/{bucket}/collections/1e3", f"/buckets/{bucket}/groups/editors"
    tab = open_tab(alice)
    tab.put(path)
    tab.put(f"{path}/records/of-a-former-life", number=1)
    tab.ask("DELETE", path)
    tab.put(group, members=[BOB])
    _fill(tab, path)
    tab.put(f"{path}/records/deleted-before", number=-1)
    tab.ask("DELETE", f"{path}/records/deleted-before")
    tab.ask("PATCH", f"{path}/records/r9", json={"permissions": {"write": [group]}})
    tab.ask("DELETE", group)
    before = _state(tab, path)
    assert len(before) == COUNT + 1
    assert group not in str(before)
    tab.ask("DELETE", f"/buckets/{bucket}/collections?id=%221e3%22")

    tab.open(f"/buckets/{bucket}")
    tab.view("Deleted")
    expect(tab.page.locator(".entry")).to_have_count(2)
    requests: list[str] = []
    tab.page.on("request", lambda request: requests.append(request.url))
    tab.restore("1e3")
    tab.notice(f"1 collection, {COUNT} records restored.")

    assert len(requests) < COUNT / 8
    assert _state(tab, path) == before
    expect(tab.page.locator(".entry")).to_have_text([re.compile("editors")])


def test_an_interrupted_restoration_is_finished_and_tells_what_it_refused(
    open_tab: Open, alice: str, bucket: str
) -> None:
    """Two times it stops, one time in a page that is opened anew; meanwhile others write, and delete."""
    path = f"/buckets/{bucket}/collections/target"
    tab = open_tab(alice)
    _fill(tab, path)
    before = _state(tab, path)
    tab.ask("DELETE", path)
    statuses = {4: 507, 8: 401}
    batches: list[str] = []

    def interrupt(route: Route) -> None:
        if "If-None-Match" not in (route.request.post_data or ""):
            route.continue_()
            return
        batches.append(route.request.url)
        status = statuses.get(len(batches))
        if status is None:
            route.continue_()
        else:
            route.fulfill(status=status, body='{"code": 0, "message": "Stopped by the test"}')

    tab.page.route("**/v1/batch", interrupt)
    tab.open(f"/buckets/{bucket}/deleted")
    tab.restore("target")
    expect(tab.page.get_by_role("dialog")).to_contain_text("Stopped by the test")
    ids = {record["id"] for record in tab.ask("GET", f"{path}/records")["data"]}
    assert 0 < len(ids) < COUNT
    # The newest come back first, so that these are still missing.
    tab.ask("PUT", f"{path}/records/42", json={"data": {"title": "Somebody else's"}})
    tab.ask("PUT", f"{path}/records/other", json={"data": {"number": 1}})
    unwanted = min(ids)
    tab.ask("DELETE", f"{path}/records/{unwanted}")

    tab.page.reload()
    tab.open(f"{path}/deleted")
    tab.restore("All that were lost when the collection was deleted")
    tab.page.get_by_label("Password").fill(PASSWORD)
    tab.button("Log in").click()
    tab.button("Go on").click()
    report = tab.page.get_by_role("dialog").get_by_role("region")
    expect(report.get_by_role("row")).to_have_count(3)
    expect(report.get_by_role("row", name="42")).to_contain_text("exists already, with other attributes")
    expect(report.get_by_role("row", name="toString")).to_contain_text("must be unique")

    after = _state(tab, path)
    assert after.pop(f"{path}/records/42")["data"]["title"] == "Somebody else's"
    del after[f"{path}/records/other"]
    for missing in ("42", "toString", unwanted):
        del before[f"{path}/records/{missing}"]
    assert after == before


def test_a_busy_server_is_waited_for(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    tab.put(f"{path}/records/r", title="kept")
    tab.open(f"{path}/attributes")
    tab.button("Delete").click()
    tab.page.get_by_label("Type tasks to go on").fill("tasks")
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(tab.page.get_by_text("No collections yet")).to_be_visible()
    answers = iter([503, 0])

    def refuse(route: Route) -> None:
        match next(answers, None):
            case None:
                route.continue_()
            case 0:
                route.abort()
            case status:
                route.fulfill(status=status, headers={"Retry-After": "1"}, body="{}")

    tab.page.route("**/v1/batch", refuse)
    tab.button("Undo").click()
    tab.notice("1 collection, 1 record restored.")

    expect(tab.rows()).to_have_text([re.compile("kept")])


def test_several_groups_and_records_are_restored_at_once(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice)
    groups = [f"/buckets/{bucket}/groups/{name}" for name in ("one", "two", "three")]
    for group in groups:
        tab.ask("PUT", group, json={"data": {"members": [BOB]}, "permissions": {"read": [BOB]}})
    path = f"/buckets/{bucket}/collections/tasks"
    tab.batch("PUT", {f"{path}/records/r{number}": {"data": {"title": f"T{number}"}} for number in range(40)})
    tab.ask("DELETE", f"/buckets/{bucket}/groups")
    tab.ask("DELETE", f"{path}/records")
    tab.put(f"{path}/records/r0", title="Back already")
    tab.put(f"{path}/records/r1", title="Deleted two times")
    tab.ask("DELETE", f"{path}/records/r1")

    tab.open(f"/buckets/{bucket}/deleted")
    tab.page.get_by_label("Search by id").fill("T")
    expect(tab.page.locator(".entry")).to_have_count(2)
    tab.page.get_by_label("Choose all shown").check()
    tab.button("Restore 2").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog).to_contain_text("What it was permitted to do does not come back")
    dialog.get_by_role("button", name="Restore", exact=True).click()
    tab.notice("2 groups restored.")
    tab.open(f"{path}/deleted")
    expect(tab.page.locator(".entry")).to_have_count(23)
    tab.button("Show older deletions").click()
    expect(tab.page.locator(".entry")).to_have_count(39)
    expect(tab.page.locator(".entry").last).to_contain_text("T39")
    tab.page.get_by_label("Choose all shown").check()
    tab.button("Restore 39").click()
    tab.notice("39 records restored.")
    expect(tab.page.get_by_text("Nothing to restore")).to_be_visible()

    assert [each["id"] for each in tab.ask("GET", f"/buckets/{bucket}/groups?_sort=id")["data"]] == ["three", "two"]
    two = tab.ask("GET", groups[1])
    assert (two["data"]["members"], two["permissions"]["read"]) == ([BOB], [BOB])
    assert len(tab.ask("GET", f"{path}/records")["data"]) == 40


def test_a_deletion_in_the_timeline_is_undone_and_that_of_a_bucket_is_for_ever(
    open_tab: Open, alice: str, bucket: str
) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    tab.put(f"{path}/records/r", title="kept")
    tab.ask("DELETE", path)
    tab.open(f"/buckets/{bucket}/history")
    tab.page.locator(".entry.delete").get_by_role("button", name="Changes").click()
    tab.button("Restore").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
    tab.notice("1 collection, 1 record restored.")

    tab.open(f"/buckets/{bucket}/attributes")
    tab.button("Delete").click()
    dialog = tab.page.get_by_role("dialog", name=f"Delete {bucket}?")
    expect(dialog).to_contain_text("This cannot be undone.")
    dialog.get_by_role("button", name="Export tasks").click()
    with tab.page.expect_download() as download:
        tab.button("Save the file").click()

    assert '"title":"kept"' in download.value.path().read_text()
