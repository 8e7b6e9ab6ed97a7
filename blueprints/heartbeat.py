"""Serve the heartbeats of the service and its backends (core contract, 2.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from flask import Blueprint, Response

from app.service import Heartbeat, Service
from backends.codec import dumps
from backends.deadlines import set_deadline
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix

log: Final = logging.getLogger("kinto.core.views.heartbeat")
# Kinto logs the failed checks of these backends by loggers of their own (operations contract, 5.5).
_LOGGED_AS_BACKENDS: Final = ("storage", "permission")


def heartbeat(service: Service) -> Blueprint:
    """Make the blueprint of the heartbeats."""
    blueprint = Blueprint("heartbeat", __name__, url_prefix=prefix(service))

    def beat() -> Response:
        results = run_checks(service.heartbeats, service.settings.heartbeat_timeout_seconds)
        return to_response(Reply(503 if False in results.values() else 200, dumps(results)))

    def lb() -> Response:
        return to_response(Reply(200, "{}"))

    for rule, name, view in (("/__heartbeat__", "heartbeat", beat), ("/__lbheartbeat__", "lbheartbeat", lb)):
        blueprint.add_url_rule(rule, name, view, methods=["GET"], provide_automatic_options=False)
    return blueprint


def run_checks(checks: Mapping[str, Heartbeat], timeout_seconds: float) -> dict[str, bool | None]:
    """Run all checks at the same time; one that raises or takes too long has failed (C-UTIL-15, C-UTIL-16)."""
    pool = ThreadPoolExecutor(max_workers=max(1, len(checks)), thread_name_prefix="heartbeat")
    futures = {name: pool.submit(_run, check, timeout_seconds) for name, check in checks.items()}
    wait(futures.values(), timeout=timeout_seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return {name: _result_of(name, future, timeout_seconds) for name, future in futures.items()}


def _run(check: Heartbeat, timeout_seconds: float) -> bool | None:
    """Run a check; its thread does not wait longer for a database than the caller does."""
    with set_deadline(timeout_seconds):
        return check()


def _result_of(name: str, future: Future[bool | None], timeout_seconds: float) -> bool | None:
    """Return the result of a check, False for one that failed; log why it failed."""
    if not future.done() or future.cancelled():
        log.error("%r heartbeat has exceeded timeout of %s seconds.", name, float(timeout_seconds))
        return False
    error = future.exception()
    if error is not None and name in _LOGGED_AS_BACKENDS:
        logging.getLogger(f"kinto.core.{name}").error("Heartbeat Error", exc_info=error)
        return False
    if error is not None:
        log.error("%r heartbeat failed.", name, exc_info=error)
        return False
    result = future.result()
    return None if result is None else bool(result)
