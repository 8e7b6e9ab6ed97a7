"""Add a URL of a plugin by one call: its route, the conversion of its result, its entry in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Final

from flask import Flask, Response

from app.service import Service
from backends import Json
from backends.codec import dumps
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix

_PART: Final = re.compile(r"<(?:[^<>]+:)?(\w+)>")


def add_view(app: Flask, service: Service, rule: str, view: Callable[..., Json | Response], summary: str) -> None:
    """Add a URL for GET below the prefix of the API; *rule* is one of Flask, as `/likes/<path:record>`.

    *view* is called with the parts of the path by name. It returns a response, or a value that becomes JSON with the
    status 200. Its name is that of the endpoint and of the operation in the OpenAPI document, where *summary* stands.
    Raises ValueError when another view has its name, or when *rule* does not begin with a slash.
    """
    if not rule.startswith("/"):
        raise ValueError(f"The URL {rule!r} does not begin with a slash.")
    if view.__name__ in app.view_functions:
        raise ValueError(f"The view {view.__name__!r} was already registered.")

    @wraps(view)
    def respond(**parts: str) -> Response:
        result = view(**parts)
        return result if isinstance(result, Response) else to_response(Reply(200, dumps(result)))

    name: str = view.__name__
    url = f"{prefix(service)}{rule}"
    app.add_url_rule(url, name, respond, methods=["GET"], provide_automatic_options=False)
    service.add_openapi(_PART.sub(r"{\1}", rule), {"get": {"operationId": name, "summary": summary}})
