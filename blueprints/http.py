"""What all URLs have in common: what is refused before routing, what unknown paths answer, how answers leave.

`exchange` puts it on a Flask application. Views give a Reply to `sent`, or raise an ApiError. Scripts of other origins
may read the headers that the view left in `g.exposed`, by default those that are always exposed.
"""

from __future__ import annotations

import logging
import string
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
from backends.tolerance import tolerate
from blueprints.cors import ALWAYS_EXPOSED, preflight
from blueprints.replies import Reply, caching, ended, failure, fixed, refusal
from blueprints.request_bodies import RequestBody
from blueprints.request_lines import context, note
from blueprints.urls import ROOTED, expect_host, expect_utf8, origin_of_urls, prefix, sent_path, unversioned

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: Final = logging.getLogger()
"""Kinto tells of what goes wrong in the root logger; tools filter on it (operations contract, 5.5)."""

INSIDE: Final = "kinto.caller"
"""Where the member of a batch finds the caller of the batch."""

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_OF_BODIES: Final = ("content-type", "content-length")
_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Answered(Response):
    """A response that keeps headers which Werkzeug changes: `Last-Modified` of a 304 (C-PRE-15), case in `Location`.

    An answer to HEAD that was made without the body of GET has no `Content-Length` (RFC 9110, section 8.6): Werkzeug
    would say 0.
    """

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers that leave."""
        headers = super().get_wsgi_headers(environ)
        if self.status_code == 304 and "Last-Modified" in self.headers:
            headers["Last-Modified"] = self.headers["Last-Modified"]
        if environ["REQUEST_METHOD"] == "HEAD" and headers.get("Content-Length") == "0":
            del headers["Content-Length"]
        if "Location" in self.headers:
            headers["Location"] = self.headers["Location"]
        return headers


def sent(reply: Reply) -> Response:
    """Return the response that a reply is; the headers of every answer are added when it leaves."""
    if reply.errno:
        note(errno=reply.errno)
    response = Answered(reply.body, reply.status)
    response.headers.clear()
    response.headers.update(reply.headers)
    for challenge in reply.challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response


def exchange(app: Flask, service: Service) -> None:
    """Make the application refuse, redirect and answer as every URL does."""
    steps = _Exchange(service)
    # Flask's own line comes before `_http_error` logs the same error, and fails where a log handler does.
    app.log_exception = lambda exc_info: None  # type: ignore[method-assign]  # Flask documents it as overridable
    app.before_request(steps.before)
    app.after_request(steps.after)
    app.register_error_handler(ApiError, steps.refuse)
    app.register_error_handler(BackendError, steps.fail)
    app.register_error_handler(HTTPException, steps.answer_http_error)
    app.register_error_handler(Exception, steps.crash)


class _Exchange:
    """What happens to every request before its view, to every answer after it, and to every error."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._version = prefix(service)

    def before(self) -> Response | None:
        """Refuse what no view may get; answer OPTIONS."""
        settings = self._service.settings
        CALLER.set(request.environ.get(INSIDE) or Caller(request.remote_addr or ""))
        if settings.eos is not None and ended(settings):
            raise Gone
        if settings.readonly and request.method not in _SAFE:
            raise NotAllowed
        expect_host()
        expect_utf8(request.environ.get("PATH_INFO", "").encode("latin-1"), request.query_string)
        if not ROOTED.match(request.environ.get("PATH_INFO") or "/"):
            request.url_rule, request.routing_exception = None, NotFound()
        if request.method == "OPTIONS":
            return self._options()
        if request.routing_exception is None:
            _expect_whole_body()
        return None

    def _options(self) -> Response:
        """Answer OPTIONS without asking who it is, or whether the object is there (core contract, 9.3)."""
        try:
            methods = request.url_rule.methods if request.url_rule else None
            if methods is None:
                assert request.routing_exception is not None, "no rule is the reason for an exception"
                raise request.routing_exception
        except MethodNotAllowed as error:
            methods = set(error.valid_methods or ())
        except HTTPException:
            return Response("", 200) if unversioned(sent_path()) else self._unknown()
        offered = [name for name in _ORDER if name in methods or name == "OPTIONS"]
        g.exposed = ()
        headers = preflight(
            self._service.settings,
            offered,
            request.headers.get("Origin"),
            request.headers.get("Access-Control-Request-Method"),
            request.headers.get("Access-Control-Request-Headers"),
        )
        return Response("null", 200, {**headers, "Content-Type": "application/json"})

    def after(self, response: Response) -> Response:
        """Add the headers of every answer."""
        headers = fixed(self._service, request.headers.get("Origin"), g.get("exposed", ALWAYS_EXPOSED))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def refuse(self, error: ApiError) -> Response:
        """Answer an error that clients may see."""
        if isinstance(error, NotAllowed) and error.allow:
            g.exposed = ()
        return sent(refusal(self._service, error))

    def fail(self, error: BackendError) -> Response:
        """Answer the failure of a backend, and log it."""
        answer = failure(error)
        log_error(logging.CRITICAL, error, answer.errno)
        return self.refuse(answer)

    def crash(self, error: Exception) -> Response:
        """Answer an error of the service itself, and log it."""
        log_error(logging.ERROR, error, Programmatic.errno)
        return self.refuse(Programmatic())

    def answer_http_error(self, error: HTTPException) -> Response:
        """Answer an HTTP error of routing or of a view: with the status that it has, in the format of all errors."""
        if error.response is not None:
            return cast(Response, error.get_response())
        # A view that answers 404 is an endpoint, but for the bare prefix.
        if isinstance(error, NotFound) and (request.url_rule is None or request.path == self._version):
            return self._unknown()
        if isinstance(error, MethodNotAllowed):
            methods = set(error.valid_methods or ()) | {"OPTIONS"}
            return self.refuse(NotAllowed(tuple(name for name in _ORDER if name in methods)))
        foreign = ForeignError(error.code or Programmatic.status, error.name, error.description)
        if foreign.status >= Programmatic.status:
            log_error(logging.ERROR, getattr(error, "original_exception", None) or error, foreign.errno)
        response = self.refuse(foreign)
        for name, value in error.get_headers():
            if name.lower() not in _OF_BODIES:
                response.headers.add(name, value)
        if foreign.status == Unauthenticated.status and "WWW-Authenticate" not in response.headers:
            for challenge in self._service.challenges():
                response.headers.add("WWW-Authenticate", challenge)
        return response

    def _unknown(self) -> Response:
        """Answer a path that no endpoint has: a redirect or a 404 (core contract, 1.2 to 1.4)."""
        settings, version = self._service.settings, self._version
        path, query = sent_path(), request.query_string.decode()
        if path == version or (path.startswith(f"{version}/") and path.endswith("/")):
            target = f"{version}/" if path.rstrip("/") == version else path.rstrip("/")
            if settings.trailing_slash_redirect_enabled:
                return self._redirect(target, query, settings.trailing_slash_redirect_ttl_seconds)
        if path.startswith(version):
            return self.refuse(NoSuchUrl())
        if not unversioned(path) or not settings.version_prefix_redirect_enabled or {"\r", "\n"} & set(path):
            return self.refuse(NoSuchVersion())
        versioned = f"{version}/{path.removeprefix('/')}"
        return self._redirect(versioned, query, settings.version_prefix_redirect_ttl_seconds)

    def _redirect(self, path: str, query: str, ttl_seconds: int) -> Response:
        location = origin_of_urls(self._service) + quote(path, safe="/:@!$&'()*+,;=~")
        if query:
            location += f"?{quote(query, safe=string.punctuation)}"
        headers = {"Location": location, "Content-Type": "text/plain; charset=UTF-8"}
        if ttl_seconds >= 0:
            headers |= caching(ttl_seconds)
        return Answered("", 307, headers)


def log_error(level: int, error: Exception, errno: int) -> None:
    """Log why a request failed. A log handler that fails too changes no answer."""
    with tolerate(log, "Unable to log an error"):
        log.log(level, "%s", error, exc_info=error, extra=context() | {"errno": errno})


def _expect_whole_body() -> None:
    """Read the body, so that no view acts on a request that did not arrive whole."""
    body = request.environ["wsgi.input"]
    if isinstance(body, RequestBody):
        body.load()
