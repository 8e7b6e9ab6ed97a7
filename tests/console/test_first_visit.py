"""From an empty server to a list that two people share."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.console.tabs import PASSWORD, Tab

Open = Callable[..., Tab]


def test_a_stranger_makes_a_shopping_list_and_sees_a_friend_s_change_arrive(
    open_tab: Open, user: Callable[[str], str]
) -> None:
    """Account, bucket, collection, record, share: by the page alone. The friend finds the list and changes it."""
    friend, name = user("bob"), f"ann-{uuid.uuid4().hex[:8]}"
    mine, theirs = open_tab().open(), open_tab(friend)
    page = mine.page

    page.get_by_role("button", name="Create an account").last.click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Create an account").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your first collection")
    page.get_by_label("Bucket id").fill(f"home-{name}")
    page.get_by_label("Collection id").fill("shopping")
    mine.button("Create my collection").click()
    page.get_by_role("link", name="Create a record").first.click()
    page.get_by_label("title").fill("Milk")
    mine.button("Create").click()
    expect(mine.rows()).to_have_count(1)

    mine.view("Permissions")
    page.get_by_label("Share with").fill(friend)
    mine.button("Share").click()
    page.get_by_label(f"account:{friend}: Write").check()
    mine.button("Save permissions").click()
    mine.notice("The permissions were saved.")
    mine.view("Records")

    theirs.open()
    theirs.page.get_by_role("link", name=f"home-{name}/shopping").click()
    theirs.page.get_by_role("link", name="Milk").click()
    theirs.page.get_by_label("title").fill("Oat milk")
    theirs.button("Save").click()
    theirs.notice("Saved.")

    expect(mine.rows().first).to_contain_text("Oat milk")
    assert "token" not in page.url
    assert name not in page.url.replace(f"home-{name}", "")


def test_a_wrong_password_is_told_and_a_right_one_opens_the_console(open_tab: Open, alice: str) -> None:
    tab = open_tab().open()
    tab.page.get_by_label("Name").fill(alice)
    tab.page.get_by_label("Password").fill("wrong")
    tab.button("Log in").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("There is no account with this name and password")

    tab.page.get_by_label("Password").fill(PASSWORD)
    tab.page.keyboard.press("Enter")

    expect(tab.page.get_by_text(f"account:{alice}").first).to_be_visible()
    stored = tab.page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]")
    assert stored == [0, "", 1]


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "free"])
def test_sign_up_says_when_a_name_is_taken(open_tab: Open, alice: str, taken: bool) -> None:
    tab = open_tab().open()
    tab.page.get_by_role("button", name="Create an account").last.click()
    tab.page.get_by_label("Name").fill(alice if taken else f"{alice}-two")
    tab.page.get_by_label("Password").fill("another password")
    tab.page.get_by_role("button", name="Create an account").first.click()

    if taken:
        expect(tab.page.get_by_role("alert")).to_contain_text(f"The name {alice} is taken")
    else:
        expect(tab.page.get_by_text(f"account:{alice}-two").first).to_be_visible()


def test_the_guide_does_not_take_the_bucket_of_somebody_else(
    open_tab: Open, alice: str, user: Callable[[str], str]
) -> None:
    other = open_tab(user("dora"))
    other.put(f"/buckets/{other.user}")
    tab = open_tab(alice).open()
    expect(tab.page.get_by_label("Bucket id")).to_have_value(alice)
    tab.page.get_by_label("Collection id").fill("list")
    tab.page.get_by_label("Bucket id").fill(str(other.user))
    tab.button("Create my collection").click()
    expect(tab.page.get_by_role("alert")).to_contain_text(f"There is a bucket {other.user} already")

    tab.page.get_by_label("Bucket id").fill(alice)
    tab.button("Create my collection").click()
    expect(tab.page.get_by_text("No records yet")).to_be_visible()


def test_what_a_friend_shares_appears_by_itself_and_the_guide_stays(
    open_tab: Open, alice: str, bucket: str, user: Callable[[str], str]
) -> None:
    bob = user("bob")
    tab = open_tab(bob).open()
    tab.page.get_by_label("Collection id").fill("typed")
    list_path = f"/buckets/{bucket}/collections/tasks"
    open_tab(alice).ask("PATCH", list_path, json={"permissions": {"read": [f"account:{bob}"]}})

    expect(tab.page.get_by_role("link", name=f"{bucket}/tasks")).to_be_visible()
    expect(tab.page.get_by_label("Collection id")).to_have_value("typed")
    tab.button("Cancel").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Buckets")


def test_a_session_that_ends_keeps_what_was_typed(open_tab: Open, alice: str, bucket: str) -> None:
    """The password is changed elsewhere: saving asks for it, and nothing of the form is lost."""
    tab = open_tab(alice).open(f"/buckets/{bucket}/collections/tasks/create")
    tab.page.get_by_label("title").fill("Typed before")

    tab.change_password_before("**/records*", "changed elsewhere")
    tab.button("Create").click()
    dialog = tab.page.get_by_role("dialog", name="Log in again")
    dialog.get_by_label("Password").fill("changed elsewhere")
    dialog.get_by_role("button", name="Log in", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(tab.page.get_by_label("title")).to_have_value("Typed before")
    tab.button("Create").click()

    expect(tab.rows()).to_have_text([re.compile("Typed before")])


def test_a_page_that_is_read_by_a_batch_asks_for_the_password_too(open_tab: Open, alice: str, bucket: str) -> None:
    """The batch itself succeeds; the page before sends none."""
    tab = open_tab(alice).open(f"/buckets/{bucket}/attributes")
    tab.change_password_before("**/v1/batch", "changed elsewhere")
    tab.page.route("**/v1/buckets/**", lambda route: route.fulfill(json={"data": []}))
    tab.page.route("**/v1/permissions*", lambda route: route.fulfill(json={"data": []}))
    tab.view("Permissions")
    expect(tab.page.get_by_role("dialog", name="Log in again")).to_be_visible()


def test_a_visitor_sees_what_is_public(open_tab: Open, alice: str, bucket: str) -> None:
    owner = open_tab(alice)
    owner.put(f"/buckets/{bucket}/collections/tasks/records/r", title="For all")
    public = {"permissions": {"read": ["system.Everyone"]}}
    owner.ask("PATCH", f"/buckets/{bucket}", json=public)

    tab = open_tab().open()
    tab.button("Look around without an account").click()
    tab.page.get_by_role("navigation", name="Buckets and pages").get_by_role("link", name=bucket).click()
    tab.page.get_by_role("main").get_by_role("link", name="tasks").click()

    expect(tab.rows()).to_have_text([re.compile("For all")])
