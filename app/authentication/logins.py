"""Remember for a while which passwords were right, since comparing is slow on purpose (plugins contract, 4.2).

A remembered login ends after a fixed time, however often it is used, and counts only while its user has the secret and
the birth that it was checked against (`app.identity.Proof`): a changed password, or a new user of the name, is refused
at once by every process, whatever its cache holds.
"""

from __future__ import annotations

import hmac
import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from app.authentication.basicauth import digest
from app.identity import Proof
from app.slow_results import PLACEHOLDER
from backends import BackendError
from backends.cache import Cache

log: Final = logging.getLogger("kinto.logins")


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password as the cache remembers them: neither can be read from it (operations contract, 4.1)."""

    key: str
    value: str


@dataclass(slots=True)
class Caller:
    """Where a request comes from, and what was found out about the passwords in it, each compared at most once.

    `checks` has for the value of a Login and a hash whether they fit, `made` for a hash that the request made the value
    of the Login that fits, `recalled` the values of Logins that were remembered.
    """

    address: str = ""
    checks: dict[tuple[str, str | None], bool] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    recalled: set[str] = field(default_factory=set)

    def knows(self, login: Login, secret: str | None) -> bool | None:
        """Return whether a login fits a hash, None where that was not found out yet.

        A login that was found out about fits no user that has gone since: a comparison would take long for nothing.
        """
        if secret == PLACEHOLDER:
            return False
        if secret is None and (login.value in self.recalled or any(value == login.value for value, _ in self.checks)):
            return False
        if secret in self.made:
            return hmac.compare_digest(self.made[secret], login.value)
        return self.checks.get((login.value, secret))


CALLER: Final[ContextVar[Caller | None]] = ContextVar("caller", default=None)
"""The caller of the request that this thread answers; None outside of requests."""


def caller() -> Caller:
    """Return the caller of this request, outside of requests a new one."""
    return CALLER.get() or Caller()


class Logins:
    """The logins that were checked lately. A cache that is down makes logins slow, not impossible."""

    def __init__(self, cache: Cache, secret: str, ttl_seconds: float) -> None:
        self._cache = cache
        self._secret = secret
        self._ttl_seconds = ttl_seconds

    def login(self, name: str, password: str) -> Login:
        """Return how a login is remembered."""
        key = digest(self._secret, f"accounts:{name}:verified")
        return Login(key, digest(key, password))

    def recall(self, login: Login) -> tuple[int, str] | None:
        """Return birth and fingerprint of the secret that a login was checked against, None when it is not known."""
        try:
            known = self._cache.get(login.key)
        except BackendError as error:
            log.warning("The cache does not say whether a login is known: %s", error)
            return None
        match known:
            case [str(value), int(born), str(secret)] if hmac.compare_digest(value, login.value):
                return born, secret
        return None

    def remember(self, login: Login, proof: Proof) -> None:
        """Remember a login that was checked, until a fixed time (DECISIONS: an absolute end of life)."""
        try:
            self._cache.set(login.key, [login.value, proof.born, proof.secret], self._ttl_seconds)
        except BackendError as error:
            log.warning("A login cannot be remembered: %s", error)

    def forget(self, login: Login) -> None:
        """Forget the login of an account, if the cache answers: it no longer counts anyway."""
        try:
            self._cache.delete(login.key)
        except BackendError as error:
            log.warning("A login cannot be forgotten: %s", error)
