"""Serve a web console for administrators at `/admin/` from a folder of files (plugins contract, 10).

The folder is `console/` beside this module, or one that a setting names: a build of kinto-admin, or any other console
that uses relative URLs.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path
from typing import Final

from flask import Blueprint, Flask, Response, request, send_from_directory
from werkzeug.exceptions import NotFound, PreconditionFailed
from werkzeug.routing import BaseConverter

from blueprints.plugins import NoSuchUrl, Reply, Service, SettingError, origin_of_urls, prefix, to_response

_DESCRIPTION: Final = "Serves the admin console."
_DOCUMENTATION: Final = "https://github.com/Kinto/kinto-admin/"
_VERSION: Final = "6.6.0"
"""The version of kinto-admin whose API clients find here (P-ADM-3)."""

_CONSOLE: Final = Path(__file__).resolve().parent / "console"
_CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_OTHER_POLICY: Final = (
    "default-src 'self'; img-src data: *; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'"
)
"""What kinto-admin needs."""


class _FilePath(BaseConverter):
    """A path that does not end with a slash, unlike Werkzeug's `path`: one with a slash is redirected."""

    regex = "[^/](?:.*[^/])?"
    part_isolating = False


def attach(app: Flask, service: Service) -> None:
    """Add the page, its files and the capability. Raises SettingError for a folder without a console."""
    folder, policy, version = _CONSOLE, _CONSOLE_POLICY, _VERSION
    if service.settings.admin_assets_path is not None:
        folder, policy = Path(service.settings.admin_assets_path).resolve(), _OTHER_POLICY
        version = _read(folder / "VERSION").strip()
    service.add_capability("admin", _DESCRIPTION, _DOCUMENTATION, version=version)
    app.url_map.converters["admin_file"] = _FilePath
    app.register_blueprint(_urls(service, folder, _read(folder / "index.html"), policy))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError("admin_assets_path", f"the file {str(file)!r} cannot be read ({error}).") from error


def _urls(service: Service, folder: Path, index: str, policy: str) -> Blueprint:
    """Return the URLs: the page *index* with its Content-Security-Policy, and the files of *folder*."""
    blueprint = Blueprint("admin", __name__, url_prefix=f"{prefix(service)}/admin")

    def page() -> Response:
        headers = {"Content-Type": "text/html; charset=UTF-8", "Content-Security-Policy": policy}
        response = to_response(Reply(200, index, headers))
        response.add_etag()
        return _conditional(response)

    def redirect() -> Response:
        location = f"{origin_of_urls(service)}{prefix(service)}/admin/"
        return to_response(Reply(307, headers={"Location": location, "Content-Type": "text/plain; charset=UTF-8"}))

    def file(name: str) -> Response:
        is_hidden = "/." in f"/{name}"
        if is_hidden or not Path(os.path.realpath(folder / name)).is_relative_to(folder):
            raise NoSuchUrl
        try:
            response = send_from_directory(folder, name, conditional=False, max_age=0)
        except (NotFound, OSError) as error:  # no such file, or one that cannot be read
            raise NoSuchUrl from error
        # Without ranges: Werkzeug would refuse those that a server may ignore (RFC 9110, section 14.2).
        return _conditional(response)

    for rule, name, view in (("/", "home", page), ("", "redirect", redirect), ("/<admin_file:name>", "file", file)):
        blueprint.add_url_rule(rule, name, view, methods=["GET"], provide_automatic_options=False)
    return blueprint


def _conditional(response: Response) -> Response:
    """Return the response to a conditional request. Werkzeug leaves the content in one with the status 412."""
    response.make_conditional(request)
    if response.status_code == HTTPStatus.PRECONDITION_FAILED:
        response.close()
        raise PreconditionFailed
    return response
