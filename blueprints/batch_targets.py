"""The targets of members of a batch: where the path of each leads, as that of a single request would."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from flask import Flask
from werkzeug.exceptions import HTTPException

from app.errors import ApiError, NoSuchUrl, NoSuchVersion
from app.kinds import Route
from app.service import Service
from blueprints.resources import enabled_methods
from blueprints.urls import expect_utf8, is_unversioned, prefix


@dataclass(frozen=True, slots=True)
class Target:
    """Where a member leads: the decoded path with the version, the query, and the list or object, if it is one.

    `refusal` is the error of a path that leads nowhere.
    """

    path: str
    query: str
    route: Route | None = None
    refusal: ApiError | None = None


class Targets:
    """Finds the targets of the members of one batch."""

    def __init__(self, service: Service, app: Flask) -> None:
        self._service = service
        self._urls = app.url_map.bind("")
        self._version = prefix(service)
        self._methods: dict[tuple[str, bool], list[str]] = {}

    def resolve(self, url: str) -> Target:
        """Find out where a member leads, by the redirects that single requests get (C-BATCH-10, C-BATCH-19)."""
        raw, _, query = url.partition("?")
        try:
            path = unquote(raw, errors="strict")
        except UnicodeDecodeError:  # refused below, and shown as it was sent
            path = raw
        if not path.startswith(self._version) and is_unversioned(path):
            path = f"{self._version}{path}"
        try:
            expect_utf8(unquote_to_bytes(raw), query.encode())
            path = self._without_slash(path)
            inner = path[len(self._version) :]
            if not path.startswith(f"{self._version}/"):
                raise NoSuchUrl if path.startswith(self._version) else NoSuchVersion
            if inner.startswith("/__"):  # what proxies keep from outside must not be reached through a batch
                raise NoSuchUrl
        except ApiError as error:
            return Target(path, query, refusal=error)
        route = self._service.kinds.match(inner)
        if route is not None and not self.methods(route):
            route = None  # settings switch off all its methods: it has no endpoint
        return Target(path, query, route)

    def _without_slash(self, path: str) -> str:
        """Follow the redirect of a path that has no endpoint and a slash at its end (C-URL-12, C-URL-14)."""
        follows = self._service.settings.trailing_slash_redirect_enabled
        slash = path == self._version or (path.startswith(f"{self._version}/") and path.endswith("/"))
        if not follows or not slash or self._has_endpoint(path):
            return path
        return f"{self._version}/" if path.rstrip("/") == self._version else path.rstrip("/")

    def _has_endpoint(self, path: str) -> bool:
        """Say whether the application finds an endpoint for a path, of whatever method; the bare prefix has none."""
        return path != self._version and bool(self._urls.allowed_methods(path))

    def is_batch(self, path: str) -> bool:
        """Say whether a path leads to the batch endpoint itself (C-BATCH-8, C-BATCH-9)."""
        try:
            return bool(self._urls.match(path, "POST")[0] == "batch.batch")
        except HTTPException:
            return False

    def methods(self, route: Route) -> list[str]:
        """Return the methods of a list or an object, found out once for all members on such."""
        place = route.kind.name, route.on_list
        if place not in self._methods:
            self._methods[place] = enabled_methods(self._service, route.kind, on_list=route.on_list)
        return self._methods[place]
