"""Views of plugins: how their HTTP errors leave, alone and as members of batches (docs/writing-plugins.md)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, jsonify, redirect, request
from werkzeug.exceptions import (
    BadRequestKeyError,
    Forbidden,
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)

from app.service import Service
from backends import BackendError
from blueprints import plugins
from blueprints.urls import prefix
from blueprints.views import add_view
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import Attach, MakeClient
from tests.support.services import ROOT

pytestmark = on_sqlite


def _form(_: Any) -> Any:
    return request.form["absent"]


def _raise(error: Exception) -> Any:
    raise error


class TeapotError(Exception):
    """An error of the plugin's own."""


ERRORS: dict[str, tuple[Callable[[Any], Any], int, int]] = {
    "abort(400)": (lambda _: abort(400), 400, 107),
    "abort(401)": (lambda _: abort(401), 401, 104),
    "abort(403)": (lambda _: abort(403), 403, 121),
    "abort(404)": (lambda _: abort(404), 404, 111),
    "abort(405)": (lambda _: _raise(MethodNotAllowed(["PUT"])), 405, 115),
    "abort(406)": (lambda _: abort(406), 406, 107),
    "abort(409)": (lambda _: abort(409), 409, 122),
    "abort(410)": (lambda _: abort(410), 410, 202),
    "abort(411)": (lambda _: abort(411), 411, 112),
    "abort(412)": (lambda _: abort(412), 412, 114),
    "abort(415)": (lambda _: abort(415), 415, 107),
    "abort(418)": (lambda _: abort(418), 418, 999),
    "abort(422)": (lambda _: abort(422), 422, 999),
    "abort(500)": (lambda _: abort(500), 500, 999),
    "abort(501)": (lambda _: abort(501), 501, 999),
    "abort(503)": (lambda _: abort(503), 503, 201),
    "a form without a field": (_form, 400, 107),
    "BadRequestKeyError": (lambda _: _raise(BadRequestKeyError("x")), 400, 107),
    "RequestEntityTooLarge": (lambda _: _raise(RequestEntityTooLarge()), 413, 113),
    "TooManyRequests": (lambda _: _raise(TooManyRequests(retry_after=7)), 429, 117),
}


def attach_failing(fail: Callable[[Any], Any], rule: str = "/fail") -> Attach:
    """Return what attaches one view that fails."""

    def attach(app: Flask, service: Service) -> None:
        blueprint = Blueprint("failing", __name__, url_prefix=prefix(service))
        blueprint.add_url_rule(rule, "fail", lambda: fail(None), methods=["GET", "POST"])
        app.register_blueprint(blueprint)

    return attach


@pytest.mark.parametrize(("fail", "status", "errno"), ERRORS.values(), ids=ERRORS.keys())
def test_an_http_error_of_a_view_keeps_its_status(
    client_of: MakeClient, fail: Callable[[Any], Any], status: int, errno: int
) -> None:
    """C-ERR-1 to C-ERR-4: JSON with the errno that the contract has for the status, else 999."""
    answer = client_of(attach_failing(fail)).get("/fail")

    assert answer.status == status
    assert (answer.json["code"], answer.json["errno"]) == (status, errno)
    assert answer.json["error"]
    assert answer.headers["Content-Type"] == "application/json"
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize(("fail", "status", "errno"), ERRORS.values(), ids=ERRORS.keys())
def test_a_member_has_the_error_of_a_single_request(
    client_of: MakeClient, fail: Callable[[Any], Any], status: int, errno: int
) -> None:
    """C-BATCH-14, C-BATCH-15: one of 5xx is the answer to all, and nothing is kept."""
    client = client_of(attach_failing(fail))
    answer = client.batch({"method": "PUT", "path": "/buckets/b"}, {"path": "/fail"})

    if status >= 500:
        assert (answer.status, answer.json["errno"]) == (status, errno)
        assert client.get("/buckets").data == []
        return
    first, second = answer.json["responses"]
    assert (first["status"], second["status"], second["body"]["errno"]) == (201, status, errno)
    assert second["body"] == client.get("/fail").json
    assert [bucket["id"] for bucket in client.get("/buckets").data] == ["b"]


