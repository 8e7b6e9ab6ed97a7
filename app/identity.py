"""Identities: the user id and principals of a request's sender, and the policies that authenticate them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, runtime_checkable

from backends import Json
from backends.storage import AccessSelection, Selection, Snapshot, User, UserState, read_bucket

EVERYONE = "system.Everyone"
AUTHENTICATED = "system.Authenticated"

Reader = Callable[[Selection], Snapshot]
"""A function that reads the storage: `Storage.read`, or the `read` of a transaction."""

_Selection = TypeVar("_Selection", Selection, AccessSelection)


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A request as policies see it: all but its body. `path` has no version prefix, `query` no question mark.

    `address` is that of the client as the server reports it. Header names are in the spelling of the client.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    address: str | None

    def header(self, name: str) -> str | None:
        """Return the value of a header, in whatever spelling, None if the request has none of this name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows of its sender: the `Authorization` header, and the `request` if a policy reads requests."""

    authorization: str | None = field(default=None, repr=False)
    request: ClientRequest | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """The state of a user against which `credentials` were checked: they are valid only while it has not changed.

    `secret` is the `fingerprint` of the user's secret. `forget` deletes the remembered login.
    """

    user: User
    born: int
    secret: str = field(repr=False)
    credentials: Credentials = field(repr=False)
    forget: Callable[[], None] = field(repr=False)

    def matches(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot whose selection named the user shows the same state."""
        state = snapshot.users.get(self.user)
        return (
            state is not None
            and state.born == self.born
            and hmac.compare_digest(fingerprint(state.secret), self.secret)
        )


def fingerprint(secret: str | None) -> str:
    """Return a text that identifies a secret without revealing it."""
    return hashlib.sha256((secret or "").encode()).hexdigest()


def proof_of(user: User, state: UserState, authorization: str, forget: Callable[[], None]) -> Proof:
    """Return the proof of a login that was checked against the *state* of a user."""
    return Proof(user, state.born, fingerprint(state.secret), Credentials(authorization), forget)


@dataclass(frozen=True, slots=True)
class Identity:
    """The sender of a request: `user_id` with its policy's prefix (`basicauth:3f1c`), None for an anonymous sender.

    An identity with a `proof` must be verified against the storage before it is trusted:
    `Authenticator.authenticate_and_verify` does so at once, `VerifyingReader` with the first read of a request.

    `more_principals` are those that a policy adds, such as roles. Derived: `principals` of the identity without its
    groups (core contract, 7.2); `principal`, the one that is entered in the permissions of objects that the identity
    writes (C-OBJ-70, C-OBJ-71).
    """

    user_id: str | None = None
    policy: str | None = None
    proof: Proof | None = field(default=None, compare=False)
    more_principals: tuple[str, ...] = ()

    principals: tuple[str, ...] = field(init=False, compare=False)
    principal: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        principals = (EVERYONE,) if self.user_id is None else (self.user_id, EVERYONE, AUTHENTICATED)
        object.__setattr__(self, "principals", (*principals, *self.more_principals))
        object.__setattr__(self, "principal", self.user_id or EVERYONE)


ANONYMOUS = Identity()


class Outdated(Exception):
    """Some users have changed since their credentials were checked: `proofs` are no longer valid."""

    def __init__(self, proofs: Iterable[Proof]) -> None:
        super().__init__()
        self.proofs = tuple(proofs)


class VerifyingReader:
    """A reader whose first read also verifies identities against the storage, in the same statement.

    That read raises Outdated if the user of an identity has changed. Later reads of a transaction may see changes of
    the request itself, and verify nothing.
    """

    def __init__(self, read: Reader, identities: Iterable[Identity]) -> None:
        self._read = read
        self._proofs = {identity.proof.credentials: identity.proof for identity in identities if identity.proof}
        self._unverified_proofs = dict(self._proofs)

    def __call__(self, selection: Selection) -> Snapshot:
        """Read. Raises Outdated."""
        return self.read_with(self._read, selection) if self._unverified_proofs else self._read(selection)

    def read_with(self, read: Callable[[_Selection], Snapshot], selection: _Selection) -> Snapshot:
        """Read by another function, which must also look up the `users` of the selection. Raises Outdated."""
        if not self._unverified_proofs:
            return read(selection)
        proofs = list(self._unverified_proofs.values())
        self._unverified_proofs.clear()
        snapshot = read(replace(selection, users=tuple(dict.fromkeys(proof.user for proof in proofs))))
        outdated_proofs = [proof for proof in proofs if not proof.matches(snapshot)]
        if outdated_proofs:
            raise Outdated(outdated_proofs)
        return snapshot

    def reset(self) -> None:
        """Verify the identities again with the next read, as a new try or a transaction must."""
        self._unverified_proofs = dict(self._proofs)

    def verify(self) -> None:
        """Verify identities that no read has verified yet, by a separate statement. Raises Outdated."""
        for proof in self._unverified_proofs.values():
            self(Selection(read_bucket(proof.user.uri)))
            return


class Policy(Protocol):
    """An authentication policy: it derives an identity from the `Authorization` header. The factory creates it."""

    name: str

    def identify(self, authorization: str, read: Reader) -> Identity | str | None:
        """Return the user id with its prefix, or None when these are no credentials that the policy accepts.

        *read* reads the storage; inside a batch it sees the changes of earlier operations. A policy that remembers
        logins returns an Identity with a proof that must be verified. Raises ApiError when no login is allowed at
        present.
        """

    def challenge(self) -> str | None:
        """Return the value of `WWW-Authenticate` that asks for such credentials."""


@runtime_checkable
class DescribedPolicy(Protocol):
    """A policy that has its own description for OpenAPI."""

    def security_definition(self) -> Mapping[str, Json]:
        """Return the policy's entry in `securityDefinitions`."""


class RequestPolicy(Protocol):
    """A policy that derives an identity from a whole request; it is called for every request.

    `reads_requests` is true. The Identity that it returns may have more principals but no user id.
    """

    name: str
    reads_requests: bool

    def identify(self, request: ClientRequest, read: Reader) -> Identity | str | None:
        """Return the identity of the sender as a Policy does."""

    def challenge(self) -> str | None:
        """Return the value of `WWW-Authenticate` that asks for credentials."""


AnyPolicy = Policy | RequestPolicy


def reads_requests(policy: AnyPolicy) -> bool:
    """Return whether a policy is a RequestPolicy."""
    return bool(getattr(policy, "reads_requests", False))
