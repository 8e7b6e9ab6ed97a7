"""Measure pages, sorts and searches of a list of 100,000 records, which have no index.

    python -m tests.bench.long_list                                      on SQLite and on PostgreSQL
    python -m tests.bench.long_list --database sqlite --records 10000

Printed are milliseconds of processor time of a request, the smallest of several rounds: of the application, on SQLite
with the database, and of PostgreSQL. Then the console is opened in Chromium: printed are the milliseconds from a click,
or the last key, until the rows are painted, and until the number of records is there. At last pages ask for a sort so
often that the list has an automatic index.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from playwright.sync_api import Page, sync_playwright

from app.factory import create_app
from app.index_demand import TIMES
from app.service import Service
from tests.bench.processes import cpu_seconds
from tests.bench.rows import analyze, transaction
from tests.console.serving import browser_executable, console_settings
from tests.console.tabs import PASSWORD, session_script
from tests.support.client import Client
from tests.support.credentials import basic
from tests.support.databases import DATABASES
from tests.support.services import postgresql_database, serve

_USER: Final = "alice"
_COLLECTION: Final = "/buckets/b/collections/c"
_RECORDS: Final = f"{_COLLECTION}/records"
_BATCH: Final = 1_000
_ROUNDS: Final = 3
_MOST_SECONDS: Final = 300
_STATUSES: Final = ("active", "done", "open", "lost", "new")

QUERIES: Final[Mapping[str, str]] = {
    "newest first": "",
    "sorted by a number": "_sort=number",
    "sorted by a number, descending": "_sort=-number",
    "sorted by a text": "_sort=title",
    "sorted by a fraction": "_sort=price",
    "half of them have the word": "like_title=common",
    "ten have the word": "like_title=word4711",
    "none has the word": "like_title=absent",
    "a fifth has the status": "status=active",
    "of a status, sorted by a number": "status=active&_sort=number",
}
"""The queries by their names."""

_PAINTED: Final = """before => {
    const rows = document.querySelector(".records tbody") ?? document.querySelector(".empty");
    return rows && !document.querySelector(".stale") && rows.textContent !== before;
}"""
_COUNTED: Final = "() => /[0-9]/.test(document.querySelector('.pager [role=status]')?.textContent)"
_ROWS: Final = "() => document.querySelector('.records tbody, .empty')?.textContent"


@dataclass(frozen=True)
class Place:
    """An application in this process with a long list, and the URL of its database."""

    app: Flask
    url: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request. Raises RuntimeError if it fails."""
        credentials = {"Authorization": basic(_USER, PASSWORD)}
        answer = Client(self.app, None).ask(method, path, body, credentials)
        if answer.status not in (200, 201):
            raise RuntimeError(f"{answer.status}: {answer.body!r}")
        return answer

    def cost(self, method: str, path: str) -> tuple[float, float]:
        """Return the smallest milliseconds that a request takes, of this process and of PostgreSQL."""
        costs = []
        for _ in range(_ROUNDS):
            before = self._seconds()
            self.ask(method, path)
            after = self._seconds()
            costs.append((1_000 * (after[0] - before[0]), 1_000 * (after[1] - before[1])))
        return min(costs, key=sum)

    def _seconds(self) -> tuple[float, float]:
        return time.process_time(), sum(map(cpu_seconds, self._backends()))

    def _backends(self) -> Sequence[int]:
        if self.url.startswith("sqlite"):
            return ()
        with transaction(self.url) as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            return [pid for (pid,) in cursor.fetchall()]


def record(number: int) -> dict[str, Any]:
    """Return the attributes of a record, some 300 characters of JSON."""
    return {
        "title": f"Record {number} has a word{number % 10_000}" + (" in common" if number % 2 else ""),
        "status": _STATUSES[number % len(_STATUSES)],
        "number": number * 7919 % 100_003,
        "price": (number * 31 % 9_973) / 4,
        "done": number % 3 == 0,
        "tags": ["red", "green", "blue"][: number % 4],
        "body": "lorem ipsum dolor sit amet " * 4,
    }


@contextmanager
def application(url: str, *, automatic: bool) -> Iterator[Place]:
    """Open an application on a database, with *automatic* indexes or without."""
    app = create_app({**_settings(url), "kinto.automatic_indexes": automatic})
    service: Service = app.extensions["kinto"]
    service.migrate(lambda line: None)
    try:
        yield Place(app, url)
    finally:
        service.close()


def _settings(url: str) -> dict[str, Any]:
    return {**console_settings(url), "kinto.batch_max_requests": _BATCH}


