"""Every declared setting is read somewhere, or is declared and documented without effect, and warned of."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.factory import create_app
from app.settings import Settings, load
from app.settings.fields import Declaration, declarations
from tests.support.client import Client, basic
from tests.support.services import ROOT

DECLARED = dict(declarations(Settings))
FOLDERS = ("app", "blueprints", "backends", "measuring", "scripts")
# What the reading of the settings itself decides, by name: no attribute of the result.
DECIDED_WHILE_LOADING = ("permission_backend", "permission_url", "account_validation")


HOLDERS = ("settings", "_settings", "loaded")
"""Names of variables and attributes that hold the settings: the same attribute of anything else is no setting."""


def _modules() -> Iterator[ast.AST]:
    for folder in FOLDERS:
        for path in Path(ROOT, folder).rglob("*.py"):
            yield ast.parse(path.read_text(encoding="utf-8"))


@cache
def _names_read() -> set[str]:
    """Return the attributes of settings that code reads, and the keys that the loading of settings reads."""
    names = set()
    for module in _modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names |= {node.attr} if re.split(r"\W", ast.unparse(node.value))[-1] in HOLDERS else set()
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                names |= {str(node.slice.value)} if ast.unparse(node.value) in ("values", "attributes") else set()
    return names


@pytest.mark.parametrize("attribute", DECLARED)
def test_a_setting_is_read_somewhere_or_declared_without_effect(attribute: str) -> None:
    read = attribute in _names_read() or attribute in DECIDED_WHILE_LOADING
    # `Settings.id_generator` reads these by their kind.
    read |= bool(re.fullmatch("(bucket|collection|group|record)_id_generator", attribute))
    assert read == DECLARED[attribute].effective


VALUES: dict[str, object] = {
    "bool": lambda each: not each.default,
    "int": 17,
    "float": 17.5,
    "text": "something",
    "secret": "something",
    "path": "/tmp",
    "list": "/buckets/b",
}
INEFFECTIVE = {name: each for name, each in DECLARED.items() if not each.effective}


def _other_value(declaration: Declaration) -> object:
    if declaration.type == "module":
        return {
            "groupfinder": "cliquet.authorization.groupfinder",
            "policy": "cliquet.authorization.AuthorizationPolicy",
            "poolclass": "sqlalchemy.pool.QueuePool",
        }[re.split("[._]", declaration.name)[-1]]
    value: Any = VALUES[declaration.type]
    return value(declaration) if callable(value) else value


@pytest.mark.parametrize("attribute", INEFFECTIVE)
def test_a_setting_without_effect_is_documented_and_warned_of(attribute: str) -> None:
    declaration = INEFFECTIVE[attribute]

    settings = load({f"kinto.{declaration.name}": _other_value(declaration)}, {})

    begins = f"The setting {declaration.name} has no effect"
    warned = [line for line in settings.warnings if line.startswith(begins)]
    assert len(warned) == (0 if declaration.type == "secret" else 1)
    assert not [line for line in load({}, {}).warnings if "has no effect" in line]
    assert declaration.meaning.startswith("accepted, has no effect")
    assert f"| `{declaration.name}` |" in Path(ROOT, "docs/settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["mail.host", "fxa-oauth.x"])
def test_settings_of_plugins_that_are_not_here_are_warned_of(name: str) -> None:
    assert f"The setting {name} has no effect." in load({f"kinto.{name}": "5"}, {}).warnings


@pytest.mark.parametrize("echo", [True, False])
def test_statements_are_logged_without_their_values(echo: bool, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app({"multiauth.policies": "basicauth", "kinto.storage_echo": echo, "userid_hmac_secret": "s"})

    with caplog.at_level(logging.DEBUG if echo else logging.INFO, "sqlalchemy.engine.Engine"):
        caplog.clear()
        Client(app).put("/buckets/secretive", data={"title": "secretive title"})

    text = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("sqlalchemy"))
    assert ("INSERT INTO" in text) == echo or not echo
    assert "secretive" not in text
    app.extensions["kinto"].close()


def test_statements_are_not_logged_unless_asked_for(
    empty_postgresql_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for echo in (False, True):
        settings = {
            "kinto.cache_backend": "postgresql",
            "kinto.cache_url": empty_postgresql_url,
            "kinto.cache_echo": echo,
            "kinto.storage_url": empty_postgresql_url,
            "kinto.storage_echo": echo,
        }
        app = create_app(settings)
        service = app.extensions["kinto"]
        service.cache.initialize()
        service.cache.set("secretive", "secretive value", 60)
        service.storage.migrate(lambda line: None, dry_run=False)
        service.storage.ping(write=False)
        engines = [service.cache._engine, service.storage.reading, service.storage.writing]
        assert [engine.echo for engine in engines] == [echo] * 3
        service.close()
    assert "secretive" not in "".join(capfd.readouterr())


def test_a_profile_is_written_for_every_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """O-MON-35."""
    app = create_app({"kinto.profiler_enabled": True, "kinto.profiler_dir": str(tmp_path / "profiles")})
    client = Client(app, None)

    for method, path in (("GET", "/"), ("GET", "/buckets/b"), ("FOO", f"/{'x' * 300}"), ("GET", "/a%00b/../%FF")):
        client.ask(method, path)

    names = sorted(path.name for path in (tmp_path / "profiles").iterdir())
    assert len(names) == 4
    assert re.fullmatch(r"GET\.v1\.\d+ms\.\d+\.prof", names[0])
    assert any(re.fullmatch(r"GET\.v1\.buckets\.b\.\d+ms\.\d+\.prof", name) for name in names)
    assert "function calls" in capsys.readouterr().out
    app.extensions["kinto"].close()


def test_nothing_is_profiled_unless_asked_for(tmp_path: Path) -> None:
    app = create_app({"kinto.profiler_dir": str(tmp_path)})

    Client(app, None).get("/")

    assert not list(tmp_path.iterdir())
    app.extensions["kinto"].close()


NUMBERS = [each.name for each in DECLARED.values() if each.type == "int" and each.effective]


@pytest.mark.parametrize("number", [2**53, 2**63 - 1, 2**63, 10**30, 10**400], ids=lambda number: str(number)[:20])
def test_no_request_fails_because_a_setting_is_a_huge_number(tmp_path: Path, number: int) -> None:
    """Dates, headers, lifetimes and limits are made of settings."""
    settings = {
        "kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite",
        "kinto.includes": "kinto.plugins.accounts",
        "multiauth.policies": "account basicauth",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
        "kinto.userid_hmac_secret": "x",
        "kinto.account_create_principals": "system.Everyone",
        **{f"kinto.{name}": number for name in NUMBERS},
        "kinto.account_bcrypt_rounds": 4,
    }
    app = create_app(settings)
    client = Client(app)
    records = "/buckets/b/collections/c/records"
    client.as_(None).put("/accounts/eve", {"password": "pw"})
    login, guess = ({"Authorization": basic("eve", password)} for password in ("pw", "no"))

    answers = [
        *(client.put(path) for path in ("/buckets/b", "/buckets/b/collections/c", f"{records}/a", f"{records}/b")),
        *(client.as_(None).ask("GET", "/accounts/eve", headers=login) for _ in range(2)),
        client.delete(f"{records}?_limit=1"),
        *(client.get(path) for path in ("/", "/buckets", records, f"{records}/a", "/buckets/", "/__heartbeat__")),
        client.ask("OPTIONS", "/buckets", headers={"Origin": "http://x", "Access-Control-Request-Method": "GET"}),
        client.put(f"{records}/c", {"last_modified": 2**45}),
    ]
    refused = client.as_(None).ask("GET", "/accounts/eve", headers=guess)
    app.extensions["kinto"].close()

    assert [answer.status for answer in answers] == [201] * 4 + [200] * 7 + [307, 200, 200, 201]
    assert refused.status == 403  # a user of basicauth, after the guess was counted
