"""Find the targets of members of a batch: the list, object or view that a single request with the path would reach."""

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
    """The target of a member: its decoded path with the version, its query, and the route of a list or an object.

    `refusal` is the error of a path that has no endpoint.
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
        """Return the target of a member, after the redirects that a single request gets (C-BATCH-10, C-BATCH-19)."""
        raw, _, query = url.partition("?")
        try:
            path = unquote(raw, errors="strict")
        except UnicodeDecodeError:  # refused below; the response shows the path as it was sent
            path = raw
        if not path.startswith(self._version) and is_unversioned(path):
            path = f"{self._version}{path}"
        try:
            expect_utf8(unquote_to_bytes(raw), query.encode())
            path = self._follow_redirect(path)
            inner = path[len(self._version) :]
            if not path.startswith(f"{self._version}/"):
                raise NoSuchUrl if path.startswith(self._version) else NoSuchVersion
            if inner.startswith("/__"):  # proxies hide these paths from clients, so a batch must not reach them
                raise NoSuchUrl
        except ApiError as error:
            return Target(path, query, refusal=error)
        route = self._service.kinds.match(inner)
        if route is not None and not self.methods(route):
            route = None  # settings switch off all its methods: it has no endpoint
        return Target(path, query, route)

    def _follow_redirect(self, path: str) -> str:
        """Remove the slash at the end of a path that has no endpoint, as a redirect does (C-URL-12, C-URL-14)."""
        enabled = self._service.settings.trailing_slash_redirect_enabled
        has_slash = path == self._version or (path.startswith(f"{self._version}/") and path.endswith("/"))
        if not enabled or not has_slash or self._has_endpoint(path):
            return path
        return f"{self._version}/" if path.rstrip("/") == self._version else path.rstrip("/")

    def _has_endpoint(self, path: str) -> bool:
        """Return whether the application has an endpoint for a path, of any method; the bare prefix has none."""
        return path != self._version and bool(self._urls.allowed_methods(path))

    def is_batch(self, path: str) -> bool:
        """Return whether a path is that of the batch endpoint itself (C-BATCH-8, C-BATCH-9)."""
        try:
            return bool(self._urls.match(path, "POST")[0] == "batch.batch")
        except HTTPException:
            return False

    def methods(self, route: Route) -> list[str]:
        """Return the enabled methods of a list or an object; computed once for all members with the same endpoint."""
        endpoint = route.kind.name, route.on_list
        if endpoint not in self._methods:
            self._methods[endpoint] = enabled_methods(self._service, route.kind, on_list=route.on_list)
        return self._methods[endpoint]
