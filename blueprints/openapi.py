"""Serve the OpenAPI 2.0 document of the service, made from its kinds, policies and schemas (core contract, 2.5)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response
from marshmallow import Schema, fields

from app.identity import AnyPolicy, DescribedPolicy
from app.kinds import Kind
from app.service import Service
from app.settings import SettingError
from backends import Json
from backends.codec import dumps
from blueprints.batch_body import BatchBody, Defaults, Requests
from blueprints.http import to_response
from blueprints.negotiation import JSON_TYPE, MERGE_TYPE, PATCH_TYPE
from blueprints.replies import Reply
from blueprints.requests import RESPONSE_BEHAVIOURS
from blueprints.resources import enabled_methods, url_rule
from blueprints.schemas import BATCH_METHODS, JsonObject, Permissions, write_schema
from blueprints.urls import origin_of_urls, prefix

Part = dict[str, Any]

_UTILITIES: Final = (
    ("/", "server_info", "The service, its settings and its capabilities."),
    ("/__heartbeat__", "__heartbeat__", "Whether the backends answer."),
    ("/__lbheartbeat__", "__lbheartbeat__", "Whether the service is alive."),
    ("/__version__", "__version__", "The deployed version."),
    ("/contribute.json", "contribute", "The addresses of the project, and how to contribute."),
    ("/__api__", "get_openapi_spec", "This document."),
)
_OWN_SCHEMAS: Final = ("Error", "Requests")
_OWN_TAGS: Final = ("Batch", "Utilities")
# (on a list, method): the operation's id with a place for the name of the kind (C-UTIL-21)
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
_BEHAVIOUR: Final[Part] = {
    "name": "Response-Behavior",
    "in": "header",
    "type": "string",
    "enum": list(RESPONSE_BEHAVIOURS),
}
_NAMES: Final[Part] = {"in": "query", "type": "array", "items": {"type": "string"}, "collectionFormat": "csv"}
_NUMBERS: Final = ("_limit", "_since", "_to", "_before", "last_modified")
_PAGING: Final[list[Part]] = [
    *({"name": name, "in": "query", "type": "integer"} for name in _NUMBERS),
    {"name": "_sort", **_NAMES},
    {"name": "_token", "in": "query", "type": "string"},
    {"name": "id", "in": "query", "type": "string"},
]
_FIELDS: Final[Part] = {"name": "_fields", **_NAMES}
_SEARCH: Final[Part] = {"name": "_search", "in": "query", "type": "string"}
_EXPLAIN: Final[Part] = {"name": "_explain", "in": "query", "type": "boolean"}

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


class ErrorBody(Schema):
    """The body of every error (core contract, 3.1)."""

    code = fields.Integer(required=True)
    errno = fields.Integer(required=True)
    error = fields.String(required=True)
    message = fields.String()
    info = fields.String()
    details = fields.Raw()


def openapi(service: Service) -> Blueprint:
    """Make the blueprint of `/__api__`; the document is made at the first request and cached (C-UTIL-21)."""
    blueprint = Blueprint("openapi", __name__, url_prefix=prefix(service))

    @cache
    def text() -> str:
        return dumps(document(service, origin_of_urls(service)))

    def get() -> Response:
        return to_response(Reply(200, text()))

    blueprint.add_url_rule("/__api__", "openapi", get, methods=["GET"], provide_automatic_options=False)
    return blueprint


def expect_distinct_names(service: Service) -> None:
    """Raise SettingError if two definitions, tags or operations of the document would have the same name or URL."""
    names: set[tuple[str, str]] = set()
    for source, thing, name in _names(service):
        if (thing, name) in names:
            raise SettingError("includes", f"{source} adds the {thing} {name!r}, which the OpenAPI document has.")
        names.add((thing, name))


def _names(service: Service) -> Iterator[tuple[str, str, str]]:
    """Yield the names that must differ: the source of each, what it names, the name."""
    for name in _OWN_SCHEMAS:
        yield "the service", "definition", name
    for name in _OWN_TAGS:
        yield "the service", "tag", name
    for path in (*(path for path, *_ in _UTILITIES), "/permissions"):
        yield "the service", "operation", f"get {path}"
    yield "the service", "operation", "post /batch"
    for path, operations in service.openapi.items():
        for method in operations:
            yield "a plugin", "operation", f"{method} {path}"
    for kind in service.kinds:
        source = f"the kind {kind.name!r}"
        yield source, "definition", _body_name(kind)
        yield source, "tag", _tag(kind)
        for on_list in (True, False):
            for method in _methods(service, kind, on_list=on_list):
                yield source, "operation", f"{method.lower()} {_path(service, kind, on_list=on_list)}"


def document(service: Service, origin: str) -> Part:
    """Return the document; *origin* is scheme and host of the service's URLs."""
    settings, address, plugin = service.settings, urlsplit(origin), MarshmallowPlugin()
    spec = APISpec(
        settings.project_name,
        settings.http_api_version,
        "2.0",
        plugins=[plugin],
        host=address.netloc,
        schemes=[address.scheme],
        basePath=prefix(service),
        produces=[JSON_TYPE],
    )
    converter: Any = plugin.converter  # its methods have no types
    converter.add_attribute_function(_describe_field)
    for name, policy in {policy.name: policy for policy in service.authenticator.policies}.items():
        spec.components.security_scheme(name, _security(policy))
    for name in (*_OWN_TAGS, *map(_tag, service.kinds)):
        spec.tag({"name": name})
    for name, schema in _schemas(service).items():
        # The schemas accept unknown members only to refuse them in the words of the API.
        json_schema = converter.schema2jsonschema(schema) | {"additionalProperties": False}
        spec.components.schema(name, json_schema)
    _add_utilities(spec, service)
    for path, operations in service.openapi.items():
        completed = {method: _complete(operation) for method, operation in operations.items()}
        spec.path(path, parameters=_ids(path), operations=completed)
    for kind in service.kinds:
        for on_list in (True, False):
            _add_resource(spec, service, kind, on_list=on_list)
    whole_document: Part = spec.to_dict()
    _make_ids_distinct(whole_document["paths"])
    return whole_document


