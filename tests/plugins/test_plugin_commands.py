"""Commands of plugins: groups of commands, and mistakes, which are reported instead of hiding commands (P-API-6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.command import main
from tests.plugins.test_plugins import add_module

PLUGIN = """
import click


def attach(app, service):
    pass


@click.group(help="Look at stars.")
def stars():
    pass


@stars.command(help="Print the backend.")
@click.argument("word")
@click.pass_obj
def show(service, word):
    click.echo(f"{word} {service.settings.storage_backend}")
    return 3

"""


@pytest.mark.parametrize(
    ("commands", "others", "arguments", "code", "text"),
    [
        pytest.param("'stars': stars", "", "stars show a", 3, "a memory", id="a command of a group"),
        pytest.param("'stars': stars", "", "stars", 2, "show  Print the backend.", id="a group without command"),
        pytest.param("'stars': stars", "kinto_absent", "stars show a", 1, "'kinto_absent'", id="an absent plugin"),
        pytest.param("'migrate': stars", "", "--help", 0, "'migrate' of the plugin 'kinto_stars' exists", id="a clash"),
        pytest.param("'show': show", "kinto_twin", "show a", 1, "plugin 'kinto_twin' exists", id="two plugins"),
        pytest.param("'x': print", "", "x", 1, "'x' of the plugin 'kinto_stars' is none of click", id="no command"),
    ],
)
def test_a_command_of_a_plugin(
    commands: str,
    others: str,
    arguments: str,
    code: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("kinto_stars", "kinto_twin"):
        add_module(tmp_path, monkeypatch, name, f"{PLUGIN}commands = {{{commands}}}\n")
    ini = tmp_path / "kinto.ini"
    ini.write_text(f"[app:main]\nkinto.storage_backend = memory\nkinto.includes = kinto_stars {others}\n")

    with CliRunner().isolation() as (out, err, _):
        result = main(["--ini", str(ini), *arguments.split()])
        printed = out.getvalue().decode() + err.getvalue().decode()

    assert (result, text in printed) == (code, True), printed
