"""A process that holds the rows of one moment after the other against the rules of the tables.

    python -m tests.support.watching URL_OF_THE_DATABASE

It goes on until its standard input is closed, then prints one JSON document; before, a line after its first look.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from tests.support.racing import is_closed
from tests.support.tables import faults, read_tables, snapshot_engine


def watch(url: str, stop: Callable[[float], bool]) -> dict[str, Any]:
    """Read all rows of one moment after the other until *stop*; return the faults found and the number of looks."""
    engine = snapshot_engine(url)
    lines: dict[str, None] = {}
    looks = 0
    while not stop(0.25):
        with engine.connect() as connection:
            lines |= dict.fromkeys(faults(read_tables(connection)))
        if not looks:
            print("started", flush=True)
        looks += 1
    return {"faults": [*lines], "looks": looks}


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[1], is_closed)))
