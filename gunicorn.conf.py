"""Say how gunicorn runs the service: workers are processes, each with threads that wait for the database.

`PORT` and `WEB_CONCURRENCY` are the variables that Heroku-like platforms set. `HEAD_TIMEOUT_SECONDS`,
`BODY_TIMEOUT_SECONDS` and `BODY_MAX_BYTES` limit what clients may send (docs/production.md, "Using gunicorn").
"""

import importlib
import math
import os
import pathlib
import subprocess
import sys
from typing import Any, NoReturn

_ROOT = pathlib.Path(__file__).resolve().parent
_METRICS_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_LAST_PORT = 65535
_MOST_DIGITS = 18
_MOST_SHOWN = 40


def _refuse(variable: str, expected: str) -> NoReturn:
    print(f"{variable}: {expected} is expected, not {os.environ[variable][:_MOST_SHOWN]!r}.", file=sys.stderr)
    sys.exit(1)


def _whole_number(variable: str, default: int, last: float = math.inf) -> int:
    """Return the number of 1 or more that a variable of the environment has, or end with one line."""
    value = os.environ.get(variable) or str(default)
    # Longer ones are no size of anything, and Python itself refuses to convert very long ones.
    if not (value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS and 1 <= int(value) <= last):
        _refuse(variable, "a whole number of 1 or more" if last == math.inf else f"a number from 1 to {last}")
    return int(value)


def _seconds(variable: str, default: float) -> float:
    """Return the time that a variable of the environment has, or end with one line."""
    try:
        seconds = float(os.environ.get(variable) or default)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        _refuse(variable, "a number of seconds above 0")
    return seconds


bind = f"0.0.0.0:{_whole_number('PORT', 8000, _LAST_PORT)}"
workers = _whole_number("WEB_CONCURRENCY", 2)
threads = 8
# Longer than the idle time of the usual balancers (60 s): they close a connection first and never meet a closed one.
keepalive = 65
timeout = 60
graceful_timeout = 30
# Long query strings are ordinary: `in_id`, `exclude_id` and `_fields` carry lists.
limit_request_line = 8190
# Whose X-Forwarded-Proto is believed: a proxy on this machine, and the router of Heroku, which alone reaches a dyno.
# Only that header: a client's own X-Forwarded-Ssl would contradict it, and gunicorn refuses what contradicts itself.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS") or ("*" if "DYNO" in os.environ else "127.0.0.1,::1")
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
forwarder_headers = ""
# The file by which workers show that they live must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# Nothing here asks for it, and every server of a user would want the same path in the home folder.
control_socket_disable = True

_LOAD_SETTINGS = """
import sys
from app.settings import SettingError, load
try:
    settings = load()
except SettingError as error:
    sys.exit(str(error))
workers = int(sys.argv[1])
for name in ("storage_backend", "cache_backend"):
    if workers > 1 and getattr(settings, name) == "memory":
        print(f"{name}: each of the {workers} workers has a memory of its own.", file=sys.stderr)
"""

# A HUP reads this file again: new workers shall have the worker of a new version too.
if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
for _name in [name for name in sys.modules if name.partition(".")[0] == "servers"]:
    del sys.modules[_name]
_module = importlib.import_module("servers.gunicorn_worker")


class Worker(_module.Worker):
    """The worker, with the limits of the environment."""

    head_seconds = _seconds("HEAD_TIMEOUT_SECONDS", _module.HEAD_SECONDS)
    body_seconds = _seconds("BODY_TIMEOUT_SECONDS", _module.BODY_SECONDS)
    body_max_bytes = _whole_number("BODY_MAX_BYTES", _module.BODY_MAX_BYTES)


worker_class = Worker


def on_starting(server: Any) -> None:
    """Refuse settings that cannot be, warn of what workers do not share, and empty the folder of the metrics."""
    # In a process of its own: whatever the master has imported, its workers keep after an upgrade and a HUP.
    command = [sys.executable, "-c", _LOAD_SETTINGS, str(server.cfg.workers)]
    if subprocess.run(command, cwd=server.cfg.chdir).returncode:
        sys.exit(1)
    # Files of dead workers would be added to those of the new ones.
    if _METRICS_FOLDER:
        folder = pathlib.Path(_METRICS_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob("*.db"):
            left_over.unlink()


def child_exit(server: Any, worker: Any) -> None:
    """Withdraw the live gauges of a worker that ended."""
    if _METRICS_FOLDER:
        importlib.import_module("prometheus_client.multiprocess").mark_process_dead(worker.pid)
