"""What log lines tell of requests, and what they do not (operations contract, 5.5)."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask

from app.factory import create_app
from backends import BackendError
from backends.logs import StreamHandlerWithRequestID
from backends.logs.formats import ColorFormatter, MozlogFormatter, Origin, RenderedFormatter
from blueprints.exchanges import add_log_fields
from blueprints.heartbeat import run_checks
from tests.support.client import Client, user_id
from tests.support.databases import BASICAUTH, make_app, sqlite_url

SUMMARY, SUBREQUEST = "request.summary", "subrequest.summary"
PLAIN = logging.Formatter("%(asctime)s %(levelname)s [%(name)s] %(message)s")
FORMATS: dict[str, logging.Formatter] = {
    "Mozlog": MozlogFormatter(),
    "Heka": RenderedFormatter(logging.Formatter("%(message)s"), "heka", Origin()),
    "classic": RenderedFormatter(PLAIN, "classic", Origin()),
    "color": ColorFormatter(),
    "plain": RenderedFormatter(PLAIN, None, Origin()),
}


class Lines:
    """What was written since: `text`, and as JSON those of one logger."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of the lines of a logger."""
        written = map(json.loads, self.text.splitlines())
        return [line["Fields"] for line in written if line["Type"] == name]

    @property
    def summary(self) -> dict[str, Any]:
        """Return the fields of the line of the only request."""
        (fields,) = self.of(SUMMARY)
        return fields


