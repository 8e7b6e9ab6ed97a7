"""Store the expiry time with the value, for servers that do not return it or round it to seconds."""

import time
from dataclasses import dataclass

from backends import Json
from backends.cache import decode, encode


@dataclass(frozen=True, slots=True)
class Envelope:
    """A value and its expiry time in seconds since 1970."""

    value: Json
    expires: float


def seal(value: Json, expires: float) -> str:
    """Return the text to store, in Kinto's format for memcached. Raises TypeError for bytes."""
    return f'{{"value":{encode(value)},"ttl":{expires!r}}}'


def unseal(text: bytes | str | None) -> Envelope | None:
    """Return the stored envelope, None if it is missing, expired or from another program."""
    match decode(text):
        case {"value": value, "ttl": int() | float() as expires} if expires > time.time():
            return Envelope(value, expires)
    return None
