"""Read the settings whose name is a pattern: permissions, switches, cache lifetimes (operations contract, 1.7)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.settings.sources import ABSENT, Sources
from app.settings.values import boolean, distinct_words, optional, read, whole

Shape: TypeAlias = Literal["plural", "object"]

_PRINCIPALS = re.compile(r"(?P<kind>[a-z][a-z0-9_-]*)_(?P<permission>create|read|write|delete)_principals")
_SWITCH = re.compile(
    r"(?P<shape>plural|object|collection|record)_(?P<kind>[a-z][a-z0-9_-]*)_(?P<method>get|post|put|patch|delete)_enabled"
)
_CACHE = re.compile(r"(?:.+[._])?(?:bucket|collection|group|record)_cache_expires_seconds")
_OTHER_PATTERNS = re.compile(
    r"[a-z0-9_-]+_id_generator"
    r"|multiauth\.policy\..+|multiauth_policy_.+"
    r"|event_listeners\..+|event_listeners_.+"
    r"|quotas\..+|quotas_.+"
)
# Settings of plugins that this service does not have.
_INEFFECTIVE = re.compile(r"(?:fxa-oauth|mail)\..+|(?:fxa_oauth|mail)_.+")
_PRINCIPAL_DEFAULTS = {
    "bucket_create_principals": "system.Authenticated",
    "permissions_read_principals": "system.Everyone",
}
# Older names of lists and objects (O-SET-30).
_SHAPES = {"plural": "plural", "collection": "plural", "object": "object", "record": "object"}
DOCUMENTATION = (
    (
        "{kind}_{permission}_principals",
        "list",
        "`bucket_create`: `system.Authenticated`; `permissions_read`: `system.Everyone`",
        "principals with the permission `create`, `read` or `write` on every object of a kind, "
        "in addition to the permissions of the objects",
    ),
    (
        "plural_{kind}_{method}_enabled, object_{kind}_{method}_enabled",
        "bool",
        "`true`",
        "`false` disables a method for the lists or the objects of a kind; the names `collection_{kind}_...` for lists "
        "and `record_{kind}_...` for objects are accepted too",
    ),
    (
        "{kind}_cache_expires_seconds",
        "int",
        "",
        "seconds that clients may cache responses to anonymous readers of this kind",
    ),
    (
        "{bucket}.{collection}.record_cache_expires_seconds, {bucket}.record_cache_expires_seconds",
        "int",
        "",
        "the same for the records of one collection or bucket; overrides `record_cache_expires_seconds`. Written with "
        "`_` instead of `.`, it is overridden by it. Ids with capitals or `-` are possible in a file only",
    ),
    (
        "{kind}_id_generator",
        "module",
        "`id_generator`",
        "class that generates and validates the ids of a kind from a plugin",
    ),
    (
        "multiauth.policy.{name}.use",
        "module",
        "for `basicauth`: `kinto.core.authentication.BasicAuthAuthenticationPolicy`",
        "class of a policy",
    ),
    ("multiauth.policy.{name}.realm", "text", "`Realm`", "realm in `WWW-Authenticate`"),
    ("multiauth.policy.{name}.issuer", "url", "", "OpenID: URL of the provider"),
    ("multiauth.policy.{name}.client_id", "text", "", "OpenID: id of this service at the provider"),
    ("multiauth.policy.{name}.client_secret", "secret", "", "OpenID: secret of this service at the provider"),
    ("multiauth.policy.{name}.audience", "text", "", "OpenID: audience that access tokens must have"),
    ("multiauth.policy.{name}.header_type", "text", "`Bearer`", "OpenID: scheme in `Authorization`"),
    ("multiauth.policy.{name}.userid_field", "text", "`sub`", "OpenID: field of the user info that is the user id"),
    (
        "multiauth.policy.{name}.verification_ttl_seconds",
        "int",
        "`86400`",
        "OpenID: seconds that a verified token is cached, counted from its last use",
    ),
    ("multiauth.policy.{name}.state_ttl_seconds", "int", "`3600`", "OpenID: seconds that a login may take"),
    ("multiauth.policy.{name}.state_length", "int", "`32`", "OpenID: random bytes of the state of a login"),
    (
        "multiauth.policy.{name}.allowed_scopes",
        "list",
        "`openid email profile`",
        "OpenID: scopes that a login may ask for",
    ),
    (
        "multiauth.policy.{name}.trusted_callback_urls",
        "list",
        "`http://localhost:*/*`, `http://127.0.0.1:*/*` and the admin console",
        "OpenID: patterns of URLs that may receive tokens",
    ),
    ("multiauth.policy.{name}.*", "", "", "arguments of other policies"),
    ("event_listeners.{name}.use", "module", "", "module with `load_from_config(config, prefix)`"),
    ("event_listeners.{name}.actions", "list", "`create update delete`", "`create`, `read`, `update`, `delete`"),
    ("event_listeners.{name}.resources", "list", "all", "kinds of which the listener receives events"),
    ("event_listeners.{name}.*", "", "", "arguments of a listener"),
    (
        "quotas.bucket_{limit}, quotas.bucket_{b}_{limit}, quotas.collection_{limit}, quotas.collection_{b}_{limit}, "
        "quotas.collection_{b}_{c}_{limit}",
        "int",
        "",
        "limits of `kinto.plugins.quotas`: `max_bytes`, `max_items` (records) or `max_bytes_per_item`; the most "
        "specific name applies. Ids with capitals or `-` are possible in a file only",
    ),
)


@dataclass(frozen=True, slots=True)
class Patterns:
    """The settings whose name is a pattern; kinds are spelled with `_`.

    `principals` by kind and permission, `disabled` methods as shape, kind and method, cache lifetimes in seconds by the
    name in the file or in lower case by the variable.
    """

    principals: Mapping[tuple[str, str], frozenset[str]]
    disabled: frozenset[tuple[str, str, str]]
    file_cache_seconds: Mapping[str, int | None]
    variable_cache_seconds: Mapping[str, int | None]

    def cache_seconds(self, kind: str, bucket_id: str | None, collection_id: str | None) -> int | None:
        """Return the seconds that clients may cache a response, None without a setting (O-SET-33)."""
        name = f"{kind}_cache_expires_seconds"
        if not self.file_cache_seconds and not self.variable_cache_seconds:
            return None
        if kind != "record" or bucket_id is None:
            return self._cache_seconds(name)
        bucket, collection = f"{bucket_id}.{name}", f"{bucket_id}.{collection_id}.{name}"
        old_names = (f"{bucket_id}_{collection_id}_{name}", f"{bucket_id}_{name}")
        values = map(self._cache_seconds, (collection, bucket, name, *old_names))
        return next((seconds for seconds in values if seconds is not None), None)

    def _cache_seconds(self, name: str) -> int | None:
        # A variable can contain only ids in lower case without `-`.
        seconds = self.variable_cache_seconds.get(name.replace(".", "_"))
        return self.file_cache_seconds.get(name) if seconds is None else seconds


def is_pattern(name: str) -> bool:
    """Return whether a name matches one of the patterns, with any kinds and ids."""
    return any(pattern.fullmatch(name) for pattern in (_PRINCIPALS, _SWITCH, _CACHE, _OTHER_PATTERNS, _INEFFECTIVE))


def is_ineffective(name: str) -> bool:
    """Return whether a setting of this name is accepted and ignored."""
    return bool(_INEFFECTIVE.fullmatch(name))


def read_patterns(sources: Sources) -> Patterns:
    """Read all settings whose name is a pattern. Raises SettingError."""
    variables = {variable.lower() for variable in sources.environ if variable == variable.upper()}
    names = (set(sources.names()) | variables) - {"root_cache_expires_seconds"}
    cache_names = {name for name in names if _CACHE.fullmatch(name)}
    return Patterns(
        principals=_read_principals(sources, names | _PRINCIPAL_DEFAULTS.keys()),
        disabled=_read_disabled(sources, names),
        file_cache_seconds={
            name: _read_seconds(name, sources.file_values[name]) for name in cache_names if name in sources.file_values
        },
        variable_cache_seconds={
            name: _read_seconds(name, sources.environ[variable])
            for name in cache_names
            for variable in (name.upper(), f"KINTO_{name.upper()}")  # the second overrides the first
            if variable in sources.environ
        },
    )


def _read_principals(sources: Sources, names: set[str]) -> dict[tuple[str, str], frozenset[str]]:
    principals = {}
    for match in filter(None, map(_PRINCIPALS.fullmatch, sorted(names))):
        name = match[0]
        raw = sources.find(name)
        value = _PRINCIPAL_DEFAULTS[name] if raw is ABSENT else raw
        principals[match["kind"].replace("-", "_"), match["permission"]] = frozenset(read(name, distinct_words, value))
    return principals


def _read_disabled(sources: Sources, names: set[str]) -> frozenset[tuple[str, str, str]]:
    # The current spelling is read last and overrides the older one.
    matches = sorted(
        filter(None, map(_SWITCH.fullmatch, names)), key=lambda match: match["shape"] in ("plural", "object")
    )
    states = {
        (_SHAPES[match["shape"]], match["kind"].replace("-", "_"), match["method"]): read(
            match[0], boolean, sources.find(match[0])
        )
        for match in matches
    }
    return frozenset(endpoint for endpoint, enabled in states.items() if not enabled)


def _read_seconds(name: str, raw: object) -> int | None:
    return read(name, optional(whole), raw)
