"""The URLs of the service: their prefix and host, and what no path, query or `Host` may hold (core contract, 1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from flask import request

from app.errors import Malformed
from app.parsing import hosts
from app.service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ROOTED: Final = re.compile(r"/(?!/)")
"""One slash, with which a path begins: Werkzeug routes `//v1/` as `/v1/`, which no rule of a proxy expects."""


def prefix(service: Service) -> str:
    """Return what every URL begins with: `/v1` (C-URL-1)."""
    return f"/v{service.settings.http_api_version.split('.')[0]}"


def origin_of_urls(service: Service) -> str:
    """Return scheme and host of the URLs that the service writes (C-URL-26, C-URL-27)."""
    settings = service.settings
    return hosts.origin(settings.http_scheme or request.scheme, settings.http_host or _host_of(request.environ))


def _host_of(environ: WSGIEnvironment) -> str:
    """Return the host that the client named, else the name of the server (PEP 3333). Raises ValueError."""
    named: str | None = environ.get("HTTP_HOST")
    # Proxies pass on a header that HTTP/1.0 lacks as an empty one; in HTTP/1.1 an empty one is an error.
    if named or (named is not None and environ.get("SERVER_PROTOCOL") != "HTTP/1.0"):
        return named
    name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
    server = f"[{name}]:{port}" if ":" in name and name[0] != "[" else f"{name}:{port}"
    try:
        hosts.split(server)
    except ValueError:
        # A server that listens at a Unix socket has no name that could stand in a URL.
        return "localhost"
    return server


def sent_path() -> str:
    """Return the path that was sent, which Werkzeug's `request.path` gives exactly one slash in front."""
    path: str = request.environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode()


def unversioned(path: str) -> bool:
    """Say whether a path has no version: it does not begin with `/v` and a digit (C-URL-10)."""
    return not (path.startswith("/v") and path[2:3].isdigit())


def expect_path(path: str) -> None:
    """Raise Malformed for a path that no database could look for.

    U+FFFD is what some servers, Werkzeug's own among them, put in the place of what was not UTF-8.
    """
    if "\0" in path or "\ufffd" in path:
        raise Malformed("Invalid URL path.")


def expect_host() -> None:
    """Raise Malformed for a `Host` that cannot stand in a URL (RFC 9112, section 3.2)."""
    try:
        hosts.split(_host_of(request.environ))
    except ValueError as error:
        raise Malformed("Invalid Host header.") from error


def expect_utf8(path: bytes, query: bytes) -> None:
    """Raise Malformed unless path and query are UTF-8, the path without U+0000 (C-URL-24, C-URL-25)."""
    try:
        expect_path(path.decode())
    except UnicodeDecodeError as error:
        raise Malformed("Invalid URL path.") from error
    if b"%" not in query and query.isascii():
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        shown = query.decode("ascii", "replace")
        raise Malformed(f"A request with an incorrect encoding in the querystring was received: {shown}") from error
