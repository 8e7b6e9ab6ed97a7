"""`POST /batch`: many requests as one transaction (core contract, section 8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Flask, Response, request
from marshmallow import INCLUDE, Schema, fields, missing, validates_schema
from werkzeug.datastructures import Headers as AnyCase

from app.bodies import not_a_mapping, not_iterable
from app.errors import ApiError, Invalid, Malformed, NoSuchUrl, NoSuchVersion, NotAllowed, Problem
from app.identity import Identity
from app.operation import Operation
from app.perform import Answer, perform
from app.service import Service
from backends import Json
from backends.codec import dumps
from blueprints.http import expect_path, origin_of_urls, prefix, sent
from blueprints.replies import Reply, answer, fixed, joined, refusal
from blueprints.request_lines import note, note_identity, subrequests
from blueprints.requests import PATCH_TYPE, Asked, decoded, keep_nonce, operation
from blueprints.resources import offered
from blueprints.schemas import BATCH_METHODS, Refused, load, unrecognized

_KEYS = ("method", "path", "headers", "body")
_NOT_INHERITED = ("content-length",)
_LINE_BREAK = re.compile(r"[\r\n]+")


class Requests(fields.Field[list[dict[str, Json]]]):
    """The requests of a batch, each checked on its own (core contract, 8.1)."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return the requests completed from the defaults. Raises ValidationError."""
        if value is missing or value is None:
            raise Refused(Problem("body", "requests", "Required"))
        if not isinstance(value, list):
            raise Refused(not_iterable("requests", value))
        defaults = (data or {}).get("defaults")
        if defaults and isinstance(defaults, dict):
            value = [_completed(defaults, one) if isinstance(one, dict) else one for one in value]
        found = [problem for index, one in enumerate(value) for problem in _problems(one, f"requests.{index}")]
        if found:
            raise Refused(*found)
        return value


class Defaults(fields.Field[dict[str, Json]]):
    """What is taken over into requests that lack it (C-BATCH-6)."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return the defaults as they are. Raises ValidationError."""
        if value is missing or isinstance(value, dict):
            return value
        raise Refused(not_a_mapping("defaults", value))


class BatchBody(Schema):
    """The body of a batch."""

    class Meta:
        """Unknown members are told together, in the words of clients."""

        unknown = INCLUDE

    requests = Requests(load_default=None)
    defaults = Defaults()

    @validates_schema(skip_on_field_errors=False)
    def _nothing_else(self, body: Mapping[str, Json], **_: Any) -> None:
        unknown = {name: value for name, value in body.items() if name not in self.fields}
        if unknown:
            raise Refused(unrecognized("", unknown))


_SCHEMA = BatchBody()


