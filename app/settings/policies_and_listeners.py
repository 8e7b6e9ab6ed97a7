"""Read the groups of settings that describe one policy or one listener each."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.settings import aliases as names
from app.settings.databases import expect_redis
from app.settings.sources import ABSENT, Sources
from app.settings.values import SettingError, distinct_words, read, text

_ACTIONS = ("create", "read", "update", "delete")
_DEFAULT_ACTIONS = "create update delete"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """One way to find out who asks. `use` is the canonical name of its class, `options` are raw values with `realm`."""

    name: str
    use: str
    # May hold secrets: never printed.
    options: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener: `use` names its module, no `resources` means all kinds, `prefix` begins its settings' names."""

    name: str
    use: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    options: Mapping[str, object] = field(repr=False)

    @property
    def prefix(self) -> str:
        """Return what the names of the listener's settings begin with."""
        return f"event_listeners.{self.name}."


def policies(sources: Sources, listed: tuple[str, ...]) -> tuple[PolicySettings, ...]:
    """Return the policies of `multiauth.policies` in their order. Raises SettingError."""
    return tuple(_policy(sources, name) for name in listed)


def listeners(sources: Sources, listed: tuple[str, ...]) -> Iterator[ListenerSettings]:
    """Yield the listeners of `event_listeners` in their order. Raises SettingError."""
    for entry in listed:
        name = entry.split(".")[-1]
        prefix = f"event_listeners.{name}."
        options = sources.under(prefix)
        use = read(f"{prefix}use", text, options.pop("use", "")).strip() or _importable(prefix, entry)
        actions = read(f"{prefix}actions", distinct_words, options.pop("actions", _DEFAULT_ACTIONS))
        actions = tuple(action.lower() for action in actions)
        if not set(actions) <= set(_ACTIONS):
            raise SettingError(f"{prefix}actions", f"words of {' '.join(_ACTIONS)} are expected.")
        use = names.listener(use)
        if use == names.REDIS_LISTENER and options.get("url"):
            expect_redis(f"{prefix}url", read(f"{prefix}url", text, options["url"]).strip())
        resources = read(f"{prefix}resources", distinct_words, options.pop("resources", ""))
        yield ListenerSettings(name, use, actions, resources, options)


def _policy(sources: Sources, name: str) -> PolicySettings:
    setting = f"multiauth.policy.{name}.use"
    written = sources.find(setting, setting.lower())
    if written is ABSENT and name.lower() == "basicauth":
        written = names.BASIC_POLICY
    use = "" if written is ABSENT else read(setting, text, written).strip()
    if not use:
        raise SettingError(setting, "the dotted name of a policy is expected, as multiauth.policies lists it.")
    prefix = f"multiauth.policy.{name}."
    options = {"realm": "Realm", **sources.under(prefix.lower()), **sources.under(prefix)}
    options.pop("use", None)
    return PolicySettings(name.lower(), names.policy(setting, use), options)


def _importable(prefix: str, entry: str) -> str:
    """Return the name of a listener that is a module itself."""
    if "." not in entry and importlib.util.find_spec(entry) is None:
        raise SettingError(f"{prefix}use", "the dotted name of a module is expected, as event_listeners lists it.")
    return entry
