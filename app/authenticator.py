"""Who sends a request: the policies of a service, and the proofs of remembered logins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeVar, cast

from app.decisions.permissions import principals_with_groups
from app.errors import ApiError
from app.identity import (
    ANONYMOUS,
    AnyPolicy,
    Credentials,
    Identity,
    Outdated,
    Policy,
    Reader,
    RequestPolicy,
    VerifyingReader,
    reads_requests,
)
from app.parsing.ids import may_be_user_id
from backends.storage import Storage

log: Final = logging.getLogger("kinto.authentication")

_Answer = TypeVar("_Answer")

_TRIES: Final = 3
"""How many times credentials are checked if their user changes meanwhile."""


class Authenticator:
    """The authentication policies of a service, tried in the order in which they were added.

    `reads_requests` is whether one sees the whole request.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.policies: list[AnyPolicy] = []
        self.reads_requests = False

    def add(self, policy: AnyPolicy) -> None:
        """Add a policy. Raises ValueError for an object that is none."""
        missing = [member for member in ("name", "identify", "challenge") if not hasattr(policy, member)]
        if missing:
            raise ValueError(f"{policy!r} is no policy: it has no {' and no '.join(missing)}.")
        self.policies.append(policy)
        self.reads_requests |= reads_requests(policy)

    def authenticate(self, credentials: Credentials, read: Reader | None = None) -> Identity:
        """Return the identity of the first policy that accepts these credentials, else `ANONYMOUS` (P-BASIC-7).

        A policy that returns principals without a user adds them to that identity, if it comes before its policy.

        The identity of a remembered login has a proof, which the next read of the request must verify against the
        storage (`app.identity.VerifyingReader`). Raises ApiError when a policy allows no login at present.
        """
        authorization, request = credentials.authorization, credentials.request
        if not authorization and request is None:
            return ANONYMOUS
        added: tuple[str, ...] = ()
        for policy in self.policies:
            if request is not None and reads_requests(policy):
                identity = cast(RequestPolicy, policy).identify(request, read or self._storage.read)
            elif authorization:
                identity = cast(Policy, policy).identify(authorization, read or self._storage.read)
            else:
                continue
            if isinstance(identity, str):
                identity = Identity(identity, identity.partition(":")[0])
            if identity is None:
                continue
            if identity.user_id is None:
                added += identity.more_principals
                continue
            if may_be_user_id(identity.user_id):
                return _add_principals(_with_credentials(identity, credentials), added)
            log.warning("The policy %r returned a user id that no user can have: it is ignored.", policy.name)
        return _add_principals(ANONYMOUS, added)

    def authenticate_and_verify(self, credentials: Credentials, read: Reader | None = None) -> Identity:
        """Return the identity of these credentials, verified against the storage; a proof costs one read.

        A view that is a member of a batch sees the changes of the members before it.
        """
        return self.authenticate_with_groups(credentials, (), read)[0]

    def authenticate_with_groups(
        self, credentials: Credentials, setting_principals: Iterable[str] | None = None, read: Reader | None = None
    ) -> tuple[Identity, frozenset[str]]:
        """Return the identity of these credentials and its `app.decisions.permissions.principals_with_groups`.

        *setting_principals* are those that settings name. A remembered login is verified by the statement that reads
        the groups, or by a separate one if none does.
        """
        return self.answer(
            credentials, setting_principals, lambda identity, principals, _: (identity, principals), read
        )

    def answer(
        self,
        credentials: Credentials,
        setting_principals: Iterable[str] | None,
        answer: Callable[[Identity, frozenset[str], VerifyingReader], _Answer],
        read: Reader | None = None,
    ) -> _Answer:
        """Return the result of *answer* for the identity of these credentials and its `principals_with_groups`.

        A remembered login is verified by the first read through the `VerifyingReader`, or by a separate statement
        after *answer*, also if that raises an ApiError. If the user has changed, *answer* is called again with the
        present identity of the credentials: it must not have written anything outside a transaction by then.
        """
        read = read or self._storage.read
        for _ in range(_TRIES):
            identity = self.authenticate(credentials, read)
            reader = VerifyingReader(read, [identity])
            identity = replace(identity, proof=None)
            try:
                principals = principals_with_groups(identity, setting_principals, reader)
                try:
                    result = answer(identity, principals, reader)
                except ApiError:
                    reader.verify()
                    raise
                reader.verify()
            except Outdated as outdated:
                for proof in outdated.proofs:
                    proof.forget()
                continue
            return result
        return answer(ANONYMOUS, principals_with_groups(ANONYMOUS, setting_principals, read), VerifyingReader(read, ()))

    def challenges(self) -> list[str]:
        """Return the values of `WWW-Authenticate`, one for each policy with a challenge (C-ERR-5)."""
        return [challenge for policy in self.policies if (challenge := policy.challenge())]


def _add_principals(identity: Identity, added: tuple[str, ...]) -> Identity:
    return replace(identity, more_principals=(*identity.more_principals, *added)) if added else identity


def _with_credentials(identity: Identity, credentials: Credentials) -> Identity:
    """Return an identity whose proof has the whole credentials: the policy knew `Authorization` alone."""
    if identity.proof is None or credentials.request is None:
        return identity
    return replace(identity, proof=replace(identity.proof, credentials=credentials))
