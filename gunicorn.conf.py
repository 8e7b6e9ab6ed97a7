"""Say how gunicorn runs the service: workers are processes, each with threads that wait for the database.

`PORT` and `WEB_CONCURRENCY` are the variables that Heroku-like platforms set.
"""

import importlib
import os
import pathlib
from typing import Any

_METRICS_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = 8
# Longer than the idle time of the usual balancers (60 s): they close a connection first and never meet a closed one.
keepalive = 65
timeout = 60
graceful_timeout = 30
# Long query strings are ordinary: `in_id`, `exclude_id` and `_fields` carry lists.
limit_request_line = 8190
# The file by which workers show that they live must not wait for a disk.
worker_tmp_dir = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None
# Nothing here asks for it, and every server of a user would want the same path in the home folder.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Empty the folder of the Prometheus metrics: files of dead workers would be added to those of the new ones."""
    if _METRICS_FOLDER:
        folder = pathlib.Path(_METRICS_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob("*.db"):
            left_over.unlink()


def child_exit(server: Any, worker: Any) -> None:
    """Withdraw the live gauges of a worker that ended."""
    if _METRICS_FOLDER:
        importlib.import_module("prometheus_client.multiprocess").mark_process_dead(worker.pid)