@contextmanager
def written(formatter: logging.Formatter, level: int = logging.INFO) -> Iterator[Lines]:
    """Write all that is logged from *level* on, in one format."""
    lines = Lines()
    handler = StreamHandlerWithRequestID(lines.stream)
    handler.setFormatter(formatter)
    loggers = {logging.root: level, logging.getLogger(SUMMARY): level, logging.getLogger(SUBREQUEST): level}
    before = {logger: logger.level for logger in loggers}
    logging.root.addHandler(handler)
    for logger, new_level in loggers.items():
        logger.setLevel(new_level)
    try:
        yield lines
    finally:
        logging.root.removeHandler(handler)
        for logger, new_level in before.items():
            logger.setLevel(new_level)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Give what is written as Mozlog JSON."""
    with written(FORMATS["Mozlog"]) as lines_of_mozlog:
        yield lines_of_mozlog


@pytest.fixture
def app() -> Iterator[Flask]:
    """Give an application with an address that says what it noted, and two that fail."""
    made = make_app(sqlite_url(), BASICAUTH)

    def noting() -> str:
        add_log_fields(answer=42, name="a name that every record has")
        return ""

    def crashing() -> str:
        raise ValueError("it fell over")

    def unavailable() -> str:
        raise BackendError("the database is away")

    for view in (noting, crashing, unavailable):
        made.add_url_rule(f"/v1/{view.__name__}", view_func=view)
    yield made
    made.extensions["kinto"].close()


@pytest.fixture
def client(app: Flask) -> Client:
    return Client(app)


class TestLineOfRequest:
    """O-MON-20 to O-MON-23: one line a request, with the fields of 5.5."""

    def test_a_request_has_one_line_with_what_it_was_and_what_became_of_it(self, client: Client, lines: Lines) -> None:
        client.put("/buckets/b", user_agent="curl/8", accept_language="fr", x_request_id="abc")

        line = lines.summary
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000", line.pop("time"))
        assert isinstance(line.pop("t"), int)
        assert line == {
            "agent": "curl/8",
            "path": "/v1/buckets/b",
            "method": "PUT",
            "lang": "fr",
            "rid": "abc",
            "errno": 0,
            "uid": user_id("alice").removeprefix("basicauth:"),
            "authn_type": "basicauth",
            "code": 201,
        }

    def test_what_has_no_value_is_left_out(self, client: Client, lines: Lines) -> None:
        client.as_(None).get("/__lbheartbeat__", user_agent="")

        assert lines.summary.keys() == {"path", "method", "rid", "errno", "time", "code", "t"}

    def test_the_query_is_a_mapping(self, client: Client, lines: Lines) -> None:
        client.get("/buckets?_limit=1&name=%C3%A9&empty=")

        assert lines.summary["querystring"] == {"_limit": "1", "name": "é", "empty": ""}

    @pytest.mark.parametrize(
        ("path", "name", "code", "errno"),
        [
            pytest.param("/buckets/nope", None, 401, 104, id="nobody is known"),
            pytest.param("/buckets/nope", "alice", 403, 121, id="somebody may not"),
            pytest.param("/nope", "alice", 404, 111, id="there is no such URL"),
            pytest.param("/buckets?_limit=x", "alice", 400, 107, id="the query is wrong"),
            pytest.param("/crashing", "alice", 500, 999, id="we fail"),
            pytest.param("/unavailable", "alice", 503, 201, id="a backend fails"),
            pytest.param("/buckets/", "alice", 307, 0, id="a redirect is no error"),
        ],
    )
    def test_the_line_of_a_refusal_tells_its_number(
        self, client: Client, lines: Lines, path: str, name: str | None, code: int, errno: int
    ) -> None:
        client.as_(name).get(path)

        assert (lines.summary["code"], lines.summary["errno"]) == (code, errno)

    def test_of_a_path_that_is_no_utf8_only_the_end_is_told(self, client: Client, lines: Lines) -> None:
        answer = client.get("/buckets/%ff")

        assert answer.status == 400
        assert lines.summary.keys() - {"rid"} == {"errno", "time", "code", "t"}

    def test_a_path_is_told_decoded(self, client: Client, lines: Lines) -> None:
        client.get("/nope/%C3%A9%20b")

        assert lines.summary["path"] == "/v1/nope/é b"

    def test_whoever_handles_a_request_adds_fields_but_takes_no_place_of_others(
        self, client: Client, lines: Lines
    ) -> None:
        client.get("/noting")

        assert lines.summary["answer"] == 42
        assert lines.summary["name_"] == "a name that every record has"

    def test_the_line_of_a_batch_tells_its_size_and_who_sent_it(self, client: Client, lines: Lines) -> None:
        client.batch({"path": "/buckets"}, {"path": "/"})

        assert lines.summary["batch_size"] == 2
        assert "basicauth:" + lines.summary["uid"] == user_id("alice")

    def test_each_member_of_a_batch_has_a_line_before_it_runs(self, client: Client, lines: Lines) -> None:
        """O-MON-21; somebody else's member tells somebody else."""
        anonymous = {"Authorization": "", "User-Agent": "inner", "Accept-Language": "fr"}

        client.batch({"method": "PUT", "path": "/buckets/b"}, {"path": "/?a=1", "headers": anonymous}, {"path": "/%ff"})

        first, second, third = lines.of(SUBREQUEST)
        rid = lines.summary["rid"]
        assert (first["method"], first["path"], first["authn_type"]) == ("PUT", "/v1/buckets/b", "basicauth")
        assert second == {
            "method": "GET",
            "path": "/v1/",
            "querystring": {"a": "1"},
            "agent": "inner",
            "lang": "fr",
            "rid": rid,
            "errno": 0,
            "msg": SUBREQUEST,
        }
        assert third["path"] == "/v1/%ff"
        assert {"code", "t", "time"}.isdisjoint(first)

    def test_nothing_is_done_for_lines_that_nobody_reads(self, client: Client, lines: Lines) -> None:
        logging.getLogger(SUMMARY).setLevel(logging.WARNING)
        logging.getLogger(SUBREQUEST).setLevel(logging.WARNING)

        answer = client.batch({"path": "/buckets"}, {"path": "/noting"})

        assert answer.status == 200
        assert lines.of(SUMMARY) == lines.of(SUBREQUEST) == []

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            pytest.param({"User-Agent": "\xff\xfe", "Accept-Language": "\x80"}, 200, id="bytes that are no text"),
            pytest.param({"User-Agent": "a" * 8000}, 200, id="a long name"),
        ],
    )
    def test_no_request_fails_for_its_line(
        self, client: Client, lines: Lines, headers: dict[str, str], code: int
    ) -> None:
        answer = client.ask("GET", "/?q=%00&a=\\ud800", headers=headers)

        assert answer.status == code
        assert lines.summary["agent"] == headers["User-Agent"]


