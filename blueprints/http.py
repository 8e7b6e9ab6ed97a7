"""Handle what all URLs have in common: refusals before routing, unknown paths, errors, headers of every response.

`register_hooks` registers this on a Flask application. Views return `to_response(Reply(...))` or raise an ApiError.
`g.exposed` has the headers that scripts of other origins may read (`blueprints/cors.py`), by default ALWAYS_EXPOSED.
"""

from __future__ import annotations

import logging
import string
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from app.authentication.logins import CALLER, Caller
from app.errors import (
    ApiError,
    ForeignError,
    Gone,
    NoSuchUrl,
    NoSuchVersion,
    NotAllowed,
    Programmatic,
    Unauthenticated,
)
from app.service import Service
from backends import BackendError
from backends.deadlines import set_deadline
from backends.tolerance import tolerate
from blueprints.aliases import use_alias
from blueprints.cors import ALWAYS_EXPOSED, exposed_by_error, preflight_headers
from blueprints.exchanges import add_log_fields, log_context
from blueprints.replies import Reply, caching_headers, common_headers, error_reply, has_ended, to_api_error
from blueprints.request_bodies import RequestBody
from blueprints.urls import ROOTED_PATH, expect_host, expect_utf8, is_unversioned, origin_of_urls, prefix, request_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: Final = logging.getLogger()
"""Kinto logs errors to the root logger, on which tools filter (operations contract, 5.5)."""

