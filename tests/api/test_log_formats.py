"""How log lines look, and how an ini file says so (operations contract, 1.3, 1.9, 5.6); each in its own process."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import os
import pickle
import pty
import re
import threading
from pathlib import Path

import pytest

from app.factory import create_app
from backends.logs.formats import ColorFormatter, MozlogFormatter, Origin, RenderedFormatter, Renderer
from backends.logs.records import RequestRecord
from tests.support.processes import answer_in_process, json_lines

FOLDER = Path(__file__).parent / "ini"
GUIDE = (FOLDER / "guide.ini").read_text()
SENTRY = re.compile(r", sentry|\[handler_sentry\].*?\n\n", re.DOTALL)
WITHOUT_SENTRY = SENTRY.sub("", GUIDE)
HELLO = {"path": "/v1/", "query_string": "_limit=1", "headers": {"X-Request-Id": "abc", "User-Agent": "curl"}}

SECTIONS = """
[app:main]
{settings}

[loggers]
keys = root{loggers}

[handlers]
keys = console

[formatters]
keys = line

[logger_root]
level = {level}
handlers = {handlers}
{sections}
[handler_console]
class = {handler}
args = (sys.stdout,)
formatter = line

[formatter_line]
{formatter}
"""


def ini(
    formatter: str = "class = kinto.core.JsonLogFormatter",
    handler: str = "kinto.core.StreamHandlerWithRequestID",
    level: str = "INFO",
    handlers: str = "console",
    loggers: str = "",
    sections: str = "",
    settings: str = "",
) -> str:
    """Return a file with logging sections."""
    return SECTIONS.format(**locals())


def logger(name: str, level: str = "INFO", handlers: str = "console", more: str = "") -> dict[str, str]:
    """Return what makes a file configure a logger."""
    section = f"\n[logger_{name}]\nlevel = {level}\nhandlers = {handlers}\nqualname = {name}\n{more}\n"
    return {"loggers": f", {name}", "sections": section}


class TestIniFiles:
    def test_the_file_of_the_production_guide_writes_heka_json_to_standard_output(self, tmp_path: Path) -> None:
        """O-MON-28, O-MON-30: as written, but for its Sentry, which `test_sentry.py` has."""
        done = answer_in_process(
            HELLO, {"path": "/v1/nope"}, ini=WITHOUT_SENTRY, environ={"HOSTNAME": "web1"}, folder=tmp_path
        )

        assert (done.returncode, done.stderr) == (0, "")
        lines = json_lines(done.stdout)
        hello, nope = [line for line in lines if line["Type"] == "request.summary"]
        assert hello["Timestamp"] % 1_000_000 == 0
        assert {name: hello[name] for name in ("Logger", "Hostname", "EnvVersion", "Severity")} == {
            "Logger": "kinto",
            "Hostname": "web1",
            "EnvVersion": "2.0",
            "Severity": 6,
        }
        assert hello["Fields"]["querystring"] == '{"_limit":"1"}'
        assert (hello["Fields"]["uid"], hello["Fields"]["lang"], hello["Fields"]["authn_type"]) == (None, None, None)
        assert nope["Fields"]["errno"] == 111
        # Root and `kinto` share their handler: a line of `kinto` is written once all the same.
        assert [line["Type"] for line in lines].count("HTTPS is not enabled") == 1

    def test_the_sections_of_kinto_26_write_for_people_to_standard_error(self, tmp_path: Path) -> None:
        """O-MON-31."""
        done = answer_in_process(HELLO, ini=(FOLDER / "kinto-26.5.ini").read_text(), folder=tmp_path)

        assert done.stdout == ""
        assert re.search(r'^"GET   /v1/\?_limit=1" 200 \(\d+ ms\) agent=curl errno=0 rid=abc$', done.stderr, re.M)

    @pytest.mark.parametrize(
        "formatter",
        [
            "kinto.core.JsonLogFormatter",
            "mozilla_cloud_services_logger.formatters.JsonLogFormatter",
            "dockerflow.logging.MozlogFormatter",
            "dockerflow.logging.JsonLogFormatter",
        ],
    )
    def test_formatters_of_packages_that_are_not_there_write_mozlog_json(self, tmp_path: Path, formatter: str) -> None:
        """1.9: names are replaced as text."""
        text = ini(f"class = {formatter}\nformat = %(asctime)s", settings="kinto.project_name = pim")

        done = answer_in_process(HELLO, ini=text, folder=tmp_path)

        assert done.stderr == ""
        *_, line = json_lines(done.stdout)
        assert line.keys() == {"Timestamp", "Type", "Logger", "Hostname", "EnvVersion", "Severity", "Pid", "Fields"}
        assert (line["Type"], line["Logger"]) == ("request.summary", "pim")
        assert line["Fields"]["querystring"] == {"_limit": "1"}

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(ini(level="WARNING", handlers="", **logger("kinto")), id="only kinto has a handler"),
            pytest.param(ini(level="WARNING", **logger("kinto")), id="root takes warnings alone"),
            pytest.param(ini(level="WARNING", handlers="", **logger("cliquet")), id="cliquet stands for kinto"),
            pytest.param(ini(**logger("kinto", "ERROR", more="propagate = 0")), id="root takes them"),
            pytest.param(ini(level="ERROR", **logger("request.summary")), id="their own logger"),
        ],
    )
    def test_a_request_has_one_line_whichever_loggers_are_configured(self, tmp_path: Path, text: str) -> None:
        """D-6, 1.9."""
        done = answer_in_process(HELLO, ini=text, folder=tmp_path)

        assert done.stderr == ""
        assert [line["Type"] for line in json_lines(done.stdout)].count("request.summary") == 1

    def test_a_file_can_silence_the_lines_of_requests(self, tmp_path: Path) -> None:
        done = answer_in_process(HELLO, ini=ini(**logger("request.summary", "WARNING")), folder=tmp_path)

        assert "request.summary" not in done.stdout

    def test_a_plain_format_shows_requests_on_one_line(self, tmp_path: Path) -> None:
        """O-MON-29: no renderer is set, and the message of these records is empty."""
        text = ini("format = %(levelname)-5.5s [%(name)s] %(message)s", "StreamHandler")

        done = answer_in_process(HELLO, ini=text, folder=tmp_path)

        assert 'INFO  [request.summary] "GET   /v1/?_limit=1" 200' in done.stdout
        assert "WARNI [kinto.factory] HTTPS is not enabled\n" in done.stdout

    def test_here_names_the_folder_of_the_file(self, tmp_path: Path) -> None:
        text = ini(handler="FileHandler").replace("(sys.stdout,)", "('%(here)s/kinto.log',)")

        answer_in_process(HELLO, ini=text, folder=tmp_path)

        assert "request.summary" in (tmp_path / "kinto.log").read_text()

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            pytest.param(ini("class = no.such.Formatter"), "no", id="a class that is not there"),
            pytest.param(ini(handlers="elsewhere"), "elsewhere", id="a handler that is not there"),
            pytest.param(ini(handler="StreamHandler").replace("sys.stdout", "sys.nothing"), "nothing", id="bad args"),
        ],
    )
    def test_a_mistake_in_the_sections_stops_the_start_in_one_line(
        self, tmp_path: Path, wrong: str, message: str
    ) -> None:
        done = answer_in_process(ini=wrong, folder=tmp_path)

        assert done.returncode == 1
        assert re.search(f"SettingError: loggers: .*{message}.*$", done.stderr)


class TestDefault:
    """O-MON-32: no logging configuration at all."""

    def test_mozlog_json_goes_to_standard_output(self, tmp_path: Path) -> None:
        done = answer_in_process(HELLO, {"path": "/v1/buckets/nope"}, folder=tmp_path)

        assert done.stderr == ""
        types = [line["Type"] for line in json_lines(done.stdout)]
        assert types.count("request.summary") == 2
        assert {"kinto.core", "kinto.core.authorization"} < set(types)

    def test_a_terminal_gets_lines_for_people_in_colors(self, tmp_path: Path) -> None:
        ours, terminal = pty.openpty()

        answer_in_process(HELLO, folder=tmp_path, stdout=terminal)

        assert b'"GET   /v1/?_limit=1" \x1b[32m200\x1b[0m' in os.read(ours, 100_000)
        os.close(ours)
        os.close(terminal)

    def test_the_renderer_of_the_guide_works_without_sections(self, tmp_path: Path) -> None:
        done = answer_in_process(
            HELLO, environ={"KINTO_LOGGING_RENDERER": "cliquet.logs.MozillaHekaRenderer"}, folder=tmp_path
        )

        *_, line = json_lines(done.stdout)
        assert (line["Type"], line["Fields"]["uid"]) == ("request.summary", None)

    def test_handlers_that_a_program_has_set_up_stay_the_only_ones(self, capsys: pytest.CaptureFixture[str]) -> None:
        before = list(logging.root.handlers)

        create_app({"multiauth.policies": "basicauth"}).extensions["kinto"].close()

        assert logging.root.handlers == before
        assert capsys.readouterr().out == ""


SUMMARY = {
    "path": "/v1/buckets",
    "method": "GET",
    "querystring": {"_limit": "1"},
    "agent": "curl",
    "errno": 0,
    "lang": "fr",
    "uid": "a03e",
    "time": "2026-11-23T04:03:34.061000",
    "code": 200,
    "t": 1,
}


def record(level: int = logging.INFO, message: str = "", **fields: object) -> logging.LogRecord:
    """Return a record of a logger of somebody's."""
    made = logging.makeLogRecord({"name": "some", "levelno": level, "levelname": "X", "msg": message, "process": 7})
    made.__dict__.update(fields)
    return made


