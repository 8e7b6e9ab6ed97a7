"""Hash and verify passwords with bcrypt, slowly enough to prevent guessing (plugins contract, 4.3)."""

from __future__ import annotations

from typing import Final, TypeGuard

import bcrypt

from backends import Json

MAX_BYTES: Final = 72
"""The bytes that bcrypt reads: a longer password cannot be set, and is compared by its first bytes (P-ACC-8)."""


class PlainPassword(str):
    """A password that is not hashed yet; its type distinguishes it from a hash, since clients may send any text."""

    __slots__ = ()


def is_acceptable(password: Json) -> TypeGuard[str]:
    """Return whether *password* can be set: a text of 1 to 72 bytes."""
    return isinstance(password, str) and 0 < len(password.encode()) <= MAX_BYTES


def hash_password(password: str, rounds: int) -> str:
    """Return the hash of an acceptable password; the cost is 2 to the power of *rounds*."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def verify_password(password: str, stored: Json, rounds: int) -> bool:
    """Return whether *stored* is the hash of *password*.

    A text that is not a hash, and None for a missing account, never match, and take as long as a hash with *rounds*
    (P-ACC-29).
    """
    password_bytes = password.encode()[:MAX_BYTES]
    hash_bytes = stored.encode() if isinstance(stored, str) else b""
    try:
        return bcrypt.checkpw(password_bytes, hash_bytes)
    except ValueError:
        bcrypt.checkpw(password_bytes, f"$2b${rounds:02}${'.' * 53}".encode())
        return False
