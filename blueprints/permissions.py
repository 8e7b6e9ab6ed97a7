"""`GET /permissions`: what whoever asks may do, object by object (core contract, 2.7)."""

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
from blueprints.authentication import answer_identified
from blueprints.cors import exposed_headers
from blueprints.http import to_response
from blueprints.negotiation import not_acceptable
from blueprints.replies import Reply, deprecation_headers, http_date
from blueprints.urls import origin_of_urls, prefix

_URI = "/permissions"


def permissions(service: Service) -> Blueprint:
    """Make the blueprint of `/permissions`; without a URL unless a setting asks for it (C-UTIL-24)."""
    blueprint = Blueprint("permissions", __name__, url_prefix=prefix(service))

    def get() -> Response:
        g.exposed = exposed_headers(request.method, on_list=True)
        refused = not_acceptable(request.headers.get("Accept"))
        if refused:
            raise refused
        pairs = parse_qsl(request.query_string.decode(), keep_blank_values=True)
        query, page = answer_identified(service, _configured(service), partial(_read, service, pairs))
        now = now_ms()
        headers = {
            "Content-Type": "application/json",
            # A timestamp without meaning: nothing says when what somebody may do has changed (C-UTIL-34).
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
            next = queries.next_query(pairs, query.limit, token)
            headers["Next-Page"] = f"{origin_of_urls(service)}{request.path}?{next}"
        shown = [queries.project(entry, query.fields) if query.fields else entry for entry in page.documents]
        return to_response(Reply(200, dumps({"data": shown}), headers))

    if service.settings.experimental_permissions_endpoint:
        blueprint.add_url_rule(_URI, "permissions", get, methods=["GET"], provide_automatic_options=False)
    return blueprint


def _read(
    service: Service, pairs: Pairs, identity: Identity, principals: frozenset[str], proving: VerifyingReader
) -> tuple[Query, MatchingPage]:
    """Read the page that the query string asks for. Raises Unauthenticated, Forbidden, Invalid."""
    kinds, configured = service.kinds, service.rules.configured
    if service.settings.principals("permissions", "read").isdisjoint(principals):
        raise Unauthenticated if identity.user_id is None else Forbidden
    query = _query(service, pairs)
    given = entries.permissions_by_settings(kinds, configured, principals)
    counting = request.method == "HEAD"
    wanted = entries.select_accessible(kinds, query, identity.principals, given, counting=counting)
    snapshot = proving.read_with(service.storage.accessible, wanted)
    found = entries.build_entries(kinds, snapshot.permissions, given) + entries.root_entries(
        kinds, configured, principals
    )
    page = paginate(found, query)
    return query, replace(page, total=page.total + snapshot.total)


def _configured(service: Service) -> frozenset[str]:
    """Return all principals whom settings give a permission that this page shows or needs."""
    names = [(kind.name, name) for kind in service.kinds for name in ("create", "read", "write")]
    return frozenset[str]().union(*(service.rules.configured(*name) for name in [*names, ("permissions", "read")]))


def _query(service: Service, pairs: Pairs) -> Query:
    """Return what is asked of the entries, as of any list. Raises Invalid."""
    limits = queries.Limits(service.settings.paginate_by, service.settings.storage_max_fetch_size)
    known = entries.known_fields(service.kinds)
    query = queries.parse(pairs, _URI, limits, now_ms(), Fields(known))
    if query.problems:
        raise Invalid(*query.problems)
    if query.refusal:
        raise Invalid(query.refusal)
    return query
