"""Count how far a request walks through this project's files: `python -m tests.support.walk`.

Files are those that run at least one function, calls are calls of this project's own functions, and moves are calls
from a function of one file to a function of another.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from app.factory import create_app
from tests.support.client import Client
from tests.support.databases import BASICAUTH

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = tuple(f"{ROOT / folder}/" for folder in ("app", "blueprints", "backends", "measuring", "servers"))
COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
"""Frames of their own only in some versions of Python."""
LIST = "/buckets/b/collections/c/records"


@dataclass
class Walk:
    """What one request ran: `calls` of functions by file and name, and `moves` from file to file."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def figures(self) -> tuple[int, int, int]:
        """Return the numbers of files, calls and moves."""
        return len({file for file, _ in self.calls}), self.calls.total(), self.moves.total()


def _own_caller(frame: FrameType | None) -> str | None:
    while frame is not None and not frame.f_code.co_filename.startswith(FOLDERS):
        frame = frame.f_back
    return frame.f_code.co_filename if frame else None


@contextmanager
def follow() -> Iterator[Walk]:
    """Count the calls of this thread until the block ends; generators count at each step."""
    walk = Walk()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(FOLDERS) or frame.f_code.co_name in COMPREHENSIONS:
            return
        walk.calls[file, frame.f_code.co_qualname] += 1
        caller = _own_caller(frame.f_back)
        if caller is not None and caller != file:
            walk.moves[caller, file] += 1

    sys.setprofile(note)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def walks() -> dict[str, Walk]:
    """Return the walk of each kind of request on an embedded database, when everything that is kept is there."""
    puts = [{"method": "PUT", "path": f"{LIST}/b{n}", "body": {"data": {"n": n}}} for n in range(25)]
    requests = {
        "GET of a record": ("GET", f"{LIST}/r1", None),
        "PUT of a record": ("PUT", f"{LIST}/r1", {"data": {"n": 2}}),
        "GET of a list": ("GET", f"{LIST}?_limit=25", None),
        "batch of 25 PUTs": ("POST", "/batch", {"requests": puts}),
    }
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        app = create_app({**BASICAUTH, "kinto.storage_url": f"sqlite:///{folder}/kinto.sqlite"})
        client = Client(app)
        for path in ("/buckets/b", "/buckets/b/collections/c", *(f"{LIST}/r{n}" for n in range(30))):
            client.put(path)
        for name, (method, path, body) in requests.items():
            for _ in range(2):
                with follow() as walk:
                    answer = client.ask(method, path, body)
            if answer.status not in (200, 201):
                raise RuntimeError(f"{method} {path}: {answer.status}")
            result[name] = walk
        app.extensions["kinto"].close()
    return result


def main() -> None:
    """Print a table; with the name of a request, the functions that it calls most often."""
    print("| request | files | calls | moves |\n|---|---|---|---|")
    result = walks()
    for name, walk in result.items():
        print(f"| {name} | " + " | ".join(map(str, walk.figures)) + " |")
    for name in sys.argv[1:]:
        for (file, function), number in result[name].calls.most_common(60):
            print(f"{number:6} {Path(file).relative_to(ROOT)}:{function}")


if __name__ == "__main__":
    main()
