"""Parse an HTTP request into an Operation, once, the same for single requests and members of batches.

Problems are not raised here: the Operation carries them, and the decisions raise them in their order (C-URL-28).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from app.decisions.working_set import now_ms
from app.errors import ApiError, Invalid, Problem
from app.identity import Identity
from app.kinds import Data, Kind, Route
from app.operation import Body, Operation
from app.parsing import conditions, queries
from app.parsing.bodies import decode, is_charset
from app.parsing.parameters import Fields
from app.parsing.patches import Patch, parse_json_patch, parse_merge, parse_shallow
from app.service import Service
from backends import Json
from blueprints.cors import origin_problems
from blueprints.negotiation import (
    MERGE_TYPE,
    PATCH_TYPE,
    charset,
    is_json,
    media_type,
    not_acceptable,
    prefers_strict_handling,
    unsupported_type,
)
from blueprints.schemas import NOT_A_CONTAINER, load, scalar_problems, write_schema

BODY_METHODS = ("POST", "PUT", "PATCH")
RESPONSE_BEHAVIOURS = ("full", "light", "diff")
_TIMESTAMP = re.compile(r'("?)([0-9]{1,25})\1')


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as HTTP transports it: `path` is percent-decoded and without the version, `query` is not decoded.

    The names in `headers` have no case. The body is in `raw`, that of a member of a batch as JSON in `json_body`.
    """

    method: str
    path: str
    query: str
    headers: conditions.Headers
    raw: bytes = b""
    json_body: Json = None

    @property
    def content_type(self) -> str | None:
        """Return the header `Content-Type`."""
        return self.headers.get("Content-Type")

    @property
    def charset(self) -> str:
        """Return the charset to decode the body with; see `unsupported_type` for one that cannot be decoded."""
        name = charset(self.content_type)
        return name if is_charset(name) else "utf-8"

    @property
    def unsupported_type(self) -> ApiError | None:
        """Return the error 415 if the type or charset of the body is not supported."""
        has_body = bool(self.raw) or self.json_body is not None
        if not has_body and self.method not in BODY_METHODS:
            return None
        return unsupported_type(self.method, self.content_type, has_body=has_body)


def parse_operation(service: Service, http_request: HttpRequest, route: Route, identity: Identity) -> Operation:
    """Parse a request on a list or an object; *route* is that of its path.

    Raises Unauthenticated, NotAllowed or Invalid for an alias that cannot be used (`app.aliases`).
    """
    own_route, implied = service.aliases.resolve(route, http_request.method, identity)
    has_alias, route = own_route is not route, own_route
    preconditions, header_problems = conditions.parse(http_request.headers)
    accept, origin, prefer = (http_request.headers.get(name) for name in ("Accept", "Origin", "Prefer"))
    problems = [*header_problems, *(origin_problems(service.settings, origin) if origin else ())]
    body, query, deleted_at = Body(), None, None
    if http_request.method in BODY_METHODS:
        body = _parse_body(service, http_request, route, identity, problems)
    else:
        problems += stray_body_problems(http_request)
    pages = route.on_list and http_request.method != "POST"
    if pages or http_request.query:
        query = _parse_query(service, http_request, route)
        problems += query.problems if pages else ()
    if http_request.method == "DELETE" and not route.on_list and http_request.query:
        deleted_at = _parse_deletion_time(http_request.query, problems)
    behaviour = _parse_response_behaviour(http_request, problems) if http_request.method == "PATCH" else "full"
    return Operation(
        http_request.method,
        route,
        identity,
        conditions=preconditions,
        query=query,
        body=body,
        negotiation=(not_acceptable(accept) if accept is not None else None) or http_request.unsupported_type,
        problems=tuple(problems),
        response_behaviour=behaviour,
        deleted_at=deleted_at,
        strict=prefer is not None and prefers_strict_handling(prefer),
        nonce=f"pagination-token-{uuid.uuid4()}" if route.on_list and http_request.method == "DELETE" else None,
        implied=implied,
        alias_user=identity.user_id if has_alias or body.names_alias else None,
    )


def _parse_response_behaviour(http_request: HttpRequest, problems: list[Problem]) -> str:
    behaviour = http_request.headers.get("Response-Behavior") or "full"
    if behaviour not in RESPONSE_BEHAVIOURS:
        problems.append(
            Problem("header", "Response-Behavior", f'"{behaviour}" is not one of {", ".join(RESPONSE_BEHAVIOURS)}')
        )
    return behaviour


