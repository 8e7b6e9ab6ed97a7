"""Try all faults and print a table: `python -m tests.faults --help`. The exit code is 1 if anything is not allowed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.faults.catalogue import BOTH, FAULTS
from tests.faults.journal import BOUND_SECONDS
from tests.faults.trial import Effort, Result, attempt_all

_HEAD = (
    "fault | database | requests | acknowledged | 503 | broken | longest s | recovery s | lost | missed | half batches"
)


def row(result: Result) -> str:
    """Return the line of a table."""
    cells = (
        *(result.fault, result.database, result.requests, result.acknowledged, result.refused, result.broken),
        *(f"{result.longest_seconds:.1f}", f"{result.recovery_seconds:.1f}"),
        *(result.lost, result.missed, result.half_batches),
    )
    return f"| {' | '.join(map(str, cells))} |"


def main(words: Sequence[str] | None = None) -> int:
    """Try the chosen faults; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=BOTH, action="append", help="one of both (default: both)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="faults whose name has this text")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="of each fault")
    arguments = parser.parse_args(words)
    print(f"No request may take {BOUND_SECONDS:.0f} s.\n\n| {_HEAD} |\n|{'---|' * len(_HEAD.split('|'))}", flush=True)
    failed = False
    chosen = [fault for fault in FAULTS if not arguments.only or any(text in fault.name for text in arguments.only)]
    for database in arguments.database or BOTH:
        faults = [fault for fault in chosen if database in fault.databases]
        for result in attempt_all(faults, database, Effort(seconds=arguments.seconds)):
            print(row(result), flush=True)
            for problem in result.problems:
                print(f"  NOT ALLOWED: {problem[:2000]}", flush=True)
            failed = failed or bool(result.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
