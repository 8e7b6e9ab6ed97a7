"""Define declarations of settings and the types of settings."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from app.parsing import hosts
from app.settings import aliases
from app.settings.sources import ABSENT, Sources, variable_of
from app.settings.values import (
    Reader,
    alias,
    ascending,
    boolean,
    choice,
    date,
    distinct_words,
    limit,
    number,
    optional,
    percentage,
    positive,
    read,
    sentry_dsn,
    statsd_url,
    text,
    whole,
    whole_or_off,
    words,
)

_LABELS = ("method", "endpoint", "status")
_DAY_SECONDS = 86_400

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A setting without its value: `name` as in a file; `type` and `documented_default` for the documentation.

    A setting that is not `effective` is accepted and ignored.
    """

    reader: Reader[object]
    default: object
    type: str
    meaning: str
    name: str
    aliases: tuple[str, ...] = ()
    documented_default: str | None = None
    effective: bool = True

    @property
    def variable(self) -> str:
        """Return the name of the environment variable."""
        return f"KINTO_{variable_of(self.name)}"

    def value(self, sources: Sources) -> object:
        """Return the value of the setting. Raises SettingError."""
        raw = sources.find(self.name, *self.aliases)
        return self.default if raw is ABSENT else read(self.name, self.reader, raw)


def setting(
    kind: tuple[str, Reader[T]],
    meaning: str,
    *,
    default: D,
    names: tuple[str, ...] = ("",),
    documented_default: str | None = None,
) -> T | D:
    """Return the field of a setting.

    *names* are the name, needed if it differs from that of the attribute, and its aliases. *documented_default*
    replaces the default in the documentation.
    """
    name, *aliases = names
    declaration = Declaration(kind[1], default, kind[0], meaning, name, tuple(aliases), documented_default)
    attribute: T | D = field(default=default, metadata={"setting": declaration})
    return attribute


def ineffective(kind: tuple[str, Reader[T]], reason: str = "", *, default: D, name: str = "") -> T | D:
    """Return the field of a setting without effect; a warning is logged at start if it is set."""
    meaning = f"accepted, has no effect: {reason}" if reason else "accepted, has no effect"
    declaration = Declaration(kind[1], default, kind[0], meaning, name, effective=False)
    attribute: T | D = field(default=default, metadata={"setting": declaration})
    return attribute


def declarations(cls: type) -> Iterator[tuple[str, Declaration]]:
    """Yield the attribute and the declaration of every setting of a class."""
    for attribute in dataclasses.fields(cls):
        declaration = attribute.metadata.get("setting")
        if declaration is not None:
            yield attribute.name, dataclasses.replace(declaration, name=declaration.name or attribute.name)


def uris(raw: object) -> tuple[str, ...]:
    """Read URIs of buckets, collections, groups or records."""
    values = words(raw)
    for uri in values:
        if len(uri.split("/")) not in (3, 5, 7):
            raise ValueError(f"Invalid URI: {uri}")
    return values


def host(raw: object) -> str:
    """Read a host with or without a port."""
    value = text(raw).strip()
    hosts.split(value)
    return value


def servers(raw: object) -> tuple[str, ...]:
    """Read `host:port` of servers, or paths of their sockets."""
    values = words(raw)
    for server in values:
        if not server.startswith(("/", "unix:")):
            hosts.split(server.rstrip("/"))
    return values


def label_names(raw: object) -> tuple[str, ...]:
    """Read names of URL parameters that are labels of metrics in addition to the built-in labels."""
    values = distinct_words(raw)
    if not all(name.isascii() and name.isidentifier() and name not in _LABELS for name in values):
        raise ValueError("names like bucket_id are expected.")
    return values


def version(raw: object) -> str:
    """Read the version of the API, which begins with a number."""
    value = text(raw).strip()
    number = value.split(".")[0]
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(f"a version like 1.23 is expected, not {value!r}.")
    return value


def rounds(raw: object) -> int:
    """Read the cost factor of bcrypt."""
    value = whole(raw)
    if not 4 <= value <= 31:
        raise ValueError(f"a whole number from 4 to 31 is expected, not {raw!r}.")
    return value


def lock_timeout(raw: object) -> float:
    """Read a number of seconds above 0, at most a day: no wait is unlimited."""
    seconds = number(raw)
    if not 0 < seconds <= _DAY_SECONDS:
        raise ValueError(f"a number of seconds above 0, at most {_DAY_SECONDS}, is expected, not {raw!r}.")
    return seconds


def not_provided(raw: object) -> bool:
    """Raise ValueError for true."""
    if boolean(raw):
        raise ValueError("validation of accounts by e-mail is not provided; remove this setting, or make it false.")
    return False


BOOL = ("bool", boolean)
INT = ("int", whole)
COUNT = ("int", positive)
INT_OR_OFF = ("int", whole_or_off)
LIMIT = ("int", limit)
MAYBE_INT = ("int", optional(whole))
FLOAT = ("float", number)
LOCK_TIMEOUT = ("float", lock_timeout)
TEXT = ("text", text)
MAYBE_TEXT = ("text", optional(text))
ASCENDING = ("list", ascending)
LABELS = ("list", label_names)
SERVERS = ("list", servers)
HOST = ("text", optional(host))
URL = ("url", text)
SCHEME = ("text", optional(choice("http", "https")))
LIST = ("list", words)
NAMES = ("list", distinct_words)
MODULE = ("module", text)
FILE = ("path", text)
PATH = ("path", optional(text))
DATE = ("date", optional(date))
SECRET = ("secret", text)
POOLCLASS = ("module", choice(*aliases.POOLCLASSES))
PERCENTAGE = ("float", optional(percentage))
STATSD = ("url", optional(statsd_url))
SENTRY = ("secret", optional(sentry_dsn))
URIS = ("list", uris)
RENDERER = ("module", optional(alias(aliases.RENDERERS)))
API_VERSION = ("text", version)
ROUNDS = ("int", rounds)
NOT_PROVIDED = ("bool", not_provided)

_PLUGIN_TYPES: Final = (BOOL, INT, FLOAT, TEXT, LIST)


def type_of(reader: Reader[T]) -> str:
    """Return the type of a setting that a plugin reads: `text` for a reader of its own."""
    return next((name for name, candidate in _PLUGIN_TYPES if candidate is reader), TEXT[0])
