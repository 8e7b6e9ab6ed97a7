"""Serve the URLs of lists and objects: for each kind one URL rule for its lists and one for its objects."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, g, request

from app.errors import NoSuchUrl
from app.kinds import Kind
from app.service import Service
from app.settings.patterns import Shape
from app.transactions.perform import perform_single
from blueprints.authentication import authenticate
from blueprints.cors import exposed_headers
from blueprints.exchanges import note_identity
from blueprints.http import to_response
from blueprints.replies import to_reply
from blueprints.requests import HttpRequest, parse_operation
from blueprints.urls import prefix, rule_name


def resources(service: Service) -> Blueprint:
    """Make the blueprint of all kinds that are registered with the service."""
    blueprint = Blueprint("resources", __name__, url_prefix=prefix(service))
    for kind in service.kinds:
        for on_list in (True, False):
            methods = enabled_methods(service, kind, on_list=on_list)
            if methods:
                rule = url_rule(service, kind, on_list=on_list)
                name = rule_name(kind, on_list=on_list)
                blueprint.add_url_rule(rule, name, view(service), methods=methods, provide_automatic_options=False)
    return blueprint


def enabled_methods(service: Service, kind: Kind, *, on_list: bool) -> list[str]:
    """Return the methods of the lists or objects of a kind that no setting switches off (C-URL-22)."""
    shape: Shape = "plural" if on_list else "object"
    methods = kind.list_methods if on_list else kind.object_methods
    return [method for method in methods if service.settings.is_enabled(shape, kind.name, method)]


def url_rule(service: Service, kind: Kind, *, on_list: bool) -> str:
    """Return the URL rule of the lists or objects of a kind: `/buckets/<bucket_id>/groups/<id>`."""
    *ancestors, last = service.kinds.lineage(kind)
    parent = "".join(f"/{ancestor.plural}/<{ancestor.name}_id>" for ancestor in ancestors)
    return f"{parent}/{last.plural}" + ("" if on_list else "/<id>")


def view(service: Service) -> Callable[..., Response]:
    """Make the view of lists and objects: parse the request, perform the operation, return the response."""
    start = len(prefix(service))

    def resource(**_: str) -> Response:
        route = service.kinds.match(request.path[start:])
        if route is None:
            raise NoSuchUrl
        g.exposed = exposed_headers(request.method, on_list=route.on_list)
        query = request.query_string.decode()
        http_request = HttpRequest(request.method, route.uri, query, request.headers, request.get_data(cache=False))
        identity = authenticate(service)
        operation, answer = perform_single(service, parse_operation(service, http_request, route, identity))
        if operation.identity is not identity:
            note_identity(operation.identity)
        return to_response(to_reply(service, operation, answer, query))

    return resource
