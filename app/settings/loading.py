"""Load the settings: read every declared one, decide what follows from several, refuse what cannot be (1.4)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.settings import aliases as names
from app.settings.databases import places
from app.settings.fields import declarations
from app.settings.patterns import is_ineffective, is_pattern, patterns
from app.settings.policies_and_listeners import listeners, policies
from app.settings.settings import Settings
from app.settings.sources import Sources, gather, variable_of
from app.settings.values import SettingError

_POOL_PREFIXES = ("storage_", "cache_", "permission_")
# Names that mean something elsewhere: in Paste, to the command, to the tests.
_KNOWN_ELSEWHERE = ("use", "settings_prefix", "ini", "admin_password", "test_database_url")


def load(
    given: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    ini: str | None = None,
) -> Settings:
    """Return the settings of one application. Raises SettingError, MissingFile.

    *given* stands in place of the ini file (O-SET-9). Without *environ* it is that of the process, over `.env`;
    without *ini* the file is the one that `KINTO_INI` names, else `config/kinto.ini`, else none.
    """
    sources = gather(given, environ, ini)
    # Attributes by name, each with the type that its declaration gives it.
    values: dict[str, Any] = {name: declaration.value(sources) for name, declaration in declarations(Settings)}
    values |= places(sources)
    values["includes"] = _includes(values)
    values["experimental_permissions_endpoint"] |= "kinto.plugins.admin" in values["includes"]
    path = sources.file.path if sources.file else None
    settings = Settings(
        **values,
        policies=policies(sources, values["multiauth_policies"]),
        listeners=tuple(listeners(sources, values["event_listeners"])),
        config_path=path,
        logging_sections=path if sources.file and sources.file.logging else None,
        _sources=sources,
        _patterns=patterns(sources),
        _warnings=(*sources.warnings, *_warnings(values), *_ineffective(values, sources)),
        _unknown=set(_unknown_of_kinto(sources)),
    )
    _refuse(settings, sources)
    return settings


def _includes(values: Mapping[str, Any]) -> tuple[str, ...]:
    includes = names.plugins(values["includes"])
    if values["flush_endpoint_enabled"] and "kinto.plugins.flush" not in includes:
        return (*includes, "kinto.plugins.flush")
    return includes


def _warnings(values: Mapping[str, Any]) -> Iterator[str]:
    if values["http_scheme"] != "https":
        yield "HTTPS is not enabled"
    if "basicauth" in values["multiauth_policies"] and not values["userid_hmac_secret"]:
        yield "The setting userid_hmac_secret is empty: anybody can work out the user ids of basicauth."
    for step in values["initialization_sequence"]:
        if not step.startswith(names.INITIALIZATIONS):
            yield f"The setting initialization_sequence has no effect here: {step} is not called."


def _ineffective(values: Mapping[str, Any], sources: Sources) -> Iterator[str]:
    for attribute, declaration in declarations(Settings):
        # `kinto init` makes all secrets, so that they are there when their plugin is.
        if not declaration.effective and declaration.type != "secret" and values[attribute] != declaration.default:
            yield f"The setting {declaration.name} {declaration.meaning.removeprefix('accepted, ')}."
    for name in sorted(set(filter(is_ineffective, sources.names()))):
        yield f"The setting {name} has no effect."


def _refuse(settings: Settings, sources: Sources) -> None:
    if "kinto.plugins.statsd" in settings.includes and not settings.statsd_url:
        raise SettingError(
            "statsd_url", "an address like udp://host:8125 is expected, as kinto.plugins.statsd is included."
        )
    if sources.under("account_validation."):
        raise SettingError(
            "account_validation", "validation of accounts by e-mail is not provided; remove its settings."
        )
    foreign = tuple(
        prefix
        for prefix, backend in zip(_POOL_PREFIXES, (settings.storage_backend, settings.cache_backend, ""), strict=True)
        # A backend of somebody else has options of its own.
        if "." not in backend
    )
    for name in _unknown(sources.given):
        if name.startswith(foreign):
            raise SettingError(name, "there is no such option of a backend.")


def _unknown_of_kinto(sources: Sources) -> Iterator[str]:
    variables = [name.removeprefix("KINTO_").lower() for name in sources.environ if name.startswith("KINTO_")]
    yield from _unknown([*sources.prefixed, *variables])


def _unknown(candidates: Iterable[str]) -> Iterator[str]:
    """Yield those of *candidates* that no declaration and no pattern knows."""
    known = set(map(variable_of, _KNOWN_ELSEWHERE))
    for _, declaration in declarations(Settings):
        known |= {variable_of(name) for name in (declaration.name, *declaration.aliases)}
    yield from (name for name in candidates if variable_of(name) not in known and not is_pattern(name))
