"""Keep the end of a value's life beside the value, for servers that cannot tell it or know whole seconds only."""

import time
from dataclasses import dataclass

from backends import Json
from backends.cache import decode, encode


@dataclass(frozen=True, slots=True)
class Envelope:
    """A value and when its life ends, in seconds since 1970."""

    value: Json
    ends: float


def seal(value: Json, ends: float) -> str:
    """Return the text to store, in the shape that Kinto gives it in memcached; raise TypeError for bytes."""
    return f'{{"value":{encode(value)},"ttl":{ends!r}}}'


def unseal(text: bytes | str | None) -> Envelope | None:
    """Return what was stored, or None when it is missing, expired or not ours."""
    match decode(text):
        case {"value": value, "ttl": int() | float() as ends} if ends > time.time():
            return Envelope(value, ends)
    return None
