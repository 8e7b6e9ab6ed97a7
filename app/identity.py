"""Who asks: a user id and the principals that come with it, and the policies that find it out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from backends.storage import AccessSelection, Selection, Snapshot, User, UserState, read_bucket

EVERYONE = "system.Everyone"
AUTHENTICATED = "system.Authenticated"

Reader = Callable[[Selection], Snapshot]
"""What reads the storage: `Storage.read`, or that of a transaction."""

_Selection = TypeVar("_Selection", Selection, AccessSelection)


@dataclass(frozen=True, slots=True)
class Proof:
    """The state of a user against which `credentials` were checked: they are valid only as long as it has not changed.

    `secret` is the `fingerprint` of the user's secret. `forget` ends the remembered login.
    """

    user: User
    born: int
    secret: str = field(repr=False)
    credentials: str = field(repr=False)
    forget: Callable[[], None] = field(repr=False)

    def matches(self, seen: Snapshot) -> bool:
        """Say whether a snapshot that was asked for the user shows the same state."""
        state = seen.users.get(self.user)
        return (
            state is not None
            and state.born == self.born
            and hmac.compare_digest(fingerprint(state.secret), self.secret)
        )


def fingerprint(secret: str | None) -> str:
    """Return a text by which a secret is recognised and that does not show it."""
    return hashlib.sha256((secret or "").encode()).hexdigest()


def proof_of(user: User, state: UserState, credentials: str, forget: Callable[[], None]) -> Proof:
    """Return the proof of a login that was checked against the *state* of a user."""
    return Proof(user, state.born, fingerprint(state.secret), credentials, forget)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: `user_id` with its policy's prefix (`basicauth:3f1c`), None for nobody in particular.

    With a `proof` it is to be held against the storage before it counts: `Service.identify` does so at once, `Proving`
    with the first read of a request.

    Derived: `principals`, the identity itself without its groups (core contract, 7.2); `principal`, the one of them
    that stands in the permissions of what the identity writes (C-OBJ-70, C-OBJ-71).
    """

    user_id: str | None = None
    policy: str | None = None
    proof: Proof | None = field(default=None, compare=False)

    principals: tuple[str, ...] = field(init=False, compare=False)
    principal: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        alone = self.user_id is None
        object.__setattr__(self, "principals", (EVERYONE,) if alone else (self.user_id, EVERYONE, AUTHENTICATED))
        object.__setattr__(self, "principal", self.user_id or EVERYONE)


ANONYMOUS = Identity()


class Outdated(Exception):
    """Some users have changed since their credentials were checked: `proofs` no longer hold."""

    def __init__(self, proofs: Iterable[Proof]) -> None:
        super().__init__()
        self.proofs = tuple(proofs)


class VerifyingReader:
    """A reader whose first read also checks the identities against the storage, in the same statement.

    That read raises Outdated when some of them no longer are who they were. Later reads of a transaction may see what
    the request itself changed, and check nothing.
    """

    def __init__(self, read: Reader, identities: Iterable[Identity]) -> None:
        self._read = read
        self._proofs = {identity.proof.credentials: identity.proof for identity in identities if identity.proof}
        self._unproven = dict(self._proofs)

    def __call__(self, wanted: Selection) -> Snapshot:
        """Read. Raises Outdated."""
        return self.read(self._read, wanted)

    def read(self, reader: Callable[[_Selection], Snapshot], wanted: _Selection) -> Snapshot:
        """Read by another reader, which also looks up the `users` that it is asked for. Raises Outdated."""
        if not self._unproven:
            return reader(wanted)
        proofs = list(self._unproven.values())
        self._unproven.clear()
        seen = reader(replace(wanted, users=tuple(dict.fromkeys(proof.user for proof in proofs))))
        outdated = [proof for proof in proofs if not proof.matches(seen)]
        if outdated:
            raise Outdated(outdated)
        return seen

    def reset(self) -> None:
        """Check the identities again with the next read: that of another try, or of a transaction."""
        self._unproven = dict(self._proofs)

    def verify(self) -> None:
        """Check identities that no read has checked yet, by a statement of its own. Raises Outdated."""
        for proof in self._unproven.values():
            self(Selection(read_bucket(proof.user.uri)))
            return


class Policy(Protocol):
    """A way to find out who asks, by the `Authorization` header; built with its settings by the factory."""

    name: str

    def identify(self, authorization: str, read: Reader) -> Identity | str | None:
        """Return the user id with its prefix, or None when these are no credentials that the policy accepts.

        *read* reads the storage, in a batch as earlier operations have changed it. A policy that remembers logins
        returns an Identity with the proof that they must fit. Raises ApiError when nobody may try at present.
        """

    def challenge(self) -> str | None:
        """Return the value of `WWW-Authenticate` that asks for such credentials."""
