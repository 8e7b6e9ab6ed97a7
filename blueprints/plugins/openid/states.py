"""Remember logins that have begun: each is completed once, at its provider, by the browser that began it.

A browser is known by a cookie. Without it an attacker could begin a login and make another user complete it, who would
then work in the account of the attacker (RFC 6749, section 10.12).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Final

from flask import Response, request

from blueprints.plugins import Service, origin_of_urls
from blueprints.plugins.openid.options import Options

_COOKIE: Final = "kinto-openid"
_BROWSER_BYTES: Final = 32
_BROWSER: Final = re.compile(rf"[0-9a-f]{{{2 * _BROWSER_BYTES}}}")
_STATE: Final = re.compile(r"[0-9a-f]{1,4096}")


@dataclass(frozen=True, slots=True)
class Login:
    """A login that has begun; `browser` is a digest of the cookie."""

    provider: str
    browser: str
    callback: str
    redirect_uri: str


class Logins:
    """The logins that have begun, in the cache."""

    def __init__(self, service: Service) -> None:
        self._cache = service.cache

    def begin(self, login: Login, options: Options) -> str:
        """Remember a login and return its state. Raises BackendError."""
        state = secrets.token_hex(options.state_length)
        self._cache.set(_key(state), asdict(login), options.state_ttl_seconds)
        return state

    def complete(self, state: str, provider: str, browser: str | None) -> Login | None:
        """Return the login with a state, which cannot be used again. Raises BackendError.

        None for a state that is unknown, used or expired, or that belongs to another provider or browser.
        """
        entry = self._cache.delete(_key(state)) if _STATE.fullmatch(state) else None
        if not isinstance(entry, dict) or browser is None:
            return None
        login = Login(**entry)
        is_same_browser = hmac.compare_digest(login.browser, digest_of(browser))
        return login if is_same_browser and login.provider == provider else None


def _key(state: str) -> str:
    return f"openid:state:{state}"


def digest_of(browser: str) -> str:
    """Return the form in which the cache has the cookie of a browser."""
    return hashlib.sha256(browser.encode()).hexdigest()


def new_browser() -> str:
    """Return the value of a cookie for a browser that has none."""
    return secrets.token_hex(_BROWSER_BYTES)


def read_browser(service: Service) -> str | None:
    """Return the cookie of the browser that sent the request, None without a valid one."""
    value = request.cookies.get(_cookie_name(service), "")
    return value if _BROWSER.fullmatch(value) else None


def write_browser(response: Response, service: Service, browser: str, seconds: int) -> None:
    """Set the cookie, for this host alone, invisible to scripts, and sent where the provider leads the browser back."""
    is_secure = _is_secure(service)
    response.set_cookie(
        _cookie_name(service), browser, max_age=seconds, path="/", secure=is_secure, httponly=True, samesite="Lax"
    )


def _cookie_name(service: Service) -> str:
    # Browsers accept the prefix with HTTPS only; it keeps other hosts of the domain from setting the cookie.
    return f"__Host-{_COOKIE}" if _is_secure(service) else _COOKIE


def _is_secure(service: Service) -> bool:
    return origin_of_urls(service).startswith("https:")
