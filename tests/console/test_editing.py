"""Records are created and changed as forms and as JSON, without overwriting what others save."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.tabs import Tab

Open = Callable[..., Tab]


def test_a_form_keeps_the_rules_of_the_schema(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice)
    path = f"/buckets/{bucket}/collections/tasks"
    schema = {
        "type": "object",
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "title": "Name", "minLength": 3},
            "notes": {"type": "string"},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    }
    tab.put(path, schema=schema, uiSchema={"notes": {"ui:widget": "textarea"}, "ui:order": ["kind", "*", "gone"]})
    tab.open(f"{path}/create")

    expect(tab.page.locator("textarea")).to_have_count(1)
    expect(tab.page.locator(".schema-form select, .schema-form input").first).to_have_attribute("id", "field_kind")
    tab.button("Create").click()
    expect(tab.page.locator(".error-detail")).to_contain_text("required")
    expect(tab.page.get_by_label("Name")).to_be_focused()
    tab.page.get_by_label("Name").fill("ab")
    tab.button("Create").click()
    expect(tab.page.locator(".error-detail")).to_contain_text("too short")
    tab.page.get_by_label("Name").fill("abc")
    tab.page.get_by_label("kind").select_option(label="b")
    tab.page.get_by_role("group", name="tags").get_by_role("button", name="Add").click()
    tab.page.get_by_label("tags-1").fill("blue")
    tab.button("Create").click()

    expect(tab.rows()).to_have_count(1)
    [record] = tab.ask("GET", f"{path}/records")["data"]
    assert {name: record[name] for name in ("title", "kind", "tags")} == {"title": "abc", "kind": "b", "tags": ["blue"]}


def test_json_shows_an_error_at_its_line_and_is_saved_when_it_is_right(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab = open_tab(alice)
    tab.put(path, title="one", number=1)
    tab.open(path)
    tab.button("JSON").click()

    tab.edit_json('{\n  "title": "two"\n  "number": 2\n}')
    expect(tab.page.locator(".cm-lint-marker-error")).to_have_count(1)
    tab.button("Save").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("The text is no JSON")
    tab.edit_json('{"title": "two", "number": 2, "more": {"deep": [true, null]}}')
    tab.page.keyboard.press("Control+s")
    tab.notice("Saved.")

    record = tab.ask("GET", path)["data"]
    assert (record["title"], record["number"], record["more"]) == ("two", 2, {"deep": [True, None]})


def test_what_the_server_refuses_is_told(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/collections/tasks/create")
    tab.button("JSON").click()
    tab.edit_json('{"number": "many"}')
    tab.button("Create").click()

    expect(tab.page.get_by_role("alert")).to_contain_text("'many' is not of type 'integer'")
    questions = tab.answer_questions(leave=True)
    tab.view("Records")
    expect(tab.page.get_by_text("No records yet")).to_be_visible()
    assert len(questions) == 1


def test_two_tabs_that_save_one_record_choose_field_by_field(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab, other = open_tab(alice), open_tab(alice)
    tab.put(path, title="old", number=1, kept="as it is")
    tab.open(path)
    other.open(path)
    for each, title, number in ((other, "theirs", "2"), (tab, "mine", "1")):
        each.page.get_by_label("title").fill(title)
        each.page.get_by_label("number").fill(number)
    other.button("Save").click()
    other.notice("Saved.")
    tab.button("Save").click()

    dialog = tab.page.get_by_role("dialog", name="Somebody else has saved first")
    expect(dialog.get_by_role("row", name="title")).to_contain_text("Both changed")
    expect(dialog.get_by_label("title: Your version")).to_be_checked()
    expect(dialog.get_by_label("number: Saved version")).to_be_checked()
    tab.button("Save this").click()
    tab.notice("Saved.")

    record = tab.ask("GET", path)["data"]
    assert (record["title"], record["number"], record["kept"]) == ("mine", 2, "as it is")


def test_a_record_that_was_deleted_meanwhile_can_be_created_again(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab = open_tab(alice)
    tab.put(path, title="old")
    tab.open(path)
    tab.page.get_by_label("title").fill("new")
    tab.ask("DELETE", path)
    tab.button("Save").click()
    tab.button("Create it again").click()
    tab.notice("Saved.")

    assert tab.ask("GET", path)["data"]["title"] == "new"


def test_a_deletion_is_undone_with_its_permissions(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab = open_tab(alice)
    tab.put(path, title="mine")
    tab.ask("PATCH", path, json={"permissions": {"read": ["account:bob"]}})
    tab.open(path)
    tab.button("Delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(tab.page.get_by_text("No records yet")).to_be_visible()
    tab.button("Undo").click()
    expect(tab.page.get_by_label("title")).to_have_value("mine")

    assert tab.ask("GET", path)["permissions"]["read"] == ["account:bob"]


def test_leaving_a_form_asks_for_what_is_not_saved(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/collections/tasks/create")
    tab.page.get_by_label("title").fill("typed")
    questions = tab.answer_questions(leave=False)
    tab.view("Records")

    expect(tab.page.get_by_label("title")).to_have_value("typed")
    assert questions == ["What you have typed is not saved. Leave all the same?"]


def test_a_collection_gets_other_fields_and_columns(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice).open(f"{path}/attributes")
    tab.button("Add a field").click()
    tab.page.get_by_label("Name of field 3").fill("due")
    tab.page.get_by_label("Type of field 3").select_option(label="Date")
    tab.page.get_by_label("Records list columns").fill("due, title")
    tab.button("Save").click()
    tab.notice("Saved.")

    tab.view("Records")
    tab.page.get_by_role("link", name="Create a record").first.click()
    tab.page.get_by_label("due").fill("2026-12-24")
    tab.button("Create").click()
    expect(tab.rows().first).to_have_text(re.compile("2026-12-24"))


def test_long_numbers_keep_their_digits(open_tab: Open, alice: str, bucket: str) -> None:
    """A form would round them, so the record is edited as JSON; numbers deep inside and those of others too."""
    path = f"/buckets/{bucket}/collections/long"
    numbers = {"id_of_tweet": 12345678901234567890, "deep": [{"exact": 9007199254740993}], "short": 1.5}
    tab = open_tab(alice)
    tab.put(path)
    tab.put(f"{path}/records/r", title="one", **numbers)
    tab.open(f"{path}/records")
    expect(tab.rows()).to_contain_text(["12345678901234567890"])
    tab.open(f"{path}/records/r/attributes")
    editor = tab.page.locator(".cm-content")
    expect(editor).to_contain_text("9007199254740993")
    tab.edit_json(editor.inner_text().replace("one", "two"))
    tab.button("Save").click()
    tab.notice("Saved.")

    record = tab.ask("GET", f"{path}/records/r")["data"]
    assert {name: record[name] for name in numbers} == numbers
    assert record["title"] == "two"
    tab.view("History")
    tab.page.locator(".entry").last.get_by_role("button", name="Changes").click()
    tab.button("Go back to this version").click()
    tab.notice("it is a new change in the history")
    record = tab.ask("GET", f"{path}/records/r")["data"]
    assert {name: record[name] for name in numbers} == numbers
    assert record["title"] == "one"


def test_a_record_is_called_by_its_title(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks/records/r"
    tab = open_tab(alice)
    tab.put(path, title="Buy <b>milk</b>", number=1)
    tab.open(path)
    heading = tab.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Buy <b>milk</b>")
    tab.page.get_by_label("title").fill("Buy oats")
    tab.button("Save").click()
    expect(heading).to_have_text("Buy oats")
    tab.view("History")
    expect(tab.page.locator(".entry").last.get_by_role("link")).to_have_text("Buy <b>milk</b>")


def test_permissions_that_are_not_saved_are_not_left_by_chance(open_tab: Open, alice: str, bucket: str) -> None:
    tab = open_tab(alice).open(f"/buckets/{bucket}/permissions")
    tab.page.get_by_label("Share with").fill("bob")
    tab.button("Share").click()
    questions = tab.answer_questions(leave=False)
    tab.view("Collections")
    expect(tab.page.get_by_role("row", name="account:bob")).to_be_visible()
    assert len(questions) == 1
    tab.button("Save permissions").click()
    tab.notice("The permissions were saved.")
    tab.view("Collections")
    expect(tab.page.get_by_role("link", name="tasks").last).to_be_visible()
    assert len(questions) == 1