def stray_body_problems(http_request: HttpRequest) -> list[Problem]:
    """Return the problems of a body that the method does not need (C-ERR-27)."""
    if not http_request.raw or not is_json(media_type(http_request.content_type)):
        return []
    try:
        return [] if isinstance(decode(http_request.raw, http_request.charset), dict | list) else [NOT_A_CONTAINER]
    except Invalid as error:
        return error.problems


def decode_body(http_request: HttpRequest) -> tuple[Json, tuple[Problem, ...]]:
    """Decode the body of a request that should have one; no body counts as an empty object (C-ERR-26).

    Returns the JSON value and its problems.
    """
    if not http_request.raw:
        return ({} if http_request.json_body is None else http_request.json_body), ()
    try:
        return decode(http_request.raw, http_request.charset), ()
    except Invalid as error:
        unreadable = not any(problem.name for problem in error.problems)
        return None, (*error.problems, Problem("body", "", "Required")) if unreadable else tuple(error.problems)


def _parse_body(
    service: Service, http_request: HttpRequest, route: Route, identity: Identity, problems: list[Problem]
) -> Body:
    """Parse the body of a write and add its *problems*. A new object without an id gets a generated one."""
    kind, content_type = route.kind, media_type(http_request.content_type)
    value, body_problems = decode_body(http_request)
    if not body_problems and content_type == PATCH_TYPE and http_request.method == "PATCH":
        body_problems = scalar_problems(value)
        if not body_problems:
            return Body(patch=_take_patch(parse_json_patch(value, kind.permissions), problems))
    members: Data = {}
    if not body_problems:
        members, body_problems = load(write_schema(kind.permissions), value)
    problems.extend(body_problems)
    if body_problems:
        return _ensure_id(Body(id=_requested_id(value)), route)
    data = members.get("data")
    names_alias = False
    if data and isinstance(data.get("id"), str):
        own_id = service.aliases.own_object_id(kind.name, data["id"], identity)
        names_alias, data["id"] = own_id != data["id"], own_id
    if http_request.method == "PATCH":
        return Body(patch=(parse_merge if content_type == MERGE_TYPE else parse_shallow)(members))
    permissions = {
        name: frozenset(principals)
        for name, principals in members.get("permissions", {}).items()
        if principals is not None
    }
    return _ensure_id(Body(data, permissions, id=_requested_id(members), names_alias=names_alias), route)


def _requested_id(body: Json) -> str | None:
    """Return `data.id`, "" if it is not a string, None without one; the rest of the body may be invalid."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or "id" not in data:
        return None
    return data["id"] if isinstance(data["id"], str) else ""


def _take_patch(result: Patch | tuple[Problem, ...], problems: list[Problem]) -> Patch | None:
    """Return a parsed patch, or add the problems of an invalid one and return None."""
    if isinstance(result, Patch):
        return result
    problems.extend(result)
    return None


def _ensure_id(body: Body, route: Route) -> Body:
    """Generate the id of an object that is created in a list without one."""
    if not route.on_list or body.id is not None:
        return body
    kind: Kind = route.kind
    return replace(body, id=kind.generator(), generated=True)


def _parse_query(service: Service, http_request: HttpRequest, route: Route) -> queries.Query:
    settings = service.settings
    pairs = parse_qsl(http_request.query, keep_blank_values=True)
    limits = queries.Limits(settings.paginate_by, settings.storage_max_fetch_size, settings.storage_max_fetch_bytes)
    return queries.parse(pairs, route.uri, limits, now_ms(), _fields_of(route.kind))


def _fields_of(kind: Kind) -> Fields:
    """Return the fields of a kind that a query may name; all objects and tombstones have the same three."""
    names = None if kind.fields is None else kind.fields | {"id", "last_modified", "deleted"}
    return Fields(names, frozenset(kind.private), kind.text_fields | {"id"})


def _parse_deletion_time(query: str, problems: list[Problem]) -> int | None:
    """Parse the requested deletion time: an integer, with or without quotes (C-OBJ-47, C-OBJ-48)."""
    value = dict(parse_qsl(query, keep_blank_values=True)).get("last_modified")
    if value is None:
        return None
    timestamp = _TIMESTAMP.fullmatch(value)
    if timestamp is None:
        problems.append(Problem("querystring", "last_modified", f'"{value}" is not a number'))
        return None
    return int(timestamp[2])
