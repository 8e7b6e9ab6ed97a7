"""Ask a server over HTTP, from any address of this machine."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from tests.support.client import Answer, basic

INSIDE = "127.0.0.1"
OUTSIDE = "127.0.0.2"
"""An address of this machine from which nginx is to let nobody in."""


def ask(
    url: str,
    method: str,
    path: str,
    body: Any = None,
    name: str | None = None,
    source: str = INSIDE,
    **headers: str,
) -> Answer:
    """Send one request to *path* below *url*, as somebody with a name or as nobody; headers are named `if_match`."""
    parts = urlsplit(url)
    sent = {each.replace("_", "-"): value for each, value in headers.items()}
    if name is not None:
        sent["Authorization"] = basic(name)
    if body is not None:
        sent["Content-Type"] = "application/json"
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60, source_address=(source, 0))
    try:
        connection.request(method, f"{parts.path}{path}", body, sent)
        response = connection.getresponse()
        return Answer(response.status, _join(response.getheaders()), response.read())
    finally:
        connection.close()


def _join(pairs: list[tuple[str, str]]) -> Headers:
    """Return headers in which one value, with commas, stands for several of one name."""
    headers = Headers()
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def can_be_used(url: str) -> None:
    """Assert that what somebody writes through *url* is read there, by nobody else."""
    records = "/buckets/b/collections/c/records"
    text = "ä" * 40_000

    assert ask(url, "PUT", "/buckets/b", {}, "alice").status == 201
    assert ask(url, "PUT", "/buckets/b/collections/c", {}, "alice").status == 201
    assert ask(url, "PUT", f"{records}/r", {"data": {"text": text}}, "alice").status == 201
    assert ask(url, "GET", f"{records}/r", name="alice").data["text"] == text
    assert ask(url, "GET", f"{records}/r", name="bob").status == 403
    assert ask(url, "GET", f"{records}/r").status == 401
    assert (
        ask(url, "OPTIONS", f"{records}/r", origin="https://a.org", access_control_request_method="PUT").status == 200
    )
    assert ask(url, "DELETE", "/buckets/b", name="alice").status == 200