def test_headers_of_an_http_error_are_kept(client_of: MakeClient) -> None:
    """Such as `Retry-After`, `WWW-Authenticate`, `Allow`."""
    limited = client_of(attach_failing(lambda _: _raise(TooManyRequests(retry_after=7)))).get("/fail")
    unauthorized = client_of(attach_failing(lambda _: _raise(Unauthorized()))).get("/fail")
    unavailable = client_of(attach_failing(lambda _: _raise(ServiceUnavailable(retry_after=9)))).get("/fail")
    not_allowed = client_of(attach_failing(lambda _: _raise(MethodNotAllowed(["PUT"])))).get("/fail")

    assert limited.headers["Retry-After"] == "7"
    assert unauthorized.challenges == ['Basic realm="Realm"']
    assert unavailable.headers["Retry-After"] == "9"
    assert not_allowed.headers["Allow"] == "PUT, OPTIONS"


@pytest.mark.parametrize("rule", ["/fail", "/fail/", "/fail/<name>/"])
def test_a_404_of_a_view_is_no_redirect(client_of: MakeClient, rule: str) -> None:
    """The path has an endpoint, so that C-URL-12 does not apply."""

    def attach(app: Flask, service: Service) -> None:
        app.add_url_rule(f"/v1{rule}", "fail", lambda **_: abort(404))

    answer = client_of(attach).get(rule.replace("<name>", "x"))

    assert (answer.status, answer.json["errno"]) == (404, 111)


def _response() -> Any:
    return Response("short and stout", 418, {"Content-Type": "text/plain", "X-Pot": "tea"})


RESPONSES: dict[str, Callable[[], Any]] = {
    "abort(response)": lambda: abort(_response()),
    "an error with a response": lambda: _raise(Forbidden(response=_response())),
    "an HTTPException with a response": lambda: _raise(HTTPException(response=_response())),
    "returned": _response,
}


@pytest.mark.parametrize("answer", RESPONSES.values(), ids=RESPONSES.keys())
def test_a_response_that_a_view_raises_leaves_as_it_is(client_of: MakeClient, answer: Callable[[], Any]) -> None:
    client = client_of(attach_failing(lambda _: answer()))

    alone = client.get("/fail")
    (entry,) = client.batch({"path": "/fail"}).json["responses"]

    assert (alone.status, alone.body, alone.headers["X-Pot"]) == (418, b"short and stout", "tea")
    assert (entry["status"], entry["body"], entry["headers"]["X-Pot"]) == (418, "", "tea")


REDIRECTS: dict[str, Callable[[], Any]] = {
    "returned": lambda: redirect("https://example.com/", 303),
    "raised": lambda: abort(redirect("https://example.com/", 303)),
}


@pytest.mark.parametrize("answer", REDIRECTS.values(), ids=REDIRECTS.keys())
def test_a_redirect_of_a_view_leaves_as_it_is(client_of: MakeClient, answer: Callable[[], Any]) -> None:
    client = client_of(attach_failing(lambda _: answer()))

    alone = client.get("/fail")
    (entry,) = client.batch({"path": "/fail"}).json["responses"]

    assert (alone.status, alone.headers["Location"]) == (303, "https://example.com/")
    assert (entry["status"], entry["headers"]["Location"]) == (303, "https://example.com/")


@pytest.mark.parametrize("caught", [403, Forbidden, HTTPException, TeapotError, Exception])
def test_a_blueprint_may_answer_its_errors_itself(client_of: MakeClient, caught: Any) -> None:
    error: Exception = TeapotError("pot") if caught is TeapotError else Forbidden()

    def attach(app: Flask, service: Service) -> None:
        blueprint = Blueprint("own", __name__, url_prefix=prefix(service))
        blueprint.add_url_rule("/own", "own", lambda: _raise(error))
        blueprint.register_error_handler(caught, lambda _: (jsonify(own=True), 402))
        app.register_blueprint(blueprint)

    answer = client_of(attach).get("/own")

    assert (answer.status, answer.json) == (402, {"own": True})


def test_an_error_that_is_no_http_error_is_500(client_of: MakeClient) -> None:
    """C-ERR-14."""
    answer = client_of(attach_failing(lambda _: _raise(TeapotError("secret")))).get("/fail")

    assert (answer.status, answer.json["errno"]) == (500, 999)
    assert b"secret" not in answer.body


class _BrokenHandler(logging.Handler):
    """A log handler whose disk is full."""

    def handle(self, record: logging.LogRecord) -> bool:
        raise OSError("No space left on device")


