"""Load the settings: read all declared ones, derive values that depend on several, reject inconsistent ones (1.4)."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from app.settings import aliases
from app.settings.databases import locate_databases
from app.settings.fields import declarations
from app.settings.patterns import is_ineffective, is_pattern, read_patterns
from app.settings.policies_and_listeners import read_listeners, read_policies, warn_of_policies
from app.settings.settings import Settings
from app.settings.sources import Sources, gather_sources, variable_of
from app.settings.values import SettingError

_POOL_PREFIXES = ("storage_", "cache_", "permission_")
# Names that are read elsewhere: by Paste, the command and the tests.
_RESERVED = ("use", "settings_prefix", "ini", "admin_password", "test_database_url", "test_prepare")


def load(
    values: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    ini: str | None = None,
) -> Settings:
    """Return the settings of one application. Raises SettingError, MissingFile.

    *values* replace the ini file (O-SET-9). *environ* defaults to the environment of the process, which overrides
    `.env`; *ini* defaults to the file that `KINTO_INI` names, else `config/kinto.ini` if it exists.
    """
    sources = gather_sources(values, environ, ini)
    # The attributes by name, each of the type in its declaration.
    attributes: dict[str, Any] = {name: declaration.value(sources) for name, declaration in declarations(Settings)}
    attributes |= locate_databases(sources)
    attributes["includes"] = _complete_includes(attributes)
    attributes["experimental_permissions_endpoint"] |= "kinto.plugins.admin" in attributes["includes"]
    path = sources.file.path if sources.file else None
    policies = read_policies(sources, attributes["multiauth_policies"])
    warnings = (*_warnings(attributes), *warn_of_policies(policies), *_warnings_of_ineffective(attributes, sources))
    settings = Settings(
        **attributes,
        policies=policies,
        listeners=tuple(read_listeners(sources, attributes["event_listeners"])),
        config_path=path,
        logging_sections=path if sources.file and sources.file.logging else None,
        _sources=sources,
        _patterns=read_patterns(sources),
        _warnings=(*sources.warnings, *warnings),
        _unknown=set(_unknown_kinto_names(sources)),
    )
    _expect_consistent(settings, sources)
    return settings


def _complete_includes(values: Mapping[str, Any]) -> tuple[str, ...]:
    includes = aliases.plugin_names(values["includes"])
    if values["flush_endpoint_enabled"] and "kinto.plugins.flush" not in includes:
        return (*includes, "kinto.plugins.flush")
    return includes


def _warnings(values: Mapping[str, Any]) -> Iterator[str]:
    if values["http_scheme"] != "https":
        yield "HTTPS is not enabled"
    if "basicauth" in values["multiauth_policies"] and not values["userid_hmac_secret"]:
        yield "The setting userid_hmac_secret is empty: anyone can compute the user ids of basicauth."
    for step in values["initialization_sequence"]:
        if not step.startswith(aliases.INITIALIZATIONS):
            yield f"The setting initialization_sequence has no effect here: {step} is not called."


def _warnings_of_ineffective(values: Mapping[str, Any], sources: Sources) -> Iterator[str]:
    for attribute, declaration in declarations(Settings):
        # `kinto init` generates all secrets, so that they are set when their plugin is included.
        if not declaration.effective and declaration.type != "secret" and values[attribute] != declaration.default:
            yield f"The setting {declaration.name} {declaration.meaning.removeprefix('accepted, ')}."
    for name in sorted(set(filter(is_ineffective, sources.names()))):
        yield f"The setting {name} has no effect."


def _expect_consistent(settings: Settings, sources: Sources) -> None:
    if "kinto.plugins.statsd" in settings.includes and not settings.statsd_url:
        raise SettingError(
            "statsd_url", "an address like udp://host:8125 is expected, as kinto.plugins.statsd is included."
        )
    if sources.under("account_validation."):
        raise SettingError(
            "account_validation", "validation of accounts by e-mail is not provided; remove its settings."
        )
    prefixes = tuple(
        prefix
        for prefix, backend in zip(_POOL_PREFIXES, (settings.storage_backend, settings.cache_backend, ""), strict=True)
        # A third-party backend has its own options.
        if "." not in backend
    )
    for name in _unknown_names(sources.file_values):
        if name.startswith(prefixes):
            raise SettingError(name, "the backend has no such option.")


def _unknown_kinto_names(sources: Sources) -> Iterator[str]:
    variables = [name.removeprefix("KINTO_").lower() for name in sources.environ if name.startswith("KINTO_")]
    yield from _unknown_names([*sources.prefixed_names, *variables])


def _unknown_names(candidates: Iterable[str]) -> Iterator[str]:
    """Yield the candidates that match no declaration and no pattern."""
    known = _declared_variables() | set(map(variable_of, _RESERVED))
    yield from (name for name in candidates if variable_of(name) not in known and not is_pattern(name))


def is_declared(name: str) -> bool:
    """Return whether the service itself has a setting of this name."""
    return variable_of(name) in _declared_variables()


@cache
def _declared_variables() -> frozenset[str]:
    names = (name for _, each in declarations(Settings) for name in (each.name, *each.aliases))
    return frozenset(map(variable_of, names))
