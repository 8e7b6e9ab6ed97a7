"""Layers import only to the right, nothing hides in a function, core code knows no plugin (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("wsgi", "scripts", "app.factory", "measuring", "blueprints", "app", "backends", "servers")
"""From left to right: a module may import what stands in its own layer or further right."""

HTTP = ("blueprints", "app.factory")
DATA = ("backends",)
OWNERS = {
    "flask": HTTP,
    "marshmallow": HTTP,
    "werkzeug": HTTP,
    "apispec": HTTP,
    "flask_sqlalchemy": ("app.factory",),
    "flask_caching": DATA,
    "sqlalchemy": DATA,
    "alembic": DATA,
    "psycopg2": DATA,
    "redis": DATA,
    "pymemcache": DATA,
    "statsd": DATA,
    "gunicorn": ("servers",),
}
"""Which layers may import a package from outside; those that are not named here are free."""

PLUGINS = "blueprints.plugins"
TABLES = ("sqlalchemy", "alembic")
"""What a plugin needs for tables of its own."""


@dataclass(frozen=True)
class Module:
    """One of our modules: its dotted name, its file, and the names of all our modules.

    It is parsed by the tests that run, not by each process that collects them.
    """

    name: str
    file: Path
    packages: frozenset[str]

    @cached_property
    def tree(self) -> ast.Module:
        """Return the syntax of the module."""
        return ast.parse(self.file.read_text())

    @property
    def layer(self) -> str:
        """Return the layer that the module stands in: the longest name of one that it begins with."""
        return next(layer for layer in sorted(LAYERS, key=len, reverse=True) if inside(self.name, layer))

    @cached_property
    def imports(self) -> Sequence[str]:
        """Return what the module imports; of `from a import b` the module `a.b` where there is one."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name}: relative import"
                yield from (self._module(node.module or "", alias.name) for alias in node.names)

    def _module(self, package: str, name: str) -> str:
        return f"{package}.{name}" if f"{package}.{name}" in self.packages else package


def inside(name: str, package: str) -> bool:
    """Say whether a module is a package or stands in it."""
    return name == package or name.startswith(f"{package}.")


def _modules() -> dict[str, Module]:
    files = {"wsgi": ROOT / "wsgi.py"}
    for folder in ("app", "blueprints", "backends", "measuring", "scripts", "servers"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            files[".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = file
    return {name: Module(name, file, frozenset(files)) for name, file in files.items()}


MODULES = _modules()


def _ours(module: Module) -> Iterator[Module]:
    return (MODULES[name] for name in module.imports if name in MODULES)


def test_modules_import_only_from_layers_to_the_right() -> None:
    wrong = [
        f"{module.name} imports {imported.name}"
        for module in MODULES.values()
        for imported in _ours(module)
        if LAYERS.index(imported.layer) < LAYERS.index(module.layer)
    ]

    assert wrong == []


def test_modules_form_no_circle() -> None:
    graph = {module.name: {imported.name for imported in _ours(module)} for module in MODULES.values()}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}", pytrace=False)


def _unit(name: str) -> str:
    """Return what stands in the picture of the house for a module: a folder, or in `app/` what lies in it."""
    return ".".join(name.split(".")[: 2 if name.startswith("app.") else 1])


def _house() -> dict[str, int]:
    """Return the line of each name in the picture of docs/architecture.md, from the top."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    picture = text.partition("## The house")[2].partition("\n\n")[2].partition("\n\n")[0]
    units = {_unit(name) for name in MODULES}
    return {
        name: number
        for number, line in enumerate(picture.splitlines())
        for name in takewhile(units.__contains__, line.split())
    }


def test_the_picture_of_the_house_shows_what_imports_what() -> None:
    lines = _house()
    wrong = {
        f"{module.name} imports {imported.name}"
        for module in MODULES.values()
        for imported in _ours(module)
        if _unit(module.name) != _unit(imported.name) != "app"
        if lines[_unit(imported.name)] <= lines[_unit(module.name)]
    }

    assert wrong == set()
    assert lines.keys() == {_unit(name) for name in MODULES} - {"app"}


def _has_tables(module: Module) -> bool:
    _, _, in_plugin = module.name.removeprefix(f"{PLUGINS}.").partition(".")
    return inside(module.name, PLUGINS) and (in_plugin == "tables" or in_plugin.startswith("versions."))


@pytest.mark.parametrize(("package", "layers"), OWNERS.items(), ids=OWNERS.keys())
def test_a_package_is_imported_only_by_the_layers_it_belongs_to(package: str, layers: tuple[str, ...]) -> None:
    """Plugins have tables of their own: the module `tables` of a plugin, and the steps in its folder `versions`."""
    wrong = [
        module.name
        for module in MODULES.values()
        for imported in module.imports
        if inside(imported, package) and module.layer not in layers
        if not (package in TABLES and _has_tables(module))
    ]

    assert wrong == []


def test_servers_and_the_application_do_not_know_each_other() -> None:
    """The master of gunicorn imports what stands in `servers`, and must import nothing that a HUP is to read anew."""
    wrong = [
        f"{module.name} imports {imported.name}"
        for module in MODULES.values()
        for imported in _ours(module)
        if (module.layer == "servers") != (imported.layer == "servers")
    ]

    assert wrong == []


def test_no_import_hides_in_a_function() -> None:
    wrong = [
        f"{module.name}:{inner.lineno}"
        for module in MODULES.values()
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(function)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]

    assert wrong == []


def test_core_code_imports_no_plugin() -> None:
    wrong = [
        f"{module.name} imports {imported.name}"
        for module in MODULES.values()
        if not inside(module.name, PLUGINS)
        for imported in _ours(module)
        if inside(imported.name, PLUGINS) and imported.name != PLUGINS
    ]

    assert wrong == []


def test_a_plugin_imports_no_other_plugin() -> None:
    def plugin(module: Module) -> str:
        return module.name.removeprefix(f"{PLUGINS}.").partition(".")[0]

    wrong = [
        f"{module.name} imports {imported.name}"
        for module in MODULES.values()
        if inside(module.name, PLUGINS)
        for imported in _ours(module)
        if inside(imported.name, PLUGINS) and imported.name != PLUGINS and plugin(imported) != plugin(module)
    ]

    assert wrong == []


def test_only_settings_and_commands_read_the_environment() -> None:
    wrong = [
        f"{module.name}:{node.lineno}"
        for module in MODULES.values()
        if not inside(module.name, "app.settings") and module.layer != "scripts"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    ]

    assert wrong == []
