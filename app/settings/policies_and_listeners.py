"""Read the settings of policies and of listeners: each has a group of its own."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from app.settings import aliases
from app.settings.databases import expect_redis
from app.settings.sources import ABSENT, Sources
from app.settings.values import Reader, SettingError, distinct_words, read, text

_ACTIONS = ("create", "read", "update", "delete")
_DEFAULT_ACTIONS = ("create", "update", "delete")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """An authentication policy: `use` is the canonical name of its class, `options` are raw values with `realm`."""

    name: str
    use: str
    # May contain secrets: never printed.
    options: Mapping[str, object] = field(repr=False)

    def option(self, name: str, reader: Reader[T], default: T) -> T:
        """Return the value of `multiauth.policy.<policy>.<name>`. Raises SettingError."""
        raw = self.options.get(name, ABSENT)
        return default if raw is ABSENT else read(f"multiauth.policy.{self.name}.{name}", reader, raw)


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """A listener: `use` is the name of its module; without `resources` it receives events of all kinds."""

    name: str
    use: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    options: Mapping[str, object] = field(repr=False)

    @property
    def prefix(self) -> str:
        """Return the prefix of the names of the listener's settings."""
        return f"event_listeners.{self.name}."


def read_policies(sources: Sources, policy_names: tuple[str, ...]) -> tuple[PolicySettings, ...]:
    """Return the policies of `multiauth.policies` in their order. Raises SettingError."""
    return tuple(_read_policy(sources, name) for name in policy_names)


def read_listeners(sources: Sources, entries: tuple[str, ...]) -> Iterator[ListenerSettings]:
    """Yield the listeners of `event_listeners` in their order. Raises SettingError."""
    for entry in entries:
        name = entry.split(".")[-1]
        prefix = f"event_listeners.{name}."
        options = sources.under(prefix)
        use = read(f"{prefix}use", text, options.pop("use", "")).strip() or _expect_importable(prefix, entry)
        actions = read(f"{prefix}actions", distinct_words, options.pop("actions", "")) or _DEFAULT_ACTIONS
        actions = tuple(action.lower() for action in actions)
        if not set(actions) <= set(_ACTIONS):
            raise SettingError(f"{prefix}actions", f"words of {' '.join(_ACTIONS)} are expected.")
        use = aliases.listener_name(use)
        if use == aliases.REDIS_LISTENER and options.get("url"):
            expect_redis(f"{prefix}url", read(f"{prefix}url", text, options["url"]).strip())
        resources = read(f"{prefix}resources", distinct_words, options.pop("resources", ""))
        yield ListenerSettings(name, use, actions, resources, options)


def _read_policy(sources: Sources, name: str) -> PolicySettings:
    setting = f"multiauth.policy.{name}.use"
    raw = sources.find(setting, setting.lower())
    if raw is ABSENT and name.lower() == "basicauth":
        raw = aliases.BASIC_POLICY
    use = "" if raw is ABSENT else read(setting, text, raw).strip()
    if not use:
        raise SettingError(setting, "the dotted name of a policy is expected, as multiauth.policies lists it.")
    prefix = f"multiauth.policy.{name}."
    options = {"realm": "Realm", **sources.under(prefix.lower()), **sources.under(prefix)}
    options.pop("use", None)
    return PolicySettings(name.lower(), aliases.policy_name(setting, use), options)


def _expect_importable(prefix: str, entry: str) -> str:
    """Return an entry of `event_listeners` that is itself the name of a module. Raises SettingError."""
    if "." not in entry and importlib.util.find_spec(entry) is None:
        raise SettingError(f"{prefix}use", "the dotted name of a module is expected, as event_listeners lists it.")
    return entry
