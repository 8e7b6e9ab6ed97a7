"""Serve a web console for administrators at `/admin/` from a folder of files (plugins contract, 10).

The folder is a build of kinto-admin, or any other console that uses relative URLs. Without one a page explains it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Blueprint, Flask, Response, request, send_from_directory
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from blueprints.plugins import NoSuchUrl, Reply, Service, SettingError, origin_of_urls, prefix, to_response

_DESCRIPTION: Final = "Serves the admin console."
_DOCUMENTATION: Final = "https://github.com/Kinto/kinto-admin/"
_VERSION: Final = "6.6.0"
"""The version of kinto-admin whose API clients find here (P-ADM-3)."""

_CONTENT_POLICY: Final = (
    "default-src 'self'; img-src data: *; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'"
)
_HELP: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Admin console</title></head>
<body>
<h1>No admin console is installed</h1>
<p>Build <a href="https://github.com/Kinto/kinto-admin/">kinto-admin</a> for the path of this page, and name its folder
in the setting <code>admin_assets_path</code>. The folder has <code>index.html</code> and <code>VERSION</code>.</p>
<p>The <a href="../">API</a> works without a console.</p>
</body>
</html>
"""


class _FilePath(BaseConverter):
    """A path that does not end with a slash, unlike Werkzeug's `path`: one with a slash is redirected."""

    regex = "[^/](?:.*[^/])?"
    part_isolating = False


def attach(app: Flask, service: Service) -> None:
    """Add the page, its files and the capability. Raises SettingError for a folder without a console."""
    folder = service.settings.admin_assets_path
    index, version = _HELP, _VERSION
    if folder is not None:
        index, version = (_read(Path(folder, name)) for name in ("index.html", "VERSION"))
    service.add_capability("admin", _DESCRIPTION, _DOCUMENTATION, version=version.strip())
    app.url_map.converters["admin_file"] = _FilePath
    app.register_blueprint(_urls(service, index, None if folder is None else Path(folder).resolve()))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError("admin_assets_path", f"the file {str(file)!r} cannot be read ({error}).") from error


def _urls(service: Service, index: str, folder: Path | None) -> Blueprint:
    """Return the URLs: the page *index*, and the files of *folder*, if there is one."""
    blueprint = Blueprint("admin", __name__, url_prefix=f"{prefix(service)}/admin")

    def page() -> Response:
        headers = {"Content-Type": "text/html; charset=UTF-8", "Content-Security-Policy": _CONTENT_POLICY}
        response = to_response(Reply(200, index, headers))
        response.add_etag()
        response.make_conditional(request)
        return response

    def redirect() -> Response:
        location = f"{origin_of_urls(service)}{prefix(service)}/admin/"
        return to_response(Reply(307, headers={"Location": location, "Content-Type": "text/plain; charset=UTF-8"}))

    def file(name: str) -> Response:
        if folder is None:
            raise NoSuchUrl
        try:
            return send_from_directory(folder, name, conditional=True, max_age=0)
        except HTTPException as error:  # no such file, or a path that leaves the folder
            raise NoSuchUrl from error

    for rule, name, view in (("/", "home", page), ("", "redirect", redirect), ("/<admin_file:name>", "file", file)):
        blueprint.add_url_rule(rule, name, view, methods=["GET"], provide_automatic_options=False)
    return blueprint
