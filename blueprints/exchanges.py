"""Observe every exchange, a request and its response: one HttpResponse of it is measured and logged.

`Exchanges` wraps the application. Views and plugins add fields to the log line of their request by `add_log_fields`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from flask import Request, request
from werkzeug.datastructures import EnvironHeaders

from app import logs
from app.identity import ANONYMOUS, Identity
from app.kinds import Route
from app.observations import Decision, HttpResponse, Observation, RequestHead
from app.service import Service
from backends import Json
from backends.logs import REQUEST_ID
from backends.logs.records import STANDARD
from backends.tolerance import tolerate
from blueprints.request_bodies import RequestBody
from blueprints.urls import prefix, rule_name

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: Final = logging.getLogger("kinto.logs")

_REDIRECT: Final = 307
_NOT_ALLOWED: Final = 405


@dataclass(slots=True)
class Exchange:
    """A request that is being answered: its head, and what becomes known of it until its HttpResponse is made.

    As a context it is the exchange of this thread. `start` is from `time.perf_counter`. `fields` are additional fields
    of the log line, `decisions` are those on operations by the `id()` of their routes.
    """

    head: RequestHead
    identity: Identity = ANONYMOUS
    fields: logs.Fields = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)
    _token: Token[Exchange | None] | None = None

    def __enter__(self) -> Exchange:
        self._token = EXCHANGE.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None, "the context was entered"
        EXCHANGE.reset(self._token)


EXCHANGE: Final[ContextVar[Exchange | None]] = ContextVar("exchange", default=None)
"""The exchange of the request that this thread answers; None if nothing observes it."""


class Exchanges:
    """A WSGI application that wraps another, and observes each request once it is answered, whatever happens inside.

    A client that sends `X-Request-Id` gets it back. An id that is generated here is in the log lines only, because
    responses have no headers beyond those of the contract.
    """

    def __init__(self, application: WSGIApplication, service: Service) -> None:
        self._application = application
        self._service = service

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        client_id, is_logged = environ.get("HTTP_X_REQUEST_ID"), logs.REQUESTS.isEnabledFor(logging.INFO)
        is_observed = is_logged or self._service.observers
        if not (client_id or is_observed):
            return self._application(environ, start_response)
        request_id = logs.make_request_id(client_id) if client_id or is_logged else None
        response = _StartResponse(environ, start_response, request_id if client_id else None)
        token = REQUEST_ID.set(request_id)
        try:
            return self._observe(environ, response) if is_observed else self._application(environ, response)
        finally:
            REQUEST_ID.reset(token)

    def _observe(self, environ: WSGIEnvironment, response: _StartResponse) -> Iterable[bytes]:
        with Exchange(head_of(environ)) as exchange:
            body = self._answer(environ, response, exchange)
        with tolerate(log, "Unable to observe a request"):
            size = partial(_content_length, response.headers)
            observation = describe(self._service, exchange, response.request, response.status, size)
            self._service.observe(observation)
            logs.log_response(observation)
        return body

    def _answer(self, environ: WSGIEnvironment, response: _StartResponse, exchange: Exchange) -> Iterable[bytes]:
        """Answer a request; at DEBUG its log line gets headers and bodies too (O-MON-26)."""
        if logs.REQUESTS.level != logging.DEBUG:
            return self._application(environ, response)
        stream = environ["wsgi.input"]
        raw = stream.peek() if isinstance(stream, RequestBody) else b""
        body = self._application(environ, response)
        chunks = list(body)
        getattr(body, "close", lambda: None)()
        exchange.fields |= logs.detail_fields(EnvironHeaders(environ), raw, response.headers, b"".join(chunks))
        return chunks


class _StartResponse:
    """The `start_response` of a request: adds the id that the client sent, and keeps the request, status and headers.

    Flask's request is None if Flask did not answer. The environment has it only until the application returns.
    """

    __slots__ = ("_environ", "_request_id", "_start_response", "headers", "request", "status")

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, request_id: str | None) -> None:
        self._environ = environ
        self._start_response = start_response
        self._request_id = request_id
        self.request: Request | None = None
        self.status = 0
        self.headers: Sequence[tuple[str, str]] = ()

    def __call__(self, status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
        self.request = self._environ.get("werkzeug.request")
        self.status = int(status[:3])
        self.headers = headers
        if self._request_id:
            headers = [*headers, ("X-Request-Id", self._request_id)]
        return self._start_response(status, headers, *failure)


def _content_length(headers: Iterable[tuple[str, str]]) -> int:
    return int(next((value for name, value in headers if name == "Content-Length"), 0))


def head_of(environ: WSGIEnvironment) -> RequestHead:
    """Return the head of the request in a WSGI environment."""
    path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    if not path.isascii():
        try:
            path = path.encode("latin-1").decode()
        except UnicodeError:
            path = None
    if not query.isascii():
        query = query.encode("latin-1", "replace").decode("utf-8", "replace")
    agent, languages = environ.get("HTTP_USER_AGENT"), environ.get("HTTP_ACCEPT_LANGUAGE")
    return RequestHead(environ["REQUEST_METHOD"], path, query, agent, languages)


def describe(
    service: Service, exchange: Exchange, http_request: Request | None, status: int, size: Callable[[], int]
) -> HttpResponse:
    """Describe the response to a request; *http_request* is None if Flask did not answer."""
    seconds = time.perf_counter() - exchange.start
    head, endpoint = exchange.head, None
    if head.method == "OPTIONS" or status == _NOT_ALLOWED:
        route = _match_path(service, head)
        endpoint = endpoint_of(route) if route else None
    elif http_request is not None and http_request.url_rule is not None and status != _REDIRECT:
        endpoint = http_request.url_rule.endpoint
    ids = partial(_ids_in_path, service, head)
    return HttpResponse(head, endpoint, status, seconds, exchange.identity, exchange.fields, ids, size)


def _match_path(service: Service, head: RequestHead) -> Route | None:
    version, _, path = (head.path or "").removeprefix("/").partition("/")
    return service.kinds.match(f"/{path}") if f"/{version}" == prefix(service) else None


def _ids_in_path(service: Service, head: RequestHead) -> Mapping[str, str]:
    route = _match_path(service, head)
    return route.matchdict() if route else {}


def endpoint_of(route: Route) -> str:
    """Return the endpoint of a list or an object: `resources.record-object`."""
    return f"resources.{rule_name(route.kind, on_list=route.on_list)}"


def add_log_fields(**fields: Json) -> None:
    """Add fields to the log line of this request, as Kinto's `request.log_context` does."""
    exchange = EXCHANGE.get()
    if exchange is not None:
        # A field with the name of an attribute of every log record would replace that attribute.
        exchange.fields.update({name if name not in STANDARD else f"{name}_": value for name, value in fields.items()})


def note_identity(identity: Identity) -> None:
    """Keep the identity of the sender for the observation of this request."""
    exchange = EXCHANGE.get()
    if exchange is not None:
        exchange.identity = identity


def note_decision(observation: Observation) -> None:
    """Keep a decision for the observation of the member of a batch that it is about."""
    exchange = EXCHANGE.get()
    if exchange is not None and isinstance(observation, Decision):
        # The operation may be replaced, its route is not; no two members of a batch share a route object.
        exchange.decisions[id(observation.operation.route)] = observation


def log_context() -> logs.Fields:
    """Return the fields of this request so far, for log lines about its errors."""
    exchange = EXCHANGE.get() or Exchange(head_of(request.environ))
    return logs.request_fields(exchange.head, exchange.identity) | exchange.fields
