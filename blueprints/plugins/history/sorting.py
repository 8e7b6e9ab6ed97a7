"""Sort more lines than fit in memory, in temporary files."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Final

MAX_LINES: Final = 20_000
"""How many lines are sorted in memory."""


def sort_lines(lines: Iterable[str], max_lines: int = MAX_LINES) -> Iterator[str]:
    """Yield lines, each of which ends in a line break, in their order.

    Every *max_lines* lines are sorted and written to a file of their own; then the files are merged.
    """
    remaining = iter(lines)
    batch = sorted(islice(remaining, max_lines))
    if len(batch) < max_lines:
        yield from batch
        return
    with ExitStack() as stack:
        files = []
        while batch:
            file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n"))
            file.writelines(batch)
            file.seek(0)
            files.append(file)
            batch = sorted(islice(remaining, max_lines))
        yield from heapq.merge(*files)
