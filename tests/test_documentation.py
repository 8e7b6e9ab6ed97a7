"""What the documents say is so: modules, functions, files, links, commands and counts that they name exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from urllib.parse import unquote

import pytest

from blueprints import plugins
from scripts.settings_doc import PATH, render
from tests.support.services import ROOT
from tests.test_budget import BUDGETS

FOLDERS = ("app", "backends", "blueprints", "measuring", "scripts", "servers")
"""What `docs/architecture.md` must name, module by module."""

DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "docs" / "contract" / "DECISIONS.md"})
OURS = [document for document in DOCUMENTS if document.parent.name != "contract"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(rf"(?:{'|'.join(FOLDERS)}|deploy|docs|tests)/[\w./-]*|[\w.]+\.(?:py|wsgi)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NAMED = re.compile(r"([\w/]+\.py):([\w.]+)")
_UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|TBD|coming soon|not yet written)\b", re.IGNORECASE)

every_document = pytest.mark.parametrize("document", OURS, ids=[str(document.relative_to(ROOT)) for document in OURS])


def _text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def _code(text: str) -> Iterator[str]:
    """Yield what stands between single backquotes, outside of fenced blocks."""
    yield from _CODE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def _modules() -> set[str]:
    return {str(file.relative_to(ROOT)) for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}


def test_every_module_has_its_words_in_the_architecture() -> None:
    assert sorted(_modules() - set(_code(ARCHITECTURE))) == []


@every_document
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = {name for name in _code(_text(document)) if _PATH.fullmatch(name)}

    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@cache
def _defined(path: str) -> frozenset[str]:
    """Return what a module defines: functions and classes, with the methods of those as `Class.method`."""
    names: set[str] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names.update(f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef))
    return frozenset(names)


@every_document
def test_every_function_that_a_document_names_is_in_its_file(document: Path) -> None:
    named = {match.groups() for name in _code(_text(document)) if (match := _NAMED.fullmatch(name))}

    assert sorted(f"{path}:{name}" for path, name in named if name not in _defined(path)) == []


def _anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", _text(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(document.relative_to(ROOT)) for document in DOCUMENTS])
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    broken = []
    for link in _LINK.findall(_text(document)):
        place, _, anchor = unquote(link).partition("#")
        target = (document.parent / place).resolve() if place else document
        if re.match(r"[a-z]+:", place):
            continue
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)

    assert broken == []


@every_document
def test_no_document_promises_what_is_unfinished(document: Path) -> None:
    assert _UNFINISHED.findall(_text(document)) == []


@every_document
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    named = re.findall(r"(?:^|`| {4})(?:\w+=\S+ )*make ([a-z]+)", _text(document), re.MULTILINE)

    assert set(named) - targets == set()


def _commands(plugin: str) -> Iterable[str]:
    """Return the names of the commands of a plugin of the service."""
    commands: Mapping[str, object] = vars(import_module(f"blueprints.plugins.{plugin}")).get("commands", {})
    return commands


@every_document
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    commands = re.findall(
        r"(?:^|`| {4})(?:kinto|python -m scripts)(?: --ini \S+)? ([a-z][a-z_-]+)", _text(document), re.M
    )
    modules = re.findall(r"python -m ((?:scripts|tests)\.[a-z_.]+)", _text(document))
    files = {name: (f"{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__main__.py") for name in modules}

    of_plugins = {name for module in iter_modules(plugins.__path__) for name in _commands(module.name)}
    missing = {name for name in commands if not (ROOT / "scripts" / f"{name.replace('-', '_')}.py").exists()}
    missing -= of_plugins
    assert missing | {name for name, each in files.items() if not any((ROOT / file).exists() for file in each)} == set()


def test_the_page_of_the_settings_is_what_the_code_generates() -> None:
    """Write it anew with `python -m scripts.settings_doc`."""
    assert _text(PATH) == render()


def _plugins(text: str) -> set[str]:
    return set(re.findall(r"`kinto\.plugins\.(\w+)`", text))


def test_the_readme_tells_which_plugins_there_are_and_which_not() -> None:
    there, absent = README.split("\n## What is there\n")[1].split("\nNot there yet: ")
    absent = absent.split("\n## ")[0]
    modules = {
        file.stem for file in (ROOT / "blueprints" / "plugins").iterdir() if file.stem.replace("_", "").isalpha()
    }
    modules -= {"__init__", "__pycache__"}

    assert _plugins(there) == modules
    assert _plugins(absent) & modules == set()


def test_the_readme_counts_the_recorded_exchanges() -> None:
    files = (ROOT / "tests" / "golden" / "exchanges").glob("*.jsonl")
    recorded = sum(len(_text(file).splitlines()) for file in files)

    assert f"{recorded} exchanges recorded" in README


def test_the_architecture_has_the_counts_of_the_budget() -> None:
    """Each request once, under its count."""
    _, _, section = ARCHITECTURE.partition("\n## Statements\n")
    items = re.findall(r"^- \*\*(\d+)\*\*: (.+?)\.$(?!\n  )", section, re.MULTILINE | re.DOTALL)
    written = [(name, int(count)) for count, text in items for name in " ".join(text.split()).split("; ")]

    assert sorted(written) == sorted((name, budget.statements) for name, budget in BUDGETS.items())