class TestRequestId:
    """O-MON-22: taken from `X-Request-Id`, bounded, else made."""

    @pytest.mark.parametrize(
        ("header", "taken"),
        [
            pytest.param("abc-1.2_3", "abc-1.2_3", id="as it is"),
            pytest.param("a b\"<c>{}'d", "abcd", id="without odd characters"),
            pytest.param("x" * 500, "x" * 200, id="bounded"),
        ],
    )
    def test_an_id_that_is_sent_is_taken_and_sent_back(
        self, client: Client, lines: Lines, header: str, taken: str
    ) -> None:
        answer = client.get("/", x_request_id=header)

        assert answer.headers["X-Request-Id"] == lines.summary["rid"] == taken

    def test_an_id_is_made_where_none_is_sent(self, client: Client, lines: Lines) -> None:
        client.get("/")
        client.get("/", x_request_id="{}")

        first, second = (uuid.UUID(line["rid"]) for line in lines.of(SUMMARY))
        assert (first.version, second.version) == (4, 4)
        assert first != second

    def test_a_batch_and_its_members_have_one_id_and_their_answers_no_header_more(
        self, client: Client, lines: Lines
    ) -> None:
        answer = client.ask(
            "POST", "/batch", {"requests": [{"path": "/"}, {"path": "/buckets"}]}, {"X-Request-Id": "one"}
        )

        assert {line["rid"] for line in (*lines.of(SUBREQUEST), lines.summary)} == {"one"}
        assert answer.headers["X-Request-Id"] == "one"
        assert all("X-Request-Id" not in entry["headers"] for entry in answer.json["responses"])

    def test_every_line_that_is_written_during_a_request_tells_its_id(self, client: Client, lines: Lines) -> None:
        """O-MON-31, and none after it."""
        client.get("/buckets/nope", x_request_id="mine")
        logging.getLogger("kinto").warning("later")

        (refusal,) = lines.of("kinto.core.authorization")
        assert refusal["rid"] == "mine"
        assert lines.of("kinto") == [{"msg": "later"}]

    def test_an_id_is_sent_back_also_where_no_lines_are_written(self, client: Client) -> None:
        assert client.get("/", x_request_id="abc").headers["X-Request-Id"] == "abc"


class TestOtherLines:
    """O-MON-24, O-MON-25 and the line of the start."""

    @pytest.mark.parametrize(
        ("method", "path", "name", "uri", "permission"),
        [
            pytest.param("GET", "/buckets/b", None, "/buckets/b", "read", id="nobody in particular reads"),
            pytest.param("DELETE", "/buckets/b", "bob", "/buckets/b", "write", id="bob deletes"),
            pytest.param("POST", "/buckets/b/collections", "bob", "/buckets/b", "collection:create", id="bob creates"),
        ],
    )
    def test_a_refusal_tells_who_may_not_do_what(
        self, client: Client, lines: Lines, method: str, path: str, name: str | None, uri: str, permission: str
    ) -> None:
        client.put("/buckets/b")

        client.as_(name).ask(method, path)

        (line,) = lines.of("kinto.core.authorization")
        who = client.as_(name).id
        assert (line["userid"], line["uri"], line["perm"]) == (who, uri, permission)
        assert line["msg"] == f"Permission '{permission}' on '{uri}' not granted to '{who}'."

    @pytest.mark.parametrize(
        ("path", "severity", "errno", "message"),
        [
            pytest.param("/crashing", 3, 999, "it fell over", id="a crash is an error"),
            pytest.param("/unavailable", 2, 201, "the database is away", id="a failing backend is critical"),
        ],
    )
    def test_what_fails_is_told_by_the_root_logger_with_request_and_traceback(
        self, client: Client, lines: Lines, path: str, severity: int, errno: int, message: str
    ) -> None:
        client.get(path)

        (line,) = [line for line in map(json.loads, lines.text.splitlines()) if line["Type"] == "root"]
        fields = line["Fields"]
        assert (line["Severity"], fields["errno"], fields["msg"]) == (severity, errno, message)
        assert (fields["path"], fields["method"], fields["rid"]) == (f"/v1{path}", "GET", lines.summary["rid"])
        assert message in fields["error"]
        assert fields["traceback"].startswith("Uncaught exception:\nTraceback")

    @pytest.mark.parametrize(
        ("check", "logger", "message"),
        [
            pytest.param("storage", "kinto.core.storage", "Heartbeat Error", id="the storage"),
            pytest.param("permission", "kinto.core.permission", "Heartbeat Error", id="the permissions"),
            pytest.param("mine", "kinto.core.views.heartbeat", "'mine' heartbeat failed.", id="what a plugin checks"),
        ],
    )
    def test_what_is_not_alive_is_told(
        self, app: Flask, client: Client, lines: Lines, check: str, logger: str, message: str
    ) -> None:
        def dead() -> bool:
            raise BackendError("no pulse")

        app.extensions["kinto"].heartbeats[check] = dead

        assert client.get("/__heartbeat__").status == 503
        (line,) = lines.of(logger)
        assert line["msg"] == message
        assert "no pulse" in line["error"]

    @pytest.mark.usefixtures("app")
    def test_what_is_slow_to_say_that_it_is_alive_is_told(self, lines: Lines) -> None:
        done = threading.Event()

        assert run_checks({"mine": done.wait}, 0.01) == {"mine": False}
        done.set()

        (line,) = lines.of("kinto.core.views.heartbeat")
        assert line["msg"] == "'mine' heartbeat has exceeded timeout of 0.01 seconds."

    def test_a_start_is_told(self, lines: Lines) -> None:
        create_app({"kinto.project_name": "pim", "kinto.project_version": "9"}).extensions["kinto"].close()

        assert lines.of("kinto.core") == [{"msg": "Running pim 9."}]


