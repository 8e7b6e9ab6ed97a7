"""Hold the settings of one application, and answer what depends on a kind, a method or a plugin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from app.settings import aliases as names
from app.settings.catalogue import (
    Backends,
    Features,
    Http,
    Identification,
    Monitoring,
    Plugins,
    Project,
)
from app.settings.patterns import Patterns, Shape, patterns
from app.settings.policies_and_listeners import ListenerSettings, PolicySettings
from app.settings.sources import ABSENT, Sources, variable_of
from app.settings.values import Reader, native, read, text

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Settings(Features, Backends, Identification, Http, Project, Monitoring, Plugins):
    """Every setting as an attribute: `history.auto_trim_threshold` is `history_auto_trim_threshold`.

    `policies` and `listeners` are what the settings named `multiauth.policy.*` and `event_listeners.*` say,
    `config_path` is the ini file in use, `logging_sections` the same when it configures logging.
    """

    policies: tuple[PolicySettings, ...] = ()
    listeners: tuple[ListenerSettings, ...] = ()
    config_path: str | None = None
    logging_sections: str | None = None
    _sources: Sources = field(default_factory=lambda: Sources({}, {}))
    _patterns: Patterns = field(default_factory=lambda: patterns(Sources({}, {})))
    _warnings: tuple[str, ...] = ()
    _unknown: set[str] = field(default_factory=set)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what an operator should hear at start, settings that nobody knows last."""
        unknown = (f"The setting kinto.{name} is not known, nothing reads it." for name in sorted(self._unknown))
        return (*self._warnings, *unknown)

    def principals(self, kind: str, permission: str) -> frozenset[str]:
        """Return who has *permission* on every object of *kind* (C-PERM-19, O-SET-27)."""
        return self._patterns.principals.get((kind.replace("-", "_"), permission), frozenset())

    def named_principals(self) -> frozenset[str]:
        """Return everybody whom a setting gives a permission on every object of a kind."""
        return frozenset[str]().union(*self._patterns.principals.values())

    def enabled(self, shape: Shape, kind: str, method: str) -> bool:
        """Return whether lists (`plural`) or objects (`object`) of *kind* have *method*; HEAD is as GET (O-SET-29)."""
        method = "get" if method.lower() == "head" else method.lower()
        return (shape, kind.replace("-", "_"), method) not in self._patterns.switched_off

    def cache_expires_seconds(
        self, kind: str, bucket_id: str | None = None, collection_id: str | None = None
    ) -> int | None:
        """Return how long clients may cache, None when no setting says so (O-SET-33)."""
        return self._patterns.life(kind, bucket_id, collection_id)

    def id_generator(self, kind: str) -> str:
        """Return the canonical dotted name of the generator of ids of *kind*."""
        declared: object = getattr(self, f"{kind}_id_generator", None)
        name = declared or self.get(f"{kind}_id_generator") or self.default_id_generator
        return names.generator(text(name).strip())

    def kinds_with_generators(self) -> Iterator[str]:
        """Yield the kinds for which a setting names a generator of ids."""
        ending = "_id_generator"
        yield from (name.removesuffix(ending) for name in self._sources.names() if name.endswith(ending))

    def get(self, name: str, default: object = None) -> object:
        """Return the raw value of any setting, with or without `kinto.`, or *default* when it is not set."""
        raw = self._sources.find(name.removeprefix("kinto."))
        return default if raw is ABSENT else raw

    def under(self, prefix: str) -> dict[str, object]:
        """Return the raw values of all settings that begin with *prefix*, without it."""
        return self._sources.under(prefix.removeprefix("kinto."))

    def natives(self, more: Mapping[str, object]) -> dict[str, object]:
        """Return all that is set by its plain name, with *more*; values are read as JSON where they are JSON."""
        named = {name: self.get(name) for name in self._sources.names()} | dict(more)
        return {name: native(value) for name, value in named.items()}

    def declare(self, name: str, reader: Reader[T], default: T) -> T:
        """Return the value of a setting that a plugin brings, and know it from now on. Raises SettingError."""
        plain = name.removeprefix("kinto.")
        self._unknown.difference_update([each for each in self._unknown if variable_of(each) == variable_of(plain)])
        raw = self._sources.find(plain)
        return default if raw is ABSENT else read(plain, reader, raw)
