"""Take commands, SQL and settings out of docs/production.md, and run them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from click.testing import CliRunner

from scripts.command import main
from tests.support.services import ROOT

GUIDE = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    start = re.search(rf"^(#+) {re.escape(title)}$", GUIDE, re.MULTILINE)
    assert start, f"the guide has a section {title!r}"
    end = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(without_code(GUIDE), start.end())
    return GUIDE[start.end() : end.start() if end else None]


def without_code(text: str) -> str:
    """Blank the fenced blocks, in which a line may begin with `#` too; every place stays where it is."""
    return _FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)


def blocks(title: str, language: str, **values: str) -> list[str]:
    """Return the fenced blocks of a language in a section, with *values* in the place of `${names}`."""
    return [Template(content).safe_substitute(values) for content in blocks_of(title, language)]


def blocks_of(title: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a section as they stand there."""
    return [content for kind, content in _FENCE.findall(section(title)) if kind == language]


def statements(title: str, **values: str) -> list[str]:
    """Return the SQL statements of a section."""
    scripts = blocks(title, "sql", **values)
    return [statement.strip() for script in scripts for statement in script.split(";") if statement.strip()]


def settings(title: str, **values: str) -> dict[str, str]:
    """Return the settings of a section."""
    lines = "".join(blocks(title, "ini", **values)).splitlines()
    return dict(_pair(line) for line in lines if "=" in line)


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip(), value.strip()


def commands(title: str) -> Iterator[str]:
    """Yield the commands that a section shows after a prompt."""
    for block in blocks_of(title, "console"):
        yield from (line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))


@dataclass(frozen=True)
class Ended:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def run(command: str, answers: str = "") -> Ended:
    """Run a command of the guide, `kinto ...`, in this process and working folder, as a shell would."""
    program, *arguments = shlex.split(command)
    assert program == "kinto"
    file = None
    if ">" in arguments:
        *arguments, _, file = arguments
    with CliRunner().isolation(input=answers) as (out, err, _):
        code = main(arguments)
        ended = Ended(code, out.getvalue().decode(), err.getvalue().decode())
    if file:
        Path(file).write_text(ended.out, encoding="utf-8")
    return ended
