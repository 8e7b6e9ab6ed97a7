"""`POST /batch`: many requests as one transaction (core contract, section 8)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from blinker import Namespace
from flask import Blueprint, Flask, Response, request
from werkzeug.datastructures import Headers as AnyCase

from app.errors import ApiError, Invalid, NotAllowed, Problem, Programmatic
from app.identity import Identity
from app.kinds import Route
from app.operation import Operation, View
from app.service import Service
from app.transactions.perform import Answer, perform_authenticated
from backends import Json
from backends.codec import dumps
from blueprints.batch_body import LINE_BREAK, canonical_name, read_members
from blueprints.batch_targets import Target, Targets
from blueprints.batch_views import ask_view, is_json
from blueprints.cors import ALWAYS_EXPOSED, exposed_headers
from blueprints.http import to_response
from blueprints.negotiation import JSON_TYPE
from blueprints.replies import Reply, common_headers, error_reply, member_headers, to_reply
from blueprints.request_lines import add_log_fields, add_log_identity, log_members
from blueprints.requests import WITH_BODY, HttpRequest, parse_operation
from blueprints.urls import prefix

MEMBER_ANSWERED: Final = Namespace().signal("member-answered")
"""Sent by the application for each member that is no request of its own, with `entry` and `reply`."""

# RFC 9110, section 7.6.1, and what describes the body of the batch.
_OF_THE_CONNECTION = frozenset(
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
_OF_THE_BATCH = _OF_THE_CONNECTION | {"forwarded", "host", "origin", "x-real-ip", "x-request-id"}
"""What a member cannot choose: who sent the batch, and by what way, is said by the batch."""


@dataclass(slots=True)
class Entry:
    """One request of a batch: what was asked, and its answer as soon as there is one.

    `operation` is None for what is no list and no object; `is_view` says that a view answers it.
    `exposed` are the headers that scripts of other origins may read, `seconds` what reading and answering it took.
    """

    path: str
    asked: HttpRequest
    operation: Operation | None = None
    reply: Reply | None = None
    is_view: bool = False
    exposed: Sequence[str] = ALWAYS_EXPOSED
    seconds: float = 0.0

    @property
    def identity(self) -> Identity | None:
        """Return who asks, where that was found out."""
        return self.operation.identity if self.operation else None


class MemberFailed(Exception):
    """A view that is a member answered with 5xx: its answer is that of the batch, and nothing is kept (C-BATCH-15)."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def batch(service: Service, app: Flask) -> Blueprint:
    """Make the blueprint of the batch endpoint; *app* answers members that are no lists and no objects."""
    blueprint = Blueprint("batch", __name__, url_prefix=prefix(service))

    def run() -> Response:
        members = read_members(
            service, HttpRequest("POST", "/batch", "", request.headers, request.get_data(cache=False))
        )
        add_log_fields(batch_size=len(members))
        try:
            return to_response(Reply(200, Entries(service, app).answer(members)))
        except MemberFailed as error:
            return to_response(error.reply)

    blueprint.add_url_rule("/batch", "batch", run, methods=["POST"], provide_automatic_options=False)
    return blueprint


