"""Cache successful logins, since comparing a password is slow by design (plugins contract, 4.2).

A cached login expires after a fixed time, however often it is used. It is valid only while the account has the secret
and the born stamp with which it was verified (`app.identity.Proof`): after a change of the password, or for a new
account of the same name, every process rejects it at once, whatever its cache contains.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

from app.authentication.basicauth import digest
from app.identity import Proof
from app.slow_results import PLACEHOLDER
from backends import BackendError
from backends.cache import Cache

log: Final = logging.getLogger("kinto.logins")

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password in the form of the cache, which reveals neither (operations contract, 4.1)."""

    key: str
    value: str


@dataclass(slots=True)
class Caller:
    """The address of a request, and the results of its password comparisons, so that each is done once.

    `results` has for the value of a Login and a hash whether they match, `created_hashes` for a hash that the request
    created the value of the matching Login, `recalled` the values of Logins that were found in the cache, and
    `computations` the results of `compute_once`.
    """

    address: str = ""
    results: dict[tuple[str, str | None], bool] = field(default_factory=dict)
    created_hashes: dict[str, str] = field(default_factory=dict)
    recalled: set[str] = field(default_factory=set)
    computations: dict[Hashable, object] = field(default_factory=dict)

    def result_of(self, login: Login, secret: str | None) -> bool | None:
        """Return whether a login matches a hash, None if they have not been compared.

        A login that has a result or was recalled does not match an account that has been deleted since (*secret* is
        None), so a slow comparison is unnecessary.
        """
        if secret == PLACEHOLDER:
            return False
        if secret is None and (login.value in self.recalled or any(value == login.value for value, _ in self.results)):
            return False
        if secret in self.created_hashes:
            return hmac.compare_digest(self.created_hashes[secret], login.value)
        return self.results.get((login.value, secret))


CALLER: Final[ContextVar[Caller | None]] = ContextVar("caller", default=None)
"""The caller of the request that this thread handles; None outside of requests."""


def current_caller() -> Caller:
    """Return the caller of this request; outside of requests, a new one."""
    return CALLER.get() or Caller()


def compute_once(key: Hashable, compute: Callable[[], _Result]) -> _Result:
    """Return the result of *compute*, which is called once in a request, and once for all members of a batch.

    A policy that verifies credentials slowly uses it: a batch verifies the credentials of all members before its
    transaction begins, and no later check of them waits while locks are held.
    """
    computations = current_caller().computations
    if key not in computations:
        computations[key] = compute()
    return cast(_Result, computations[key])


class Logins:
    """The cache of verified logins. If the cache is down, logins are slow, but possible."""

    def __init__(self, cache: Cache, secret: str, ttl_seconds: float) -> None:
        self._cache = cache
        self._secret = secret
        self._ttl_seconds = ttl_seconds

    def login_of(self, name: str, password: str) -> Login:
        """Return the login of a name and a password in the form of the cache."""
        key = digest(self._secret, f"accounts:{name}:verified")
        return Login(key, digest(key, password))

    def recall(self, login: Login) -> tuple[int, str] | None:
        """Return born stamp and fingerprint of the secret with which a login was verified, None if not cached."""
        try:
            entry = self._cache.get(login.key)
        except BackendError as error:
            log.warning("Unable to read a login from the cache: %s", error)
            return None
        match entry:
            case [str(value), int(born), str(secret)] if hmac.compare_digest(value, login.value):
                return born, secret
        return None

    def remember(self, login: Login, proof: Proof) -> None:
        """Cache a verified login until a fixed time (DECISIONS: an absolute end of life)."""
        try:
            self._cache.set(login.key, [login.value, proof.born, proof.secret], self._ttl_seconds)
        except BackendError as error:
            log.warning("Unable to cache a login: %s", error)

    def forget(self, login: Login) -> None:
        """Remove the login of an account from the cache, if that responds: the login is invalid anyway."""
        try:
            self._cache.delete(login.key)
        except BackendError as error:
            log.warning("Unable to remove a login from the cache: %s", error)
