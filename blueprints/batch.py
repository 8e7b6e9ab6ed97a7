"""Serve `POST /batch`: many requests as one transaction (core contract, section 8)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Flask, Response, request

from app.errors import ApiError, Invalid, NotAllowed, Problem, Programmatic, Unauthenticated
from app.identity import ANONYMOUS, Credentials, Identity
from app.kinds import Route
from app.logs import log_members
from app.observations import HttpResponse, RequestHead
from app.operation import Answer, Operation, View
from app.service import Service
from app.transactions.perform import perform_authenticated
from backends import Json
from backends.codec import dumps
from blueprints.authentication import credentials_of
from blueprints.batch_body import LINE_BREAK, canonical_name, parse_members
from blueprints.batch_targets import Target, Targets
from blueprints.batch_views import is_json, request_view
from blueprints.cors import ALWAYS_EXPOSED, exposed_by_error, exposed_headers
from blueprints.exchanges import EXCHANGE, add_log_fields, endpoint_of, note_identity
from blueprints.http import to_response
from blueprints.negotiation import JSON_TYPE
from blueprints.replies import Reply, common_headers, error_reply, member_headers, to_reply
from blueprints.requests import BODY_METHODS, HttpRequest, parse_operation
from blueprints.urls import prefix

# RFC 9110, section 7.6.1, and the headers that describe the body of the batch.
_CONNECTION_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_BATCH_HEADERS = _CONNECTION_HEADERS | {"forwarded", "host", "origin", "x-real-ip", "x-request-id"}
"""Headers that a member cannot choose: they describe the sender and the route of the whole batch."""


@dataclass(frozen=True, slots=True)
class MemberHeaders:
    """The headers of a member, each with its name and value, by its name in lower case."""

    by_name: Mapping[str, tuple[str, str]]

    def get(self, name: str, default: Any = None, /) -> Any:
        """Return the value of a header; the case of its name does not matter."""
        return self.by_name.get(name.lower(), (name, default))[1]

    def items(self) -> Iterable[tuple[str, str]]:
        """Return the names and values of all headers."""
        return self.by_name.values()


@dataclass(slots=True)
class Member:
    """One request of a batch, and its reply as soon as there is one.

    `path` is decoded and has the version. `operation` is None for a member that is neither a list nor an object;
    `is_view` is true where a view answers it. `exposed` are the headers that scripts of other origins may read,
    `seconds` is the time spent on parsing the member and on making its reply.
    """

    path: str
    request: HttpRequest
    operation: Operation | None = None
    reply: Reply | None = None
    is_view: bool = False
    exposed: Sequence[str] = ALWAYS_EXPOSED
    seconds: float = 0.0

    @property
    def head(self) -> RequestHead:
        """Return the head of the request, as observations have it."""
        headers = self.request.headers
        agent, languages = headers.get("User-Agent"), headers.get("Accept-Language")
        return RequestHead(self.request.method, self.path, self.request.query, agent, languages)

    @property
    def identity(self) -> Identity:
        """Return the identity of the sender, anonymous unless a list or an object is asked for."""
        return self.operation.identity if self.operation else ANONYMOUS


class MemberFailed(Exception):
    """A view that is a member answered 5xx: its reply is that of the batch, which is rolled back (C-BATCH-15)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def batch(service: Service, app: Flask) -> Blueprint:
    """Make the blueprint of the batch endpoint; the views of *app* answer members other than lists and objects."""
    blueprint = Blueprint("batch", __name__, url_prefix=prefix(service))

    def post() -> Response:
        http_request = HttpRequest("POST", "/batch", "", request.headers, request.get_data(cache=False))
        values = parse_members(service, http_request)
        add_log_fields(batch_size=len(values))
        try:
            return to_response(Reply(200, _Batch(service, app).perform(values)))
        except MemberFailed as error:
            return to_response(error.reply)

    blueprint.add_url_rule("/batch", "batch", post, methods=["POST"], provide_automatic_options=False)
    return blueprint


