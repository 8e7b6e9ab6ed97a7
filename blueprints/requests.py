"""From a request to an Operation: everything that a request says is read here, once, for single requests and batches.

What is wrong is not raised but carried along, so that the decisions can complain in their order (C-URL-28).
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
from app.parsing.patches import Patch, parse_json_patch, parse_merge, parse_shallow
from app.service import Service
from backends import Json
from blueprints.cors import refused_origin
from blueprints.negotiation import JSON_TYPE, MERGE_TYPE, PATCH_TYPE, charset, media_type, not_acceptable, unsupported
from blueprints.schemas import NOT_A_CONTAINER, envelope, load, scalar_problems

WITH_BODY = ("POST", "PUT", "PATCH")
BEHAVIOURS = ("full", "light", "diff")
_TIMESTAMP = re.compile(r'("?)([0-9]{1,25})\1')


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as HTTP brings it: `path` is percent-decoded and without the version, `query` raw.

    `headers` finds names in any case. `body` is raw, or already decoded where a batch brought it along.
    """

    method: str
    path: str
    query: str
    headers: conditions.Headers
    raw: bytes = b""
    decoded: Json = None

    @property
    def content_type(self) -> str | None:
        """Return the header `Content-Type`."""
        return self.headers.get("Content-Type")

    @property
    def charset(self) -> str:
        """Return the charset to decode the body with; one that cannot be read is `unsupported`."""
        name = charset(self.content_type)
        return name if is_charset(name) else "utf-8"

    @property
    def unsupported(self) -> ApiError | None:
        """Return the 415 of a body that cannot be read."""
        has_body = bool(self.raw) or self.decoded is not None
        if not has_body and self.method not in WITH_BODY:
            return None
        return unsupported(self.method, self.content_type, has_body=has_body)


def operation(service: Service, asked: Asked, route: Route, identity: Identity) -> Operation:
    """Read a request on a list or an object."""
    expected, problems = conditions.parse(asked.headers)
    found = [*problems, *refused_origin(service.settings, asked.headers.get("Origin"))]
    body, query, deleted_at = Body(), None, None
    if asked.method in WITH_BODY:
        body = _body(asked, route, found)
    elif asked.raw:
        found += _stray_body(asked)
    if route.on_list or asked.query:
        query = _query(service, asked, route)
        if route.on_list and asked.method != "POST":
            found += query.problems
    if asked.method == "DELETE" and not route.on_list and asked.query:
        deleted_at = _deleted_at(asked.query, found)
    behaviour = _behaviour(asked, found) if asked.method == "PATCH" else "full"
    return Operation(
        asked.method,
        route,
        identity,
        conditions=expected,
        query=query,
        body=body,
        negotiation=not_acceptable(asked.headers.get("Accept")) or asked.unsupported,
        problems=tuple(found),
        behaviour=behaviour,
        deleted_at=deleted_at,
        nonce=f"pagination-token-{uuid.uuid4()}" if route.on_list and asked.method == "DELETE" else None,
    )


def _behaviour(asked: Asked, found: list[Problem]) -> str:
    given = asked.headers.get("Response-Behavior") or "full"
    if given not in BEHAVIOURS:
        found.append(Problem("header", "Response-Behavior", f'"{given}" is not one of {", ".join(BEHAVIOURS)}'))
    return given


def _stray_body(asked: Asked) -> list[Problem]:
    """Return what is wrong with the body of a request that needs none (C-ERR-27)."""
    if media_type(asked.content_type) not in ("", JSON_TYPE):
        return []
    try:
        return [] if isinstance(decode(asked.raw, asked.charset), dict | list) else [NOT_A_CONTAINER]
    except Invalid as error:
        return error.problems


def decoded(asked: Asked) -> tuple[Json, tuple[Problem, ...]]:
    """Return the body of a request that should have one: no body counts as an empty object (C-ERR-26)."""
    if not asked.raw:
        return ({} if asked.decoded is None else asked.decoded), ()
    try:
        return decode(asked.raw, asked.charset), ()
    except Invalid as error:
        unreadable = not any(problem.name for problem in error.problems)
        return None, (*error.problems, Problem("body", "", "Required")) if unreadable else tuple(error.problems)


def _body(asked: Asked, route: Route, found: list[Problem]) -> Body:
    """Read the body of a write; an object that is created without an id gets one."""
    kind, given_type = route.kind, media_type(asked.content_type)
    value, problems = decoded(asked)
    if not problems and given_type == PATCH_TYPE and asked.method == "PATCH":
        problems = scalar_problems(value)
    if not problems and given_type == PATCH_TYPE and asked.method == "PATCH":
        return Body(patch=_kept(parse_json_patch(value, kind.permissions), found))
    loaded: Data = {}
    if not problems:
        loaded, problems = load(envelope(kind.permissions), value)
    found.extend(problems)
    if problems:
        return _with_id(Body(id=_id(value)), route)
    data = loaded.get("data")
    if asked.method == "PATCH":
        return Body(patch=(parse_merge if given_type == MERGE_TYPE else parse_shallow)(loaded))
    permissions = {
        name: frozenset(principals)
        for name, principals in loaded.get("permissions", {}).items()
        if principals is not None
    }
    return _with_id(Body(data, permissions, id=_id(loaded)), route)


def _id(body: Json) -> str | None:
    """Return what `data.id` says, "" for what is no text; of a body that is wrong elsewhere too."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or "id" not in data:
        return None
    return data["id"] if isinstance(data["id"], str) else ""


def _kept(parsed: Patch | tuple[Problem, ...], found: list[Problem]) -> Patch | None:
    if isinstance(parsed, Patch):
        return parsed
    found.extend(parsed)
    return None


def _with_id(body: Body, route: Route) -> Body:
    if not route.on_list or body.id is not None:
        return body
    kind: Kind = route.kind
    return replace(body, id=kind.generator(), generated=True)


def _query(service: Service, asked: Asked, route: Route) -> queries.Query:
    settings = service.settings
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    limits = queries.Limits(settings.paginate_by, settings.storage_max_fetch_size)
    return queries.parse(pairs, route.uri, limits, now_ms(), refused=frozenset(route.kind.private))


def _deleted_at(query: str, found: list[Problem]) -> int | None:
    """Read the deletion time that a client wishes for: an integer, bare or quoted (C-OBJ-47, C-OBJ-48)."""
    wish = dict(parse_qsl(query, keep_blank_values=True)).get("last_modified")
    if wish is None:
        return None
    timestamp = _TIMESTAMP.fullmatch(wish)
    if timestamp is None:
        found.append(Problem("querystring", "last_modified", f'"{wish}" is not a number'))
        return None
    return int(timestamp[2])
