"""What the README shows works: its session on the service of `make serve`, its variables on PostgreSQL.

Timestamps in the README stand for those of the run: the same one always for the same, in answers and in commands.
"""

from __future__ import annotations

import argparse
import base64
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.support.services import ROOT, as_environment, serve

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TIMESTAMP = re.compile(r"\b\d{13}\b")
API = "http://127.0.0.1:8888/v1"

_CURL = argparse.ArgumentParser("curl", exit_on_error=False)
_CURL.add_argument("-s", action="store_true")
_CURL.add_argument("-u", dest="user")
_CURL.add_argument("-X", dest="method")
_CURL.add_argument("-H", dest="headers", action="append", default=[])
_CURL.add_argument("-d", dest="body")
_CURL.add_argument("url")


@dataclass(frozen=True)
class Step:
    """One command of the README, and what it says that the answer is."""

    command: str
    output: str


def blocks(language: str) -> Iterator[str]:
    """Yield the content of the README's fenced blocks of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def session() -> Iterator[Step]:
    """Yield the commands of the README in order; one goes on after a backslash at the end of its line."""
    for block in blocks("console"):
        for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = text.replace("\\\n", " ").partition("\n")
            yield Step(command, output.strip())


def settings_of_serve() -> dict[str, str]:
    """Return the variables that `make serve` sets, as they stand in the Makefile."""
    variables = dict(re.findall(r"^serve: export (\w+) \?= (.*)$", MAKEFILE, re.MULTILINE))
    assert variables, "the Makefile sets variables for serve"
    return variables


@dataclass
class Shell:
    """What a shell does with the commands of the README, on a service at another address."""

    url: str
    variables: dict[str, str] = field(default_factory=dict)
    timestamps: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """Run one command, an assignment or a call of curl, and return what it prints."""
        words = [Template(word).substitute(self.variables) for word in _words(self._of_this_run(command))]
        if words[0] == "curl":
            return curl(words[1:])
        name, _, value = words[0].partition("=")
        self.variables[name] = self.url if value == API else value
        return ""

    def expected(self, output: str, answered: str) -> str:
        """Return *output* with the timestamps of this run; one that is new stands for what was answered there."""
        for ours, theirs in zip(TIMESTAMP.findall(output), TIMESTAMP.findall(answered), strict=False):
            self.timestamps.setdefault(ours, theirs)
        return self._of_this_run(output)

    def _of_this_run(self, text: str) -> str:
        return TIMESTAMP.sub(lambda written: self.timestamps.get(written[0], written[0]), text)


def _words(command: str) -> list[str]:
    """Split a command as a shell does; what stands in single quotes keeps its `$`."""
    quoted = re.sub(r"'[^']*'", lambda text: text[0].replace("$", "$$"), command)
    return shlex.split(quoted)


def curl(arguments: list[str]) -> str:
    """Send the request that curl would send, and return the body of the answer, whatever its status."""
    options = _CURL.parse_args(arguments)
    headers = dict(header.split(": ", 1) for header in options.headers)
    if options.user:
        headers["Authorization"] = "Basic " + base64.b64encode(options.user.encode()).decode()
    body = None if options.body is None else options.body.encode()
    request = urllib.request.Request(options.url, body, headers, method=options.method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def exported(text: str) -> Mapping[str, str]:
    """Return the variables that a block of the README exports."""
    return dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))


def test_the_session_of_the_readme_answers_as_it_says(tmp_path: Path) -> None:
    settings = settings_of_serve() | {
        "KINTO_STORAGE_URL": f"sqlite:///{tmp_path}/kinto.sqlite",
        "KINTO_USERID_HMAC_SECRET": "secret",
    }

    with serve(settings) as url:
        shell = Shell(url)
        for step in session():
            answered = shell.run(step.command)
            assert answered == shell.expected(step.output, answered), step.command

    assert shell.timestamps, "the session shows timestamps"


def test_the_variables_of_the_readme_make_a_service_with_accounts(empty_postgresql_url: str) -> None:
    block = next(block for block in blocks("sh") if "export DATABASE_URL" in block)
    settings = {**exported(block), "DATABASE_URL": empty_postgresql_url}
    environment = {**as_environment(settings), "KINTO_ADMIN_PASSWORD": "secret"}

    for command in ("migrate", "create-user -u admin"):
        assert f"python -m scripts {command}" in README
        subprocess.run(
            [sys.executable, "-m", "scripts", *command.split()], env=environment, cwd=ROOT, check=True, timeout=120
        )

    with serve(settings, workers=2) as url:
        assert '"user":{"id":"account:admin"' in curl(["-u", "admin:secret", f"{url}/"])
        assert '"id":"b"' in curl(["-u", "admin:secret", "-X", "PUT", f"{url}/buckets/b"])
