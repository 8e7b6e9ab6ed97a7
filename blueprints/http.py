"""What all URLs have in common: what is refused before routing, what unknown paths answer, how answers leave.

`exchange` puts it on a Flask application. Views give a Reply to `sent`, or raise an ApiError.
"""

from __future__ import annotations

import logging
import re
import string
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote, unquote_to_bytes

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from app import hosts
from app.errors import (
    ApiError,
    ForeignError,
    Gone,
    Malformed,
    NoSuchUrl,
    NoSuchVersion,
    NotAllowed,
    Programmatic,
    Unauthenticated,
)
from app.logins import CALLER, Caller
from app.service import Service
from backends import BackendError
from backends.tolerance import tolerate
from blueprints.cors import ALWAYS_EXPOSED, preflight
from blueprints.replies import Reply, caching, ended, failure, fixed, refusal
from blueprints.request_bodies import RequestBody
from blueprints.request_lines import context, note

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: Final = logging.getLogger()
"""Kinto tells of what goes wrong in the root logger; tools filter on it (operations contract, 5.5)."""

INSIDE: Final = "kinto.caller"
"""Where the member of a batch finds the caller of the batch."""

_SAFE: Final = ("GET", "HEAD", "OPTIONS")


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


def prefix(service: Service) -> str:
    """Return what every URL begins with: `/v1` (C-URL-1)."""
    return f"/v{service.settings.http_api_version.split('.')[0]}"


def origin_of_urls(service: Service) -> str:
    """Return scheme and host of the URLs that the service writes (C-URL-26, C-URL-27)."""
    settings = service.settings
    return hosts.origin(settings.http_scheme or request.scheme, settings.http_host or _host_of(request.environ))


def _host_of(environ: WSGIEnvironment) -> str:
    """Return the host that the client named, else the name of the server (PEP 3333). Raises ValueError."""
    named: str | None = environ.get("HTTP_HOST")
    # Proxies pass on a header that HTTP/1.0 lacks as an empty one; in HTTP/1.1 an empty one is an error.
    if named or (named is not None and environ.get("SERVER_PROTOCOL") != "HTTP/1.0"):
        return named
    name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
    server = f"[{name}]:{port}" if ":" in name and name[0] != "[" else f"{name}:{port}"
    try:
        hosts.split(server)
    except ValueError:
        # A server that listens at a Unix socket has no name that could stand in a URL.
        return "localhost"
    return server


