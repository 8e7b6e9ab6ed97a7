"""A client for tests: requests as people, answers with their JSON decoded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:  # Processes that only send requests start faster without Flask.
    from flask import Flask
    from werkzeug.datastructures import Headers

SECRET = "golden-secret"


def basic(name: str, password: str = "secret") -> str:
    """Return the `Authorization` of a name and a password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def user_id(name: str, password: str = "secret") -> str:
    """Return the user id of basic authentication."""
    return "basicauth:" + hmac.new(SECRET.encode(), f"{name}:{password}".encode(), hashlib.sha256).hexdigest()


@dataclass
class Answer:
    """What came back."""

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
    """Somebody who asks an application in this process; `as_` gives the same client as somebody else."""

    def __init__(self, app: Flask, name: str | None = "alice") -> None:
        self.app = app
        self.name = name

    def as_(self, name: str | None) -> Client:
        """Return a client of the same application as somebody else, None for nobody in particular."""
        return Client(self.app, name)

    @property
    def id(self) -> str:
        """Return the principal of whoever asks."""
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
        sent = {"Authorization": basic(self.name)} if self.name else {}
        if body is not None:
            raw = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        target = path if path.startswith(("/v1/", "/v1?", "/v0", "/v2")) or path == "/v1" else f"/v1{path}"
        environ = {"PATH_INFO": unquote_to_bytes(target.partition("?")[0]).decode("latin-1")}
        response = self.app.test_client().open(target, method=method, headers=sent, data=raw, environ_overrides=environ)
        return Answer(response.status_code, response.headers, response.get_data())

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.ask("GET", path, headers=_named(headers))

    def head(self, path: str, **headers: str) -> Answer:
        """HEAD."""
        return self.ask("HEAD", path, headers=_named(headers))

    def put(self, path: str, data: Any = None, permissions: Any = None, **headers: str) -> Answer:
        """PUT."""
        return self.ask("PUT", path, _envelope(data, permissions), _named(headers))

    def post(self, path: str, data: Any = None, permissions: Any = None, **headers: str) -> Answer:
        """POST."""
        return self.ask("POST", path, _envelope(data, permissions), _named(headers))

    def patch(self, path: str, data: Any = None, permissions: Any = None, **headers: str) -> Answer:
        """PATCH with a plain body, or with the one of the `content_type` given."""
        return self.ask("PATCH", path, _envelope(data, permissions), _named(headers))

    def delete(self, path: str, **headers: str) -> Answer:
        """DELETE."""
        return self.ask("DELETE", path, headers=_named(headers))

    def batch(self, *requests: Mapping[str, Any], **more: Any) -> Answer:
        """POST a batch."""
        return self.ask("POST", "/batch", {"requests": list(requests), **more})


def _envelope(data: Any, permissions: Any) -> Any:
    body = {}
    if data is not None:
        body["data"] = data
    if permissions is not None:
        body["permissions"] = permissions
    return body or None


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """Turn `if_match` into `If-Match`."""
    return {"-".join(part.capitalize() for part in name.split("_")): value for name, value in headers.items()}