class Entries:
    """The members of one batch, from what was asked to the text of their answers."""

    def __init__(self, service: Service, app: Flask) -> None:
        self._service = service
        self._app = app
        self._targets = Targets(service, app)
        self._version = prefix(service)
        self._identities: dict[str | None, Identity] = {}
        self._inherited = AnyCase(
            (name, value) for name, value in request.headers.items() if name.lower() not in _OF_THE_CONNECTION
        )

    def answer(self, members: Sequence[Mapping[str, Json]]) -> str:
        """Perform all members in order as one transaction and return the body of the batch. Raises MemberFailed."""
        targets = [self._targets.resolve(member["path"]) for member in members]
        if any(self._targets.is_batch(target.path) for target in targets):
            raise Invalid(Problem("body", "requests", "Recursive call on /batch endpoint is forbidden."))
        entries = [self.entry(*pair) for pair in zip(members, targets, strict=True)]
        log_members((one.asked.method, one.path, one.asked.query, one.asked.headers, one.identity) for one in entries)
        steps = [(entry, step) for entry in entries if (step := self._step(entry)) is not None]
        performed, answers = perform_authenticated(self._service, [step for _, step in steps])
        for (entry, _), step in zip(steps, performed, strict=True):
            if isinstance(step, Operation):
                self._note_performer(entry, step)
        given = {id(entry): answer for (entry, _), answer in zip(steps, answers, strict=True)}
        return f'{{"responses":[{",".join(self._text(entry, given.get(id(entry))) for entry in entries)}]}}'

    def _note_performer(self, entry: Entry, performed: Operation) -> None:
        """Take over an operation as it was performed: its user may have changed, who asks is somebody else then."""
        entry.operation = performed
        if entry.asked.headers.get("Authorization") == self._inherited.get("Authorization"):
            add_log_identity(performed.identity)

    def entry(self, member: Mapping[str, Json], target: Target) -> Entry:
        """Read one member: what it asks, or how it is refused."""
        method = member.get("method") or "GET"
        headers = self._headers(member.get("headers", {}), method)
        path = target.path[len(self._version) :]
        start = time.perf_counter()
        entry = Entry(target.path, HttpRequest(method, path, target.query, headers, decoded=member.get("body")))
        try:
            if target.refusal:
                raise target.refusal
            if target.route is not None:
                entry.exposed = exposed_headers(method, on_list=target.route.on_list)
            if target.route is None:
                entry.is_view = True
                # The view asks by itself, but it may do so under a lock: compare the password before.
                with suppress(ApiError):
                    self._identity(headers.get("Authorization"))
            else:
                entry.operation = self._operation(entry.asked, target.route)
        except ApiError as error:
            entry.reply = error_reply(self._service, error)
            if isinstance(error, NotAllowed):
                entry.exposed = ()
        entry.seconds = time.perf_counter() - start
        return entry

    def _headers(self, own: Mapping[str, str], method: str) -> AnyCase:
        """Return the headers of a member: those of the batch, and its own where it may choose."""
        # RFC 9112, section 5.2: a line break in a value counts as a space.
        chosen = {canonical_name(name): LINE_BREAK.sub(" ", value).strip(" \t") for name, value in own.items()}
        if method in WITH_BODY:
            chosen.setdefault("content-type", JSON_TYPE)
        # Not one by one into the headers: each is looked for among all others there.
        headers = {name.lower(): (name, value) for name, value in self._inherited.items()}
        for name, value in chosen.items():
            if name not in _OF_THE_BATCH and not name.startswith("x-forwarded-"):
                headers[name] = (name.title(), value)
        return AnyCase(list(headers.values()))

    def _operation(self, asked: HttpRequest, route: Route) -> Operation:
        """Read what a member asks of a list or an object. Raises NotAllowed."""
        methods = self._targets.methods(route)
        if asked.method not in methods:
            raise NotAllowed((*methods, "OPTIONS"))
        credentials = asked.headers.get("Authorization")
        identity = self._identity(credentials)
        asks = parse_operation(self._service, asked, route, identity)
        if self._service.identity_kinds:
            asks = replace(asks, credentials=credentials)
        return asks

    def _identity(self, authorization: str | None) -> Identity:
        """Find out who asks, once for each credentials of the batch."""
        if authorization not in self._identities:
            identity = self._identities[authorization] = self._service.authenticate(authorization)
            if authorization == self._inherited.get("Authorization"):
                add_log_identity(identity)
        return self._identities[authorization]

    def _step(self, entry: Entry) -> Operation | View | None:
        """Return what there is to do for a member, None where it is refused already."""
        if not entry.is_view:
            return entry.operation

        def answer_entry() -> None:
            entry.reply = ask_view(self._app, entry.path, entry.asked)
            if entry.reply.status >= Programmatic.status:
                raise MemberFailed(entry.reply)

        return View(answer_entry, reads=entry.asked.method in ("GET", "HEAD"))

    def _text(self, entry: Entry, given: Answer | None) -> str:
        """Return the JSON text of an entry of the answer (C-BATCH-13)."""
        start = time.perf_counter()
        reply = self.reply(entry, given)
        entry.seconds += time.perf_counter() - start
        if not entry.is_view:  # which is measured as a request of its own
            MEMBER_ANSWERED.send(self._app, entry=entry, reply=reply)
        headers = reply.headers
        if not entry.is_view:
            headers = member_headers(
                reply, common_headers(self._service, entry.asked.headers.get("Origin"), entry.exposed)
            )
        shown = reply.body if reply.body and is_json(reply) and entry.asked.method != "HEAD" else '""'
        return f'{{"status":{reply.status},"path":{dumps(entry.path)},"headers":{dumps(headers)},"body":{shown}}}'

    def reply(self, entry: Entry, given: Answer | None) -> Reply:
        """Return the answer to one member."""
        if entry.reply is not None:
            return entry.reply
        assert entry.operation is not None
        assert given is not None, "every operation has an answer"
        return to_reply(self._service, entry.operation, given, entry.path, entry.asked.query)
