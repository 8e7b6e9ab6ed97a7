"""The published tool kinto-wizard dumps a bucket and loads it again after it was deleted, unmodified."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.clients.conftest import PASSWORD

AUTH = ("alice", PASSWORD)


def _wizard(action: str, url: str, *arguments: str, stdout: Path | None = None) -> None:
    command = [str(Path(sys.executable).with_name("kinto-wizard")), action]
    done = subprocess.run(
        [*command, "--server", url, "--auth", ":".join(AUTH), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if stdout:
        stdout.write_text(done.stdout, encoding="utf-8")


def _put(url: str, data: dict[str, Any], **permissions: list[str]) -> None:
    answer = requests.put(url, json={"data": data, "permissions": permissions}, auth=AUTH, timeout=60)
    assert answer.ok, answer.text


def test_a_deleted_bucket_is_loaded_from_its_dump_with_its_permissions(served_url: str, tmp_path: Path) -> None:
    bucket = f"{served_url}/buckets/b"
    paths = ("", "/groups/friends", "/collections/tasks", "/collections/tasks/records/r7")
    _put(bucket, {"title": "B"}, read=["account:bob"])
    _put(f"{bucket}/groups/friends", {"members": ["account:bob"]})
    _put(f"{bucket}/collections/tasks", {"sort": "-n"}, **{"record:create": ["account:bob"]})
    for number in range(30):
        _put(f"{bucket}/collections/tasks/records/r{number}", {"n": number})
    before = [_read(f"{bucket}{path}") for path in paths]
    dump = tmp_path / "dump.yaml"

    _wizard("dump", served_url, "--full", "--bucket", "b", stdout=dump)
    requests.delete(bucket, auth=AUTH, timeout=60)
    _wizard("load", served_url, "--force", str(dump))
    _wizard("load", served_url, "--force", str(dump))  # again: nothing differs

    assert [_read(f"{bucket}{path}") for path in paths] == before
    assert len(_read(f"{bucket}/collections/tasks/records")["data"]) == 30


def _read(url: str) -> dict[str, Any]:
    body: dict[str, Any] = requests.get(url, auth=AUTH, timeout=60).json()
    if isinstance(body["data"], dict):
        body["data"].pop("last_modified", None)
    return body
