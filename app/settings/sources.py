"""Find where the value of a setting comes from: environment, `.env`, ini file or mapping (operations contract, 1.1)."""

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
_READ = frozenset(("app:main", "composite:main", "pipeline:main", "server:main", "loggers"))
_CHECKOUT = Path(__file__).parents[2]


class MissingFile(SettingError):
    """The ini file that was named does not exist."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "does not exist")

    def __str__(self) -> str:
        return f"{self.name} does not exist"


@dataclass(frozen=True, slots=True)
class IniFile:
    """What a Paste file says: of the application, of the server, and whether of logging."""

    path: str
    application: Mapping[str, str]
    server: Mapping[str, str]
    logging: bool


@dataclass(frozen=True, slots=True)
class Sources:
    """All places that a value may come from; names in `given` have lost their prefix, `prefixed` had one."""

    given: Mapping[str, object]
    environ: Mapping[str, str]
    file: IniFile | None = None
    prefixed: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def find(self, *names: str) -> object:
        """Return the raw value of the first of *names* that is set anywhere, or ABSENT.

        `KINTO_X` wins over `X`, and both over the file (O-SET-1, O-SET-2); an empty variable counts (O-SET-5).
        """
        for name in names:
            variable = variable_of(name)
            for key in (f"KINTO_{variable}", variable):
                if key in self.environ:
                    return self.environ[key]
            if name in self.given:
                return self.given[name]
        return ABSENT

    def names(self) -> Iterator[str]:
        """Yield the names of all that is set: those of the file as written, those of variables in lower case."""
        yield from self.given
        for variable in self.environ:
            if variable.startswith("KINTO_"):
                yield variable.removeprefix("KINTO_").lower()
            elif variable.startswith("MULTIAUTH_"):
                yield variable.lower()

    def under(self, prefix: str) -> dict[str, object]:
        """Return the raw values of all settings whose name begins with *prefix*, without it."""
        variable = variable_of(prefix)
        found = {name.removeprefix(prefix): value for name, value in self.given.items() if name.startswith(prefix)}
        spelling = {variable_of(name): name for name in found}
        for start in (variable, f"KINTO_{variable}"):
            for key, value in self.environ.items():
                if key.startswith(start) and key != start:
                    rest = key.removeprefix(start)
                    found[spelling.get(rest, rest.lower())] = value
        return found


def variable_of(name: str) -> str:
    """Return the environment variable of a setting, without `KINTO_` (O-SET-3)."""
    return name.replace(".", "_").replace("-", "_").upper()


def gather(given: Mapping[str, object] | None, environ: Mapping[str, str] | None, ini: str | None) -> Sources:
    """Return the places of this application: a mapping stands in place of the file (O-SET-9).

    Without *environ* it is that of the process, over the file `.env` of the working folder.
    Raises SettingError, MissingFile.
    """
    if environ is None:
        local = {name: value for name, value in dotenv.dotenv_values(".env").items() if value is not None}
        environ = {**local, **os.environ}
    path = ini or (find_file(environ) if given is None else None)
    file = read_ini(path, environ.get("PORT") or DEFAULT_PORT) if path else None
    application: Mapping[str, object] = file.application if file else {}
    return _without_prefixes(application if given is None else {**application, **given}, environ, file)


def find_file(environ: Mapping[str, str]) -> str | None:
    """Return the path of the ini file: the one named, else the usual one, if there is one (O-SET-10, O-CLI-2)."""
    if environ.get("KINTO_INI"):
        return environ["KINTO_INI"]
    candidates = (Path(DEFAULT_FILE), _CHECKOUT / DEFAULT_FILE)
    return next((str(path) for path in candidates if path.is_file()), None)


def read_ini(path: str, http_port: str) -> IniFile:
    """Read a Paste file; *http_port* is what `%(http_port)s` stands for. Raises SettingError, MissingFile."""
    if not Path(path).is_file():
        raise MissingFile(path)
    defaults = {"here": str(Path(path).absolute().parent).replace("%", "%%"), "http_port": http_port}
    parser = configparser.ConfigParser(defaults)
    # A second reading without defaults says which names stand in a section itself.
    own = configparser.RawConfigParser(default_section="no section is called so")
    for each in (parser, own):
        # Names are case-sensitive; configparser documents that this method is replaced for it.
        each.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            each.read_string(Path(path).read_text(encoding="utf-8-sig"), path)
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingError(path, " ".join(str(error).split())) from None
    if not _READ.intersection(own.sections()):
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


def _without_prefixes(given: Mapping[str, object], environ: Mapping[str, str], file: IniFile | None) -> Sources:
    """Take the prefixes off the names (O-SET-7, O-SET-8)."""
    plain: dict[str, object] = {}
    written: dict[str, str] = {}
    for name, value in given.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        bare = name.removeprefix(prefix)
        if bare in plain and plain[bare] != value:
            raise SettingError(bare, f"Settings '{written[bare]}', '{name}' are in conflict.")
        plain[bare] = value
        written[bare] = name
    old = [name for name in given if name.startswith("cliquet.")]
    warnings = tuple(f"The setting {name} is read as kinto.{name.removeprefix('cliquet.')}." for name in old)
    prefixed = frozenset(bare for bare, name in written.items() if name.startswith(_PREFIXES))
    return Sources(plain, environ, file, prefixed, warnings)
