"""What the service cannot start with is one line that begins with its setting (operations contract, 1.4)."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.factory import create_app
from app.settings import SettingError
from scripts import main
from tests.support import services
from tests.support.failing import SECRET
from tests.support.processes import run_in_process
from tests.support.services import ROOT, as_environment

WORKER_FAILED = 3
POLICY = "multiauth.policy.p.use"
LISTENER = "event_listeners.l.use"
GUNICORN_VARIABLES = ("PORT", "WEB_CONCURRENCY", "HEAD_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS", "BODY_MAX_BYTES")
REDIS_LISTENER = {"event_listeners": "l", LISTENER: "kinto_redis.listeners"}


def _place(folder: Path) -> dict[str, str]:
    """Return what `{names}` in values stand for; the module `half_imported` raises while it is imported."""
    (folder / "half_imported.py").write_text("raise RuntimeError('first line\\nsecond line')")
    (folder / "file").write_text("no JSON, no ini, no database")
    (folder / "folder").mkdir(exist_ok=True)
    return {"file": str(folder / "file"), "folder": str(folder / "folder"), "here": str(folder)}


# Each row: the setting that the line begins with, what is wrong with it, and what else is set.
WRONG: list[tuple[str, str, Mapping[str, str]]] = [
    *(("storage_url", url, {}) for url in (
        "nonsense", "mysql://h/d", "postgresql://h:99999/d", "postgresql://h:x/d", "postgresql://[::1/d",
        f"postgresql://u:{SECRET}@h:x/d", f"postgresql://u:{SECRET}:x@h/d?nonsense=1", "postgresql://h/d?nonsense=1",
        "sqlite:///", "sqlite:////proc/nowhere/x.sqlite", "sqlite:////proc/x.sqlite", "sqlite:///{folder}",
        "sqlite:///{file}", "sqlite:///{file}/x.sqlite",
    )),
    *(("storage_backend", name, {}) for name in (
        "", "mongodb", "no.where", "os.path", "half_imported.x", "tests.support.failing",
        "tests.support.failing.number", "a..b",
        "kinto.core.storage.nowhere",
    )),
    ("permission_backend", "postgresql", {}),
    ("permission_url", "postgresql://other/d", {"storage_url": "postgresql://h/d"}),
    *(("cache_url", url, {"cache_backend": "redis"}) for url in (
        "nonsense", "http://h", "redis://h:99999", "redis://h:x", "redis://[::1", "redis://h/name",
        "redis://h?socket_timeout=x", "redis://h:0", "redis://h/1/2", "redis://h?db=x", "unix:///s?db=-1",
        f"redis://u:{SECRET}@h:99999", f"redis://u:{SECRET}@h?socket_timeout=x",
    )),
    *(("cache_url", url, {"cache_backend": "postgresql"}) for url in (
        "", "redis://h", "postgresql://h:99999/d", "postgresql://h:x/d", "postgresql://[::1/d", "postgresql://h/d?x=1",
    )),
    *(("cache_hosts", hosts, {"cache_backend": "memcached"}) for hosts in (
        "h:x", "h:99999", "h:1,b:2", ":11211", "a h:0", "[::1:11211",
    )),
    *(("cache_backend", name, {}) for name in (
        "", "nowhere", "no.where", "half_imported.x", "tests.support.failing.number", "tests.support.failing.Failing",
        "tests.support.failing.missing",
    )),
    ("cache_backend", "flask_caching.backends.filesystemcache.FileSystemCache", {"cache_url": "{file}"}),
    ("cache_backend", "flask_caching.backends.rediscache.RedisCache", {"cache_url": "redis://h:x"}),
    *(("includes", name, {}) for name in (
        "kinto.plugins.nowhere", "no.where", "os", "half_imported", "tests.support.failing",
        "a..b",
        "tests.support.failing.fail",
    )),
    *((POLICY, use, {"multiauth.policies": "p", "multiauth.policy.p.client_secret": SECRET}) for use in (
        "", "nodots", "os", "no.where", "half_imported.X", "tests.support.failing.number",
        "tests.support.failing.missing",
        "tests.support.failing.Failing", "builtins.dict", "types.SimpleNamespace", "tests.support.failing.fail",
        "kinto_fxa.Policy",
        "kinto.plugins.accounts.AccountsPolicy", "kinto.plugins.openid.NoSuchPolicy",
    )),
    ("multiauth.policy.p.issuer", "", {
        "multiauth.policies": "p", POLICY: "kinto.plugins.openid.OpenIDConnectPolicy",
        "multiauth.policy.p.client_secret": SECRET,
    }),
    *((LISTENER, use, {"event_listeners": "l", "event_listeners.l.password": SECRET}) for use in (
        "", "os", "no.where", "half_imported", "tests.support.failing", "tests.support.failing.fail", "a..b",
    )),
    ("event_listeners.l.actions", "fly", REDIS_LISTENER),
    *(("event_listeners.l.url", url, REDIS_LISTENER) for url in (
        "http://h", "nonsense", f"redis://u:{SECRET}@h:x", "redis://h/name", "redis://h/1/2", "redis://h/-1",
        "redis://h/1.5",
        "redis://h?db=x", "redis://h?db=-1", "redis://h/\u0661", "unix:///s?db=x", "rediss://h/x", "redis://h:99999",
        "redis://h:0", "redis://[::1",
        "redis://h/1?db=x", "redis://h?db=", f"redis://u:{SECRET}@h/x",
    )),
    *((LISTENER, "kinto_redis.listeners", {"event_listeners": "l", **options}) for options in (
        {"event_listeners.l.url": f"redis://u:{SECRET}@h?socket_timeout=x"},
        {"event_listeners.l.pool_size": "x"}, {"event_listeners.l.moment": "never"},
    )),
    *((setting, name, {}) for setting in ("id_generator", "record_id_generator", "own_id_generator") for name in (
        "no.where", "os", "half_imported.X", "tests.support.failing.number", "tests.support.failing.Failing",
        "builtins.dict",
    )),
    *(("statsd_url", url, {}) for url in (
        "http://h", "udp://", "udp://h:99999", "udp://h:0", "udp://h:x", "udp://[::1", "udp://no-such-host.invalid",
        "udp://a..b", f"udp://{'a' * 70}", f"tcp://u:{SECRET}@h",
    )),
    *(("statsd_backend", name, {"statsd_url": "udp://127.0.0.1"}) for name in (
        "no.where", "half_imported.X", "tests.support.failing.number", "tests.support.failing.Failing", "builtins.int",
    )),
    *(("sentry_dsn", dsn, {}) for dsn in (
        "nonsense", "https://h/1", "https://k@h/", "https://k@h:99999/1", "https://k@h:x/1", "https://k@[::1/1",
        f"ftp://{SECRET}@h/1",
    )),
    *(("newrelic_config", file, {}) for file in ("/nowhere", "{folder}", "{file}")),
    ("version_json_path", "{file}", {}),
    *(("profiler_dir", folder, {"profiler_enabled": "true"}) for folder in ("{file}", "/proc/nowhere")),
    *(("http_host", host, {}) for host in ("http://h", "h:99999", "h:x", "a@b", "a b", "h/path")),
    *(("http_scheme", scheme, {}) for scheme in ("ftp", "https://")),
    *(("prometheus_histogram_buckets", bounds, {}) for bounds in ("a b", "2 1", "1 1", "nan", "1 nan 2", "")),
    *(("metrics_matchdict_fields", names, {}) for names in ("a-b", "method", "bucket_id status", "1")),
    *(("http_api_version", version, {}) for version in ("one", "", "\u0663.1")),
    *((setting, number, {}) for number in ("x", "-2", "1.5", "[1]", "nan", "1e400", "true", "1" * 5000) for setting in (
        "storage_pool_size", "storage_max_overflow", "batch_max_requests", "retry_after_seconds", "backoff",
        "record_cache_expires_seconds", "sentry_events_min_level", "history.auto_trim_threshold",
    )),
    *((setting, seconds, {}) for seconds in ("x", "-1", "nan", "inf", "1e308", "") for setting in (
        "storage_pool_timeout", "heartbeat_timeout_seconds", "storage_lock_timeout",
    )),
    *(("eos", date, {}) for date in ("tomorrow", "2030-13-01")),
    ("logging_renderer", "no.where", {}),
    ("storage_poolclass", "no.where", {}),
    ("multiauth.groupfinder", "no.where", {}),
    ("multiauth.authorization_policy", "no.where", {}),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "value", "others"), WRONG, ids=[f"{row[0]} is {row[1][:50]!r}" for row in WRONG])
def test_a_wrong_value_is_one_line_that_begins_with_the_setting(
    setting: str, value: str, others: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = _place(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {name: text.format(**names) for name, text in {**others, setting: value}.items()}

    with pytest.raises(SettingError) as refused:
        create_app(settings)

    line = str(refused.value)
    assert line.startswith(f"{setting}: ")
    assert "\n" not in line
    assert SECRET not in line
    sys.modules.pop("half_imported", None)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing",
        "[kinto]\nkinto.paginate_by = 5",
        "[app:other]\nuse = egg:kinto",
        "[DEFAULT]\nx = 1",
        "[uwsgi]\nwsgi-file = app.wsgi",
        "[APP:MAIN]",
        "[composite:main]\nuse = egg:Paste#urlmap",
        "kinto.paginate_by = 5",
        "[app:main]\nkinto.project_name = 5%",
        "[app:main]\nx = 1\nx = 2",
        "\x00\x01",
    ],
)
@pytest.mark.parametrize("command", ["start", "migrate", "flush-cache", "purge-deleted", "check"])
def test_a_file_without_a_section_to_read_is_one_line(
    content: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("the server was started"))
    (tmp_path / "kinto.ini").write_text(content)
    arguments = ["record", "0"] if command == "purge-deleted" else []

    code = main([command, "--ini", str(tmp_path / "kinto.ini"), *arguments])

    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith((str(tmp_path / "kinto.ini"), "kinto.project_name: ", "project_name: "))


@pytest.mark.parametrize(
    ("section", "beginning"),
    [
        ("[loggers]\nkeys = root", "loggers: "),
        ("[loggers]", "loggers: "),
        (
            "[loggers]\nkeys = root\n[handlers]\nkeys = x\n[formatters]\nkeys =\n[logger_root]\nhandlers = x\n"
            "[handler_x]\nclass = no.where\nargs = ()",
            "loggers: ",
        ),
        (
            "[loggers]\nkeys = root\n[handlers]\nkeys = x\n[formatters]\nkeys =\n[logger_root]\nhandlers = x\n"
            "[handler_x]\nclass = FileHandler\nargs = ('/nowhere/at/all',)",
            "loggers: ",
        ),
        (
            "[loggers]\nkeys = root\n[handlers]\nkeys = x\n[formatters]\nkeys =\n[logger_root]\nhandlers = x\n"
            "[handler_x]\nclass = tests.support.failing.Failing\nargs = ()",
            "loggers: ",
        ),
    ],
)
def test_wrong_logging_sections_are_one_line(section: str, beginning: str, tmp_path: Path) -> None:
    (tmp_path / "kinto.ini").write_text(f"[app:main]\n{section}\n")

    ended = run_in_process(
        "import app.factory; app.factory.create_app()", {"KINTO_INI": str(tmp_path / "kinto.ini")}, folder=ROOT
    )

    assert ended.stderr.splitlines()[-1].partition("SettingError: ")[2].startswith(beginning)


@pytest.mark.parametrize(
    ("server", "environ", "beginning"),
    [
        ("port = x", {}, "port: "),
        ("port = 99999", {}, "port: "),
        ("port = 0", {}, "port: "),
        ("host = no-such-host.invalid", {}, "host: "),
        ("host = a..b", {}, "host: "),
        ("", {"PORT": "x"}, "port: "),
        ("", {"PORT": "-1"}, "port: "),
        ("", {"WEB_CONCURRENCY": "many"}, "WEB_CONCURRENCY: "),
        ("", {"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY: "),
    ],
)
def test_start_does_not_listen_where_it_cannot(
    server: str,
    environ: Mapping[str, str],
    beginning: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "kinto.ini").write_text(f"[app:main]\n[server:main]\n{server}\n")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("the server was started"))
    for name in ("PORT", "KINTO_INI"):
        monkeypatch.setenv(name, "")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    code = main(["start", "--ini", str(tmp_path / "kinto.ini")])

    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(beginning)


@pytest.mark.parametrize(
    ("command", "settings", "beginning"),
    [
        (["migrate"], {"storage_url": "postgresql://u:pa55word@127.0.0.1:9/d"}, "storage_url: "),
        (["purge-deleted", "record", "0"], {"storage_url": "postgresql://u:pa55word@127.0.0.1:9/d"}, "storage_url: "),
        (
            ["migrate"],
            {"cache_backend": "postgresql", "cache_url": "postgresql://u:pa55word@127.0.0.1:9/d"},
            "cache_url: ",
        ),
        (["flush-cache"], {"cache_backend": "redis", "cache_url": "redis://u:pa55word@127.0.0.1:9"}, "cache_url: "),
        (["migrate"], {"includes": "tests.support.failing"}, "includes: "),
        (
            ["purge-deleted", "record", "0"],
            {"event_listeners": "l", LISTENER: "tests.support.failing"},
            f"{LISTENER}: ",
        ),
        (["migrate"], {"multiauth.policies": "p", POLICY: "tests.support.failing.Failing"}, f"{POLICY}: "),
        (["flush-cache"], {"storage_url": "sqlite:////proc/x.sqlite"}, "storage_url: "),
    ],
)
def test_commands_that_cannot_run_write_one_line(
    command: list[str],
    settings: Mapping[str, str],
    beginning: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    (tmp_path / "kinto.ini").write_text(f"[app:main]\n{lines}\n")

    code = main([*command, "-q", "--ini", str(tmp_path / "kinto.ini")])

    written = capsys.readouterr().err.splitlines()
    assert (code, len(written)) == (1, 1), written
    assert written[0].startswith(beginning)
    assert "pa55word" not in written[0]


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        ({"kinto.event_listeners": "l", f"kinto.{LISTENER}": "tests.support.failing"}, f"{LISTENER}: "),
        ({"multiauth.policies": "p", POLICY: "tests.support.failing.Failing"}, f"{POLICY}: "),
        ({"kinto.storage_url": "sqlite:////proc/x.sqlite"}, "storage_url: "),
        ({"kinto.includes": "tests.support.failing"}, "includes: "),
    ],
)
def test_a_worker_of_gunicorn_writes_one_line(settings: Mapping[str, str], beginning: str) -> None:
    words = ["gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{services.free_port()}", "-w", "1"]
    program = f"import sys; sys.argv = {words}; from gunicorn.app.wsgiapp import run; run()"

    ended = run_in_process(program, as_environment(settings), folder=ROOT)

    written = [line for line in ended.stderr.splitlines() if line and not line.startswith("[")]
    assert (ended.returncode, len(written)) == (WORKER_FAILED, 1), written
    assert written[0].startswith(beginning)


NO_NUMBERS = ("many", "-1", "0", "-0", "nan", "inf", "-inf", "1e400", "0x10", "[1]", " ", "٣", "1" * 5000)
NO_WHOLE_NUMBERS = (*NO_NUMBERS, "1.5", "1e3", "1_000", "+1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("PORT", value) for value in (*NO_WHOLE_NUMBERS, "65536", "99999")),
        *((variable, value) for variable in ("WEB_CONCURRENCY", "BODY_MAX_BYTES") for value in NO_WHOLE_NUMBERS),
        *(
            (variable, value)
            for variable in ("HEAD_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS")
            for value in NO_NUMBERS
            if value not in ("٣", "1" * 5000)
        ),
        *((variable, "1" * 5000) for variable in ("HEAD_TIMEOUT_SECONDS", "BODY_TIMEOUT_SECONDS")),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_a_wrong_variable_of_gunicorn_is_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in GUNICORN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{variable}: ")
    assert len(line) < 200


@pytest.mark.parametrize(
    "values",
    [{}, dict.fromkeys(GUNICORN_VARIABLES, ""), dict.fromkeys(GUNICORN_VARIABLES, "7")],
    ids=["none", "empty", "numbers"],
)
def test_right_variables_of_gunicorn_are_taken(values: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GUNICORN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    configuration = runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    worker = configuration["worker_class"]
    taken = (configuration["workers"], worker.head_seconds, worker.body_seconds, worker.body_max_bytes)
    assert taken == ((7, 7, 7, 7) if any(values.values()) else (2, 10, 10, 75 * 2**20))
    assert configuration["bind"] == ("0.0.0.0:7" if any(values.values()) else "0.0.0.0:8000")


@pytest.mark.parametrize("variable", ["WEB_CONCURRENCY", "BODY_MAX_BYTES"])
def test_gunicorn_does_not_start_with_a_wrong_variable(variable: str) -> None:
    """A WEB_CONCURRENCY that is no number is refused by gunicorn's own import, before it reads any file."""
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{services.free_port()}"]
    environ = as_environment({}) | {variable: "0"}

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environ, check=False)

    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (1, "", 1)
    assert ended.stderr.startswith(f"{variable}: ")
