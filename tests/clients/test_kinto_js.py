"""The published offline-first client kinto.js works with the service, in Node (npm `kinto`, unmodified)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import services
from tests.support.client import basic

FOLDER = services.ROOT / "build" / "kinto-js"
PACKAGES = ("kinto@17.1.1", "fake-indexeddb@6.2.8")


@pytest.fixture(scope="module")
def modules() -> Path:
    """Return the folder of the installed packages; npm installs them once."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        services.missing("npm")
    modules = FOLDER / "node_modules"
    if not (modules / "kinto").is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(FOLDER), *PACKAGES]
        subprocess.run(command, check=True, timeout=300)
    return modules


def _result(**lists: Any) -> dict[str, Any]:
    empty = {"created": [], "updated": [], "deleted": 0, "published": 0, "conflicts": [], "resolved": 0, "errors": 0}
    return {"ok": "conflicts" not in lists, **empty, **lists}


def test_two_devices_keep_a_list_in_step_through_the_default_bucket(served_url: str, modules: Path) -> None:
    """Created offline, published, received; changed on both, in conflict, resolved; deleted."""
    script = Path(__file__).with_name("two_devices.cjs")
    done = subprocess.run(
        ["node", str(script), served_url, basic("alice", "tr0ub4dor")],
        env={"NODE_PATH": str(modules), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "phonePublishes": _result(published=3),
        "laptopReceives": _result(created=["bread", "milk", "tea"]),
        "phoneIsFirst": _result(published=1),
        "laptopConflicts": _result(conflicts=[{"type": "incoming", "local": "soy milk", "remote": "oat milk"}]),
        "laptopResolves": _result(published=1),
        "phoneFollows": _result(updated=["oat and soy milk"]),
        "phoneDeletes": _result(published=1),
        "laptopDeletes": _result(deleted=1, published=1),
        "phoneAgain": _result(created=["salt"]),
        "nothingNew": _result(),
        "lists": [["oat and soy milk", "salt", "tea"]] * 2,
    }
