"""Configure gunicorn: workers are processes, each with threads that wait for the database.

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
_MAX_DIGITS = 18
_MAX_CHARACTERS = 40


def _refuse(variable: str, expectation: str) -> NoReturn:
    print(f"{variable}: {expectation} is expected, not {os.environ[variable][:_MAX_CHARACTERS]!r}.", file=sys.stderr)
    sys.exit(1)


def _read_whole_number(variable: str, default: int, last: float = math.inf) -> int:
    """Return a whole number of at least 1 from a variable of the environment, or print one line and exit."""
    value = os.environ.get(variable) or str(default)
    # No size has more digits, and Python itself refuses to convert very long numbers.
    if not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS and 1 <= int(value) <= last):
        _refuse(variable, "a whole number of 1 or more" if last == math.inf else f"a number from 1 to {last}")
    return int(value)


def _read_seconds(variable: str, default: float) -> float:
    """Return a number of seconds from a variable of the environment, or print one line and exit."""
    try:
        seconds = float(os.environ.get(variable) or default)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        _refuse(variable, "a number of seconds above 0")
    return seconds


bind = f"0.0.0.0:{_read_whole_number('PORT', 8000, _LAST_PORT)}"
workers = _read_whole_number("WEB_CONCURRENCY", 2)
threads = 8
# Longer than the idle time of common load balancers (60 s): they close a connection first, and never use a closed one.
keepalive = 65
timeout = 60
graceful_timeout = 30
# Long query strings are common: `in_id`, `exclude_id` and `_fields` have lists as values.
limit_request_line = 8190
# X-Forwarded-Proto is trusted from a proxy on this machine, and from the router of Heroku: nothing else reaches a dyno.
# Only this header: a client's own X-Forwarded-Ssl might contradict it, and gunicorn refuses contradictory headers.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS") or ("*" if "DYNO" in os.environ else "127.0.0.1,::1")
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
forwarder_headers = ""
# The heartbeat file of workers must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# The service does not use it, and all servers of a user would share one path in the home folder.
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
        print(f"{name}: each of the {workers} workers has its own memory.", file=sys.stderr)
"""

# A HUP reads this file again: import the worker class again too, in case its version has changed.
if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
for _name in [name for name in sys.modules if name.partition(".")[0] == "servers"]:
    del sys.modules[_name]
_module = importlib.import_module("servers.gunicorn_worker")


class ConfiguredWorker(_module.Worker):
    """The worker, with the limits from the environment."""

    head_seconds = _read_seconds("HEAD_TIMEOUT_SECONDS", _module.HEAD_SECONDS)
    body_seconds = _read_seconds("BODY_TIMEOUT_SECONDS", _module.BODY_SECONDS)
    body_max_bytes = _read_whole_number("BODY_MAX_BYTES", _module.BODY_MAX_BYTES)


worker_class = ConfiguredWorker


def on_starting(server: Any) -> None:
    """Refuse invalid settings, warn about memory that workers do not share, and empty the folder of the metrics.

    Let the server stop without losing a connection.
    """
    # In a separate process: modules that the master imports would stay in its workers after an upgrade and a HUP.
    command = [sys.executable, "-c", _LOAD_SETTINGS, str(server.cfg.workers)]
    if subprocess.run(command, cwd=server.cfg.chdir).returncode:
        sys.exit(1)
    # Files of former workers would be added to those of the new ones.
    if _METRICS_FOLDER:
        folder = pathlib.Path(_METRICS_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.db"):
            file.unlink()
    importlib.import_module("servers.stopping").stop_without_loss(server)


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001  # gunicorn's signature
    """Remove the live gauges of a worker that has exited."""
    if _METRICS_FOLDER:
        importlib.import_module("prometheus_client.multiprocess").mark_process_dead(worker.pid)
