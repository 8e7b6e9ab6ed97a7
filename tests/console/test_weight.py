"""The first page is light, and the files of the console are whole."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Response

from tests.console.tabs import Tab
from tests.support import services

Open = Callable[..., Tab]
FOLDER = services.ROOT / "blueprints" / "plugins" / "admin" / "console"
SOURCES = sorted(path for path in FOLDER.rglob("*.js") if path.parent.name != "vendor")
MOST_BYTES = 150_000
MOST_LINES = 250
DICTIONARY = "strings.js"


def test_the_first_page_weighs_little(open_tab: Open, alice: str, bucket: str) -> None:
    """The page of the buckets, and after it the table of records: compressed as a proxy compresses them."""
    tab = open_tab(alice)
    responses: list[Response] = []
    tab.page.on("response", lambda response: responses.append(response))
    tab.open(f"/buckets/{bucket}/collections/tasks")
    tab.page.get_by_text("No records yet").wait_for()
    files = {response.url: response.body() for response in responses if "/admin/" in response.url}

    assert len(files) > 20
    assert sum(len(gzip.compress(body)) for body in files.values()) < MOST_BYTES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_module_is_short_and_imports_what_is_there(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    imports = re.findall(r"""(?:from|import\()\s*"([^"]+)\"""", text)

    assert source.name == DICTIONARY or len(text.splitlines()) <= MOST_LINES
    assert all((source.parent / each).is_file() for each in imports)
    assert "innerHTML" not in text


def test_every_text_that_is_used_is_in_the_one_file(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        services.missing("node")
    texts = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
    names = sorted(set(re.findall(r"\bt\.((?:\w+\.)*\w+)", texts)))
    (tmp_path / "strings.mjs").write_text((FOLDER / DICTIONARY).read_text(encoding="utf-8"))
    script = (
        'import { t } from "./strings.mjs";'
        "const names = JSON.parse(process.argv[2]);"
        "const at = (name) => name.split('.').reduce((value, part) => value?.[part], t);"
        "console.log(JSON.stringify(names.filter((name) => at(name) === undefined)));"
    )
    (tmp_path / "check.mjs").write_text(script)
    command = ["node", str(tmp_path / "check.mjs"), json.dumps(names)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert json.loads(printed) == []
