"""Map the dotted names of Kinto and of its predecessors to one canonical name each (operations contract, 1.9).

Names are mapped as text: the package `kinto` need not be installed, and is never imported for them. All other names
are imported unchanged (O-SET-47).
"""

import importlib
import importlib.util
import re

from app.settings.values import SettingError, convert_errors, distinct_words, text

BASIC_POLICY = "kinto.core.authentication.BasicAuthAuthenticationPolicy"
ACCOUNTS_POLICY = "kinto.plugins.accounts.AccountsPolicy"
OPENID_POLICY = "kinto.plugins.openid.OpenIDConnectPolicy"
REDIS_LISTENER = "kinto_redis.listeners"

UUID4 = "kinto.core.storage.generators.UUID4"
NAME_GENERATOR = "kinto.views.NameGenerator"
RELAXED_UUID = "kinto.views.RelaxedUUID"

HEKA = "kinto.core.logs.MozillaHekaRenderer"
CLASSIC = "kinto.core.logs.ClassicLogRenderer"
RENDERERS = {HEKA: HEKA, CLASSIC: CLASSIC} | {
    "cliquet.logs.MozillaHekaRenderer": HEKA,
    "cliquet.logs.ClassicLogRenderer": CLASSIC,
}

POOLCLASSES = (
    "kinto.core.storage.postgresql.pool.QueuePoolWithMaxBacklog",
    "cliquet.storage.postgresql.pool.QueuePoolWithMaxBacklog",
    "sqlalchemy.pool.QueuePool",
)
GROUPFINDERS = ("kinto.core.authorization.groupfinder", "cliquet.authorization.groupfinder")
AUTHORIZATIONS = (
    "kinto.authorization.AuthorizationPolicy",
    "kinto.core.authorization.AuthorizationPolicy",
    "cliquet.authorization.AuthorizationPolicy",
)
INITIALIZATIONS = ("kinto.core.initialization.", "kinto.core.events.setup_transaction_hook", "cliquet.initialization.")

_PLUGIN_FOLDER = "kinto.plugins."
_OWN_FOLDER = re.compile(r"^blueprints\.plugins\.")
_PLUGINS = frozenset(
    ("accounts", "admin", "counters", "default_bucket", "flush", "history", "openid", "prometheus", "quotas", "statsd")
)
_BACKENDS = ("memory", "postgresql", "sqlite")
_CACHES = ("memory", "postgresql", "redis", "memcached")
_POLICY_ENDINGS = {
    "BasicAuthAuthenticationPolicy": BASIC_POLICY,
    "AccountsPolicy": ACCOUNTS_POLICY,
    "AccountsAuthenticationPolicy": ACCOUNTS_POLICY,
    "OpenIDConnectPolicy": OPENID_POLICY,
}
_POLICY_PACKAGES = ("kinto.", "cliquet.")
_POLICIES_NOT_PROVIDED = (
    "pyramid_ipauth",
    "pyramid_persona",
    "cliquet_fxa",
    "kinto_fxa",
    "kinto_portier",
    "kinto_ldap",
    "kinto_facebook",
)
_GENERATORS = {"cliquet.storage.generators.UUID4": UUID4}
_LISTENERS = {"cliquet.listeners.redis": REDIS_LISTENER, "kinto.core.listeners.redis": REDIS_LISTENER}


def storage_name(part: str, raw: object) -> str:
    """Return `memory`, `sqlite`, `postgresql` or any other dotted name; *part* is `storage` or `permission`.

    Raises SettingError for Redis, which is not supported as storage, and for a word that is not a dotted name.
    """
    name = text(raw).strip()
    setting = f"{part}_backend"
    if not name:
        raise SettingError(setting, f"Mandatory {part} backend is missing from configuration.")
    if name in _redis_names(part):
        raise SettingError(
            setting,
            "Redis cannot keep the data; use postgresql or sqlite here, and Redis as cache_backend. "
            "To bring the data along, copy them over HTTP from the server that runs on Redis.",
        )
    return _backend_name(setting, part, name, _BACKENDS)


def cache_name(raw: object) -> str:
    """Return `memory`, `postgresql`, `redis`, `memcached` or any other dotted name. Raises SettingError."""
    name = text(raw).strip()
    if not name:
        raise SettingError("cache_backend", "Mandatory cache backend is missing from configuration.")
    if name == "kinto_redis.cache":
        return "redis"
    return _backend_name("cache_backend", "cache", name, _CACHES)


def plugin_names(raw: object) -> tuple[str, ...]:
    """Return the plugins in order without duplicates, those of this service by their names in Kinto.

    Raises SettingError for an unknown plugin of Kinto.
    """
    names = tuple(dict.fromkeys(_OWN_FOLDER.sub(_PLUGIN_FOLDER, name) for name in distinct_words(raw)))
    for name in names:
        if name.startswith(_PLUGIN_FOLDER) and name.removeprefix(_PLUGIN_FOLDER) not in _PLUGINS:
            raise SettingError("includes", f"there is no plugin {name!r}.")
    return names


def policy_name(setting: str, name: str) -> str:
    """Return the canonical name of a policy's class, by its last segment. Raises SettingError."""
    package = name.split(".")[0]
    if package in _POLICIES_NOT_PROVIDED:
        raise SettingError(
            setting,
            f"{name} is not provided; use kinto.plugins.accounts.AccountsPolicy, "
            "kinto.plugins.openid.OpenIDConnectPolicy, or a policy of your own.",
        )
    canonical = _POLICY_ENDINGS.get(name.split(".")[-1])
    return canonical if canonical and name.startswith(_POLICY_PACKAGES) else name


def generator_name(name: str) -> str:
    """Return the canonical name of an id generator."""
    return _GENERATORS.get(name, name)


def listener_name(name: str) -> str:
    """Return the canonical name of a listener module."""
    return _LISTENERS.get(name, name)


def import_name(setting: str, dotted: str) -> object:
    """Import a module or a member of a module; *setting* is the setting that names it.

    Raises SettingError with the setting and the name if it cannot be imported.
    """
    module, _, member = dotted.replace(":", ".").rpartition(".")
    with convert_errors(setting, f"{dotted!r} cannot be imported"):
        if _exists(dotted):
            return importlib.import_module(dotted)
        return getattr(importlib.import_module(module), member) if module else importlib.import_module(member)


def _exists(module: str) -> bool:
    # The search imports the parent packages: if that raises an error, the import of a member raises it again.
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _redis_names(part: str) -> tuple[str, ...]:
    return ("redis", f"kinto_redis.{part}", f"kinto.core.{part}.redis", f"cliquet.{part}.redis")


def _backend_name(setting: str, part: str, name: str, short: tuple[str, ...]) -> str:
    for folder in (f"kinto.core.{part}.", f"cliquet.{part}."):
        if name.startswith(folder):
            name = name.removeprefix(folder)
    if name not in short and "." not in name:
        raise SettingError(setting, f"Invalid {part} backend: {name!r}; one of {', '.join(short)} is expected.")
    return name