def rendered(renderer: Renderer | None = None, plain: str = "%(message)s") -> RenderedFormatter:
    return RenderedFormatter(logging.Formatter(plain), renderer, Origin("pim", "web1", "web2"))


class TestShapes:
    def test_mozlog(self) -> None:
        """O-MON-27."""
        formatter = MozlogFormatter()
        formatter.origin = Origin("pim", "web1")

        line = json.loads(formatter.format(record(logging.WARNING, "told", uri="/a", of={1: (2,)}, odd=object)))

        assert isinstance(line.pop("Timestamp"), int)
        assert line == {
            "Type": "some",
            "Logger": "pim",
            "Hostname": "web1",
            "EnvVersion": "2.0",
            "Severity": 4,
            "Pid": 7,
            "Fields": {"msg": "told", "uri": "/a", "of": {"1": [2]}, "odd": "<class 'object'>"},
        }

    @pytest.mark.parametrize(
        ("level", "mozlog", "heka"),
        [
            pytest.param(50, 2, 0, id="critical"),
            pytest.param(40, 3, 2, id="error"),
            pytest.param(30, 4, 4, id="warning"),
            pytest.param(20, 6, 6, id="info"),
            pytest.param(10, 7, 7, id="debug"),
            pytest.param(33, 7, 7, id="others"),
        ],
    )
    def test_severities(self, level: int, mozlog: int, heka: int) -> None:
        assert json.loads(MozlogFormatter().format(record(level)))["Severity"] == mozlog
        assert json.loads(rendered("heka").format(record(level)))["Severity"] == heka

    def test_heka_nests_nothing(self) -> None:
        """O-MON-28; the event is the message, as only summaries have none."""
        made = record(message="told", of={"a": 1}, some=[1], texts=["a"])

        line = json.loads(rendered("heka").format(made))

        assert (line["Type"], line["Hostname"]) == ("told", "web2")
        assert line["Fields"] == {"of": '{"a":1}', "some": "[1]", "texts": ["a"]}

    def test_formatters_of_others_find_all_that_a_record_has(self) -> None:
        made = RequestRecord("request.summary", "", SUMMARY)
        formatter = logging.Formatter("%(levelname)s %(name)s %(threadName)s %(process)d %(lineno)d %(code)d")

        text = formatter.format(made)

        assert text == f"INFO request.summary {threading.current_thread().name} {os.getpid()} 0 200"

    def test_a_record_that_is_sent_to_another_process_keeps_level_and_fields(self) -> None:
        made = RequestRecord("request.summary", "", SUMMARY)

        packed = logging.handlers.SocketHandler("127.0.0.1", 1).makePickle(made)
        arrived = logging.makeLogRecord(pickle.loads(packed[4:]))

        assert (arrived.levelno, arrived.name, arrived.getMessage()) == (logging.INFO, "request.summary", "")
        assert SUMMARY.items() <= vars(arrived).items()

    def test_classic_and_color(self) -> None:
        """O-MON-29."""
        made = RequestRecord("request.summary", "", SUMMARY)
        rest = "agent=curl errno=0 lang=fr uid=a03e"

        assert rendered("classic").format(made) == f'"GET   /v1/buckets?_limit=1" 200 (1 ms) request.summary {rest}'
        assert ColorFormatter().format(made) == f'"GET   /v1/buckets?_limit=1" 200 (1 ms) {rest}'

    def test_only_color_shows_an_empty_query(self) -> None:
        made = RequestRecord("request.summary", "", {**SUMMARY, "querystring": {}})

        assert '/v1/buckets" 200' in rendered("classic").format(made)
        assert '/v1/buckets?" 200' in ColorFormatter().format(made)

    def test_other_records_are_the_event_and_their_fields(self) -> None:
        made = record(message="Setting up", b=2, a="x")

        assert rendered("classic").format(made) == "Setting up a=x b=2"

    @pytest.mark.parametrize("formatter", [ColorFormatter(), rendered("classic")], ids=["color", "classic"])
    def test_nobody_who_is_logged_forges_a_line_or_steers_the_terminal(self, formatter: logging.Formatter) -> None:
        made = RequestRecord("request.summary", "", {**SUMMARY, "path": "/v1/\n200 OK", "agent": "\x1b[2J\ud800"})

        line = formatter.format(made)

        assert line.isprintable()
        assert r"/v1/\n200 OK" in line

    @pytest.mark.parametrize("formatter", [MozlogFormatter(), rendered("heka")], ids=["Mozlog", "Heka"])
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(2**65, id="an integer above 64 bits"),
            pytest.param("\ud800", id="a lone surrogate"),
            pytest.param("é\u2028", id="more than ASCII"),
            pytest.param(float("inf"), id="infinity"),
            pytest.param(b"\xff", id="bytes"),
        ],
    )
    def test_whatever_a_field_is_the_line_is_written(self, formatter: logging.Formatter, value: object) -> None:
        written = io.BytesIO()
        handler = logging.StreamHandler(io.TextIOWrapper(written, encoding="ascii"))
        handler.setFormatter(formatter)

        handler.handle(RequestRecord("request.summary", "", {**SUMMARY, "given": value}))

        (line,) = written.getvalue().decode().splitlines()
        assert json.loads(line)["Fields"]["path"] == "/v1/buckets"

    def test_a_traceback_is_a_field_in_json_and_stands_below_the_line_for_people(self) -> None:
        error = ValueError("it fell over")
        made = record(logging.ERROR, "told", exc_info=(ValueError, error, None))

        fields = json.loads(MozlogFormatter().format(made))["Fields"]
        assert fields == {
            "msg": "told",
            "error": "ValueError('it fell over')",
            "traceback": "Uncaught exception:\nValueError: it fell over",
        }
        assert "\n" not in rendered("heka", "%(name)s %(message)s").format(made)
        assert rendered(plain="%(name)s %(message)s").format(made) == "some told\nValueError: it fell over"
        assert ColorFormatter().format(made) == "told\nValueError: it fell over"

    def test_fields_that_a_filter_adds_to_the_line_of_a_request_are_told(self) -> None:
        made = RequestRecord("request.summary", "", SUMMARY)
        made.__dict__["zone"] = "eu"

        assert json.loads(MozlogFormatter().format(made))["Fields"] == {**SUMMARY, "zone": "eu"}
