"""The OpenAPI 2.0 document of the running service, drawn from its kinds, policies and schemas (core contract, 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response
from marshmallow import Schema, fields

from app.identity import Policy
from app.kinds import Kind
from app.service import Service
from backends import Json
from backends.codec import dumps
from blueprints.batch import BatchBody, Defaults, Requests
from blueprints.http import sent
from blueprints.negotiation import JSON_TYPE, MERGE_TYPE, PATCH_TYPE
from blueprints.replies import Reply
from blueprints.requests import BEHAVIOURS
from blueprints.resources import offered, url
from blueprints.schemas import BATCH_METHODS, JsonObject, Permissions, envelope
from blueprints.urls import origin_of_urls, prefix

Part = dict[str, Any]

_UTILITIES: Final = (
    ("/", "server_info", "What the service is, and what it offers."),
    ("/__heartbeat__", "__heartbeat__", "Whether the backends answer."),
    ("/__lbheartbeat__", "__lbheartbeat__", "Whether the service is alive."),
    ("/__version__", "__version__", "Which version is deployed."),
    ("/contribute.json", "contribute", "Where the project lives, and how to take part."),
    ("/__api__", "get_openapi_spec", "This document."),
)
# (on a list, method): what the operation is called, with the name of the kind (C-UTIL-21)
_OPERATION_IDS: Final = {
    (True, "GET"): "get_{}s",
    (True, "POST"): "create_{}",
    (True, "DELETE"): "delete_{}s",
    (False, "GET"): "get_{}",
    (False, "PUT"): "update_{}",
    (False, "PATCH"): "patch_{}",
    (False, "DELETE"): "delete_{}",
}
_CONSUMED: Final = {
    "POST": [JSON_TYPE],
    "PUT": [JSON_TYPE],
    "PATCH": [JSON_TYPE, MERGE_TYPE, PATCH_TYPE],
}
_ETAG: Final[Part] = {"in": "header", "type": "string", "pattern": r'^"([0-9]+?)"$|\*'}
_CONDITIONS: Final[list[Part]] = [{"name": "If-Match", **_ETAG}, {"name": "If-None-Match", **_ETAG}]
_BEHAVIOUR: Final[Part] = {"name": "Response-Behavior", "in": "header", "type": "string", "enum": list(BEHAVIOURS)}
_NAMES: Final[Part] = {"in": "query", "type": "array", "items": {"type": "string"}, "collectionFormat": "csv"}
_NUMBERS: Final = ("_limit", "_since", "_to", "_before", "last_modified")
_PAGING: Final[list[Part]] = [
    *({"name": name, "in": "query", "type": "integer"} for name in _NUMBERS),
    {"name": "_sort", **_NAMES},
    {"name": "_token", "in": "query", "type": "string"},
    {"name": "id", "in": "query", "type": "string"},
]
_FIELDS: Final[Part] = {"name": "_fields", **_NAMES}

_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_OBJECT: Final = {"type": "object"}
_BATCHED: Final = {
    "type": "object",
    "properties": {
        "method": {"type": "string", "enum": list(BATCH_METHODS)},
        "path": {"type": "string"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "body": _OBJECT,
    },
}
_FIELD_TYPES: Final[Mapping[type, Part]] = {
    JsonObject: _OBJECT,
    Requests: {"type": "array", "items": _BATCHED},
    Defaults: _BATCHED,
}


@runtime_checkable
class Described(Protocol):
    """A policy that says itself how OpenAPI describes it."""

    def security_definition(self) -> Mapping[str, Json]:
        """Return the policy's entry in `securityDefinitions`."""


class ErrorBody(Schema):
    """The body of every error (core contract, 3.1)."""

    code = fields.Integer(required=True)
    errno = fields.Integer(required=True)
    error = fields.String(required=True)
    message = fields.String()
    info = fields.String()
    details = fields.Raw()


def openapi(service: Service) -> Blueprint:
    """Make the blueprint of `/__api__`; the document is made when it is first asked for, and kept (C-UTIL-21)."""
    blueprint = Blueprint("openapi", __name__, url_prefix=prefix(service))

    @cache
    def text() -> str:
        return dumps(document(service, origin_of_urls(service)))

    def get() -> Response:
        return sent(Reply(200, text()))

    blueprint.add_url_rule("/__api__", "openapi", get, methods=["GET"], provide_automatic_options=False)
    return blueprint


def document(service: Service, origin: str) -> Part:
    """Return the document; *origin* is scheme and host of the service's URLs."""
    settings, where, plugin = service.settings, urlsplit(origin), MarshmallowPlugin()
    spec = APISpec(
        settings.project_name,
        settings.http_api_version,
        "2.0",
        plugins=[plugin],
        host=where.netloc,
        schemes=[where.scheme],
        basePath=prefix(service),
        produces=[JSON_TYPE],
    )
    converter: Any = plugin.converter  # its methods have no types
    converter.add_attribute_function(_field)
    for policy in service.policies:
        spec.components.security_scheme(policy.name, _security(policy))
    for name in ("Batch", "Utilities", *(_tag(kind) for kind in service.kinds)):
        spec.tag({"name": name})
    for name, schema in _schemas(service).items():
        # They take in what they do not know only to refuse it in the words of the API.
        described = converter.schema2jsonschema(schema) | {"additionalProperties": False}
        spec.components.schema(name, described)
    _add_utilities(spec, service)
    for kind in service.kinds:
        for on_list in (True, False):
            _add_resource(spec, service, kind, on_list)
    made: Part = spec.to_dict()
    return made


