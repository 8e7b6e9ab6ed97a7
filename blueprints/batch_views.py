"""Make the requests of views that are members of a batch."""

from __future__ import annotations

import io
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from flask import Flask, request

from app.authentication.logins import CALLER
from app.service import Service
from backends.codec import dumps, loads
from blueprints.exchanges import Exchange, describe, head_of
from blueprints.http import CALLER_KEY
from blueprints.negotiation import media_type
from blueprints.replies import Reply
from blueprints.requests import HttpRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: Final = logging.getLogger("kinto.batch")

_SERVER_KEYS = ("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "SCRIPT_NAME")


def request_view(service: Service, app: Flask, path: str, http_request: HttpRequest) -> Reply:
    """Call the view of a member by a request of its own, which has only its headers in common with the batch.

    *path* is decoded and has the version.
    """
    environ = _environ(path, http_request)
    # Without a new application context Flask would give the request the `g` of the batch.
    with Exchange(head_of(environ)) as exchange, app.app_context(), app.request_context(environ) as context:
        response = app.full_dispatch_request()
    response.direct_passthrough = False
    raw = response.get_data()
    response.close()
    if service.observers:
        service.observe(describe(service, exchange, context.request, response.status_code, partial(len, raw)))
    names = {name for name, _ in response.headers if name not in ("Alert", "Content-Length")}
    headers = {name: ", ".join(response.headers.getlist(name)) for name in sorted(names)}
    reply = Reply(response.status_code, "", headers)
    try:
        if raw and is_json(reply):
            loads(raw.decode())
        reply.body = raw.decode(errors="replace")
    except ValueError:
        log.warning("The view at %s returned a body that is not valid JSON.", path)
        reply.body = '""'
    return reply


def _environ(path: str, http_request: HttpRequest) -> WSGIEnvironment:
    """Return the WSGI environment of a member: its own headers, the server and client of the batch."""
    body = b"" if http_request.json_body is None else dumps(http_request.json_body).encode()
    environ = {
        name: value for name, value in request.environ.items() if name.startswith("wsgi.") or name in _SERVER_KEYS
    }
    environ |= {
        "REQUEST_METHOD": http_request.method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": http_request.query.encode().decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        CALLER_KEY: CALLER.get(),
    }
    for name, value in http_request.headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    # The body is encoded as UTF-8, whatever charset the header names.
    environ["CONTENT_TYPE"] = media_type(environ.pop("HTTP_CONTENT_TYPE", None))
    return environ


def is_json(reply: Reply) -> bool:
    """Return whether a reply is JSON by its `Content-Type`."""
    return reply.headers.get("Content-Type", "").startswith("application/json")
