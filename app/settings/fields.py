"""Say what a declaration of a setting is, and the types that settings have."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from app.parsing import hosts
from app.settings import aliases as names
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
    """What is known of a setting without its value: `name` as in a file, `type` and `shown` for the documentation.

    One that is not `effective` is accepted, and nothing reads it.
    """

    reader: Reader[object]
    default: object
    type: str
    meaning: str
    name: str
    aliases: tuple[str, ...] = ()
    shown: str | None = None
    effective: bool = True

    @property
    def variable(self) -> str:
        """Return the environment variable."""
        return f"KINTO_{variable_of(self.name)}"

    def value(self, sources: Sources) -> object:
        """Return what the setting is. Raises SettingError."""
        raw = sources.find(self.name, *self.aliases)
        return self.default if raw is ABSENT else read(self.name, self.reader, raw)


def setting(
    kind: tuple[str, Reader[T]],
    default: D,
    meaning: str,
    *,
    name: str = "",
    aliases: tuple[str, ...] = (),
    shown: str | None = None,
) -> T | D:
    """Return a field that is a setting; *name* is needed where it differs from the attribute."""
    declaration = Declaration(kind[1], default, kind[0], meaning, name, aliases, shown)
    made: T | D = field(default=default, metadata={"setting": declaration})
    return made


def ineffective(kind: tuple[str, Reader[T]], default: D, reason: str = "", *, name: str = "") -> T | D:
    """Return a field that is a setting without effect, of which the start warns where it is set."""
    meaning = f"accepted, has no effect: {reason}" if reason else "accepted, has no effect"
    declaration = Declaration(kind[1], default, kind[0], meaning, name, effective=False)
    made: T | D = field(default=default, metadata={"setting": declaration})
    return made


def declarations(cls: type) -> Iterator[tuple[str, Declaration]]:
    """Yield attribute and declaration of every setting of a class."""
    for each in dataclasses.fields(cls):
        declaration = each.metadata.get("setting")
        if declaration is not None:
            yield each.name, dataclasses.replace(declaration, name=declaration.name or each.name)


def uris(raw: object) -> tuple[str, ...]:
    """Read URIs of buckets, collections, groups or records."""
    found = words(raw)
    for uri in found:
        if len(uri.split("/")) not in (3, 5, 7):
            raise ValueError(f"Invalid URI: {uri}")
    return found


def host(raw: object) -> str:
    """Read a host with or without a port."""
    value = text(raw).strip()
    hosts.split(value)
    return value


def servers(raw: object) -> tuple[str, ...]:
    """Read `host:port` of servers, or paths of their sockets."""
    found = words(raw)
    for server in found:
        if not server.startswith(("/", "unix:")):
            hosts.split(server.rstrip("/"))
    return found


def label_names(raw: object) -> tuple[str, ...]:
    """Read names of parts of URLs that can be labels beside those that measurements have."""
    found = distinct_words(raw)
    if not all(name.isascii() and name.isidentifier() and name not in _LABELS for name in found):
        raise ValueError("names like bucket_id are expected.")
    return found


def version(raw: object) -> str:
    """Read the version of the API, of which the first number counts."""
    value = text(raw).strip()
    number = value.split(".")[0]
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(f"a version like 1.23 is expected, not {value!r}.")
    return value


def rounds(raw: object) -> int:
    """Read the cost of bcrypt."""
    value = whole(raw)
    if not 4 <= value <= 31:
        raise ValueError(f"a whole number from 4 to 31 is expected, not {raw!r}.")
    return value


def lock_timeout(raw: object) -> float:
    """Read a number of seconds above 0, at most a day: nothing waits without end."""
    seconds = number(raw)
    if not 0 < seconds <= _DAY_SECONDS:
        raise ValueError(f"a number of seconds above 0, at most {_DAY_SECONDS}, is expected, not {raw!r}.")
    return seconds


def not_provided(raw: object) -> bool:
    """Refuse true."""
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
POOLCLASS = ("module", choice(*names.POOLCLASSES))
PERCENTAGE = ("float", optional(percentage))
STATSD = ("url", optional(statsd_url))
SENTRY = ("secret", optional(sentry_dsn))
URIS = ("list", uris)
RENDERER = ("module", optional(alias(names.RENDERERS)))
API_VERSION = ("text", version)
ROUNDS = ("int", rounds)
NOT_PROVIDED = ("bool", not_provided)
