"""Where the embedded database may be, and that nothing of it lands elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.support.databases import BASICAUTH
from tests.support.services import ROOT


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&cache=shared&uri=true",
        "sqlite:///file:x",
        "sqlite:///x?mode=memory",
    ],
)
def test_a_database_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A file of that name would be made in the current folder; `storage_backend = memory` is what is meant."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingError, match="storage_url"):
        create_app({**BASICAUTH, "kinto.storage_url": url})

    assert list(tmp_path.iterdir()) == []


def test_a_database_of_the_process_leaves_nothing_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    app = create_app({**BASICAUTH, "kinto.storage_backend": "memory"})
    file = Path(app.extensions["kinto"].storage.writing.url.database)
    app.extensions["kinto"].close()

    assert list(tmp_path.iterdir()) == []
    assert file.parent.stat().st_mode & 0o077 == 0


_FORKING = """
import os, sys
from app.factory import create_app
from tests.support.client import Client
app = create_app({"kinto.storage_backend": "memory", "multiauth.policies": "basicauth"})
client = Client(app)
file = app.extensions["kinto"].storage.writing.url.database
for number in range(2):
    worker = os.fork()
    if not worker:
        sys.exit(client.put(f"/buckets/b{number}").status - 201)
    print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), client.put(f"/buckets/b{number}").status)
print(os.path.exists(file), file)
"""


def test_a_database_of_the_process_outlives_its_forked_workers_and_goes_with_it(tmp_path: Path) -> None:
    """A worker of an application that was loaded before the fork (gunicorn `preload_app`) may exit at any time."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    ended = subprocess.run(
        [sys.executable, "-c", _FORKING], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )

    *workers, (there, _) = [line.split() for line in ended.stdout.splitlines()]
    assert workers == [["0", "200"]] * 2
    assert there == "True"
    assert list(tmp_path.iterdir()) == []


def test_an_answered_write_is_on_the_disk(tmp_path: Path) -> None:
    """With NORMAL (1) a power cut would lose the latest commits of a write-ahead log (sqlite.org/pragma.html)."""
    app = create_app({**BASICAUTH, "kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite"})
    storage = app.extensions["kinto"].storage

    with storage.writing.connect() as writing, storage.reading.connect() as reading:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for connection in (writing, reading)
            for name in ("synchronous", "journal_mode")
        ]
    app.extensions["kinto"].close()

    assert pragmas == [2, "wal"] * 2
