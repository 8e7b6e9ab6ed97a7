"""What the files around the package promise: requirements that something imports, data that exists, one version."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.version import VERSION
from tests.support.services import ROOT

PROJECT: dict[str, Any] = tomllib.loads(Path(ROOT, "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = [name.removesuffix("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
"""The packages that are installed."""
# Packages that no file needs to import, and why.
LOADED_BY_NAME = {
    "flask-caching": "`cache_backend` may be the dotted name of any of its classes",
    "gunicorn": "the server: `kinto start` and the Procfile run it",
}


def _requirements() -> dict[str, Requirement]:
    lines = Path(ROOT, "requirements.in").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {requirement.name: requirement for requirement in requirements}


@cache
def _imported() -> set[str]:
    """Return the packages that files import, by statements or by their name."""
    names = set()
    for path in [path for folder in FOLDERS for path in Path(ROOT, folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module or "")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module" and node.args:
                names |= {str(node.args[0].value)} if isinstance(node.args[0], ast.Constant) else set()
    return {name.partition(".")[0] for name in names}


@cache
def _installed() -> Mapping[str, list[str]]:
    """Return the packages of each module; finding them takes half a second."""
    return packages_distributions()


@pytest.mark.parametrize("name", _requirements())
def test_a_required_package_is_imported(name: str) -> None:
    modules = {
        module
        for module, packages in _installed().items()
        if name in {str(canonicalize_name(each)) for each in packages}
    }

    assert modules & _imported() or name in LOADED_BY_NAME


def test_every_pinned_requirement_is_one_that_is_asked_for() -> None:
    pins = Path(ROOT, "requirements.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", pins, re.MULTILINE))

    for name, requirement in _requirements().items():
        assert pinned[name] in requirement.specifier


def test_package_data_exists() -> None:
    patterns = PROJECT["tool"]["setuptools"].get("package-data", {}).get("*", [])

    assert all(any(path for folder in FOLDERS for path in Path(ROOT, folder).rglob(each)) for each in patterns)


def test_every_package_is_installed_and_no_test_is() -> None:
    packages = {path.parent.name for path in Path(ROOT).glob("*/__init__.py")}

    assert packages - {"tests"} == set(FOLDERS)


def test_no_file_of_the_packages_is_left_out_of_the_installation() -> None:
    kept = PROJECT["tool"]["setuptools"].get("package-data", {}).get("*", [])
    files = [path for folder in FOLDERS for path in Path(ROOT, folder).rglob("*") if path.is_file()]

    others = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert not [path for path in others if not any(path.match(pattern) for pattern in kept)]


def test_the_changelog_begins_with_the_version_that_is_installed() -> None:
    changelog = Path(ROOT, "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(r"^## (\S+)", changelog, re.MULTILINE)

    assert heading is not None
    assert heading[1] == VERSION == PROJECT["project"]["version"]
