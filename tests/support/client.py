"""A client for tests: requests as people, answers with their JSON decoded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from flask import Flask
from werkzeug.datastructures import Headers

from tests.support.credentials import SECRET as SECRET
from tests.support.credentials import basic as basic
from tests.support.credentials import user_id as user_id


@dataclass
class Answer:
    """An answer, with its body as bytes and decoded."""

    status: int
    headers: Headers
    body: bytes
    json: Any = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.json = json.loads(self.body)
        except ValueError:
            self.json = None

    @property
    def challenges(self) -> list[str]:
        """Return the headers `WWW-Authenticate`, of which there may be several."""
        return self.headers.getlist("WWW-Authenticate")

    @property
    def data(self) -> Any:
        """Return the member `data` of the body."""
        return self.json["data"]

    @property
    def etag(self) -> int:
        """Return the timestamp in `ETag`."""
        return int(self.headers["ETag"].strip('"'))


class Client:
    """A client of an application in this process, with the credentials of a user; `as_` returns another user's."""

    def __init__(self, app: Flask, name: str | None = "alice") -> None:
        self.app = app
        self.name = name

    def as_(self, name: str | None) -> Client:
        """Return a client of the same application with the credentials of another user, None for no credentials."""
        return Client(self.app, name)

    @property
    def id(self) -> str:
        """Return the principal of the user."""
        return user_id(self.name) if self.name else "system.Everyone"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Send one request; *path* is without `/v1` unless it begins with it."""
        authorized = {"Authorization": basic(self.name)} if self.name else {}
        if body is not None:
            raw = json.dumps(body).encode()
            authorized["Content-Type"] = "application/json"
        authorized |= headers or {}
        target = path if path.startswith(("/v1/", "/v1?", "/v0", "/v2")) or path == "/v1" else f"/v1{path}"
        return _run(self.app, _environ(method, target, authorized, raw))

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.ask("GET", path, headers=_header_names(headers))

    def head(self, path: str, **headers: str) -> Answer:
        """HEAD."""
        return self.ask("HEAD", path, headers=_header_names(headers))

    def put(self, path: str, data: Any = None, permissions: Any = None, **headers: str) -> Answer:
        """PUT."""
        return self.ask("PUT", path, _envelope(data, permissions), _header_names(headers))

    def post(self, path: str, data: Any = None, permissions: Any = None, **headers: str) -> Answer:
        """POST."""
        return self.ask("POST", path, _envelope(data, permissions), _header_names(headers))

    def patch(self, path: str, data: Any = None, permissions: Any = None, **headers: str) -> Answer:
        """PATCH with a plain body, or with the one of the `content_type` given."""
        return self.ask("PATCH", path, _envelope(data, permissions), _header_names(headers))

    def delete(self, path: str, **headers: str) -> Answer:
        """DELETE."""
        return self.ask("DELETE", path, headers=_header_names(headers))

    def batch(self, *requests: Mapping[str, Any], **more: Any) -> Answer:
        """POST a batch."""
        return self.ask("POST", "/batch", {"requests": list(requests), **more})


def _environ(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:
    """Return the WSGI environment of a request as Werkzeug's test client makes it, in a third of the time."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(target.partition("?")[0]).decode("latin-1"),
        "QUERY_STRING": urlsplit(target).query.encode().decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "Werkzeug",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = str(value)
    return environ


def _run(app: Flask, environ: dict[str, Any]) -> Answer:
    """Run one request through the whole application, as a server would."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        started.append((status, headers))

    chunks: Iterable[bytes] = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[-1]
    return Answer(int(status.split()[0]), Headers(headers), body)


def _envelope(data: Any, permissions: Any) -> Any:
    body = {}
    if data is not None:
        body["data"] = data
    if permissions is not None:
        body["permissions"] = permissions
    return body or None


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    """Turn `if_match` into `If-Match`."""
    return {"-".join(part.capitalize() for part in name.split("_")): value for name, value in headers.items()}