@contextmanager
def _broken_logs() -> Iterator[None]:
    """Let every log line fail; of a block alone, since pytest adds handlers of its own."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [_BrokenHandler()]
    try:
        yield
    finally:
        root.handlers = handlers


def _attach_hook(name: str) -> Attach:
    """Return what attaches a function around requests that raises."""

    def attach(app: Flask, service: Service) -> None:
        app.add_url_rule("/v1/fail", "fail", lambda: "")
        failed: list[bool] = []

        def fail(*_: Any) -> Any:
            if request.path.endswith("/fail") and not failed:
                failed.append(True)
                raise TeapotError("hook")
            return _[0] if _ else None

        getattr(app, name)(fail)

    return attach


LOGGED: dict[str, tuple[Attach, int, int]] = {
    "a backend that fails": (attach_failing(lambda _: _raise(BackendError("down"))), 503, 201),
    "an error of the plugin": (attach_failing(lambda _: _raise(TeapotError("pot"))), 500, 999),
    "abort(500)": (attach_failing(lambda _: abort(500)), 500, 999),
    "abort(503)": (attach_failing(lambda _: abort(503)), 503, 201),
    "a view that logs": (attach_failing(lambda _: logging.getLogger("mine").error("oops")), 500, 999),
    "before_request": (_attach_hook("before_request"), 500, 999),
    "after_request": (_attach_hook("after_request"), 500, 999),
}


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO, logging.DEBUG], ids=logging.getLevelName)
@pytest.mark.parametrize(("attach", "status", "errno"), LOGGED.values(), ids=LOGGED.keys())
def test_an_error_is_answered_when_its_log_line_fails_too(
    client_of: MakeClient, attach: Attach, status: int, errno: int, level: int
) -> None:
    """Nothing escapes to the server, which would close the connection or answer in its own way."""
    client, summary = client_of(attach), logging.getLogger("request.summary")
    known = summary.level
    summary.setLevel(level)

    with _broken_logs():
        answer = client.get("/fail")
    summary.setLevel(known)

    assert (answer.status, answer.json["errno"]) == (status, errno)
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("attach", "status", "errno"), LOGGED.values(), ids=LOGGED.keys())
def test_a_batch_is_answered_when_the_log_line_of_a_member_fails_too(
    client_of: MakeClient, attach: Attach, status: int, errno: int
) -> None:
    client = client_of(attach)

    with _broken_logs():
        answer = client.batch({"method": "PUT", "path": "/buckets/b"}, {"path": "/fail"})

    assert (answer.status, answer.json["errno"]) == (status, errno)
    assert client.get("/buckets").data == []


@pytest.mark.parametrize("hook", ["before_request", "after_request"])
def test_an_error_around_a_view_is_logged_once_with_its_traceback(
    client_of: MakeClient, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(_attach_hook(hook))
    caplog.clear()

    client.get("/fail")

    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is TeapotError


@pytest.mark.parametrize(
    ("rule", "path", "names"),
    [
        ("/likes/<path:record>", "/likes/{record}", ["record"]),
        ("/files/<any(small, big):size>/<int(min=1):page>.json", "/files/{size}/{page}.json", ["size", "page"]),
    ],
)
def test_the_openapi_document_has_the_parts_of_a_path(
    client_of: MakeClient, rule: str, path: str, names: list[str]
) -> None:
    """C-UTIL-21: whatever converters of Flask the rule has."""
    client = client_of(lambda app, service: add_view(app, service, rule, lambda **parts: parts, "Files."))

    described = client.get("/__api__").json["paths"][path]

    assert [parameter["name"] for parameter in described["parameters"]] == names


def test_the_view_of_the_documentation_writes_as_its_sender(client_of: MakeClient) -> None:
    """P-API-6: an error of the operation is the response."""
    document = (ROOT / "docs" / "writing-plugins.md").read_text().partition("## Views")[2]
    example = re.search(r"```python\n(.*?)```", document, re.DOTALL)
    assert example is not None
    names = {**vars(plugins), "Blueprint": Blueprint, "Flask": Flask, "Response": Response, "__name__": "greetings"}
    exec(example[1], names)
    client = client_of(names["attach"])
    client.put("/buckets/b")
    client.put("/buckets/b/collections/c")

    first = client.post("/greet/b/c")
    answers = client.post("/greet/b/c"), client.as_("bob").post("/greet/b/c"), client.post("/greet/b/absent")

    assert (first.status, [answer.status for answer in answers]) == (201, [200, 403, 404])
    stored = client.as_(None).get("/buckets/b/collections/c/records/hello")
    assert (stored.data["text"], stored.etag) == ("Hello", answers[0].json["last_modified"])
