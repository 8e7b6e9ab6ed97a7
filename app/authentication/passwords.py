"""Hash passwords with bcrypt and compare them, so slowly that guessing does not pay (plugins contract, 4.3)."""

from __future__ import annotations

from typing import Final, TypeGuard

import bcrypt

from backends import Json

MAX_BYTES: Final = 72
"""What bcrypt looks at: a longer password cannot be set, and is compared by its beginning (P-ACC-8)."""


class Plain(str):
    """A password that is not hashed yet, told from a hash by its type: what a client sends may look like one."""

    __slots__ = ()


def acceptable(password: Json) -> TypeGuard[str]:
    """Say whether *password* can be set: a text, not empty, of at most 72 bytes."""
    return isinstance(password, str) and 0 < len(password.encode()) <= MAX_BYTES


def hashed(password: str, rounds: int) -> str:
    """Return the hash of an acceptable password; 2 to the power of *rounds* is what it costs."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def verified(password: str, stored: Json, rounds: int) -> bool:
    """Say whether *stored* is the hash of *password*.

    A text that is no hash, and None where there is no account, are never right and take as long as a hash of *rounds*
    (P-ACC-29).
    """
    given = password.encode()[:MAX_BYTES]
    known = stored.encode() if isinstance(stored, str) else b""
    try:
        return bcrypt.checkpw(given, known)
    except ValueError:
        bcrypt.checkpw(given, f"$2b${rounds:02}${'.' * 53}".encode())
        return False