def _completed(defaults: Mapping[str, Json], one: dict[str, Json]) -> dict[str, Json]:
    """Take over what a request lacks; objects are merged, what is there wins."""
    merged: dict[str, Json] = dict(defaults)
    for name, value in one.items():
        known = merged.get(name)
        merged[name] = _completed(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _problems(one: Json, name: str) -> Iterator[Problem]:
    """Say what is wrong with one request of a batch (C-BATCH-2 to C-BATCH-5)."""
    if not isinstance(one, dict):
        yield not_a_mapping(name, one)
        return
    unknown = {key: value for key, value in one.items() if key not in _KEYS}
    if unknown:
        yield unrecognized(name, unknown)
    method, path = one.get("method"), one.get("path")
    if method is not None and method not in BATCH_METHODS:
        yield Problem("body", f"{name}.method", f'"{method}" is not one of {", ".join(BATCH_METHODS)}')
    if path is None:
        yield Problem("body", f"{name}.path", "Required")
    elif not isinstance(path, str) or not path.startswith("/"):
        yield Problem("body", f"{name}.path", "String does not match expected pattern")
    headers, body = one.get("headers", {}), one.get("body", {})
    if not isinstance(headers, dict):
        yield not_a_mapping(f"{name}.headers", headers)
    elif not all(isinstance(value, str) for value in headers.values()):
        yield Problem("body", f"{name}.headers", f"{headers} contains non string value")
    if not isinstance(body, dict) and not (isinstance(body, list) and _is_json_patch(headers)):
        yield not_a_mapping(f"{name}.body", body)


def _is_json_patch(headers: Json) -> bool:
    """Say whether a request of a batch brings a JSON Patch: the one body that is a list (C-BATCH-12)."""
    return isinstance(headers, dict) and any(
        name.lower() == "content-type" and str(value).partition(";")[0].strip() == PATCH_TYPE
        for name, value in headers.items()
    )


@dataclass(slots=True)
class Entry:
    """One request of a batch: what was asked, and its answer as soon as there is one.

    `operation` is None for what is no list and no object.
    """

    path: str
    asked: Asked
    operation: Operation | None = None
    reply: Reply | None = None

    @property
    def identity(self) -> Identity | None:
        """Return who asks, where that was found out."""
        return self.operation.identity if self.operation else None


def batch(service: Service, app: Flask, make: Callable[[Service, Flask], Entries]) -> Blueprint:
    """Make the blueprint of the batch endpoint; *app* answers members that are no lists and no objects.

    *make* is `Entries`, or what measures them.
    """
    blueprint = Blueprint("batch", __name__, url_prefix=prefix(service))

    def run() -> Response:
        raw = request.get_data(cache=False)
        value, problems = decoded(Asked("POST", "/batch", "", request.headers, raw))
        if not problems:
            loaded, problems = load(_SCHEMA, value)
        if problems:
            raise Invalid(*problems)
        members = loaded["requests"]
        most = service.settings.batch_max_requests
        if most and len(members) > most:
            raise Invalid(Problem("body", "requests", f"Number of requests is limited to {most}"))
        if any(_is_batch(member["path"], prefix(service)) for member in members):
            raise Invalid(Problem("body", "requests", "Recursive call on /batch endpoint is forbidden."))
        note(batch_size=len(members))
        return sent(Reply(200, make(service, app).answer(members)))

    blueprint.add_url_rule("/batch", "batch", run, methods=["POST"], provide_automatic_options=False)
    return blueprint


def _is_batch(path: str, version: str) -> bool:
    """Say whether a path ends up at the batch endpoint itself (C-BATCH-8, C-BATCH-9)."""
    return unquote(path.partition("?")[0]).removeprefix(version).rstrip("/") == "/batch"


class Entries:
    """The members of one batch, from what was asked to the text of their answers."""

    def __init__(self, service: Service, app: Flask) -> None:
        self._service = service
        self._app = app
        self._version = prefix(service)
        self._identities: dict[str | None, Identity] = {}
        self._inherited = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_INHERITED}

    def answer(self, members: Sequence[Mapping[str, Json]]) -> str:
        """Perform all members as one transaction and return the body of the batch."""
        entries = [self.entry(member) for member in members]
        subrequests((one.asked.method, one.path, one.asked.query, one.asked.headers, one.identity) for one in entries)
        asked = [entry.operation for entry in entries if entry.operation is not None]
        answers = iter(perform(self._service, asked) if asked else ())
        texts = [self._text(entry, next(answers) if entry.operation else None) for entry in entries]
        return f'{{"responses":[{",".join(texts)}]}}'

    def entry(self, member: Mapping[str, Json]) -> Entry:
        """Read one member: what it asks, or how it is refused."""
        method = member.get("method") or "GET"
        path, _, query = member["path"].partition("?")
        # RFC 9112, section 5.2: a line break in a value counts as a space.
        given = AnyCase((name, _LINE_BREAK.sub(" ", value)) for name, value in member.get("headers", {}).items())
        headers = AnyCase(self._inherited)
        headers.update(given)
        if "Content-Type" not in given and method in ("POST", "PUT", "PATCH"):
            headers["Content-Type"] = "application/json"
        body = member.get("body")
        asked = Asked(method, path, query, headers, decoded=body)
        try:
            return self._routed(asked)
        except ApiError as error:
            return Entry(f"{self._version}{path}", asked, reply=refusal(self._service, error))

    def _routed(self, asked: Asked) -> Entry:
        """Find out what a member is for, following the redirects that single requests get (C-BATCH-19)."""
        try:
            path = unquote(asked.path, errors="strict")
        except UnicodeDecodeError as error:
            raise Malformed("Invalid URL path.") from error
        expect_path(path)
        if not path.startswith(f"{self._version}/"):
            if path.startswith("/v") and path[2:3].isdigit() and path != self._version:
                raise NoSuchVersion
            path = f"{self._version}{path}" if path != self._version else f"{path}/"
        inner = path[len(self._version) :]
        if len(inner) > 1 and inner.endswith("/"):
            inner = inner.rstrip("/")
        asked = Asked(asked.method, inner, asked.query, asked.headers, decoded=asked.decoded)
        path = f"{self._version}{inner}"
        route = self._service.kinds.match(inner)
        if route is None:
            return Entry(path, asked)
        methods = offered(self._service, route.kind, route.on_list)
        if asked.method not in methods:
            raise NotAllowed((*methods, "OPTIONS"))
        credentials = asked.headers.get("Authorization")
        identity = self._identity(credentials)
        asks = operation(self._service, asked, route, identity)
        if self._service.identity_kinds and identity.policy not in self._service.identity_kinds:
            asks = replace(asks, credentials=credentials)
        return Entry(path, asked, asks)

    def _identity(self, authorization: str | None) -> Identity:
        """Find out who asks, once for each credentials of the batch."""
        if authorization not in self._identities:
            identity = self._identities[authorization] = self._service.identify(authorization)
            if authorization == self._inherited.get("Authorization"):
                note_identity(identity)
        return self._identities[authorization]

    def _text(self, entry: Entry, given: Answer | None) -> str:
        """Return the JSON text of an entry of the answer (C-BATCH-13)."""
        reply = self.reply(entry, given)
        headers = joined(reply, fixed(self._service, entry.asked.headers.get("Origin"), reply.exposed))
        shown = reply.body if reply.body and _is_json(reply) and entry.asked.method != "HEAD" else '""'
        return f'{{"status":{reply.status},"path":{dumps(entry.path)},"headers":{dumps(headers)},"body":{shown}}}'

    def reply(self, entry: Entry, given: Answer | None) -> Reply:
        """Return the answer to one member."""
        if entry.operation is None or given is None:
            return entry.reply or self._elsewhere(entry)
        list_url = f"{origin_of_urls(self._service)}{entry.path}"
        keep_nonce(self._service, entry.operation, given)
        return answer(self._service, entry.operation, given, list_url, entry.asked.query)

    def _elsewhere(self, entry: Entry) -> Reply:
        """Answer a member that is no list and no object, as the application would on its own."""
        inner = entry.path[len(self._version) :]
        if inner.startswith("/__"):  # what proxies keep from outside must not be reached through a batch
            return refusal(self._service, NoSuchUrl())
        asked = entry.asked
        headers = [(name, value) for name, value in asked.headers.items() if name.lower() != "content-type"]
        body = b"" if asked.decoded is None else dumps(asked.decoded).encode()
        with self._app.test_request_context(
            entry.path, method=asked.method, query_string=asked.query, headers=headers, data=body
        ):
            response = self._app.full_dispatch_request()
        return Reply(response.status_code, response.get_data(as_text=True), dict(response.headers.items()))


def _is_json(reply: Reply) -> bool:
    return reply.headers.get("Content-Type", "").startswith("application/json")
