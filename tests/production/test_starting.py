"""What gunicorn does with settings that cannot be: one line, and it ends (operations.md 1.4); how it forks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import services
from tests.support.services import ROOT, as_environment

WORKER_FAILED = 3

REFUSED: dict[str, tuple[Mapping[str, str], str]] = {
    "a number that is none": ({"kinto.paginate_by": "many"}, "paginate_by: "),
    "a plugin that nobody knows": ({"kinto.includes": "kinto.plugins.nothing"}, "includes: "),
    "a URL that is none": ({"kinto.storage_url": "mysql://me:s3cret@db/x"}, "storage_url: "),
    "a file that is not there (O-SET-10)": ({"kinto.ini": "/nowhere/kinto.ini"}, "/nowhere/kinto.ini does not exist"),
}

_CONFIGURATION = f"""
import sys
source = {str(ROOT / "gunicorn.conf.py")!r}
exec(compile(open(source).read(), source, "exec"))

def when_ready(server):
    print("imported:", sorted({{"app", "blueprints", "backends", "flask"}} & set(sys.modules)), flush=True)
    sys.exit(0)
"""

_FORKING = """
import os, sys
from app.factory import create_app
from tests.support.client import Client
app = create_app({"kinto.storage_url": sys.argv[1], "multiauth.policies": "basicauth", "kinto.storage_pool_size": 2})
client = Client(app)
assert client.put("/buckets/forked").status in (200, 201)

def work(number):
    asked = [client.ask(method, f"/buckets/forked/groups/g{number}") for method in ("PUT", "GET") * 20]
    return len([answer for answer in asked if answer.status not in (200, 201)])

children = []
for number in range(3):
    child = os.fork()
    if not child:
        os._exit(work(number))
    children.append(child)
print(work(3), [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def gunicorn(settings: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the server until it ends by itself."""
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{services.free_port()}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=as_environment(settings), check=False
    )


def _said(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what was printed, without gunicorn's own lines, which begin with a time in brackets."""
    return [line for line in ended.stderr.splitlines() if line and not line.startswith("[")]


@pytest.mark.parametrize(("settings", "beginning"), REFUSED.values(), ids=REFUSED.keys())
def test_gunicorn_does_not_start_with(settings: Mapping[str, str], beginning: str) -> None:
    """O-SET-19, O-SET-20: one line that begins with the setting's name, no traceback, no secret, exit code 1."""
    ended = gunicorn(settings)

    assert ended.returncode == 1
    assert len(_said(ended)) == 1
    assert _said(ended)[0].startswith(beginning)
    assert "s3cret" not in ended.stderr + ended.stdout


def test_a_worker_says_in_one_line_which_setting_it_cannot_start_with() -> None:
    """O-SET-19: what only the application finds, once it has imported the class that the setting names."""
    ended = gunicorn({"kinto.record_id_generator": "collections.OrderedDict"}, "--workers", "1")

    assert ended.returncode == WORKER_FAILED
    assert len(_said(ended)) == 1
    assert _said(ended)[0].startswith("record_id_generator: ")


@pytest.mark.parametrize(
    ("settings", "workers", "warned"),
    [
        pytest.param({}, 2, ["storage_backend", "cache_backend"], id="everything is in memory"),
        pytest.param({"kinto.storage_url": "postgresql://db/x"}, 2, ["cache_backend"], id="the cache is in memory"),
        pytest.param({}, 1, [], id="there is one worker"),
    ],
)
def test_gunicorn_warns_of_memory_that_workers_do_not_share_when(
    settings: Mapping[str, str], workers: int, warned: list[str], tmp_path: Path
) -> None:
    """O-DEP-10."""
    (tmp_path / "conf.py").write_text(_CONFIGURATION)

    ended = gunicorn(settings, "--config", str(tmp_path / "conf.py"), "--workers", str(workers))

    assert [line.partition(":")[0] for line in _said(ended)] == warned


def test_the_master_of_gunicorn_imports_nothing_of_ours(tmp_path: Path) -> None:
    """Its workers would inherit it, and go on with the old code after an upgrade and a HUP."""
    (tmp_path / "conf.py").write_text(_CONFIGURATION)

    ended = gunicorn({}, "--config", str(tmp_path / "conf.py"))

    assert ended.stdout == "imported: []\n", ended.stderr


def test_connections_to_postgresql_are_not_shared_with_forked_workers(postgresql_url: str) -> None:
    """O-PG-26: an application that was loaded, and has asked, before the fork."""
    migrated = [sys.executable, "-m", "scripts", "migrate"]
    environment = as_environment({"kinto.storage_url": postgresql_url})
    subprocess.run(migrated, check=True, env=environment, cwd=ROOT, capture_output=True)

    ended = subprocess.run(
        [sys.executable, "-c", _FORKING, postgresql_url],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )

    assert ended.stdout == "0 [0, 0, 0]\n", ended.stderr
