"""The published Kinto 26.5 from PyPI, in a virtual environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from tests.support import services
from tests.support.credentials import basic
from tests.support.services import ROOT, answers, free_port, running

FOLDER: Final = ROOT / "build" / "kinto-26.5"
"""The virtual environment, made where it is missing."""


def install_kinto() -> Path:
    """Return the Python in whose environment the published Kinto is installed. Raises CalledProcessError."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "bin" / "kinto").exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        packages = ["kinto[postgresql]==26.5.0", "granian"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def require_kinto() -> Path:
    """Return the folder of Kinto's commands; skip the test, or fail, where it cannot be installed."""
    try:
        return install_kinto().parent
    except subprocess.CalledProcessError:
        services.missing("Kinto 26.5 (from PyPI)")
        raise


@dataclass(frozen=True)
class Reply:
    """A response: its headers by names in lower case, its body decoded."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def etag(self) -> int:
        """Return the timestamp in `ETag`."""
        return int(self.headers["etag"].strip('"'))


@dataclass(frozen=True)
class Server:
    """A client of a server, on one connection that is kept."""

    connection: HTTPConnection

    def ask(
        self, user: str | None, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request with the credentials of a user, None for no credentials."""
        sent = {"Authorization": basic(user)} if user else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body)
        self.connection.request(method, f"/v1{path}", content, {**sent, **(headers or {})})
        response = self.connection.getresponse()
        text = response.read()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, json.loads(text) if text else None)


@contextlib.contextmanager
def serve_kinto(ini: Path) -> Iterator[Server]:
    """Create or upgrade the tables of an ini file, and run Kinto until the block ends."""
    folder, port = require_kinto(), free_port()
    environment = {"PATH": os.environ["PATH"], "HOME": str(ini.parent)}
    subprocess.run(
        [str(folder / "kinto"), "migrate", "--ini", str(ini)], check=True, env=environment, capture_output=True
    )
    command = [str(folder / "kinto"), "start", "--ini", str(ini), "--port", str(port)]
    with (
        running(command, lambda: answers(port), environment, ini.parent),
        contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection,
    ):
        yield Server(connection)
