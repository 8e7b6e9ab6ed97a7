"""The requests of views that are members of a batch."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Final

from flask import Flask, request

from app.authentication.logins import CALLER
from backends.codec import dumps, loads
from blueprints.http import CALLER_KEY
from blueprints.negotiation import media_type
from blueprints.replies import Reply
from blueprints.requests import HttpRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: Final = logging.getLogger("kinto.batch")

_OF_THE_SERVER = ("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "SCRIPT_NAME")


def ask_view(app: Flask, path: str, asked: HttpRequest) -> Reply:
    """Let the view of a member answer, as a request of its own that has nothing of the batch but its headers."""
    # Flask gives a request the `g` of the one around it, unless the application is entered anew.
    with app.app_context(), app.request_context(_environ(path, asked)):
        response = app.full_dispatch_request()
    response.direct_passthrough = False
    raw = response.get_data()
    response.close()
    names = {name for name, _ in response.headers if name not in ("Alert", "Content-Length")}
    headers = {name: ", ".join(response.headers.getlist(name)) for name in sorted(names)}
    reply = Reply(response.status_code, "", headers)
    try:
        if raw and is_json(reply):
            loads(raw.decode())
        reply.body = raw.decode(errors="replace")
    except ValueError:
        log.warning("The view at %s sent JSON that is none.", path)
        reply.body = '""'
    return reply


def _environ(path: str, asked: HttpRequest) -> WSGIEnvironment:
    """Return the WSGI environment of a member: what its headers say, and what is known of server and client."""
    around = request.environ
    body = b"" if asked.decoded is None else dumps(asked.decoded).encode()
    environ = {name: value for name, value in around.items() if name.startswith("wsgi.") or name in _OF_THE_SERVER}
    environ |= {
        "REQUEST_METHOD": asked.method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": asked.query.encode().decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        CALLER_KEY: CALLER.get(),
    }
    for name, value in asked.headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    # The body is sent on as UTF-8.
    environ["CONTENT_TYPE"] = media_type(environ.pop("HTTP_CONTENT_TYPE", None))
    return environ


def is_json(reply: Reply) -> bool:
    """Return whether a reply is JSON by its `Content-Type`."""
    return reply.headers.get("Content-Type", "").startswith("application/json")
