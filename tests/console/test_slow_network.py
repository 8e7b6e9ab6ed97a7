"""Late responses: none replaces what is newer, takes away what was typed, or lets a button act twice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.console.tabs import PASSWORD, Tab

Open = Callable[..., Tab]
_PATIENCE_SECONDS = 60
TREE = "**/v1/permissions?in_resource_name=*"
"""The last request for the buckets at the side."""


class Held:
    """Requests of a page to a URL with a method, which wait until they are let go."""

    def __init__(self, page: Page, url: str, method: str, *, answered: bool = False) -> None:
        """With *answered* the server has answered them, and their responses wait."""
        self._page = page
        self._method = method
        self._answered = answered
        self._waiting: list[tuple[Route, APIResponse | None]] = []
        self._holds = True
        page.route(url, self._hold)

    def _hold(self, route: Route) -> None:
        if self._holds and route.request.method == self._method:
            self._waiting.append((route, route.fetch() if self._answered else None))
        else:
            route.fallback()

    def wait(self) -> None:
        """Wait until a request is held."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._waiting:
            assert time.monotonic() < deadline, "no such request"
            self._page.wait_for_timeout(10)

    def stop(self) -> None:
        """Hold no further request."""
        self._holds = False

    def let_go(self) -> int:
        """Hold nothing any more, and return how many requests have waited."""
        self.stop()
        for route, response in self._waiting:
            if response is None:
                route.fallback()
            else:
                route.fulfill(response=response)
        return len(self._waiting)


@pytest.fixture
def path(open_tab: Open, alice: str, bucket: str) -> str:
    """Return the path of a record with a title."""
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    open_tab(alice).put(path, title="old", number=1)
    return path


def test_what_is_typed_while_a_form_is_saved_stays_and_can_be_saved(open_tab: Open, alice: str, path: str) -> None:
    tab = open_tab(alice).open(path)
    held = Held(tab.page, f"**{path}", "PUT")
    title = tab.page.get_by_label("title")
    title.fill("first")
    tab.button("Save").click()
    held.wait()
    title.press("End")
    title.press_sequentially(" and more")
    held.let_go()
    tab.notice("Saved.")

    expect(title).to_have_value("first and more")
    expect(tab.page.get_by_text("Not saved yet")).to_be_visible()
    tab.button("Save").click()
    expect(tab.page.get_by_text("Not saved yet")).to_have_count(0)
    assert tab.ask("GET", path)["data"]["title"] == "first and more"


def test_what_is_typed_as_json_while_it_is_saved_stays(open_tab: Open, alice: str, path: str) -> None:
    tab = open_tab(alice).open(path)
    tab.button("JSON").click()
    tab.edit_json('{"title": "first"}')
    held = Held(tab.page, f"**{path}", "PUT")
    tab.page.keyboard.press("Control+s")
    held.wait()
    tab.edit_json('{"title": "second"}')
    held.let_go()
    tab.notice("Saved.")

    expect(tab.page.locator(".cm-content")).to_contain_text("second")


