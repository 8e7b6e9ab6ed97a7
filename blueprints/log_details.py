"""Add headers and bodies, without the secrets in them, to the log line of a request (O-MON-26)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from werkzeug.datastructures import EnvironHeaders

from app.errors import ApiError
from backends import Json
from backends.logs.secrets import redact, redact_headers
from blueprints.request_bodies import RequestBody

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, WSGIEnvironment


def read_raw_body(stream: InputStream) -> bytes:
    """Return the body, empty if it did not arrive completely: the application reports that."""
    try:
        raw = stream.read()
    except ApiError:
        return b""
    if isinstance(stream, RequestBody):
        stream.rewind()
    return raw


def details(
    environ: WSGIEnvironment, raw: bytes, headers: Iterable[tuple[str, str]], chunks: Sequence[bytes]
) -> dict[str, Json]:
    """Return the fields of a request with the body *raw*, and of a response with these *headers* and *chunks*."""
    return {
        "headers": redact_headers(dict(EnvironHeaders(environ))),
        "body": _loggable_body(raw),
        "response": {"headers": redact_headers(dict(headers)), "body": _loggable_body(b"".join(chunks))},
    }


def _loggable_body(raw: bytes) -> Json:
    """Return a body as a log line shows it; one that is not JSON is left out, because its secrets cannot be found."""
    if not raw:
        return ""
    try:
        # Not orjson, which refuses lone surrogates.
        return redact(json.loads(raw))
    except (ValueError, RecursionError):
        return f"{len(raw)} bytes that are not JSON"
