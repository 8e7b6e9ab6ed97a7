"""Measure the work of the console's first page on a slow processor: `python -m tests.bench.first_page`.

Printed are the seconds of scripts, styles and layout, and those until the heading is there, on a processor that
Chromium slows down four times: the smallest of several loads.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

from tests.console.serving import browser_executable, serve_console

_LOADS: Final = 8
_SLOWER: Final = 4
_WORK: Final = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


def main() -> None:
    """Load the page some times and print the smallest figures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_console(Path(folder)) as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=browser_executable(), args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page()
        devtools = page.context.new_cdp_session(page)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
        devtools.send("Performance.enable")

        def load() -> tuple[float, float]:
            start = time.perf_counter()
            page.goto(f"{url}/admin/")
            page.get_by_role("heading", level=1).wait_for()
            seconds = time.perf_counter() - start
            metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
            return sum(metrics[name] for name in _WORK), seconds

        work, seconds = map(min, zip(*(load() for _ in range(_LOADS)), strict=True))
    print(f"{work:.2f} s of scripts, styles and layout; the heading is there after {seconds:.2f} s")


if __name__ == "__main__":
    main()