def sent(reply: Reply) -> Response:
    """Return the response that a reply is; the headers of every answer are added when it leaves."""
    g.exposed = reply.exposed
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
    settings, version = service.settings, prefix(service)

    def before() -> Response | None:
        CALLER.set(request.environ.get(INSIDE) or Caller(request.remote_addr or ""))
        if ended(settings):
            raise Gone
        if settings.readonly and request.method not in _SAFE:
            raise NotAllowed
        _expect_host()
        expect_utf8(request.environ.get("PATH_INFO", "").encode("latin-1"), request.query_string)
        if not _ROOTED.match(request.environ.get("PATH_INFO") or "/"):
            # Werkzeug routes `//v1/` as `/v1/`, which no rule of a proxy for `/v1/` expects.
            request.url_rule, request.routing_exception = None, NotFound()
        if request.method == "OPTIONS":
            return options()
        if request.routing_exception is None:
            _expect_whole_body()
        return None

    def options() -> Response:
        """Answer OPTIONS without asking who it is, or whether the object is there (core contract, 9.3)."""
        try:
            methods = request.url_rule.methods if request.url_rule else None
            if methods is None:
                assert request.routing_exception is not None, "no rule is the reason for an exception"
                raise request.routing_exception
        except MethodNotAllowed as error:
            methods = set(error.valid_methods or ())
        except HTTPException:
            return Response("", 200) if unversioned(_path()) else unknown()
        offered = [name for name in _ORDER if name in methods or name == "OPTIONS"]
        asked = request.headers.get
        g.exposed = ()
        headers = preflight(
            settings,
            offered,
            asked("Origin"),
            asked("Access-Control-Request-Method"),
            asked("Access-Control-Request-Headers"),
        )
        return Response("null", 200, {**headers, "Content-Type": "application/json"})

    def after(response: Response) -> Response:
        headers = fixed(service, request.headers.get("Origin"), g.get("exposed", ALWAYS_EXPOSED))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def refused(error: ApiError) -> Response:
        reply = refusal(service, error)
        reply.exposed = g.get("exposed", reply.exposed)
        return sent(reply)

    def unknown() -> Response:
        """Answer a path that no endpoint has: a redirect or a 404 (core contract, 1.2 to 1.4)."""
        path, query = _path(), request.query_string.decode()
        if path == version or (path.startswith(f"{version}/") and path.endswith("/")):
            target = f"{version}/" if path.rstrip("/") == version else path.rstrip("/")
            if settings.trailing_slash_redirect_enabled:
                return redirect(target, query, settings.trailing_slash_redirect_ttl_seconds)
        if path.startswith(version):
            return refused(NoSuchUrl())
        if not unversioned(path) or not settings.version_prefix_redirect_enabled or {"\r", "\n"} & set(path):
            return refused(NoSuchVersion())
        return redirect(f"{version}/{path.removeprefix('/')}", query, settings.version_prefix_redirect_ttl_seconds)

    def redirect(path: str, query: str, ttl_seconds: int) -> Response:
        location = origin_of_urls(service) + quote(path, safe="/:@!$&'()*+,;=~")
        if query:
            location += f"?{quote(query, safe=string.punctuation)}"
        headers = {"Location": location, "Content-Type": "text/plain; charset=UTF-8"}
        if ttl_seconds >= 0:
            headers |= caching(ttl_seconds)
        return Answered("", 307, headers)

    def http_error(error: HTTPException) -> Response:
        """Answer an HTTP error of routing or of a view: with the status that it has, in the format of all errors."""
        if error.response is not None:
            return cast(Response, error.get_response())
        # A view that answers 404 is an endpoint, but for the bare prefix.
        if isinstance(error, NotFound) and (request.url_rule is None or request.path == version):
            return unknown()
        if isinstance(error, MethodNotAllowed):
            return not_allowed(error)
        foreign = ForeignError(error.code or Programmatic.status, error.name, error.description)
        if foreign.status >= Programmatic.status:
            log_error(logging.ERROR, getattr(error, "original_exception", None) or error, foreign.errno)
        response = refused(foreign)
        for name, value in error.get_headers():
            if name.lower() not in _OF_BODIES:
                response.headers.add(name, value)
        if foreign.status == Unauthenticated.status and "WWW-Authenticate" not in response.headers:
            for challenge in service.challenges():
                response.headers.add("WWW-Authenticate", challenge)
        return response

    def not_allowed(error: MethodNotAllowed) -> Response:
        methods = set(error.valid_methods or ()) | {"OPTIONS"}
        return refused(NotAllowed(tuple(name for name in _ORDER if name in methods)))

    def failed(error: BackendError) -> Response:
        told = failure(error)
        log_error(logging.CRITICAL, error, told.errno)
        return refused(told)

    def crashed(error: Exception) -> Response:
        log_error(logging.ERROR, error, Programmatic.errno)
        return refused(Programmatic())

    # Flask's own line comes before `http_error` logs the same error, and fails where a log handler does.
    app.log_exception = lambda exc_info: None  # type: ignore[method-assign]  # Flask documents it as overridable
    app.before_request(before)
    app.after_request(after)
    app.register_error_handler(ApiError, refused)
    app.register_error_handler(BackendError, failed)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, crashed)


def log_error(level: int, error: Exception, errno: int) -> None:
    """Log why a request failed. A log handler that fails too changes no answer."""
    with tolerate(log, "Unable to log an error"):
        log.log(level, "%s", error, exc_info=error, extra=context() | {"errno": errno})


_OF_BODIES: Final = ("content-type", "content-length")
_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _path() -> str:
    """Return the path that was sent, which Werkzeug's `request.path` gives exactly one slash in front."""
    path: str = request.environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode()


# One slash begins a path.
_ROOTED: Final = re.compile(r"/(?!/)")


def unversioned(path: str) -> bool:
    """Say whether a path has no version: it does not begin with `/v` and a digit (C-URL-10)."""
    return not (path.startswith("/v") and path[2:3].isdigit())


def expect_path(path: str) -> None:
    """Raise Malformed for a path that no database could look for.

    U+FFFD is what some servers, Werkzeug's own among them, put in the place of what was not UTF-8.
    """
    if "\0" in path or "\ufffd" in path:
        raise Malformed("Invalid URL path.")


def _expect_whole_body() -> None:
    """Read the body, so that no view acts on a request that did not arrive whole."""
    body = request.environ["wsgi.input"]
    if isinstance(body, RequestBody):
        body.load()


def _expect_host() -> None:
    """Raise Malformed for a `Host` that cannot stand in a URL (RFC 9112, section 3.2)."""
    try:
        hosts.split(_host_of(request.environ))
    except ValueError as error:
        raise Malformed("Invalid Host header.") from error


def expect_utf8(path: bytes, query: bytes) -> None:
    """Raise Malformed unless path and query are UTF-8, the path without U+0000 (C-URL-24, C-URL-25)."""
    try:
        expect_path(path.decode())
    except UnicodeDecodeError as error:
        raise Malformed("Invalid URL path.") from error
    if b"%" not in query and query.isascii():
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        shown = query.decode("ascii", "replace")
        raise Malformed(f"A request with an incorrect encoding in the querystring was received: {shown}") from error
