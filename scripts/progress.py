"""Show how far a command is: a bar on a terminal, else a log line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.command import log

SECONDS_BETWEEN_LINES: Final = 10.0


@contextmanager
def show_progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield the function that adds a number of rows to those that are done; *total* is None where nobody knows it.

    Everything is written to standard error, since standard output may be the data.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total).add
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=total)
        yield lambda rows: bars.advance(task, rows)


class _Lines:
    """The progress as log lines, not more often than `SECONDS_BETWEEN_LINES`."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._of_total = "" if total is None else f" of {total}"
        self._rows = 0
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def add(self, rows: int) -> None:
        self._rows += rows
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            log.info("%s: %d%s", self._title, self._rows, self._of_total)