def fill(place: Place, records: int) -> None:
    """Create a user with a collection of records."""
    place.ask("PUT", f"/accounts/{_USER}", {"data": {"password": PASSWORD}})
    place.ask("PUT", "/buckets/b")
    place.ask("PUT", _COLLECTION, {"data": {"displayFields": ["title", "status", "number", "price"]}})
    for start in range(0, records, _BATCH):
        numbers = range(start, min(start + _BATCH, records))
        puts = [{"method": "PUT", "path": f"{_RECORDS}/r{n}", "body": {"data": record(n)}} for n in numbers]
        place.ask("POST", "/batch", {"requests": puts})
    if not place.url.startswith("sqlite"):
        analyze(place.url)


def measure_requests(place: Place) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the costs of pages, of the pages after them, and of counts, by their names."""
    for name, query in QUERIES.items():
        path = f"{_RECORDS}?_limit=50&{query}"
        yield name, place.cost("GET", path)
        following = place.ask("GET", path).headers.get("Next-Page")
        if following is not None:
            yield "  next page", place.cost("GET", following[following.index("/v1/") :])
        if "_sort" not in query:
            yield "  count", place.cost("HEAD", f"{_RECORDS}?{query}")


def measure_automatic_index(place: Place) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the costs of a sort once pages have asked for it so often that the list has its index."""
    path = f"{_RECORDS}?_limit=50&_sort=number"
    for _ in range(TIMES):
        place.ask("GET", path)
    deadline = time.monotonic() + _MOST_SECONDS
    while place.ask("GET", f"{path}&_explain=true").json["explain"]["index"] is None:
        if time.monotonic() > deadline:
            raise RuntimeError("No index was built")
        time.sleep(1)
    yield "sorted by a number, with its index", place.cost("GET", path)
    following = place.ask("GET", path).headers["Next-Page"]
    yield "  next page", place.cost("GET", following[following.index("/v1/") :])


def measure_console(url: str) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the milliseconds until rows are painted, and until their number is there, of the actions of a user."""
    with (
        serve(_settings(url) | {"kinto.automatic_indexes": False}) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=browser_executable(), args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page()
        page.add_init_script(session_script(_USER))
        rounds = [_act(page, f"{server}/admin/") for _ in range(_ROUNDS)]
        yield from ((name, min(each[name] for each in rounds)) for name in rounds[0])


def _act(page: Page, url: str) -> dict[str, tuple[float, float]]:
    """Return the milliseconds of each action of a user who opens the console."""
    page.goto(url)
    page.reload()
    page.get_by_role("heading", level=1).wait_for()
    search = page.get_by_label("Search", exact=True)
    sort = page.get_by_role("columnheader", name="number").get_by_role("button")
    following = page.get_by_role("button", name="Next", exact=True)
    actions: dict[str, Callable[[], None]] = {
        "open the list": lambda: page.evaluate(f"() => {{ location.hash = '#{_COLLECTION}' }}"),
        "next page": following.click,
        "sort by a number": sort.click,
        "next page of it": following.click,
        "sort in the other direction": sort.click,
        "search a word of half of them": lambda: search.fill("common"),
        "search a word of ten": lambda: search.fill("word4711"),
        "search a word of none": lambda: search.fill("absent"),
    }
    return {name: _watch(page, act) for name, act in actions.items()}


def _watch(page: Page, act: Callable[[], None]) -> tuple[float, float]:
    before = page.evaluate(_ROWS)
    start = time.perf_counter()
    act()
    page.wait_for_function(_PAINTED, arg=before)
    painted = time.perf_counter()
    page.wait_for_function(_COUNTED)
    return 1_000 * (painted - start), 1_000 * (time.perf_counter() - start)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=DATABASES, action="append", help="both without it")
    parser.add_argument("--records", type=int, default=100_000)
    options = parser.parse_args(words)
    for database in options.database or DATABASES:
        with tempfile.TemporaryDirectory() as folder, postgresql_database() as postgresql:
            url = f"sqlite:///{folder}/kinto.sqlite" if database == "sqlite" else postgresql
            print(f"{database}: processor time of application and PostgreSQL in ms")
            with application(url, automatic=False) as place:
                fill(place, options.records)
                _print(measure_requests(place))
            print(f"{database}: ms until rows are painted, and until their number is there")
            _print(measure_console(url))
            with application(url, automatic=True) as place:
                _print(measure_automatic_index(place))


def _print(rows: Iterator[tuple[str, tuple[float, float]]]) -> None:
    for name, (first, second) in rows:
        print(f"{name:36} {first:8.1f} {second:8.1f}", flush=True)


if __name__ == "__main__":
    main()
