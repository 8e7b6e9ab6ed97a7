"""Serve the hello view and the other pages about the service itself (core contract, 2.1, 2.3 and 2.4)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from app.errors import NoSuchUrl
from app.service import Service
from backends import Json
from backends.codec import dumps, loads
from blueprints.authentication import authenticate_with_groups
from blueprints.http import to_response
from blueprints.replies import Headers, Reply, anonymous_caching_headers
from blueprints.urls import origin_of_urls, prefix

_CONTRIBUTE = {
    "name": "kinto",
    "description": "A JSON document store with sharing and synchronisation over HTTP.",
    "repository": {
        "url": "https://github.com/Kinto/kinto",
        "license": "Apache-2.0",
        "tests": "https://github.com/Kinto/kinto/actions",
    },
    "participate": {
        "home": "https://github.com/Kinto/kinto",
        "docs": "https://kinto.readthedocs.io/",
        "irc": "irc://irc.freenode.net/#kinto",
        "irc-contacts": [],
    },
    "bugs": {
        "list": "https://github.com/Kinto/kinto/issues",
        "report": "https://github.com/Kinto/kinto/issues/new",
    },
    "keywords": ["json", "storage", "sync", "rest"],
}


def core(service: Service) -> Blueprint:
    """Make the blueprint of the pages that need no authentication and read no object."""
    blueprint = Blueprint("core", __name__, url_prefix=prefix(service))
    settings = service.settings

    def hello() -> Response:
        if request.path == prefix(service):
            raise NotFound
        identity, principals = authenticate_with_groups(service)
        body: dict[str, Json] = {
            "project_name": settings.project_name,
            "project_version": settings.project_version,
            "http_api_version": settings.http_api_version,
            "project_docs": settings.project_docs,
            "url": f"{origin_of_urls(service)}{prefix(service)}/",
            "config": describe_config_file(settings.config_path),
            "settings": service.public_settings,
            "capabilities": service.capabilities,
        }
        if settings.eos is not None:
            body["eos"] = settings.get("eos")
        if identity.user_id is not None:
            body["user"] = {"id": identity.user_id, "principals": sorted(principals)}
            for describe in service.user_info:
                body["user"] |= describe(identity)
        reply = Reply(200, dumps(body))
        reply.headers |= _caching_headers(service, is_anonymous=identity.user_id is None)
        return to_response(reply)

    def version() -> Response:
        text = read_version_file(settings.version_json_path)
        if text is None:
            raise NoSuchUrl
        return to_response(Reply(200, text))

    def contribute() -> Response:
        return to_response(Reply(200, dumps(_CONTRIBUTE)))

    for rule, view in (("/", hello), ("/__version__", version), ("/contribute.json", contribute)):
        name = "hello" if rule == "/" else rule.strip("/_").removesuffix(".json")
        # `strict_slashes` off: the bare prefix reaches the hello view instead of a redirect by Werkzeug.
        blueprint.add_url_rule(
            rule, name, view, methods=["GET"], provide_automatic_options=False, strict_slashes=rule != "/"
        )
    return blueprint


def _caching_headers(service: Service, *, is_anonymous: bool) -> Headers:
    """Return headers by which anonymous clients may cache the page of a read-only service (O-SET-34, C-UTIL-11)."""
    seconds = service.settings.root_cache_expires_seconds
    if not service.settings.readonly or seconds is None:
        return {}
    return anonymous_caching_headers(seconds) if is_anonymous else {"Cache-Control": "no-cache, no-store"}


@cache
def describe_config_file(path: str | None) -> dict[str, str] | None:
    """Return path, hash and modification time of the configuration file, None without one (C-UTIL-10)."""
    if path is None:
        return None
    file = Path(path)
    modification_time = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return {
        "path": path,
        "hash": hashlib.sha256(file.read_bytes()).hexdigest(),
        "modified": modification_time.isoformat(),
    }


@cache
def read_version_file(path: str) -> str | None:
    """Return the JSON of the version file, read once (C-UTIL-18), None without the file (C-UTIL-19)."""
    file = Path(path)
    return dumps(loads(file.read_text())) if file.is_file() else None
