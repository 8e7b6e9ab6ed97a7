"""Convert the raw values of settings to typed values (operations contract, 1.2).

A reader takes a raw value from the file, the environment or a mapping, as text or typed, and returns the typed value.
It raises ValueError with a description of the expected value; the message contains the raw value only if that cannot
be a secret.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Reader: TypeAlias = Callable[[object], T]

# A shorter value is a number, or a part of many words.
_MIN_SECRET_CHARACTERS = 4
_MAX_WHOLE = 2**53
"""The greatest integer: a greater one counts as this, and everything that is computed from it can be represented."""

_TRUE = frozenset({"t", "true", "y", "yes", "on", "1"})


class SettingError(Exception):
    """A setting that prevents the start of the service; the message is one line that begins with its name (1.4)."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


@contextmanager
def convert_errors(name: str, problem: str, secrets: Iterable[object] = ()) -> Iterator[None]:
    """Convert all errors of the code inside to a SettingError of the setting *name* with a message of one line.

    *secrets* are values that the message must not show: it has `***` in their places.
    """
    try:
        yield
    except SettingError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        for value in sorted(map(str, secrets), key=len, reverse=True):
            text = text.replace(value, "***") if len(value) >= _MIN_SECRET_CHARACTERS else text
        raise SettingError(name, f"{problem} ({type(error).__name__}{': ' * bool(text)}{text}).") from error


def read(name: str, reader: Reader[T], raw: object) -> T:
    """Return the value of the setting *name*. Raises SettingError."""
    try:
        return reader(raw)
    except ValueError as error:
        raise SettingError(name, str(error)) from None


def boolean(raw: object) -> bool:
    """Read a boolean: `true yes on 1 t y` in any case are true, any other value is false (O-SET-13)."""
    return str(decode_json(raw)).strip().lower() in _TRUE


def whole(raw: object) -> int:
    """Read an integer of 0 or more."""
    return _at_least(0, raw)


def positive(raw: object) -> int:
    """Read an integer of 1 or more."""
    return _at_least(1, raw)


def whole_or_off(raw: object) -> int:
    """Read an integer of -1 or more; -1 means off."""
    return _at_least(-1, raw)


def limit(raw: object) -> int | None:
    """Read a limit; empty, `null` or 0 mean no limit (O-SET-22)."""
    return optional(whole)(raw) or None


def number(raw: object) -> float:
    """Read a number of 0 or more."""
    value = decode_json(raw)
    try:
        result = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        result = -1.0
    # Most numbers are timeouts in seconds, and this is the maximum timeout of Python.
    if not 0 <= result <= threading.TIMEOUT_MAX:
        raise ValueError(f"a number of 0 or more is expected, not {raw!r}.")
    return result


def percentage(raw: object) -> float:
    """Read a number from 0 to 100."""
    value = number(raw)
    if value > 100:
        raise ValueError(f"a number from 0 to 100 is expected, not {raw!r}.")
    return value


def text(raw: object) -> str:
    """Read text: it is not decoded, but quotes around it are removed (O-SET-15)."""
    if raw is None:
        return ""
    if not isinstance(raw, str):
        return json.dumps(raw) if isinstance(raw, bool) else str(raw)
    text = raw.startswith('"') and decode_json(raw)
    return text if isinstance(text, str) else raw


def words(raw: object) -> tuple[str, ...]:
    """Read a list: words separated by white space; commas do not separate (O-SET-14)."""
    value = decode_json(raw) if isinstance(raw, str) and raw.lstrip()[:1] in ("[", '"') else raw
    if value is None:
        return ()
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(str(word) for word in value)
    return tuple(str(value).split())


def distinct_words(raw: object) -> tuple[str, ...]:
    """Read a list and remove duplicates."""
    return tuple(dict.fromkeys(words(raw)))


def date(raw: object) -> datetime:
    """Read a date or time of ISO 8601; without a time zone it is UTC (6.8)."""
    value = raw
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(text(raw).strip())
        except ValueError:
            raise ValueError(f"a date like 2030-12-31 or 2030-12-31T23:59:59Z is expected, not {raw!r}.") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def ascending(raw: object) -> tuple[float, ...]:
    """Read numbers in strictly ascending order."""
    try:
        numbers = tuple(float(word) for word in words(raw))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] != numbers[0] or not all(low < high for low, high in pairwise(numbers)):
        raise ValueError(f"ascending numbers are expected, not {raw!r}.")
    return numbers


def optional(reader: Reader[T]) -> Reader[T | None]:
    """Return a reader that reads an empty value or `null` as None."""
    return lambda raw: None if raw in (None, "", "null") else reader(raw)


def choice(*choices: str) -> Reader[str]:
    """Return a reader that accepts only these words."""

    def read_choice(raw: object) -> str:
        value = text(raw).strip()
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)} is expected, not {value!r}.")
        return value

    return read_choice


def alias(table: Mapping[str, str]) -> Reader[str]:
    """Return a reader that accepts the keys of a table and returns their values."""
    choose = choice(*table)
    return lambda raw: table[choose(raw)]


def statsd_url(raw: object) -> str:
    """Read the address of a StatsD server (5.1)."""
    value = text(raw).strip()
    if not _has_parts(value, ("udp", "statsd")):
        raise ValueError("an address like udp://host:8125 is expected.")
    return value


def sentry_dsn(raw: object) -> str:
    """Read a DSN of Sentry."""
    value = text(raw).strip()
    if not (_has_parts(value, ("http", "https")) and urlsplit(value).username and urlsplit(value).path.strip("/")):
        raise ValueError("a DSN like https://key@host/project is expected.")
    return value


def _has_parts(url: str, schemes: tuple[str, ...]) -> bool:
    parts = urlsplit(url)
    # Reading the port validates it.
    return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0


def _at_least(minimum: int, raw: object) -> int:
    value = decode_json(raw)
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        value = None
    try:
        result = int(value) if isinstance(value, str | int | float) else minimum - 1
    except ValueError:
        result = minimum - 1
    if result < minimum:
        raise ValueError(f"a whole number of {minimum} or more is expected, not {raw!r}.")
    return min(result, _MAX_WHOLE)


def decode_json(raw: object) -> object:
    """Return *raw* decoded as JSON, or *raw* itself if it is not JSON; NaN and Infinity are text (1.2)."""
    if not isinstance(raw, str):
        return raw
    try:
        value: object = json.loads(raw, parse_constant=_refuse)
    except ValueError:
        return raw
    return value


def _refuse(constant: str) -> object:
    raise ValueError(constant)
