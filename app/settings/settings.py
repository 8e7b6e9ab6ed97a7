"""The settings of one application, and lookups by kind, method or plugin."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.settings import aliases
from app.settings.catalogue import (
    Backends,
    Features,
    Http,
    Identification,
    Monitoring,
    Plugins,
    Project,
)
from app.settings.fields import Declaration, type_of
from app.settings.patterns import Patterns, Shape, read_patterns
from app.settings.policies_and_listeners import ListenerSettings, PolicySettings
from app.settings.sources import ABSENT, Sources, variable_of
from app.settings.values import Reader, decode_json, read, text

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Settings(Features, Backends, Identification, Http, Project, Monitoring, Plugins):
    """Every setting as an attribute: `history.auto_trim_threshold` is `history_auto_trim_threshold`.

    `policies` and `listeners` are from the settings `multiauth.policy.*` and `event_listeners.*`. `config_path` is the
    ini file, `logging_sections` is the same path if the file configures logging.
    """

    policies: tuple[PolicySettings, ...] = ()
    listeners: tuple[ListenerSettings, ...] = ()
    config_path: str | None = None
    logging_sections: str | None = None
    _sources: Sources = field(default_factory=lambda: Sources({}, {}))
    _patterns: Patterns = field(default_factory=lambda: read_patterns(Sources({}, {})))
    _warnings: tuple[str, ...] = ()
    _unknown: set[str] = field(default_factory=set)
    _declarations: dict[str, Declaration] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings to log at start, those of unknown settings last."""
        unknown = (f"The setting kinto.{name} is unknown and ignored." for name in sorted(self._unknown))
        return (*self._warnings, *unknown)

    def principals(self, kind: str, permission: str) -> frozenset[str]:
        """Return the principals with *permission* on every object of *kind* (C-PERM-19, O-SET-27)."""
        return self._patterns.principals.get((kind.replace("-", "_"), permission), frozenset())

    def all_principals(self) -> frozenset[str]:
        """Return all principals with a permission on every object of a kind."""
        return frozenset[str]().union(*self._patterns.principals.values())

    def is_enabled(self, shape: Shape, kind: str, method: str) -> bool:
        """Return whether a method of lists (`plural`) or objects (`object`) is enabled; HEAD is as GET (O-SET-29)."""
        method = "get" if method.lower() == "head" else method.lower()
        return (shape, kind.replace("-", "_"), method) not in self._patterns.disabled

    def cache_expires_seconds(
        self, kind: str, bucket_id: str | None = None, collection_id: str | None = None
    ) -> int | None:
        """Return the seconds that clients may cache a response, None without a setting (O-SET-33)."""
        return self._patterns.cache_seconds(kind, bucket_id, collection_id)

    def id_generator(self, kind: str) -> str:
        """Return the canonical dotted name of the id generator of *kind*."""
        generator_name: object = getattr(self, f"{kind}_id_generator", None)
        name = generator_name or self.get(f"{kind}_id_generator") or self.default_id_generator
        return aliases.generator_name(text(name).strip())

    def kinds_with_generators(self) -> Iterator[str]:
        """Yield the kinds for which a setting names an id generator."""
        ending = "_id_generator"
        yield from (name.removesuffix(ending) for name in self._sources.names() if name.endswith(ending))

    def get(self, name: str, default: object = None) -> object:
        """Return the raw value of any setting, named with or without `kinto.`; *default* if it is not set."""
        raw = self._sources.find(name.removeprefix("kinto."))
        return default if raw is ABSENT else raw

    def under(self, prefix: str) -> dict[str, object]:
        """Return the raw values of all settings with *prefix*, by their names without it."""
        return self._sources.under(prefix.removeprefix("kinto."))

    def decoded_values(self, options: Mapping[str, object]) -> dict[str, object]:
        """Return all settings by their plain names, and *options*; JSON values are decoded."""
        values = {name: self.get(name) for name in self._sources.names()} | dict(options)
        return {name: decode_json(value) for name, value in values.items()}

    @property
    def plugin_declarations(self) -> Sequence[Declaration]:
        """Return the settings that plugins have declared, by name."""
        return sorted(self._declarations.values(), key=lambda declaration: declaration.name)

    def declare(self, name: str, reader: Reader[T], default: T, meaning: str = "") -> T:
        """Declare a setting of a plugin and return its value; *meaning* documents it. Raises SettingError."""
        plain = name.removeprefix("kinto.")
        same_names = [unknown for unknown in self._unknown if variable_of(unknown) == variable_of(plain)]
        self._unknown.difference_update(same_names)
        self._declarations[plain] = Declaration(reader, default, type_of(reader), meaning, plain)
        raw = self._sources.find(plain)
        return default if raw is ABSENT else read(plain, reader, raw)