def _field(_: Any, field: fields.Field[Any], **__: Any) -> Part:
    """Describe the fields of our own."""
    if isinstance(field, Permissions):
        return {"type": "object", "properties": dict.fromkeys(field.names, _TEXTS), "additionalProperties": False}
    return _FIELD_TYPES.get(type(field), {})


def _security(policy: Policy) -> Part:
    """Describe how a policy is told who asks (C-UTIL-22)."""
    if isinstance(policy, Described):
        return dict(policy.security_definition())
    if (policy.challenge() or "").startswith("Basic"):
        return {"type": "basic"}
    return {"type": "apiKey", "in": "header", "name": "Authorization"}


def _policies(service: Service) -> list[dict[str, list[str]]]:
    """Say that any one of the policies is enough."""
    return [{policy.name: []} for policy in service.policies]


def _tag(kind: Kind) -> str:
    return f"{kind.name.capitalize()}s"


def _body_name(kind: Kind) -> str:
    return kind.name.capitalize()


def _schemas(service: Service) -> dict[str, Schema]:
    """Return the schemas of bodies by the names that they have in the document."""
    kinds = {_body_name(kind): envelope(kind.permissions) for kind in service.kinds}
    return {"Error": ErrorBody(), "Requests": BatchBody(), **kinds}


def _add_utilities(spec: APISpec, service: Service) -> None:
    """Add what is no list and no object; it needs no authentication (C-UTIL-23)."""
    for path, name, summary in _UTILITIES:
        spec.path(path, operations={"get": _utility(name, summary)})
    if service.settings.experimental_permissions_endpoint:
        permissions = _utility("get_permissions", "What whoever asks may do.")
        more = {"parameters": [*_PAGING, _FIELDS], "security": _policies(service)}
        spec.path("/permissions", operations={"get": permissions | more})
    run = _utility("batch", "Many requests in one.", "Batch")
    body = {"name": "body", "in": "body", "required": True, "schema": _ref("Requests")}
    spec.path("/batch", operations={"post": {**run, "consumes": [JSON_TYPE], "parameters": [body]}})


def _utility(name: str, summary: str, tag: str = "Utilities") -> Part:
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": [],
        "produces": [JSON_TYPE],
        "responses": {"200": _answer("As asked.", _OBJECT), "default": _error("Something else.")},
    }


def _add_resource(spec: APISpec, service: Service, kind: Kind, on_list: bool) -> None:
    """Add the methods of a kind's lists or objects; HEAD and OPTIONS go without saying."""
    methods = [method for method in offered(service, kind, on_list) if method != "HEAD"]
    if not methods:
        return
    path = url(service, kind, on_list).replace("<", "{").replace(">", "}")
    ids = [segment.strip("{}") for segment in path.split("/") if segment.startswith("{")]
    spec.path(
        path,
        parameters=[{"name": id, "in": "path", "required": True, "type": "string"} for id in ids],
        operations={method.lower(): _operation(service, kind, on_list, method) for method in methods},
    )


def _operation(service: Service, kind: Kind, on_list: bool, method: str) -> Part:
    made = {
        "operationId": _OPERATION_IDS[on_list, method].format(kind.name),
        "tags": [_tag(kind)],
        "security": _policies(service),
        "produces": [JSON_TYPE],
        "parameters": _parameters(kind, on_list, method),
        "responses": _responses(kind, on_list, method),
    }
    return {**made, "consumes": _CONSUMED[method]} if method in _CONSUMED else made


def _parameters(kind: Kind, on_list: bool, method: str) -> list[Part]:
    found: list[Part] = list(_CONDITIONS)
    if on_list and method != "POST":
        found += _PAGING
    if method == "GET":
        found.append(_FIELDS)
    if method == "PATCH":
        found.append(_BEHAVIOUR)
    if method in _CONSUMED:
        found.append({"name": "body", "in": "body", "schema": _ref(_body_name(kind))})
    return found


def _responses(kind: Kind, on_list: bool, method: str) -> Part:
    """Return what a method of a kind may answer."""
    found = {
        "400": _error("The request is invalid."),
        "401": _error("The request needs authentication."),
        "403": _error("The identity may not do this."),
        "406": _error("No representation of the accepted types."),
        "412": _error("The precondition failed."),
        "default": _error("Something else."),
    }
    if on_list and method != "POST":
        found["200"] = _answer("The objects.", {"type": "object", "properties": {"data": _LIST}})
    else:
        found["200"] = _answer("The object.", _ref(_body_name(kind)))
    if method == "GET":
        found["304"] = {"description": "The client has the newest state."}
    if method in ("POST", "PUT"):
        found["201"] = _answer("The object, which is new.", _ref(_body_name(kind)))
    if method in _CONSUMED:
        found["415"] = _error("The type of the body is none that the method reads.")
    if not on_list and method != "PUT":
        found["404"] = _error("There is no such object.")
    return found


_LIST: Final = {"type": "array", "items": _OBJECT}


def _ref(name: str) -> Part:
    return {"$ref": f"#/definitions/{name}"}


def _answer(description: str, schema: Part) -> Part:
    return {"description": description, "schema": schema}


def _error(description: str) -> Part:
    return _answer(description, _ref("Error"))
