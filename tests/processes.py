"""Run an application in a process of its own, since logging and Sentry belong to the whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_PROGRAM = """
import json, sys
from app.factory import create_app

application = create_app()
service = application.extensions["kinto"]
service.migrate(False, lambda line: None)
client = application.test_client()
for one in json.load(sys.stdin):
    client.open(**one)
service.close()
"""

Request = Mapping[str, Any]


def served(
    *requests: Request,
    ini: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path,
    stdout: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Answer requests (the arguments of Werkzeug's test client) and return what the process wrote.

    *ini* is the text of a file for it; beside *environ* nothing but `PATH` is set.
    """
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(environ or {})}
    if ini is not None:
        (folder / "kinto.ini").write_text(ini)
        given["KINTO_INI"] = str(folder / "kinto.ini")
    # A path beside the checkout, so that nobody's `.env` and `config/kinto.ini` are read.
    command = [sys.executable, "-c", _PROGRAM]
    return subprocess.run(
        command,
        input=json.dumps(requests),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=given,
        timeout=60,
    )


def json_lines(text: str) -> Sequence[dict[str, Any]]:
    """Return lines of JSON decoded; a line that is none fails the test."""
    return [json.loads(line) for line in text.splitlines()]
