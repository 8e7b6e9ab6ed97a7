"""Know the dotted names of Kinto and of its past: each is read as one canonical name (operations contract, 1.9).

Names are replaced as text: the package `kinto` need not exist, and one that does is never imported for them.
Whatever is not named here is imported as it is (O-SET-47).
"""

import importlib
import importlib.util

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


def storage(part: str, raw: object) -> str:
    """Return `memory`, `sqlite`, `postgresql` or another dotted name; *part* is `storage` or `permission`.

    Raises SettingError for Redis, which cannot be one, and for what is no name of a module.
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
    return _backend(setting, part, name, _BACKENDS)


def cache(raw: object) -> str:
    """Return `memory`, `postgresql`, `redis`, `memcached` or another dotted name. Raises SettingError."""
    name = text(raw).strip()
    if not name:
        raise SettingError("cache_backend", "Mandatory cache backend is missing from configuration.")
    if name == "kinto_redis.cache":
        return "redis"
    return _backend("cache_backend", "cache", name, _CACHES)


def plugins(raw: object) -> tuple[str, ...]:
    """Return the plugins in order, each once. Raises SettingError for one of Kinto's that there is not."""
    names = distinct_words(raw)
    for name in names:
        if name.startswith(_PLUGIN_FOLDER) and name.removeprefix(_PLUGIN_FOLDER) not in _PLUGINS:
            raise SettingError("includes", f"there is no plugin {name!r}.")
    return names


def policy(setting: str, name: str) -> str:
    """Return the canonical name of a policy's class, which is known by its end. Raises SettingError."""
    package = name.split(".")[0]
    if package in _POLICIES_NOT_PROVIDED:
        raise SettingError(
            setting,
            f"{name} is not provided; use kinto.plugins.accounts.AccountsPolicy, "
            "kinto.plugins.openid.OpenIDConnectPolicy, or a policy of your own.",
        )
    known = _POLICY_ENDINGS.get(name.split(".")[-1])
    return known if known and name.startswith(_POLICY_PACKAGES) else name


def generator(name: str) -> str:
    """Return the canonical name of a generator of ids."""
    return _GENERATORS.get(name, name)


def listener(name: str) -> str:
    """Return the canonical name of a module of listeners."""
    return _LISTENERS.get(name, name)


def imported(setting: str, dotted: str) -> object:
    """Import the module or the member of a module that the setting *setting* names.

    Raises SettingError with the setting and the module where there is none.
    """
    module, _, member = dotted.replace(":", ".").rpartition(".")
    with convert_errors(setting, f"{dotted!r} cannot be imported"):
        if _exists(dotted):
            return importlib.import_module(dotted)
        return getattr(importlib.import_module(module), member) if module else None


def _exists(module: str) -> bool:
    # The search imports the packages around the module: what these raise, the import of a member raises again.
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _redis_names(part: str) -> tuple[str, ...]:
    return ("redis", f"kinto_redis.{part}", f"kinto.core.{part}.redis", f"cliquet.{part}.redis")


def _backend(setting: str, part: str, name: str, short: tuple[str, ...]) -> str:
    for folder in (f"kinto.core.{part}.", f"cliquet.{part}."):
        if name.startswith(folder):
            name = name.removeprefix(folder)
    if name not in short and "." not in name:
        raise SettingError(setting, f"Invalid {part} backend: {name!r}; one of {', '.join(short)} is expected.")
    return name
