"""Serve `GET /permissions`: the permissions of the current user, object by object (core contract, 2.7)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from urllib.parse import parse_qsl

from flask import Blueprint, Response, g, request

from app import entries
from app.decisions.working_set import now_ms
from app.errors import Forbidden, Invalid, Unauthenticated
from app.identity import Identity, VerifyingReader
from app.matching import MatchingPage, paginate
from app.parsing import queries
from app.parsing.parameters import Fields
from app.parsing.queries import Pairs, Query
from app.service import Service
from backends.codec import dumps
from blueprints.authentication import answer_authenticated
from blueprints.cors import exposed_headers
from blueprints.http import to_response
from blueprints.negotiation import not_acceptable
from blueprints.replies import Reply, deprecation_headers, http_date
from blueprints.requests import HttpRequest, stray_body_problems
from blueprints.urls import origin_of_urls, prefix

_URI = "/permissions"


def permissions(service: Service) -> Blueprint:
    """Make the blueprint of `/permissions`, which has no URL unless a setting enables it (C-UTIL-24)."""
    blueprint = Blueprint("permissions", __name__, url_prefix=prefix(service))

    def get() -> Response:
        g.exposed = exposed_headers(request.method, on_list=True)
        http_request = HttpRequest(request.method, _URI, "", request.headers, request.get_data(cache=False))
        refusal = not_acceptable(request.headers.get("Accept")) or http_request.unsupported_type
        if refusal:
            raise refusal
        problems = stray_body_problems(http_request)
        if problems:
            raise Invalid(*problems)
        pairs = parse_qsl(request.query_string.decode(), keep_blank_values=True)
        query, page = answer_authenticated(service, _setting_principals(service), partial(_read_page, service, pairs))
        now = now_ms()
        headers = {
            "Content-Type": "application/json",
            # The time of the last change of a user's permissions is not stored: any timestamp is sent (C-UTIL-34).
            "ETag": f'"{now}"',
            "Last-Modified": http_date(now),
            "Cache-Control": "no-cache, no-store",
            **deprecation_headers(query),
        }
        if request.method == "HEAD":
            totals = {"Total-Objects": str(page.total), "Total-Records": str(page.total)}
            return to_response(Reply(200, "", headers | totals))
        if page.more:
            token = queries.token_after(query, page.documents[-1])
            next_query = queries.next_query(pairs, query.limit, token)
            headers["Next-Page"] = f"{origin_of_urls(service)}{request.path}?{next_query}"
        data = [queries.project(entry, query.fields) if query.fields else entry for entry in page.documents]
        return to_response(Reply(200, dumps({"data": data}), headers))

    if service.settings.experimental_permissions_endpoint:
        blueprint.add_url_rule(_URI, "permissions", get, methods=["GET"], provide_automatic_options=False)
    return blueprint


def _read_page(
    service: Service, pairs: Pairs, identity: Identity, principals: frozenset[str], reader: VerifyingReader
) -> tuple[Query, MatchingPage]:
    """Read the requested page. Raises Unauthenticated, Forbidden, Invalid."""
    kinds, principals_for = service.kinds, service.rules.principals_for
    if service.settings.principals("permissions", "read").isdisjoint(principals):
        raise Unauthenticated if identity.user_id is None else Forbidden
    query = _parse_query(service, pairs)
    by_settings = entries.permissions_by_settings(kinds, principals_for, principals)
    counting = request.method == "HEAD"
    selection = entries.select_accessible(kinds, query, identity.principals, by_settings, counting=counting)
    snapshot = reader.read_with(service.storage.read_accessible, selection)
    object_entries = entries.build_entries(kinds, snapshot.permissions, by_settings)
    page = paginate(object_entries + entries.root_entries(kinds, principals_for, principals), query)
    return query, replace(page, total=page.total + snapshot.total)


def _setting_principals(service: Service) -> frozenset[str]:
    """Return the principals to which settings grant a permission that this page shows or needs."""
    names = [(kind.name, name) for kind in service.kinds for name in ("create", "read", "write")]
    return frozenset[str]().union(*(service.rules.principals_for(*name) for name in [*names, ("permissions", "read")]))


def _parse_query(service: Service, pairs: Pairs) -> Query:
    """Parse the query string, which selects entries as it would select objects of a list. Raises Invalid."""
    limits = queries.Limits(service.settings.paginate_by, service.settings.storage_max_fetch_size)
    query = queries.parse(pairs, _URI, limits, now_ms(), Fields(entries.known_fields(service.kinds)))
    if query.problems:
        raise Invalid(*query.problems)
    if query.refusal:
        raise Invalid(query.refusal)
    return query
