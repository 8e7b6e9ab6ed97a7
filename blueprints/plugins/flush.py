"""Serve `POST /__flush__`, which removes all data and all cached values (plugins contract, 8.1)."""

from __future__ import annotations

import logging
from typing import Final

from flask import Blueprint, Flask, Response

from app.service import Service
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix

log: Final = logging.getLogger("kinto.plugins.flush")

_DESCRIPTION: Final = "The __flush__ endpoint can be used to remove all data from all backends."
_DOCUMENTATION: Final = "https://kinto.readthedocs.io/en/latest/api/1.x/flush.html"


def attach(app: Flask, service: Service) -> None:
    """Add the URL, which needs no authentication (P-FLUSH-1), and log a warning."""
    blueprint = Blueprint("flush", __name__, url_prefix=prefix(service))

    def flush() -> Response:
        service.flush()
        return to_response(Reply(202, "{}"))

    blueprint.add_url_rule("/__flush__", "flush", flush, methods=["POST"], provide_automatic_options=False)
    app.register_blueprint(blueprint)
    service.add_capability("flush_endpoint", _DESCRIPTION, _DOCUMENTATION)
    log.warning("The plugin kinto.plugins.flush is included: anyone can empty this service by POST /__flush__.")
