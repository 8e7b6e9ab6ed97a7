"""Files become records and records files: 10,000 rows, refused rows, an import that goes on; deletions come back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.console.tabs import Tab

Open = Callable[..., Tab]
ROWS = 10_000


def _import(tab: Tab, path: str, file: Path) -> None:
    tab.open(f"{path}/import")
    tab.page.get_by_label("File").set_input_files(file)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a CSV file of 10,000 rows, two of which the schema of the collection refuses."""
    path = tmp_path / "tasks.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "number", "tags"])
        for n in range(ROWS):
            number = "many" if n in (17, 9_000) else n
            writer.writerow([f"r{n}", f'Task "{n}", ü', number, json.dumps(["a", n])])
    return path


def test_ten_thousand_rows_go_in_and_out(open_tab: Open, alice: str, bucket: str, table: Path) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    _import(tab, path, table)
    tab.button("Import 10,000 rows").click()
    expect(tab.page.get_by_text("9,998 records imported.")).to_be_visible(timeout=300_000)
    expect(tab.page.get_by_role("heading", name="2 rows were refused")).to_be_visible()
    refused = tab.page.locator(".refused tbody tr")
    expect(refused.first).to_contain_text("19")
    expect(refused.first).to_contain_text("'many' is not of type 'integer'")
    with tab.page.expect_download() as download:
        tab.button("Save the refused rows as a file").click()
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert [line["data"]["id"] for line in lines] == ["r17", "r9000"]

    tab.view("Records")
    tab.button("Export").click()
    with tab.page.expect_download() as download:
        tab.button("Save the file").click()
    records = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert len({record["id"] for record in records}) == ROWS - 2
    assert {"title": 'Task "41", ü', "number": 41, "tags": ["a", 41]}.items() <= next(
        record for record in records if record["id"] == "r41"
    ).items()

    tab.button("Export").click()
    tab.page.get_by_label("Format").select_option(label="CSV")
    with tab.page.expect_download() as download:
        tab.button("Save the file").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert len(rows) == ROWS - 2
    assert next(row for row in rows if row["id"] == "r41")["title"] == 'Task "41", ü'


def test_an_import_that_fails_goes_on_where_it_was(open_tab: Open, alice: str, bucket: str, tmp_path: Path) -> None:
    """Rows without ids are not doubled by another try; the second batch fails once, and the page is opened anew.

    A value that must be unique refuses a whole batch: the other rows of it are written.
    """
    path = f"/buckets/{bucket}/collections/tasks"
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f'{{"title": "row {n}"}}\n' for n in range(60)) + '{"number": 1}\n' * 2 + "no JSON\n")
    tab = open_tab(alice)
    tab.ask("PATCH", path, json={"data": {"indexes": [{"unique": ["number"]}]}})
    _import(tab, path, file)
    batches: list[str] = []

    def fail_the_second(route: Route) -> None:
        batches.append(route.request.url)
        if len(batches) == 2:
            route.fulfill(status=500, body="{}")
        else:
            route.continue_()

    tab.page.route("**/v1/batch", fail_the_second)
    tab.button("Import 62 rows").click()
    expect(tab.page.get_by_role("alert")).to_be_visible()
    tab.page.reload()
    tab.page.get_by_label("File").set_input_files(file)
    tab.button("Go on at row 26").click()
    expect(tab.page.get_by_text("61 records imported.")).to_be_visible()
    expect(tab.page.get_by_role("heading", name="2 rows were refused")).to_be_visible()

    assert len(tab.ask("GET", f"{path}/records")["data"]) == 61


def test_records_that_match_are_deleted_and_come_back(open_tab: Open, alice: str, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/tasks"
    tab = open_tab(alice)
    for start in range(0, 75, 25):
        numbers = range(start, start + 25)
        requests = [
            {"method": "PUT", "path": f"{path}/records/r{n}", "body": {"data": {"number": n % 5}}} for n in numbers
        ]
        tab.ask("POST", "/batch", json={"requests": requests})
    tab.open(f"{path}/records?exclude_number=0")
    expect(tab.page.get_by_text("60 records")).to_be_visible()

    tab.page.get_by_label("Choose r74").check()
    tab.button("Delete 1").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(tab.page.get_by_text("59 records")).to_be_visible()
    tab.page.get_by_label("Choose all on this page").check()
    tab.button("Delete all 59").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type 59 to go on").fill("59")
    dialog.get_by_role("button", name="Delete").click()
    tab.notice("59 records deleted.")
    assert tab.ask("GET", f"{path}/records?_fields=number")["data"][0]["number"] == 0
    tab.page.locator(".notice", has_text="59 records deleted.").get_by_role("button", name="Undo").click()

    tab.notice("59 records restored.")
    expect(tab.page.get_by_text("59 records", exact=True)).to_be_visible()
    assert len(tab.ask("GET", f"{path}/records")["data"]) == 74
