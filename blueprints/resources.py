"""The URLs of lists and objects, drawn from the kinds: one rule for the list and one for the object of each."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, g, request

from app.errors import NoSuchUrl
from app.kinds import Kind
from app.service import Service
from app.settings.patterns import Shape
from app.transactions.perform import perform_single
from blueprints.authentication import recognise
from blueprints.cors import exposed
from blueprints.http import sent
from blueprints.replies import answer
from blueprints.request_lines import note_identity
from blueprints.requests import Asked, operation
from blueprints.urls import prefix


def resources(service: Service) -> Blueprint:
    """Make the blueprint of all kinds that the service has by now."""
    blueprint = Blueprint("resources", __name__, url_prefix=prefix(service))
    for kind in service.kinds:
        for on_list in (True, False):
            methods = offered(service, kind, on_list)
            name = f"{kind.name}-{'plural' if on_list else 'object'}"
            if methods:
                rule = url(service, kind, on_list)
                blueprint.add_url_rule(rule, name, view(service), methods=methods, provide_automatic_options=False)
    return blueprint


def offered(service: Service, kind: Kind, on_list: bool) -> list[str]:
    """Return the methods of a kind that no setting switches off (C-URL-22)."""
    shape: Shape = "plural" if on_list else "object"
    methods = kind.list_methods if on_list else kind.object_methods
    return [method for method in methods if service.settings.enabled(shape, kind.name, method)]


def url(service: Service, kind: Kind, on_list: bool) -> str:
    """Return the URL rule of the lists or objects of a kind: `/buckets/<bucket_id>/groups/<id>`."""
    *around, last = service.kinds.lineage(kind)
    above = "".join(f"/{one.plural}/<{one.name}_id>" for one in around)
    return f"{above}/{last.plural}" + ("" if on_list else "/<id>")


def view(service: Service) -> Callable[..., Response]:
    """Make the view of lists and objects: read the request, perform it, answer."""
    start = len(prefix(service))

    def resource(**_: str) -> Response:
        route = service.kinds.match(request.path[start:])
        if route is None:
            raise NoSuchUrl
        g.exposed = exposed(request.method, route.on_list)
        query = request.query_string.decode()
        asked = Asked(request.method, route.uri, query, request.headers, request.get_data(cache=False))
        identity = recognise(service)
        asks, given = perform_single(service, operation(service, asked, route, identity))
        if asks.identity is not identity:
            note_identity(asks.identity)
        return sent(answer(service, asks, given, request.path, query))

    return resource
