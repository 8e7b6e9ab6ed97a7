"""Remember for a while which passwords were right, since comparing is slow on purpose (plugins contract, 4.2)."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from typing import Final

from app.basicauth import digest
from backends import BackendError
from backends.cache import Cache

log: Final = logging.getLogger("kinto.logins")


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password as the cache remembers them: neither can be read from it (operations contract, 4.1)."""

    key: str
    value: str


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

    def knows(self, login: Login) -> bool:
        """Say whether a login was checked lately, and remember it anew (P-ACC-5)."""
        try:
            known = self._cache.get(login.key)
            if not isinstance(known, str) or not hmac.compare_digest(known, login.value):
                return False
            self._cache.expire(login.key, self._ttl_seconds)
        except BackendError as error:
            log.warning("The cache does not say whether a login is known: %s", error)
            return False
        return True

    def remember(self, login: Login) -> None:
        """Remember a login that was checked."""
        try:
            self._cache.set(login.key, login.value, self._ttl_seconds)
        except BackendError as error:
            log.warning("A login cannot be remembered: %s", error)

    def forget(self, name: str) -> None:
        """Forget the login of an account. Raises BackendError."""
        self._cache.delete(self.login(name, "").key)
