"""Read the settings of policies and of listeners: each has a group of its own."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
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
    # The name in lower case is the prefix of user ids: two policies of one name would share their users.
    prefixes = [name.lower() for name in policy_names]
    for name in policy_names:
        if prefixes.count(name.lower()) > 1:
            raise SettingError("multiauth.policies", f"{name!r} is there twice: upper and lower case do not differ.")
    return tuple(_read_policy(sources, name) for name in policy_names)


def warn_of_policies(policies: Sequence[PolicySettings]) -> Iterator[str]:
    """Yield a warning for each policy whose credentials go to an earlier one, which accepts all or sends them away."""
    for number, policy in enumerate(policies):
        scheme = _scheme(policy)
        earlier = next(
            (other.name for other in policies[:number] if _takes_all(other) and _scheme(other) == scheme), ""
        )
        if earlier and scheme:
            yield (
                f"The policies {earlier!r} and {policy.name!r} have the same scheme in Authorization, {scheme}: the "
                f"credentials for {policy.name!r} go to {earlier!r}, which multiauth.policies names first."
            )


def _scheme(policy: PolicySettings) -> str:
    """Return the scheme of a policy in lower case, "" for a policy of which it is not known."""
    if policy.use == aliases.OPENID_POLICY:
        return policy.option("header_type", text, "Bearer").strip().lower()
    return "basic" if policy.use in (aliases.BASIC_POLICY, aliases.ACCOUNTS_POLICY) else ""


def _takes_all(policy: PolicySettings) -> bool:
    """Return whether a policy accepts all credentials of its scheme, or sends them to its provider unverified."""
    if policy.use == aliases.OPENID_POLICY:
        return not policy.option("audience", text, "").strip()
    return policy.use == aliases.BASIC_POLICY


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
