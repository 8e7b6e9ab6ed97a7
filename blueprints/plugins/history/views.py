"""The URL of the snapshot of a collection: who may read it, and at which time (plugins contract, 7.5)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from flask import Blueprint, Response, request

from blueprints.plugins import (
    Forbidden,
    Identity,
    Invalid,
    NoSuchUrl,
    Operation,
    Problem,
    Reply,
    Route,
    Selection,
    Service,
    Unauthenticated,
    UnknownParent,
    authenticate_with_groups,
    perform,
    prefix,
    to_response,
)
from blueprints.plugins.history.snapshots import Snapshot

_MAX_TIMESTAMP: Final = 253_402_300_799_999
_TIMESTAMP: Final = re.compile(r"[0-9]+")
_PATH: Final = "/buckets/{bucket_id}/snapshot/collections/{collection_id}@{timestamp}"
_OPENAPI: Final = {
    "operationId": "get_collection_snapshot",
    "summary": "The records of a collection as they were at a time",
    "tags": ["History"],
}


def urls(service: Service) -> Blueprint:
    """Make the blueprint of snapshots."""
    blueprint = Blueprint("snapshots", __name__, url_prefix=prefix(service))

    def snapshot(bucket_id: str, place: str) -> Response:
        collection_id, _, timestamp = place.rpartition("@")
        bucket = service.kinds.match(f"/buckets/{bucket_id}")
        if not (collection_id and timestamp and bucket):
            raise NoSuchUrl
        identity, principals = authenticate_with_groups(service)
        route = service.kinds.match(f"{_own_bucket(service, bucket, identity)}/collections/{collection_id}")
        if route is None:
            raise NoSuchUrl
        for kind, object_id in zip(route.kinds, route.ids, strict=True):
            if not kind.generator.match(object_id):
                raise UnknownParent(kind.name, object_id)
        at = _parse(timestamp)
        exists = _expect_access(service, route, identity, principals)
        if not exists or request.method == "HEAD":
            return to_response(Reply(200, '{"data":[]}', {"Content-Type": "application/json"}))
        return Snapshot(service, route.bucket, route.id, at).to_response()

    rule = "/buckets/<bucket_id>/snapshot/collections/<place>"
    blueprint.add_url_rule(rule, "snapshot", snapshot, methods=["GET"], provide_automatic_options=False)
    service.add_openapi(_PATH, {"get": _OPENAPI})
    return blueprint


def _own_bucket(service: Service, route: Route, identity: Identity) -> str:
    """Return the URI of the bucket that a route means; the user's own one is created if it is missing (P-DEF-4)."""
    own, implied = service.aliases.resolve(route, "GET", identity)
    if implied:
        perform(service, [Operation("GET", own, identity, implied=implied)])
    return own.uri


def _parse(text: str) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise Invalid(Problem("path", "timestamp", f"Invalid timestamp '{text}'"))
    return min(int(text), _MAX_TIMESTAMP)


def _expect_access(service: Service, route: Route, identity: Identity, principals: Collection[str]) -> bool:
    """Return whether the collection exists.

    Raises Unauthenticated or Forbidden for an identity that holds neither `read` nor `write` on it or on its bucket, by
    grants or by settings.
    """
    uris = (*route.ancestors, route.uri)
    selection = Selection(route.bucket, ancestors=uris, readers=tuple(principals), ancestor_documents=False)
    facts = service.storage.read(selection)
    granted = any(facts.grants.get(uri, {}).keys() & {"read", "write"} for uri in uris)
    by_settings = (service.settings.principals(kind.name, name) for kind in route.kinds for name in ("read", "write"))
    if not granted and not any(principals_of & set(principals) for principals_of in by_settings):
        raise Unauthenticated if identity.user_id is None else Forbidden
    stored = facts.objects.get(route.uri)
    return stored is not None and not stored.deleted