CALLER_KEY: Final = "kinto.caller"
"""The key in the WSGI environment of a member of a batch under which it finds the caller of the batch."""

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_CONTENT_POLICY: Final = "Content-Security-Policy"
_BODY_HEADERS: Final = ("content-type", "content-length")
_METHOD_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ApiResponse(Response):
    """A response whose headers are sent as they are, with `Content-Length`.

    Werkzeug would remove `Last-Modified` of a 304 (C-PRE-15), change case in `Location`, add a `Content-Type`, and for
    HEAD send the length 0 of a response that was made without the body of GET (RFC 9110, section 8.6).
    """

    default_mimetype = None

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers with the length of the body."""
        body = self.get_data()
        if self.status_code != HTTPStatus.NOT_MODIFIED and (body or environ["REQUEST_METHOD"] != "HEAD"):
            self.headers["Content-Length"] = str(len(body))
        return self.headers


def to_response(reply: Reply) -> Response:
    """Convert a reply to a Flask response, without the headers of every response: `after_request` adds these."""
    if reply.errno:
        add_log_fields(errno=reply.errno)
    response = ApiResponse([reply.body.encode()], reply.status, reply.headers.items())
    for challenge in reply.challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response


def stream(service: Service, parts: Iterator[str]) -> Response:
    """Return a JSON response whose parts are read from the storage while it is sent: each has a deadline of its own.

    The first part is read before the status is sent, so that an error of the storage is an error of the API. A later
    one ends the connection.
    """
    first, others = next(parts), _limit_each(parts, service.settings.storage_request_timeout)
    return Response(chain([first], others), content_type="application/json")


def _limit_each(parts: Iterator[str], seconds: float) -> Iterator[str]:
    while True:
        with set_deadline(seconds):
            part = next(parts, None)
        if part is None:
            return
        yield part


def is_batch_member() -> bool:
    """Return whether the request is a member of a batch, so that locks may be held."""
    return CALLER_KEY in request.environ


def register_hooks(app: Flask, service: Service) -> None:
    """Register the hooks and error handlers that apply to every URL of the application."""
    hooks = _Hooks(service)
    # Flask's own line comes before `answer_http_error` logs the same error, and fails where a log handler does.
    app.log_exception = lambda exc_info: None  # type: ignore[method-assign]  # noqa: ARG005  # Flask documents this override
    # Flask would ask at each request whether the view and each hook is a coroutine function; none is.
    app.ensure_sync = lambda func: func  # type: ignore[method-assign]  # Flask documents this override
    app.before_request(hooks.before_request)
    app.after_request(hooks.after_request)
    app.register_error_handler(ApiError, hooks.answer_api_error)
    app.register_error_handler(BackendError, hooks.answer_backend_error)
    app.register_error_handler(HTTPException, hooks.answer_http_error)
    app.register_error_handler(Exception, hooks.answer_unexpected_error)


class _Hooks:
    """The functions that Flask calls before each view, after each view and for each error."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._version = prefix(service)

    def before_request(self) -> Response | None:
        """Refuse requests that no view may get, and answer OPTIONS."""
        settings, environ = self._service.settings, request.environ
        CALLER.set(environ.get(CALLER_KEY) or Caller(request.remote_addr or ""))
        if settings.eos is not None and has_ended(settings):
            raise Gone
        if settings.readonly and request.method not in _SAFE_METHODS:
            raise NotAllowed
        path = environ.get("PATH_INFO", "")
        expect_host(environ)
        expect_utf8(path.encode("latin-1"), request.query_string)
        if not ROOTED_PATH.match(path or "/"):
            request.url_rule, request.routing_exception = None, NotFound()
        if request.method == "OPTIONS":
            return self._answer_options()
        if request.routing_exception is None:
            body = environ["wsgi.input"]
            if isinstance(body, RequestBody):
                body.load()  # completely: no view acts on a request that did not arrive as a whole
        elif request_path().startswith(f"{self._version}/"):
            lacks_method = isinstance(request.routing_exception, MethodNotAllowed)
            inner = request_path()[len(self._version) :]
            use_alias(self._service, inner, request.method, lacks_method=lacks_method)
        return None

    def _answer_options(self) -> Response:
        """Answer OPTIONS without authentication and without looking up the object (core contract, 9.3)."""
        try:
            methods = request.url_rule.methods if request.url_rule else None
            if methods is None:
                assert request.routing_exception is not None, "without a URL rule there is a routing exception"
                raise request.routing_exception
        except MethodNotAllowed as error:
            methods = set(error.valid_methods or ())
        except HTTPException:
            return Response("", 200) if is_unversioned(request_path()) else self._answer_unknown_path()
        g.exposed = ()
        headers = preflight_headers(
            self._service.settings,
            _in_order(methods),
            request.headers.get("Origin"),
            request.headers.get("Access-Control-Request-Method"),
            request.headers.get("Access-Control-Request-Headers"),
        )
        return Response("null", 200, {**headers, "Content-Type": "application/json"})

    def after_request(self, response: Response) -> Response:
        """Add the headers of every response."""
        headers = common_headers(self._service, request.headers.get("Origin"), g.get("exposed", ALWAYS_EXPOSED))
        if _CONTENT_POLICY in response.headers:  # a page of a plugin has one of its own
            del headers[_CONTENT_POLICY]
        response.headers.update(headers.items())  # as pairs: Werkzeug asks each value of a mapping for its type
        return response

    def answer_api_error(self, error: ApiError) -> Response:
        """Return the response to an error that clients may see."""
        g.exposed = exposed_by_error(error, g.get("exposed", ALWAYS_EXPOSED))
        return to_response(error_reply(self._service, error))

    def answer_backend_error(self, error: BackendError) -> Response:
        """Log the failure of a backend and return the response to it."""
        api_error = to_api_error(error)
        log_error(logging.CRITICAL, error, api_error.errno)
        return self.answer_api_error(api_error)

    def answer_unexpected_error(self, error: Exception) -> Response:
        """Log an error of the service itself and return the response to it."""
        log_error(logging.ERROR, error, Programmatic.errno)
        return self.answer_api_error(Programmatic())

    def answer_http_error(self, error: HTTPException) -> Response:
        """Return the response to an HTTP error of routing or of a view: its status, in the format of all errors."""
        if error.response is not None:
            return cast(Response, error.get_response())
        # A view that raises NotFound is an endpoint, except for the bare prefix.
        if isinstance(error, NotFound) and (request.url_rule is None or request.path == self._version):
            return self._answer_unknown_path()
        if isinstance(error, MethodNotAllowed):
            return self.answer_api_error(NotAllowed(_in_order(error.valid_methods or ())))
        foreign = ForeignError(error.code or Programmatic.status, error.name, error.description)
        if foreign.status >= Programmatic.status:
            log_error(logging.ERROR, getattr(error, "original_exception", None) or error, foreign.errno)
        response = self.answer_api_error(foreign)
        for name, value in error.get_headers():
            if name.lower() not in _BODY_HEADERS:
                response.headers.add(name, value)
        if foreign.status == Unauthenticated.status and "WWW-Authenticate" not in response.headers:
            for challenge in self._service.authenticator.challenges():
                response.headers.add("WWW-Authenticate", challenge)
        return response

    def _answer_unknown_path(self) -> Response:
        """Return the response to a path without an endpoint: a redirect or a 404 (core contract, 1.2 to 1.4)."""
        settings, version = self._service.settings, self._version
        path, query = request_path(), request.query_string.decode()
        if path == version or (path.startswith(f"{version}/") and path.endswith("/")):
            target = f"{version}/" if path.rstrip("/") == version else path.rstrip("/")
            if settings.trailing_slash_redirect_enabled:
                return self._redirect(target, query, settings.trailing_slash_redirect_ttl_seconds)
        if path.startswith(version):
            return self.answer_api_error(NoSuchUrl())
        if not is_unversioned(path) or not settings.version_prefix_redirect_enabled or {"\r", "\n"} & set(path):
            return self.answer_api_error(NoSuchVersion())
        versioned_path = f"{version}/{path.removeprefix('/')}"
        return self._redirect(versioned_path, query, settings.version_prefix_redirect_ttl_seconds)

    def _redirect(self, path: str, query: str, ttl_seconds: int) -> Response:
        location = origin_of_urls(self._service) + quote(path, safe="/:@!$&'()*+,;=~")
        if query:
            location += f"?{quote(query, safe=string.punctuation)}"
        headers = {"Location": location, "Content-Type": "text/plain; charset=UTF-8"}
        if ttl_seconds >= 0:
            headers |= caching_headers(ttl_seconds)
        return to_response(Reply(307, headers=headers))


def _in_order(methods: Iterable[str]) -> tuple[str, ...]:
    """Return the methods of an endpoint and OPTIONS, in the order in which headers list them."""
    names = {*methods, "OPTIONS"}
    return tuple(name for name in _METHOD_ORDER if name in names)


def log_error(level: int, error: Exception, errno: int) -> None:
    """Log why a request failed. The response is the same if a log handler fails too."""
    with tolerate(log, "Unable to log an error"):
        log.log(level, "%s", error, exc_info=error, extra=log_context() | {"errno": errno})
