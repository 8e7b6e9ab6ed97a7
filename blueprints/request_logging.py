"""Give every request an id, and write a log line for it (operations contract, 5.5).

`RequestLogging` wraps the application; views and plugins add fields to the line of their request by `add_log_fields`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from flask import request

from app import logs
from app.errors import ApiError, Forbidden, Unauthenticated
from app.identity import EVERYONE, Identity
from app.operation import Operation
from app.parsing import conditions
from backends import Json
from backends.logs import REQUEST_ID, SUBREQUEST, SUMMARY
from backends.logs.records import STANDARD, RequestRecord
from backends.logs.secrets import redact, redact_headers
from backends.tolerance import tolerate
from blueprints.request_bodies import RequestBody

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

log: Final = logging.getLogger("kinto.logs")
_summary: Final = logging.getLogger(SUMMARY)
_subrequest: Final = logging.getLogger(SUBREQUEST)
_authorization: Final = logging.getLogger("kinto.core.authorization")

_LOG_FIELDS: Final = "kinto.log_fields"
"""The key in the WSGI environment of the additional fields of the log line; absent when no line is written."""

Headers = Sequence[tuple[str, str]]


class RequestLogging:
    """A WSGI application that wraps another and writes one log line per request, whatever happens inside.

    A client that sends `X-Request-Id` gets it back. An id that is generated here is in the log lines only, because
    responses have no headers beyond those of the contract.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        client_id, is_enabled = environ.get("HTTP_X_REQUEST_ID"), _summary.isEnabledFor(logging.INFO)
        if not (client_id or is_enabled):
            return self._application(environ, start_response)
        request_id = logs.request_id(client_id)
        token = REQUEST_ID.set(request_id)
        try:
            response = _StartResponse(start_response, request_id if client_id else None)
            if not is_enabled:
                return self._application(environ, response)
            started_ns = time.time_ns()
            additional: logs.Fields = {}
            environ[_LOG_FIELDS] = additional
            if _summary.level != logging.DEBUG:
                body = self._application(environ, response)
            else:
                body = _answer_with_details(self._application, environ, response, additional)
            with tolerate(log, "Unable to write the line of a request"):
                fields = _request_fields(environ)
                fields |= additional
                fields |= logs.response_fields(response.status, started_ns, time.time_ns())
                _summary.handle(RequestRecord(SUMMARY, "", fields))
            return body
        finally:
            REQUEST_ID.reset(token)


class _StartResponse:
    """The `start_response` of a request: adds the id that the client sent, and keeps status and headers."""

    __slots__ = ("_request_id", "_start_response", "headers", "status")

    def __init__(self, start_response: StartResponse, request_id: str | None) -> None:
        self._start_response = start_response
        self._request_id = request_id
        self.status = 0
        self.headers: Headers = ()

    def __call__(self, status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
        self.status = int(status[:3])
        self.headers = headers
        if self._request_id:
            headers = [*headers, ("X-Request-Id", self._request_id)]
        return self._start_response(status, headers, *failure)


def add_log_fields(**fields: Json) -> None:
    """Add fields to the log line of this request, as Kinto's `request.log_context` does."""
    additional = request.environ.get(_LOG_FIELDS)
    if additional is not None:
        # A field with the name of an attribute of every log record would replace that attribute.
        additional.update({name if name not in STANDARD else f"{name}_": value for name, value in fields.items()})


def add_log_identity(identity: Identity) -> None:
    """Put the user and the policy of an identity into the log line of this request."""
    additional = request.environ.get(_LOG_FIELDS)
    if additional is not None:
        for name in ("uid", "authn_type"):
            additional.pop(name, None)
        additional |= logs.identity_fields(identity)


def log_context() -> logs.Fields:
    """Return the fields of this request so far, for log lines about its errors."""
    additional: logs.Fields = request.environ.get(_LOG_FIELDS, {})
    return _request_fields(request.environ) | additional


def log_members(members: Iterable[tuple[str, str, str, conditions.Headers, Identity | None]]) -> None:
    """Write a log line for each member of a batch (O-MON-21).

    *members* have method, path, query, headers and identity; the identity is None where a member has none.
    """
    if not _subrequest.isEnabledFor(logging.INFO):
        return
    request_id = REQUEST_ID.get() or logs.request_id(None)
    for method, path, query, headers, identity in members:
        agent, languages = headers.get("User-Agent"), headers.get("Accept-Language")
        fields = logs.request_fields(method, path, query, request_id, agent, languages)
        if identity is not None:
            fields |= logs.identity_fields(identity)
        _subrequest.handle(RequestRecord(SUBREQUEST, SUBREQUEST, fields))


def log_refusal(operation: Operation, error: ApiError) -> None:
    """Write a log line for an operation that its identity may not perform (O-MON-24)."""
    if not isinstance(error, Forbidden | Unauthenticated):
        return
    user_id = operation.identity.user_id or EVERYONE
    uri, permission = operation.route.uri, "read" if operation.reads else "write"
    if operation.method == "POST":
        parent = operation.route.parent
        uri, permission = parent.uri if parent else "", f"{operation.kind.name}:create"
    with tolerate(log, "Unable to write the line of a refused operation"):
        _authorization.info(
            "Permission %r on %r not granted to %r.",
            permission,
            uri,
            user_id,
            extra={"userid": user_id, "uri": uri, "perm": permission},
        )


def _request_fields(environ: WSGIEnvironment) -> logs.Fields:
    """Return the fields of a request before it is answered; those of a path that is not UTF-8 are left out."""
    path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    if not path.isascii():
        try:
            path = path.encode("latin-1").decode()
        except UnicodeDecodeError:
            return {"errno": 0}
    if not query.isascii():
        query = query.encode("latin-1").decode("utf-8", "replace")
    return logs.request_fields(
        environ["REQUEST_METHOD"],
        path,
        query,
        REQUEST_ID.get() or "",
        environ.get("HTTP_USER_AGENT"),
        environ.get("HTTP_ACCEPT_LANGUAGE"),
    )


def _answer_with_details(
    application: WSGIApplication, environ: WSGIEnvironment, response: _StartResponse, additional: logs.Fields
) -> Iterable[bytes]:
    """Answer a request and add headers and bodies, without the secrets in them, to the log line (O-MON-26)."""
    raw = _raw_body(environ["wsgi.input"])
    body = application(environ, response)
    chunks = list(body)
    getattr(body, "close", lambda: None)()
    additional |= {
        "headers": redact_headers(dict(_request_headers(environ))),
        "body": _loggable_body(raw),
        "response": {"headers": redact_headers(dict(response.headers)), "body": _loggable_body(b"".join(chunks))},
    }
    return chunks


def _raw_body(stream: InputStream) -> bytes:
    """Return the body, empty if it did not arrive completely: the application reports that."""
    try:
        raw = stream.read()
    except ApiError:
        return b""
    if isinstance(stream, RequestBody):
        stream.rewind()
    return raw


def _request_headers(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            yield name.replace("_", "-").title(), environ[name]
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name.removeprefix("HTTP_").replace("_", "-").title(), value


def _loggable_body(raw: bytes) -> Json:
    """Return a body as a log line shows it; one that is not JSON is left out, because its secrets cannot be found."""
    if not raw:
        return ""
    try:
        # Not orjson, which refuses lone surrogates.
        return redact(json.loads(raw))
    except (ValueError, RecursionError):
        return f"{len(raw)} bytes that are not JSON"
