"""Know the prefix and origin of the service's URLs, and refuse invalid paths, queries and `Host` (core contract, 1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from flask import request

from app.errors import Malformed
from app.kinds import Kind
from app.parsing import hosts
from app.service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ROOTED_PATH: Final = re.compile(r"/(?!/)")
"""A path that begins with one slash: Werkzeug routes `//v1/` as `/v1/`, which rules of proxies do not expect."""


def prefix(service: Service) -> str:
    """Return the prefix of every URL: `/v1` (C-URL-1)."""
    return f"/v{service.settings.http_api_version.split('.')[0]}"


def rule_name(kind: Kind, *, on_list: bool) -> str:
    """Return the name of the URL rule for the lists or objects of a kind: `record-object`."""
    return f"{kind.name}-{'plural' if on_list else 'object'}"


def origin_of_urls(service: Service) -> str:
    """Return scheme and host of the URLs in responses (C-URL-26, C-URL-27)."""
    settings = service.settings
    return hosts.origin(settings.http_scheme or request.scheme, settings.http_host or _host_of(request.environ))


def _host_of(environ: WSGIEnvironment) -> str:
    """Return the `Host` of the request, by default the name of the server (PEP 3333). Raises ValueError."""
    host: str | None = environ.get("HTTP_HOST")
    # A request of HTTP/1.0 without `Host` gets an empty one from proxies; in HTTP/1.1 an empty `Host` is an error.
    if host or (host is not None and environ.get("SERVER_PROTOCOL") != "HTTP/1.0"):
        return host
    name, port = environ["SERVER_NAME"], environ["SERVER_PORT"]
    server = f"[{name}]:{port}" if ":" in name and name[0] != "[" else f"{name}:{port}"
    try:
        hosts.split(server)
    except ValueError:
        # A server that listens on a Unix socket has no name that is valid in a URL.
        return "localhost"
    return server


def request_path() -> str:
    """Return the path as the client sent it; Werkzeug's `request.path` always begins with exactly one slash."""
    path: str = request.environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode()


def is_unversioned(path: str) -> bool:
    """Return whether a path has no version: it does not begin with `/v` and a digit (C-URL-10)."""
    return not (path.startswith("/v") and path[2:3].isdigit())


def expect_host(environ: WSGIEnvironment) -> None:
    """Raise Malformed for a `Host` that is not valid in a URL (RFC 9112, section 3.2)."""
    try:
        hosts.split(_host_of(environ))
    except ValueError as error:
        raise Malformed("Invalid Host header.") from error


def expect_utf8(path: bytes, query: bytes) -> None:
    """Raise Malformed unless path and query are UTF-8, the path without U+0000 (C-URL-24, C-URL-25).

    Some servers, Werkzeug's own among them, replace bytes of the path that are not UTF-8 by U+FFFD.
    """
    try:
        decoded_path = path.decode()
    except UnicodeDecodeError as error:
        raise Malformed("Invalid URL path.") from error
    if "\0" in decoded_path or "\ufffd" in decoded_path:
        raise Malformed("Invalid URL path.")
    if b"%" not in query and query.isascii():
        return
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        text = query.decode("ascii", "replace")
        raise Malformed(f"A request with an incorrect encoding in the querystring was received: {text}") from error