class _Batch:
    """The members of one batch, from the values in its body to the JSON text of their responses."""

    def __init__(self, service: Service, app: Flask) -> None:
        self._service = service
        self._app = app
        self._targets = Targets(service, app)
        self._version = prefix(service)
        self._identities: dict[Credentials, Identity] = {}
        self._authorization = request.headers.get("Authorization")
        self._inherited_headers = {
            name.lower(): (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _CONNECTION_HEADERS
        }
        self._common_headers = {has_body: self._merge({}, has_body=has_body) for has_body in (True, False)}

    def perform(self, values: Sequence[Mapping[str, Json]]) -> str:
        """Perform the members in order as one transaction and return the body of the response.

        *values* are the requests in the body of the batch. Raises Invalid, MemberFailed.
        """
        targets = [self._targets.resolve(value["path"]) for value in values]
        if any(target.route is None and self._targets.is_batch(target.path) for target in targets):
            raise Invalid(Problem("body", "requests", "Recursive call on /batch endpoint is forbidden."))
        members = [self._parse(value, target) for value, target in zip(values, targets, strict=True)]
        _share_bytes(members)
        log_members((member.head, member.identity) for member in members)
        steps = [(member, step) for member in members if (step := self._step(member)) is not None]
        final_steps, answers = perform_authenticated(self._service, [step for _, step in steps])
        for (member, former), step in zip(steps, final_steps, strict=True):
            if isinstance(step, Operation) and step is not former:
                self._replace_operation(member, step)
        answer_of = {id(member): answer for (member, _), answer in zip(steps, answers, strict=True)}
        return f'{{"responses":[{",".join(self._json(member, answer_of.get(id(member))) for member in members)}]}}'

    def _replace_operation(self, member: Member, operation: Operation) -> None:
        """Keep an operation whose user changed meanwhile as it was performed, with another identity."""
        member.operation = operation
        if member.request.headers.get("Authorization") == self._authorization:
            note_identity(operation.identity)

    def _parse(self, value: Mapping[str, Json], target: Target) -> Member:
        """Parse one member into an operation, or into the reply that refuses it."""
        method = value.get("method") or "GET"
        headers = self._headers(value.get("headers", {}), has_body=method in BODY_METHODS)
        path = target.path[len(self._version) :]
        start = time.perf_counter()
        member = Member(target.path, HttpRequest(method, path, target.query, headers, json_body=value.get("body")))
        try:
            if target.refusal:
                raise target.refusal
            if target.route is not None and not self._is_refused_below_alias(method, target.route):
                member.exposed = exposed_headers(method, on_list=target.route.on_list)
                member.operation = self._operation(member.request, target.route)
            else:
                member.is_view = True
                # The view authenticates by itself, but may do so under a lock: compare the password before.
                with suppress(ApiError):
                    self._identity(credentials_of(self._service, member.request))
        except ApiError as error:
            if isinstance(error, Unauthenticated) and headers.get("Authorization"):
                # An earlier member may create the account: its alias leads nowhere before.
                member.is_view = True
            else:
                member.reply = error_reply(self._service, error)
                member.exposed = exposed_by_error(error, member.exposed)
        member.seconds = time.perf_counter() - start
        return member

    def _is_refused_below_alias(self, method: str, route: Route) -> bool:
        """Return whether the path of a member begins with an alias and lacks the method: see `use_alias`."""
        return self._service.aliases.begins(route) and method not in self._targets.methods(route)

    def _headers(self, own: Mapping[str, str], *, has_body: bool) -> MemberHeaders:
        """Return the headers of a member; those without headers of their *own* share them."""
        return self._merge(own, has_body=has_body) if own else self._common_headers[has_body]

    def _merge(self, own: Mapping[str, str], *, has_body: bool) -> MemberHeaders:
        """Return the headers of the batch, replaced by a member's *own* where it may choose."""
        # RFC 9112, section 5.2: a line break in a value counts as a space.
        headers = {canonical_name(name): LINE_BREAK.sub(" ", value).strip(" \t") for name, value in own.items()}
        if has_body:
            headers.setdefault("content-type", JSON_TYPE)
        return MemberHeaders(
            self._inherited_headers
            | {
                name: (name.title(), value)
                for name, value in headers.items()
                if name not in _BATCH_HEADERS and not name.startswith("x-forwarded-")
            }
        )

    def _operation(self, http_request: HttpRequest, route: Route) -> Operation:
        """Parse a member on a list or an object. Raises NotAllowed."""
        methods = self._targets.methods(route)
        if http_request.method not in methods:
            raise NotAllowed((*methods, "OPTIONS"))
        credentials = credentials_of(self._service, http_request)
        identity = self._identity(credentials)
        operation = parse_operation(self._service, http_request, route, identity)
        if self._service.identity_kinds:
            operation = replace(operation, credentials=credentials)
        return operation

    def _identity(self, credentials: Credentials) -> Identity:
        """Authenticate the sender of a member, once for all members with the same credentials."""
        if credentials not in self._identities:
            identity = self._identities[credentials] = self._service.authenticator.authenticate(credentials)
            if credentials.authorization == self._authorization:
                note_identity(identity)
        return self._identities[credentials]

    def _step(self, member: Member) -> Operation | View | None:
        """Return the step that performs a member, None if it is refused already."""
        if not member.is_view:
            return member.operation

        def answer_member() -> None:
            member.reply = request_view(self._service, self._app, member.path, member.request)
            if member.reply.status >= Programmatic.status:
                raise MemberFailed(member.reply)

        return View(answer_member, reads=member.request.method in ("GET", "HEAD"))

    def _json(self, member: Member, answer: Answer | None) -> str:
        """Return the JSON text of the response of a member (C-BATCH-13)."""
        start = time.perf_counter()
        reply = self._reply(member, answer)
        member.seconds += time.perf_counter() - start
        headers = reply.headers
        if not member.is_view:  # a view is measured, and gets its headers, as a request of its own
            if self._service.observers:
                self._service.observe(_describe_member(member, reply))
            origin = member.request.headers.get("Origin")
            headers = member_headers(reply, common_headers(self._service, origin, member.exposed))
        body = reply.body if reply.body and is_json(reply) and member.request.method != "HEAD" else '""'
        return f'{{"status":{reply.status},"path":{dumps(member.path)},"headers":{dumps(headers)},"body":{body}}}'

    def _reply(self, member: Member, answer: Answer | None) -> Reply:
        """Return the reply to a member."""
        if member.reply is not None:
            return member.reply
        assert member.operation is not None
        assert answer is not None, "every operation has an answer"
        return to_reply(self._service, member.operation, answer, member.request.query)


def _describe_member(member: Member, reply: Reply) -> HttpResponse:
    """Describe the response to a member; its seconds exclude statements, which belong to the batch."""
    endpoint, identity, seconds, exchange = None, member.identity, member.seconds, EXCHANGE.get()
    ids: Callable[[], Mapping[str, str]] = dict
    if member.operation:
        route = member.operation.route
        endpoint, ids = endpoint_of(route), route.matchdict
        decision = exchange.decisions.get(id(route)) if exchange else None
        if decision:
            # The identity may be another than before: an earlier member may have created the account.
            identity, seconds = decision.operation.identity, seconds + decision.seconds
    return HttpResponse(
        member.head, endpoint, reply.status, seconds, identity, {}, ids, size=lambda: len(reply.body.encode())
    )


def _share_bytes(members: Iterable[Member]) -> None:
    """Divide the size of the objects that one response may have among the lists that members read."""
    lists = [
        (member, operation, query)
        for member in members
        if (operation := member.operation) and operation.pages and (query := operation.query)
    ]
    for member, operation, query in lists:
        member.operation = replace(operation, query=replace(query, max_bytes=query.max_bytes // len(lists)))
