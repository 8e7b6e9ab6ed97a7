"""Is the service alive, and are its backends (core contract, 2.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from flask import Blueprint, Response

from app.service import Heartbeat, Service
from backends.codec import dumps
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix

log: Final = logging.getLogger("kinto.core.views.heartbeat")
# Kinto's backends tell by loggers of their own that they are not alive (operations contract, 5.5).
_BACKENDS: Final = ("storage", "permission")


def heartbeat(service: Service) -> Blueprint:
    """Make the blueprint of the heartbeats."""
    blueprint = Blueprint("heartbeat", __name__, url_prefix=prefix(service))

    def beat() -> Response:
        alive = ask(service.heartbeats, service.settings.heartbeat_timeout_seconds)
        return to_response(Reply(503 if False in alive.values() else 200, dumps(alive)))

    def lb() -> Response:
        return to_response(Reply(200, "{}"))

    for rule, name, view in (("/__heartbeat__", "heartbeat", beat), ("/__lbheartbeat__", "lbheartbeat", lb)):
        blueprint.add_url_rule(rule, name, view, methods=["GET"], provide_automatic_options=False)
    return blueprint


def ask(checks: Mapping[str, Heartbeat], timeout_seconds: float) -> dict[str, bool | None]:
    """Ask all at the same time; who raises or has not answered in time is not alive (C-UTIL-15, C-UTIL-16)."""
    pool = ThreadPoolExecutor(max_workers=max(1, len(checks)), thread_name_prefix="heartbeat")
    asked = {name: pool.submit(check) for name, check in checks.items()}
    wait(asked.values(), timeout=timeout_seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return {name: _told(name, future, timeout_seconds) for name, future in asked.items()}


def _told(name: str, asked: Future[bool | None], timeout_seconds: float) -> bool | None:
    if not asked.done() or asked.cancelled():
        log.error("%r heartbeat has exceeded timeout of %s seconds.", name, float(timeout_seconds))
        return False
    error = asked.exception()
    if error is not None and name in _BACKENDS:
        logging.getLogger(f"kinto.core.{name}").error("Heartbeat Error", exc_info=error)
        return False
    if error is not None:
        log.error("%r heartbeat failed.", name, exc_info=error)
        return False
    return asked.result()
