"""Permissions are given, explained and looked at as somebody else; groups have members; histories go back."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.tabs import Tab

Open = Callable[..., Tab]


def test_every_right_has_its_reason(open_tab: Open, alice: str, bucket: str) -> None:
    """From the object, the collection, the bucket, a group."""
    tab = open_tab(alice)
    group = f"/buckets/{bucket}/groups/editors"
    tab.put(group, members=["account:gina"])
    tab.ask("PATCH", f"/buckets/{bucket}", json={"permissions": {"read": ["account:rita"]}})
    path = f"/buckets/{bucket}/collections/tasks"
    tab.ask("PATCH", path, json={"permissions": {"write": [group], "read": ["system.Authenticated"]}})
    tab.put(f"{path}/records/r", title="a")
    tab.open(f"{path}/records/r/permissions")

    tab.page.get_by_label("Share with").fill("rob")
    tab.button("Share").click()
    tab.button("Save permissions").click()
    tab.notice("The permissions were saved.")
    reasons = tab.page.get_by_role("region", name="Who can do what, and why")
    short = f"{bucket}/tasks"
    expect(reasons.get_by_role("row", name="account:rob")).to_contain_text(f"Read on the record {short}/r")
    expect(reasons.get_by_role("row", name="account:rita")).to_contain_text(f"Read on the bucket {bucket}")
    expect(reasons.get_by_role("row", name="account:gina")).to_contain_text(
        f"Write on the collection {short}, as a member of the group editors"
    )
    assert tab.ask("GET", f"{path}/records/r")["permissions"]["read"] == ["account:rob"]


def test_a_reader_is_told_what_cannot_be_seen(
    open_tab: Open, alice: str, bucket: str, user: Callable[[str], str]
) -> None:
    owner, bob = open_tab(alice), user("bob")
    owner.ask("PATCH", f"/buckets/{bucket}", json={"permissions": {"read": [f"account:{bob}"]}})
    tab = open_tab(bob).open(f"/buckets/{bucket}/collections/tasks/permissions")

    expect(tab.page.get_by_text("Only those who may write this object")).to_be_visible()
    expect(tab.page.get_by_text("You cannot see the permissions of the collection")).to_be_visible()


def test_a_group_gets_members_and_shows_what_they_may_do(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/groups")
    tab.button("Create a group").click()
    tab.page.get_by_label("Group id").fill("readers")
    tab.button("Create").click()
    tab.page.get_by_label("Add a member").fill("bob")
    tab.button("Add").click()
    tab.button("Save").click()
    tab.notice("Saved.")
    group = f"/buckets/{bucket}/groups/readers"
    tab.ask("PATCH", f"/buckets/{bucket}/collections/tasks", json={"permissions": {"read": [group]}})
    tab.open(f"/buckets/{bucket}/groups")

    row = tab.page.get_by_role("row", name="readers")
    expect(row).to_contain_text("account:bob")
    expect(row).to_contain_text(f"Read on the collection {bucket}/tasks")


def test_a_change_is_shown_and_undone_by_a_new_write(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab = open_tab(alice)
    for title in ("first", "second"):
        tab.put(path, title=title)
    tab.open(f"{path}/history")
    entries = tab.page.locator(".entry")
    expect(entries).to_have_count(2)

    entries.first.get_by_role("button", name="Changes").click()
    row = tab.page.get_by_role("region", name="Differences").get_by_role("row", name="title")
    expect(row).to_contain_text("first")
    expect(row).to_contain_text("second")
    tab.button("Undo this change").click()
    tab.notice("it is a new change in the history")
    expect(entries).to_have_count(3)

    assert tab.ask("GET", path)["data"]["title"] == "first"


def test_a_deleted_record_comes_back_from_the_history(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab = open_tab(alice)
    tab.put(path, title="wanted")
    tab.ask("PATCH", path, json={"permissions": {"read": ["account:bob"]}})
    tab.ask("DELETE", path)
    tab.open(f"/buckets/{bucket}/collections/tasks/history")
    tab.page.get_by_label("Action").select_option(label="Deleted")
    tab.page.locator(".entry.delete").get_by_role("button", name="Changes").click()
    tab.button("Restore").click()
    tab.notice("1 record restored.")

    restored = tab.ask("GET", path)
    assert (restored["data"]["title"], restored["permissions"]["read"]) == ("wanted", ["account:bob"])


def test_accounts_change_their_password_and_stay_logged_in(open_tab: Open, alice: str) -> None:
    tab = open_tab(alice).open("/accounts")
    tab.button("Change password").click()
    tab.page.get_by_label("Password", exact=True).fill("another password")
    tab.button("Save").click()
    tab.notice(f"The password of {alice} was changed.")
    tab.open("/server")
    expect(tab.page.get_by_text("storage works")).to_be_visible()