SECRET = "hidden-word-7b1f"


class TestSecrets:
    """D-7, O-MON-26 and `DECISIONS.md`: what no line tells, at any level and in any format."""

    @pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG], ids=["at INFO", "at DEBUG"])
    @pytest.mark.parametrize("formatter", FORMATS.values(), ids=FORMATS.keys())
    def test_no_line_tells_a_secret_wherever_it_was_sent(self, formatter: logging.Formatter, level: int) -> None:
        accounts = {
            "kinto.includes": "kinto.plugins.accounts",
            "multiauth.policies": "account",
            "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
            "kinto.account_create_principals": "system.Everyone",
            "kinto.account_bcrypt_rounds": "4",
        }
        app = make_app(sqlite_url(), accounts)

        def leaking() -> str:
            raise ValueError(
                f"GET https://login.test/?code={SECRET}&state={SECRET} Authorization: Bearer {SECRET} "
                f"postgresql://kinto:{SECRET}@db/kinto {{'password': '{SECRET}', \"id_token\": \"{SECRET}\"}}"
            )

        app.add_url_rule("/v1/leaking", view_func=leaking)
        nobody = Client(app, None)
        account = {"data": {"password": SECRET}}
        patch = [{"op": "replace", "path": "/data/password", "value": SECRET}]
        names = ("code", "state", "access_token", "id_token", "token", "Code", "password")
        query = "&".join(f"{name}={SECRET}" for name in names)
        headers = {
            "Authorization": f"Bearer {SECRET}",
            "Cookie": f"session={SECRET}",
            "Proxy-Authorization": SECRET,
            "X-Api-Key": SECRET,
            "Referer": f"https://login.test/?a=1&code={SECRET}#id_token={SECRET}",
        }
        member = {"method": "PUT", "path": f"/accounts/bob?{query}", "body": account, "headers": headers}
        with written(formatter, level) as lines:
            nobody.ask("PUT", "/accounts/alice", account)
            alice = {"Authorization": "Basic " + _basic(f"alice:{SECRET}")}
            nobody.ask("PATCH", "/accounts/alice", account, alice)
            nobody.ask("PATCH", "/accounts/alice", patch, {**alice, "Content-Type": "application/json-patch+json"})
            nobody.ask("GET", f"/buckets?{query}", headers=headers)
            nobody.ask("GET", f"/leaking?{query}", headers=headers)
            nobody.ask("POST", "/batch", {"requests": [member], "defaults": {"headers": headers}}, headers)
            nobody.ask("PUT", "/accounts/eve", raw=f'{{"data": {{"password": "{SECRET}"'.encode())
            nobody.ask("POST", "/leaking", raw=f"password={SECRET}".encode(), headers={"Content-Type": "text/plain"})
        app.extensions["kinto"].close()

        assert "/v1/accounts/alice" in lines.text
        assert "/v1/leaking" in lines.text
        assert SECRET not in lines.text
        assert _basic(f"alice:{SECRET}") not in lines.text
        assert "$2b$" not in lines.text

    def test_parameters_with_secrets_are_told_by_name_alone(self, client: Client, lines: Lines) -> None:
        client.get("/?code=a&state=b&token=c&shown=d")

        assert lines.summary["querystring"] == {"code": "***", "state": "***", "token": "***", "shown": "d"}

    def test_at_debug_the_line_tells_headers_and_bodies(self, client: Client) -> None:
        with written(FORMATS["Mozlog"], logging.DEBUG) as lines:
            answer = client.put("/buckets/b", {"a": 2**65, "password": "x", "deep": [{"Password": 1}]})

        line = lines.summary
        assert answer.status == 201
        assert line["headers"]["Authorization"] == "[redacted]"
        assert line["headers"]["Content-Type"] == "application/json"
        assert line["body"] == {"data": {"a": 2**65, "password": "[redacted]", "deep": [{"Password": "[redacted]"}]}}
        assert line["response"]["headers"]["ETag"] == f'"{answer.etag}"'
        assert line["response"]["body"]["data"]["a"] == 2**65

    def test_at_debug_a_lone_surrogate_and_a_body_that_is_no_json_are_no_obstacle(self, client: Client) -> None:
        with written(FORMATS["Mozlog"], logging.DEBUG) as lines:
            client.ask("PUT", "/buckets/b", raw=b'{"data": {"a": "\\ud800"}}', headers={"Content-Type": "text/plain"})
            client.ask("PUT", "/buckets/b", raw=b"\xff" * 3)

        first, second = lines.of(SUMMARY)
        assert first["body"] == {"data": {"a": "\ud800"}}
        assert second["body"] == "3 bytes that are not JSON"


def _basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
