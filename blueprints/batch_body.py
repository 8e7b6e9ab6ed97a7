"""Validate the body of `POST /batch` and complete its members from the defaults (core contract, 8.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from marshmallow import fields, missing

from app.errors import Invalid, Problem
from app.parsing.bodies import not_a_mapping, not_iterable
from app.service import Service
from backends import Json
from backends.codec import dumps
from blueprints.cors import origin_problems
from blueprints.negotiation import PATCH_TYPE, media_type
from blueprints.requests import HttpRequest, decode_body
from blueprints.schemas import BATCH_METHODS, ClosedSchema, InvalidField, load, unknown_members_problem

_KEYS = ("method", "path", "headers", "body")
MAX_COMPLETED_BYTES: Final = 4 * 1024 * 1024
"""The size of the text that `defaults` may add to all members together."""

LINE_BREAK = re.compile(r"[\r\n]+")
# RFC 9110, sections 5.1 and 5.5.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Requests(fields.Field[list[dict[str, Json]]]):
    """The requests of a batch, each validated on its own (core contract, 8.1)."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002  # marshmallow's signature
        """Return the requests, completed from the defaults. Raises ValidationError."""
        if value is missing or value is None:
            raise InvalidField(Problem("body", "requests", "Required"))
        if not isinstance(value, list):
            raise InvalidField(not_iterable("requests", value))
        defaults = (data or {}).get("defaults")
        if defaults and isinstance(defaults, dict):
            if len(dumps(defaults)) * len(value) > MAX_COMPLETED_BYTES:
                raise InvalidField(
                    Problem("body", "defaults", f"More than {MAX_COMPLETED_BYTES} bytes for all requests")
                )
            value = [_complete(defaults, member) if isinstance(member, dict) else member for member in value]
        problems = [problem for index, member in enumerate(value) for problem in _problems(member, f"requests.{index}")]
        if problems:
            raise InvalidField(*problems)
        return value


class Defaults(fields.Field[dict[str, Json]]):
    """The values of members that requests do not have themselves (C-BATCH-6)."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002  # marshmallow's signature
        """Return the defaults as they are. Raises ValidationError."""
        if value is missing or isinstance(value, dict):
            return value
        raise InvalidField(not_a_mapping("defaults", value))


class BatchBody(ClosedSchema):
    """The body of a batch."""

    requests = Requests(load_default=None)
    defaults = Defaults()


_SCHEMA = BatchBody()


def _complete(defaults: Mapping[str, Json], member: dict[str, Json]) -> dict[str, Json]:
    """Complete a member from the defaults; names of headers are compared without case."""
    default_headers, own_headers = defaults.get("headers"), member.get("headers")
    if isinstance(default_headers, dict) and isinstance(own_headers, dict):
        own_names = {canonical_name(name) for name in own_headers}
        default_headers = {
            name: value for name, value in default_headers.items() if canonical_name(name) not in own_names
        }
        defaults = {**defaults, "headers": default_headers}
    return _merge(defaults, member)


def _merge(defaults: Mapping[str, Json], value: dict[str, Json]) -> dict[str, Json]:
    """Merge two objects; members of *value* replace those of *defaults*, objects in both are merged (C-BATCH-6)."""
    result: dict[str, Json] = dict(defaults)
    for name, inner in value.items():
        default = result.get(name)
        result[name] = _merge(default, inner) if isinstance(default, dict) and isinstance(inner, dict) else inner
    return result


def canonical_name(name: str) -> str:
    """Return the name of a header in the form in which WSGI compares names."""
    return name.lower().replace("_", "-")


def _problems(member: Json, name: str) -> Iterator[Problem]:
    """Yield the problems of one request of a batch (C-BATCH-2 to C-BATCH-5)."""
    if not isinstance(member, dict):
        yield not_a_mapping(name, member)
        return
    unknown = {key: value for key, value in member.items() if key not in _KEYS}
    if unknown:
        yield unknown_members_problem(name, unknown)
        return
    method, path = member.get("method"), member.get("path")
    if method is not None and method not in BATCH_METHODS:
        yield Problem("body", f"{name}.method", f'"{method}" is not one of {", ".join(BATCH_METHODS)}')
    if path is None:
        yield Problem("body", f"{name}.path", "Required")
    elif not isinstance(path, str) or not path.startswith("/"):
        yield Problem("body", f"{name}.path", "String does not match expected pattern")
    headers, body = member.get("headers", {}), member.get("body", {})
    if not isinstance(headers, dict):
        yield not_a_mapping(f"{name}.headers", headers)
    elif not all(isinstance(value, str) for value in headers.values()):
        yield Problem("body", f"{name}.headers", f"{headers} contains non string value")
    else:
        yield from _header_problems(headers, f"{name}.headers")
    if not isinstance(body, dict) and not (isinstance(body, list) and _is_json_patch(headers)):
        yield not_a_mapping(f"{name}.body", body)


def _header_problems(headers: Mapping[str, str], name: str) -> Iterator[Problem]:
    """Yield the problems of headers that are not valid in HTTP: an ignored one might be a precondition."""
    names: set[str] = set()
    for header, value in headers.items():
        if not _HEADER_NAME.fullmatch(header):
            yield Problem("body", name, f"{header[:40]!r} is not the name of a header")
        elif not _HEADER_VALUE.fullmatch(LINE_BREAK.sub(" ", value)):
            yield Problem("body", name, f"The value of {header[:40]} has characters that no header may have")
        elif canonical_name(header) in names:
            yield Problem("body", name, f"{header[:40]} is given twice")
        names.add(canonical_name(header))


def _is_json_patch(headers: Json) -> bool:
    """Return whether the body of a member is a JSON Patch, which may be an array (C-BATCH-12)."""
    return isinstance(headers, dict) and any(
        canonical_name(name) == "content-type" and media_type(str(value)) == PATCH_TYPE
        for name, value in headers.items()
    )


def parse_members(service: Service, http_request: HttpRequest) -> list[dict[str, Json]]:
    """Parse the members of a batch. Raises UnsupportedType and Invalid."""
    if http_request.unsupported_type:
        raise http_request.unsupported_type
    value, problems = decode_body(http_request)
    problems = (*origin_problems(service.settings, http_request.headers.get("Origin")), *problems)
    requests = value.get("requests") if isinstance(value, dict) else None
    limit = service.settings.batch_max_requests
    if limit and isinstance(requests, list) and len(requests) > limit:
        # Checked first: validating each of them has a cost.
        problems = (*problems, Problem("body", "requests", f"Number of requests is limited to {limit}"))
    body: dict[str, Json] = {}
    if not problems:
        body, problems = load(_SCHEMA, value)
    if problems:
        raise Invalid(*problems)
    members: list[dict[str, Json]] = body["requests"]
    return members
