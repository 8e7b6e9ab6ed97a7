"""Draw the pictures of the console in docs/: `python -m tests.console.screenshots`, or `make screenshots`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import requests
from playwright.sync_api import ViewportSize, sync_playwright

from tests.console.serving import browser_executable, serve_console
from tests.console.tabs import PASSWORD, Tab, session_script
from tests.support import services

_SIZE: Final[ViewportSize] = {"width": 1280, "height": 720}
_FAMILY: Final = "/buckets/home/groups/family"
_LIST: Final = "/buckets/home/collections/shopping"
_SCHEMA: Final = {
    "type": "object",
    "required": ["title"],
    "properties": {
        "title": {"type": "string"},
        "amount": {"type": "integer"},
        "shop": {"type": "string", "enum": ["market", "bakery", "pharmacy"]},
        "done": {"type": "boolean"},
        "notes": {"type": "string"},
    },
}
_ITEMS: Final = (
    ("Sourdough bread", 1, "bakery", True, ""),
    ("Tomatoes", 6, "market", False, ""),
    ("Plasters", 1, "pharmacy", False, "For hiking"),
    ("Olive oil", 1, "market", True, ""),
    ("Croissants", 4, "bakery", False, "Sunday"),
    ("Apples", 8, "market", False, "Elstar if they have them"),
    ("Coffee beans", 2, "market", True, ""),
    ("Sunscreen", 1, "pharmacy", False, "SPF 50"),
    ("Cheese", 3, "market", False, "Comté, and something soft for the weekend"),
    ("Oat milk", 2, "market", False, "The one without sugar"),
)


def _objects() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield paths and bodies of what the pictures show."""
    yield "/accounts/bob", {"data": {"password": PASSWORD}}
    yield "/buckets/home", {}
    yield "/buckets/work", {}
    yield _FAMILY, {"data": {"members": ["account:bob", "account:carla"]}}
    yield "/buckets/home/collections/recipes", {}
    collection = {"schema": _SCHEMA, "displayFields": list(_SCHEMA["properties"])}
    yield _LIST, {"data": collection, "permissions": {"write": [_FAMILY], "read": ["system.Authenticated"]}}
    for number, (title, amount, shop, done, notes) in enumerate(_ITEMS):
        item = {"title": title, "amount": amount, "shop": shop, "done": done, "notes": notes}
        yield f"{_LIST}/records/item-{number}", {"data": item}


def _draw(url: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_executable(), args=["--no-sandbox"])
        context = browser.new_context(viewport=_SIZE)
        context.add_init_script(session_script("alice"))
        for view in ("records", "permissions"):
            tab = Tab(context.new_page(), url, "alice").open(f"{_LIST}/{view}")
            if view == "permissions":
                tab.page.emulate_media(color_scheme="dark")
            tab.page.get_by_role("region").first.wait_for()
            tab.settle()
            tab.page.screenshot(path=folder / f"console-{view}.png")
        browser.close()


def main() -> None:
    """Serve a shopping list, and draw its records and its permissions."""
    with tempfile.TemporaryDirectory(dir=services.folder_in_memory()) as folder, serve_console(Path(folder)) as url:
        account = {"data": {"password": PASSWORD}}
        requests.put(f"{url}/accounts/alice", json=account, timeout=60).raise_for_status()
        for path, body in _objects():
            auth = None if path.startswith("/accounts") else ("alice", PASSWORD)
            text, headers = json.dumps(body), {"Content-Type": "application/json"}
            requests.put(f"{url}{path}", data=text, headers=headers, auth=auth, timeout=60).raise_for_status()
        _draw(url, services.ROOT / "docs")


if __name__ == "__main__":
    main()