def _make_ids_distinct(paths: Part) -> None:
    """Append numbers to ids that exist already: the list of a kind may have that of a plugin's URL."""
    ids: Counter[str] = Counter()
    for operation in (operation for item in paths.values() for operation in item.values()):
        if "operationId" in operation:
            name = operation["operationId"]
            ids[name] += 1
            operation["operationId"] = name if ids[name] == 1 else f"{name}_{ids[name]}"


def _describe_field(_: Any, field: fields.Field[Any], **__: Any) -> Part:
    """Describe the fields that are defined in this project."""
    if isinstance(field, Permissions):
        return {"type": "object", "properties": dict.fromkeys(field.names, _TEXTS), "additionalProperties": False}
    return _FIELD_TYPES.get(type(field), {})


def _security(policy: AnyPolicy) -> Part:
    """Describe how a client sends credentials to a policy (C-UTIL-22)."""
    if isinstance(policy, DescribedPolicy):
        return dict(policy.security_definition())
    if (policy.challenge() or "").startswith("Basic"):
        return {"type": "basic"}
    return {"type": "apiKey", "in": "header", "name": "Authorization"}


def _policies(service: Service) -> list[dict[str, list[str]]]:
    """Return the security requirement of an operation: any one of the policies is sufficient."""
    return [{policy.name: []} for policy in service.authenticator.policies]


def _tag(kind: Kind) -> str:
    return f"{kind.name.capitalize()}s"


def _body_name(kind: Kind) -> str:
    return kind.name.capitalize()


def _schemas(service: Service) -> dict[str, Schema]:
    """Return the schemas of bodies by their names in the document."""
    kinds = {_body_name(kind): write_schema(kind.permissions) for kind in service.kinds}
    return dict(zip(_OWN_SCHEMAS, (ErrorBody(), BatchBody()), strict=True)) | kinds


def _add_utilities(spec: APISpec, service: Service) -> None:
    """Add the endpoints other than lists and objects; they need no authentication (C-UTIL-23)."""
    for path, name, summary in _UTILITIES:
        spec.path(path, operations={"get": _utility(name, summary)})
    if service.settings.experimental_permissions_endpoint:
        permissions = _utility("get_permissions", "The permissions of the current user, by object.")
        details = {"parameters": [*_PAGING, _FIELDS], "security": _policies(service)}
        spec.path("/permissions", operations={"get": permissions | details})
    batch = _utility("batch", "Many requests in one.", "Batch")
    body = {"name": "body", "in": "body", "required": True, "schema": _ref("Requests")}
    spec.path("/batch", operations={"post": {**batch, "consumes": [JSON_TYPE], "parameters": [body]}})


