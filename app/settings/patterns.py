"""Read the settings whose name is a pattern: permissions, switches, lives in caches (operations contract, 1.7)."""

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
_OTHERS = re.compile(
    r"[a-z0-9_-]+_id_generator"
    r"|multiauth\.policy\..+|multiauth_policy_.+"
    r"|event_listeners\..+|event_listeners_.+"
)
# Of plugins that are not here.
_INEFFECTIVE = re.compile(r"(?:quotas|fxa-oauth|mail)\..+|(?:quotas|fxa_oauth|mail)_.+")
_PRINCIPAL_DEFAULTS = {
    "bucket_create_principals": "system.Authenticated",
    "permissions_read_principals": "system.Everyone",
}
# How the seed's time called lists and objects (O-SET-30).
_SHAPES = {"plural": "plural", "collection": "plural", "object": "object", "record": "object"}
DOCUMENTATION = (
    (
        "{kind}_{permission}_principals",
        "list",
        "`bucket_create`: `system.Authenticated`; `permissions_read`: `system.Everyone`",
        "principals who have `create`, `read` or `write` on every object of a kind, "
        "beside what is granted on the objects themselves",
    ),
    (
        "plural_{kind}_{method}_enabled, object_{kind}_{method}_enabled",
        "bool",
        "`true`",
        "switch a method of lists or of objects of a kind off; the names `collection_{kind}_...` for lists and "
        "`record_{kind}_...` for objects are understood too",
    ),
    (
        "{kind}_cache_expires_seconds",
        "int",
        "",
        "how long clients may cache what anonymous readers get of this kind",
    ),
    (
        "{bucket}.{collection}.record_cache_expires_seconds, {bucket}.record_cache_expires_seconds",
        "int",
        "",
        "the same for the records of one collection or bucket; wins over `record_cache_expires_seconds`. With `_` in "
        "place of `.` it yields to it. Ids with capitals or `-` can be written in a file only",
    ),
    (
        "{kind}_id_generator",
        "module",
        "`id_generator`",
        "the class that makes and checks the ids of a kind that a plugin brings",
    ),
    (
        "multiauth.policy.{name}.use",
        "module",
        "for `basicauth`: `kinto.core.authentication.BasicAuthAuthenticationPolicy`",
        "class of a policy",
    ),
    ("multiauth.policy.{name}.realm", "text", "`Realm`", "what `WWW-Authenticate` says"),
    ("multiauth.policy.{name}.*", "", "", "arguments of a policy: `issuer`, `client_id`, `client_secret`, ..."),
    ("event_listeners.{name}.use", "module", "", "module with `load_from_config(config, prefix)`"),
    ("event_listeners.{name}.actions", "list", "`create update delete`", "`create`, `read`, `update`, `delete`"),
    ("event_listeners.{name}.resources", "list", "all", "kinds that the listener hears of"),
    ("event_listeners.{name}.*", "", "", "arguments of a listener"),
    (
        "quotas.bucket_{limit}, quotas.bucket_{b}_{limit}, quotas.collection_{limit}, quotas.collection_{b}_{limit}, "
        "quotas.collection_{b}_{c}_{limit}",
        "int",
        "",
        "accepted, has no effect: there is no plugin `kinto.plugins.quotas` here",
    ),
)


@dataclass(frozen=True, slots=True)
class Patterns:
    """What the settings with a pattern say; a kind is written with `_` here."""

    principals: Mapping[tuple[str, str], frozenset[str]]
    switched_off: frozenset[tuple[str, str, str]]
    lives: Mapping[str, int | None]
    variable_lives: Mapping[str, int | None]

    def life(self, kind: str, bucket_id: str | None, collection_id: str | None) -> int | None:
        """Return the seconds that clients may cache, None when nothing is said (O-SET-33)."""
        name = f"{kind}_cache_expires_seconds"
        if not self.lives and not self.variable_lives:
            return None
        if kind != "record" or bucket_id is None:
            return self._life(name)
        wide, narrow = f"{bucket_id}.{name}", f"{bucket_id}.{collection_id}.{name}"
        old = (f"{bucket_id}_{collection_id}_{name}", f"{bucket_id}_{name}")
        found = (self._life(each) for each in (narrow, wide, name, *old))
        return next((life for life in found if life is not None), None)

    def _life(self, name: str) -> int | None:
        # Only ids in small letters without `-` can be meant by a variable.
        life = self.variable_lives.get(name.replace(".", "_"))
        return self.lives.get(name) if life is None else life


def is_pattern(name: str) -> bool:
    """Return whether a setting of this name means something, whatever kinds and ids there are."""
    return any(pattern.fullmatch(name) for pattern in (_PRINCIPALS, _SWITCH, _CACHE, _OTHERS, _INEFFECTIVE))


def is_ineffective(name: str) -> bool:
    """Return whether a setting of this name is accepted, and nothing reads it."""
    return bool(_INEFFECTIVE.fullmatch(name))


def patterns(sources: Sources) -> Patterns:
    """Read all settings with a pattern at once. Raises SettingError."""
    variables = {variable.lower() for variable in sources.environ if variable == variable.upper()}
    names = (set(sources.names()) | variables) - {"root_cache_expires_seconds"}
    lives = {name for name in names if _CACHE.fullmatch(name)}
    return Patterns(
        principals=_principals(sources, names | _PRINCIPAL_DEFAULTS.keys()),
        switched_off=_switched_off(sources, names),
        lives={name: _seconds(name, sources.given[name]) for name in lives if name in sources.given},
        variable_lives={
            name: _seconds(name, sources.environ[variable])
            for name in lives
            for variable in (name.upper(), f"KINTO_{name.upper()}")  # the second wins
            if variable in sources.environ
        },
    )


def _principals(sources: Sources, names: set[str]) -> dict[tuple[str, str], frozenset[str]]:
    found = {}
    for match in filter(None, map(_PRINCIPALS.fullmatch, sorted(names))):
        name = match[0]
        raw = sources.find(name)
        value = _PRINCIPAL_DEFAULTS[name] if raw is ABSENT else raw
        found[match["kind"].replace("-", "_"), match["permission"]] = frozenset(read(name, distinct_words, value))
    return found


def _switched_off(sources: Sources, names: set[str]) -> frozenset[tuple[str, str, str]]:
    # The spelling of today is read last and wins.
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


def _seconds(name: str, raw: object) -> int | None:
    return read(name, optional(whole), raw)
