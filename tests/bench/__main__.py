"""Measure what requests cost: processor time of application and PostgreSQL, for a server or several in turns.

    python -m tests.bench                               this service under gunicorn
    python -m tests.bench gunicorn granian kinto        two servers of this service beside the published Kinto 26.5
    BENCH_KINTO=1 python -m tests.bench                 Kinto too, installed into build/kinto-26.5 where it is missing
    python -m tests.bench growth                        one server while its data grows
    python -m tests.bench draw                          write docs/performance.md again from the last results

All servers run at once and get the same requests in turns. Read the ratios of one run, never times. `--write` puts the
results into docs/performance.md; they are kept in build/ in any case.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import document
from tests.bench.comparison import Effort, compare
from tests.bench.growth import measure_growth
from tests.bench.results import load_comparison, load_curves, save
from tests.bench.servers import KINTO, NAMES
from tests.support.services import ROOT

_GROWTH: Final = "growth"
_DRAW: Final = "draw"
_LARGEST: Final = 1_000_000


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print tables, or draw what was measured last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join((*NAMES, _GROWTH, _DRAW))}")
    parser.add_argument("--records", type=int, default=Effort.records, help="in the big list")
    parser.add_argument("--largest", type=int, default=_LARGEST, help="size to which the data grows")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="of each workload, server and round")
    parser.add_argument("--rounds", type=int, default=Effort.rounds)
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="workloads whose name has this text"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where results are kept as JSON")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    arguments = parser.parse_args(words)
    targets = list(dict.fromkeys(arguments.targets or ["gunicorn"]))
    if unknown := set(targets) - {*NAMES, _GROWTH, _DRAW}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    servers = [name for name in targets if name in NAMES]
    if servers and os.environ.get("BENCH_KINTO") == "1" and KINTO not in servers:
        servers.append(KINTO)
    effort = Effort(arguments.records, arguments.seconds, arguments.rounds, arguments.only)
    if servers:
        comparison = compare(servers, effort, _report)
        save(arguments.folder, comparison)
        print(document.comparison_text(comparison))
    if _GROWTH in targets:
        curves = measure_growth(effort, arguments.largest, _report)
        save(arguments.folder, curves)
        print(document.curves_text(curves))
    if arguments.write or _DRAW in targets:
        document.write(load_comparison(arguments.folder), load_curves(arguments.folder))


_start: Final = time.monotonic()


def _report(line: str) -> None:
    print(f"{time.monotonic() - _start:5.0f} s  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