def _utility(name: str, summary: str, tag: str = "Utilities") -> Part:
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": [],
        "produces": [JSON_TYPE],
        "responses": {"200": _response("The result.", _OBJECT), "default": _error_response("An error.")},
    }


def _complete(operation: Mapping[str, Json]) -> Part:
    """Complete the description of an operation of a plugin: `Service.add_openapi`."""
    completed = _utility("", "") | {**operation}
    return {name: value for name, value in completed.items() if value != ""}


def _add_resource(spec: APISpec, service: Service, kind: Kind, *, on_list: bool) -> None:
    """Add the methods of the lists or objects of a kind, except HEAD and OPTIONS, which every such URL has."""
    methods = _methods(service, kind, on_list=on_list)
    if not methods:
        return
    path = _path(service, kind, on_list=on_list)
    spec.path(
        path,
        parameters=_ids(path),
        operations={method.lower(): _operation(service, kind, method, on_list=on_list) for method in methods},
    )


def _methods(service: Service, kind: Kind, *, on_list: bool) -> list[str]:
    """Return the methods of the lists or objects of a kind that the document has."""
    return [method for method in enabled_methods(service, kind, on_list=on_list) if method != "HEAD"]


def _path(service: Service, kind: Kind, *, on_list: bool) -> str:
    return url_rule(service, kind, on_list=on_list).replace("<", "{").replace(">", "}")


def _ids(path: str) -> list[Part]:
    """Return the parameters in a path."""
    return [{"name": name, "in": "path", "required": True, "type": "string"} for name in _PATH_PARTS.findall(path)]


def _operation(service: Service, kind: Kind, method: str, *, on_list: bool) -> Part:
    operation = {
        "operationId": _OPERATION_IDS[on_list, method].format(kind.name),
        "tags": [_tag(kind)],
        "security": _policies(service),
        "produces": [JSON_TYPE],
        "parameters": _parameters(kind, method, on_list=on_list, indexed=on_list and _is_indexed(service, kind)),
        "responses": _responses(kind, method, on_list=on_list),
    }
    return {**operation, "consumes": _CONSUMED[method]} if method in _CONSUMED else operation


def _is_indexed(service: Service, kind: Kind) -> bool:
    """Return whether indexes are declared for the lists of a kind."""
    return any(each.name == kind.parent and kind.plural in each.indexed_lists for each in service.kinds)


def _parameters(kind: Kind, method: str, *, on_list: bool, indexed: bool) -> list[Part]:
    parameters: list[Part] = list(_CONDITIONS)
    if on_list and method != "POST":
        parameters += _PAGING
    if indexed and method != "POST":
        parameters.append(_SEARCH)
    if method == "GET":
        parameters += [_FIELDS, _EXPLAIN] if indexed else [_FIELDS]
    if method == "PATCH":
        parameters.append(_BEHAVIOUR)
    if method in _CONSUMED:
        parameters.append({"name": "body", "in": "body", "schema": _ref(_body_name(kind))})
    return parameters


def _responses(kind: Kind, method: str, *, on_list: bool) -> Part:
    """Return the possible responses of a method of a kind."""
    responses = {
        "400": _error_response("The request is invalid."),
        "401": _error_response("The request needs authentication."),
        "403": _error_response("The identity may not do this."),
        "406": _error_response("No representation of the accepted types."),
        "412": _error_response("The precondition failed."),
        "default": _error_response("Another error."),
    }
    if on_list and method != "POST":
        responses["200"] = _response("The objects.", {"type": "object", "properties": {"data": _LIST}})
    else:
        responses["200"] = _response("The object.", _ref(_body_name(kind)))
    if method == "GET":
        responses["304"] = {"description": "The client has the newest state."}
    if method in ("POST", "PUT"):
        responses["201"] = _response("The object, which is new.", _ref(_body_name(kind)))
    if method in _CONSUMED:
        responses["415"] = _error_response("The method does not support this type of body.")
    if not on_list and method != "PUT":
        responses["404"] = _error_response("There is no such object.")
    return responses


_PATH_PARTS: Final = re.compile(r"{(\w+)}")
_LIST: Final = {"type": "array", "items": _OBJECT}


def _ref(name: str) -> Part:
    return {"$ref": f"#/definitions/{name}"}


def _response(description: str, schema: Part) -> Part:
    return {"description": description, "schema": schema}


def _error_response(description: str) -> Part:
    return _response(description, _ref("Error"))
