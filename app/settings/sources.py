"""Read the sources of settings: environment, `.env`, ini file or mapping (operations contract, 1.1)."""

import configparser
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dotenv

from app.settings.values import SettingError

ABSENT: Final = object()
DEFAULT_FILE = "config/kinto.ini"
DEFAULT_PORT = "8888"

_PREFIXES = ("kinto.", "cliquet.")
_KNOWN_SECTIONS = frozenset(("app:main", "composite:main", "pipeline:main", "server:main", "loggers"))
_CHECKOUT = Path(__file__).parents[2]


class MissingFile(SettingError):
    """An ini file that does not exist."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "does not exist")

    def __str__(self) -> str:
        return f"{self.name} does not exist"


@dataclass(frozen=True, slots=True)
class IniFile:
    """A Paste file: the sections of the application and the server; `logging`: it configures logging."""

    path: str
    application: Mapping[str, str]
    server: Mapping[str, str]
    logging: bool


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of settings.

    `file_values` are from the ini file or a mapping, by names without prefix; `prefixed_names` had a prefix there.
    """

    file_values: Mapping[str, object]
    environ: Mapping[str, str]
    file: IniFile | None = None
    prefixed_names: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def find(self, *names: str) -> object:
        """Return the raw value of the first of *names* that is set in any source, or ABSENT.

        `KINTO_X` overrides `X`, and both override the file (O-SET-1, O-SET-2); an empty variable counts as set
        (O-SET-5).
        """
        for name in names:
            variable = variable_of(name)
            for key in (f"KINTO_{variable}", variable):
                if key in self.environ:
                    return self.environ[key]
            if name in self.file_values:
                return self.file_values[name]
        return ABSENT

    def names(self) -> Iterator[str]:
        """Yield the names of all settings that are set: from the file unchanged, from variables in lower case."""
        yield from self.file_values
        for variable in self.environ:
            if variable.startswith("KINTO_"):
                yield variable.removeprefix("KINTO_").lower()
            elif variable.startswith("MULTIAUTH_"):
                yield variable.lower()

    def under(self, prefix: str) -> dict[str, object]:
        """Return the raw values of all settings with *prefix*, by their names without it."""
        variable = variable_of(prefix)
        values = {
            name.removeprefix(prefix): value for name, value in self.file_values.items() if name.startswith(prefix)
        }
        spellings = {variable_of(name): name for name in values}
        for start in (variable, f"KINTO_{variable}"):
            for key, value in self.environ.items():
                if key.startswith(start) and key != start:
                    name = key.removeprefix(start)
                    values[spellings.get(name, name.lower())] = value
        return values


def variable_of(name: str) -> str:
    """Return the environment variable of a setting, without `KINTO_` (O-SET-3)."""
    return name.replace(".", "_").replace("-", "_").upper()


def gather_sources(values: Mapping[str, object] | None, environ: Mapping[str, str] | None, ini: str | None) -> Sources:
    """Return the sources of one application; *values* replace the ini file (O-SET-9).

    *environ* defaults to the environment of the process, which overrides the file `.env` of the working folder.
    Raises SettingError, MissingFile.
    """
    if environ is None:
        local = {name: value for name, value in dotenv.dotenv_values(".env").items() if value is not None}
        environ = {**local, **os.environ}
    path = ini or (find_file(environ) if values is None else None)
    file = read_ini(path, environ.get("PORT") or DEFAULT_PORT) if path else None
    application: Mapping[str, object] = file.application if file else {}
    return _strip_prefixes(application if values is None else {**application, **values}, environ, file)


def find_file(environ: Mapping[str, str]) -> str | None:
    """Return the path of the ini file: from `KINTO_INI`, else the default path if it exists (O-SET-10, O-CLI-2)."""
    if environ.get("KINTO_INI"):
        return environ["KINTO_INI"]
    candidates = (Path(DEFAULT_FILE), _CHECKOUT / DEFAULT_FILE)
    return next((str(path) for path in candidates if path.is_file()), None)


def read_ini(path: str, http_port: str) -> IniFile:
    """Read a Paste file; *http_port* is the value of `%(http_port)s`. Raises SettingError, MissingFile."""
    if not Path(path).is_file():
        raise MissingFile(path)
    location = Path(path).absolute()
    paths = {"here": str(location.parent), "__file__": str(location)}
    defaults = {"http_port": http_port, **{name: value.replace("%", "%%") for name, value in paths.items()}}
    parser = configparser.ConfigParser(defaults)
    # A second parser without defaults has the names that a section itself contains.
    own = configparser.RawConfigParser(default_section="no section has this name")
    for reader in (parser, own):
        # Names are case-sensitive; configparser documents that this method is replaced for it.
        reader.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            reader.read_string(Path(path).read_text(encoding="utf-8-sig"), path)
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingError(path, " ".join(str(error).split())) from None
    if not _KNOWN_SECTIONS.intersection(own.sections()):
        raise SettingError(path, "a section [app:main] is expected.")
    if not own.has_section("app:main") and any(own.has_section(f"{kind}:main") for kind in ("composite", "pipeline")):
        raise SettingError(path, "a section [app:main] is expected; [composite:main] and [pipeline:main] are not used.")
    return IniFile(
        str(Path(path).absolute()),
        _section("app:main", parser, own),
        _section("server:main", parser, own),
        own.has_section("loggers"),
    )


def _section(section: str, parser: configparser.ConfigParser, own: configparser.RawConfigParser) -> dict[str, str]:
    if not own.has_section(section):
        return {}
    values = {}
    for name in own.options(section):
        try:
            values[name] = parser.get(section, name)
        except configparser.InterpolationError:
            raise SettingError(name, "a % in a value must be doubled, or name a value as %(here)s does.") from None
    return values


def _strip_prefixes(values: Mapping[str, object], environ: Mapping[str, str], file: IniFile | None) -> Sources:
    """Return the sources with the prefixes stripped from the names (O-SET-7, O-SET-8). Raises SettingError."""
    plain: dict[str, object] = {}
    full_names: dict[str, str] = {}
    for name, value in values.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        bare = name.removeprefix(prefix)
        if bare in plain and plain[bare] != value:
            raise SettingError(bare, f"Settings '{full_names[bare]}', '{name}' are in conflict.")
        plain[bare] = value
        full_names[bare] = name
    old_names = [name for name in values if name.startswith("cliquet.")]
    warnings = tuple(f"The setting {name} is read as kinto.{name.removeprefix('cliquet.')}." for name in old_names)
    prefixed = frozenset(bare for bare, name in full_names.items() if name.startswith(_PREFIXES))
    return Sources(plain, environ, file, prefixed, warnings)