def test_a_record_is_created_once_although_the_keys_are_pressed_twice(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/collections/tasks/create")
    tab.page.get_by_label("title").fill("only one")
    held = Held(tab.page, "**/records", "POST")
    tab.page.keyboard.press("Control+s")
    held.wait()
    tab.page.keyboard.press("Control+s")
    tab.settle()
    assert held.let_go() == 1

    expect(tab.rows()).to_have_count(1)


def _act_as_soon_as_seen(tab: Tab, selector: str, action: str) -> None:
    """Run JavaScript once an element is there, before the browser paints it."""
    tab.page.evaluate(
        f"""() => new MutationObserver((_, observer) => {{
          if (!document.querySelector({selector!r})) return;
          observer.disconnect();
          {action};
        }}).observe(document, {{subtree: true, childList: true}})"""
    )


def test_a_form_can_be_saved_as_soon_as_it_is_seen(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/attributes")
    press = "dispatchEvent(new KeyboardEvent('keydown', {key: 's', ctrlKey: true}))"
    _act_as_soon_as_seen(tab, ".schema-form input", press)
    tab.open(f"/buckets/{bucket}/collections/tasks/create")

    expect(tab.rows()).to_have_count(1)


def test_a_form_asks_as_soon_as_it_says_that_it_is_not_saved(open_tab: Open, alice: str, path: str) -> None:
    tab = open_tab(alice).open(path)
    questions = tab.answer_questions(leave=False)
    link = "document.querySelector('nav[aria-label=Views] a[href$=permissions]').click()"
    _act_as_soon_as_seen(tab, ".editor-actions [role=status]", link)
    tab.page.get_by_label("title").fill("new")

    tab.page.wait_for_function("() => location.hash.endsWith('/r')")
    expect(tab.page.get_by_label("title")).to_have_value("new")
    assert len(questions) == 1


def test_a_record_is_not_created_before_its_form_is_there(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice)
    held = Held(tab.page, "**/vendor/forms.js", "GET")
    tab.open(f"/buckets/{bucket}/collections/tasks/create")
    held.wait()
    tab.button("Create").click()
    held.let_go()
    tab.page.get_by_label("title").fill("complete")
    tab.button("Create").click()

    expect(tab.rows()).to_contain_text(["complete"])


def test_a_form_is_not_left_by_chance_while_it_is_saved(open_tab: Open, alice: str, path: str) -> None:
    """The save may fail."""
    tab = open_tab(alice).open(path)
    tab.page.get_by_label("title").fill("new")
    held = Held(tab.page, f"**{path}", "PUT")
    tab.button("Save").click()
    held.wait()
    questions = tab.answer_questions(leave=False)
    tab.view("Permissions")
    held.let_go()
    tab.notice("Saved.")
    tab.view("Permissions")

    expect(tab.page.get_by_label("Share with")).to_be_visible()
    assert len(questions) == 1


def test_a_late_save_changes_nothing_of_the_page_that_was_opened_meanwhile(
    open_tab: Open, alice: str, bucket: str
) -> None:
    """The settings of one collection would be taken for those of the other."""
    first, second = (f"/buckets/{bucket}/collections/{name}" for name in ("tasks", "other"))
    tab = open_tab(alice)
    tab.put(second, displayFields=["of_other"])
    tab.put(f"{second}/records/r", of_other="its own")
    tab.open(f"{first}/attributes")
    tab.page.get_by_label("Records list columns").fill("title")
    held = Held(tab.page, f"**{first}", "PUT")
    tab.button("Save").click()
    held.wait()
    tab.answer_questions(leave=True)
    tab.open(f"{second}/records")
    expect(tab.rows()).to_contain_text(["its own"])
    held.let_go()
    tab.notice("Saved.")

    tab.settle()
    expect(tab.page.get_by_role("columnheader", name="of_other")).to_be_visible()


@pytest.mark.parametrize("stays", [True, False])
def test_a_record_that_is_created_late_opens_its_list_only_where_the_user_waits(
    open_tab: Open, alice: str, bucket: str, stays: bool
) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/collections/tasks/create")
    tab.page.get_by_label("title").fill("late")
    held = Held(tab.page, "**/records", "POST")
    tab.button("Create").click()
    held.wait()
    tab.answer_questions(leave=True)
    if not stays:
        tab.view("Permissions")
        expect(tab.page.get_by_label("Share with")).to_be_visible()
    held.let_go()
    tab.notice("created")

    if stays:
        expect(tab.rows()).to_have_count(1)
    else:
        tab.settle()
        expect(tab.page.get_by_label("Share with")).to_be_visible()


def test_a_record_is_deleted_as_it_was_saved(open_tab: Open, alice: str, path: str) -> None:
    """Although the page has not read it again."""
    tab = open_tab(alice).open(path)
    tab.page.get_by_label("title").fill("new")
    held = Held(tab.page, f"**{path}", "GET")
    tab.button("Save").click()
    tab.notice("Saved.")
    held.wait()
    tab.button("Delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(tab.page.get_by_text("No records yet")).to_be_visible()
    held.let_go()


def test_a_dialog_creates_once(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/groups")
    tab.button("Create a group").click()
    tab.page.get_by_label("Group id").fill("g")
    held = Held(tab.page, "**/groups/g", "PUT")
    tab.button("Create").click()
    held.wait()

    expect(tab.button("Create")).to_be_disabled()
    held.let_go()
    expect(tab.page.get_by_label("Add a member")).to_be_visible()


def test_a_password_is_changed_once(open_tab: Open, alice: str) -> None:
    """A second request would have the former password, and be refused."""
    tab = open_tab(alice).open("/accounts")
    tab.button("Change password").click()
    tab.page.get_by_label("Password", exact=True).fill("another password")
    held = Held(tab.page, f"**/accounts/{alice}", "PATCH")
    tab.button("Save").click()
    held.wait()

    expect(tab.button("Save")).to_be_disabled()
    held.let_go()
    tab.notice(f"The password of {alice} was changed.")


def test_a_late_401_of_former_credentials_asks_for_no_password(open_tab: Open, alice: str, bucket: str) -> None:
    entries = "**/v1/buckets/*/history?*"
    tab = open_tab(alice).open("/accounts")
    tab.page.route(entries, lambda route: route.fulfill(status=401, body="{}"))
    held = Held(tab.page, entries, "GET")
    tab.open(f"/buckets/{bucket}/history")
    held.wait()
    tab.open("/accounts")
    tab.button("Change password").click()
    tab.page.get_by_label("Password", exact=True).fill("another password")
    tab.button("Save").click()
    tab.notice(f"The password of {alice} was changed.")
    with tab.page.expect_response(entries):
        held.let_go()

    tab.settle()
    expect(tab.page.get_by_role("dialog")).to_have_count(0)


def test_the_buckets_of_a_late_response_do_not_replace_newer_ones(open_tab: Open, alice: str, bucket: str) -> None:
    """The home page has asked before a bucket was created."""
    tab = open_tab(alice).open()
    held = Held(tab.page, TREE, "GET", answered=True)
    held.wait()
    tab.button("Create a bucket").click()
    tab.page.get_by_label("Bucket id").fill(f"{bucket}-new")
    side = tab.page.get_by_role("navigation", name="Buckets and pages")
    held.stop()
    tab.button("Create").click()
    expect(side.get_by_role("link", name=f"{bucket}-new")).to_be_visible()
    with tab.page.expect_response(TREE):
        held.let_go()

    tab.settle()
    expect(side.get_by_role("link", name=f"{bucket}-new")).to_be_visible()
    tab.ask("DELETE", f"/buckets/{bucket}-new")


def test_permissions_cannot_be_changed_while_they_are_saved(open_tab: Open, alice: str, bucket: str) -> None:
    """The page reads them again then."""
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice).open(f"{path}/permissions")
    tab.page.get_by_label("Share with").fill("bob")
    tab.button("Share").click()
    held = Held(tab.page, f"**{path}", "PATCH")
    tab.button("Save permissions").click()
    held.wait()

    expect(tab.page.get_by_label("account:bob: Write")).to_be_disabled()
    expect(tab.page.get_by_label("Share with")).to_be_disabled()
    held.let_go()
    tab.notice("The permissions were saved.")
    expect(tab.page.get_by_label("account:bob: Write")).to_be_enabled()


def test_a_late_title_does_not_take_the_focus(open_tab: Open, alice: str, path: str) -> None:
    """Of who has gone on by the keyboard."""
    tab = open_tab(alice)
    held = Held(tab.page, f"**{path}", "GET")
    tab.open(f"{path}/history")
    held.wait()
    link = tab.page.get_by_role("navigation", name="Views").get_by_role("link", name="Permissions")
    link.focus()
    held.let_go()

    expect(tab.page.get_by_role("heading", level=1)).to_have_text("old")
    tab.settle()
    expect(link).to_be_focused()


def test_records_that_were_deleted_late_leave_the_page_that_is_shown(open_tab: Open, alice: str, bucket: str) -> None:
    """The list is read again: the page that the user has turned to meanwhile."""
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    for start in range(0, 60, 20):
        tab.batch("PUT", {f"{path}/records/r{n}": {"data": {"number": n}} for n in range(start, start + 20)})
    tab.open(f"{path}/records?_sort=number")
    tab.page.get_by_label("Choose r3", exact=True).check()
    held = Held(tab.page, "**/v1/batch", "POST")
    tab.button("Delete 1").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    held.wait()
    tab.button("Next").click()
    expect(tab.rows()).to_have_count(10)
    held.let_go()
    tab.notice("1 record deleted.")

    tab.settle()
    expect(tab.rows().first).to_contain_text("50")
    expect(tab.page.locator(".stale")).to_have_count(0)


def test_a_change_that_was_undone_late_leaves_the_filter_of_the_history(open_tab: Open, alice: str, path: str) -> None:
    tab = open_tab(alice)
    tab.put(path, title="new")
    tab.open(f"{path}/history")
    tab.page.locator(".entry").first.get_by_role("button", name="Changes").click()
    held = Held(tab.page, f"**{path}", "PUT")
    tab.button("Undo this change").click()
    held.wait()
    tab.page.get_by_label("Action").select_option(label="Created")
    expect(tab.page.locator(".entry")).to_have_count(1)
    with tab.page.expect_response("**/v1/buckets/*/history?*"):
        held.let_go()

    tab.settle()
    expect(tab.page.locator(".entry")).to_have_count(1)


def test_a_search_waits_until_the_fields_are_known(open_tab: Open, alice: str, bucket: str) -> None:
    """Else it would look at ids."""
    path = f"/buckets/{bucket}/collections/free"
    tab = open_tab(alice)
    tab.put(path)
    tab.put(f"{path}/records/a", title="Milk")
    tab.put(f"{path}/records/b", title="Bread")
    held = Held(tab.page, "**/records?*", "GET")
    tab.open(path)
    held.wait()
    tab.page.get_by_label("Search", exact=True).press_sequentially("milk")
    tab.page.wait_for_timeout(300)
    held.let_go()

    expect(tab.page.get_by_text("1 record", exact=True)).to_be_visible()
    expect(tab.rows()).to_contain_text(["Milk"])


@pytest.mark.parametrize("late", [False, True])
def test_what_a_visitor_saw_is_not_for_the_user_who_logs_in(
    open_tab: Open, alice: str, bucket: str, late: bool
) -> None:
    """The guide would stay with a user who has buckets, also if the response to the visitor arrives after the login."""
    tab = open_tab().open()
    visitors = Held(tab.page, TREE, "GET", answered=True)
    tab.button("Look around without an account").click()
    visitors.wait()
    visitors.stop()
    if not late:
        visitors.let_go()
        expect(tab.page.get_by_role("heading", level=1)).to_have_text("Buckets")
    tab.button("Log in").click()
    tab.page.get_by_label("Name").fill(alice)
    tab.page.get_by_label("Password").fill(PASSWORD)
    users = Held(tab.page, TREE, "GET")
    tab.button("Log in").click()
    users.wait()
    if late:
        with tab.page.expect_response(TREE):
            visitors.let_go()
    tab.page.wait_for_function("() => document.querySelector('#side')")
    users.let_go()

    expect(tab.page.get_by_role("main").get_by_role("link", name=bucket)).to_be_visible()
