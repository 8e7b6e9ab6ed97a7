"""Who asks: a user id and the principals that come with it, and the policies that find it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backends.storage import Snapshot, Wanted

EVERYONE = "system.Everyone"
AUTHENTICATED = "system.Authenticated"

Reader = Callable[[Wanted], Snapshot]
"""What reads the storage: `Storage.read`, or that of a transaction."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: `user_id` with its policy's prefix (`basicauth:3f1c`), None for nobody in particular."""

    user_id: str | None = None
    policy: str | None = None

    @property
    def principals(self) -> tuple[str, ...]:
        """Return what the identity is by itself, without its groups (core contract, 7.2)."""
        if self.user_id is None:
            return (EVERYONE,)
        return (self.user_id, EVERYONE, AUTHENTICATED)

    @property
    def principal(self) -> str:
        """Return the principal that stands in the permissions of what the identity writes (C-OBJ-70, C-OBJ-71)."""
        return self.user_id or EVERYONE


ANONYMOUS = Identity()


class Policy(Protocol):
    """A way to find out who asks, by the `Authorization` header; built with its settings by the factory."""

    name: str

    def identify(self, authorization: str, read: Reader) -> str | None:
        """Return the user id with its prefix, or None when these are no credentials that the policy accepts.

        *read* reads the storage, in a batch as earlier operations have changed it.
        """

    def challenge(self) -> str | None:
        """Return the value of `WWW-Authenticate` that asks for such credentials."""
