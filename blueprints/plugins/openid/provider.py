"""Ask a provider: what it is (discovery), who has a token (user info), which keys it signs with, a token for a code."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeGuard

from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

from blueprints.plugins import BackendError, Json
from blueprints.plugins.openid.calls import Answer, Calls, Request
from blueprints.plugins.openid.options import Options

log: Final = logging.getLogger("kinto.plugins.openid")

KEYS_MAX_AGE_SECONDS: Final = 3600.0
"""Keys are fetched again after this time, so that a key that the provider has withdrawn is not trusted for longer."""
KEYS_MIN_AGE_SECONDS: Final = 10.0
"""Tokens with unknown keys do not cause more than one call in this time."""

_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
_DEFAULT_ALGORITHM: Final = "RS256"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The description that a provider publishes of itself; `algorithms` are the asymmetric ones of its signatures."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    algorithms: tuple[str, ...]


class Provider:
    """A provider. Its description is fetched when the server starts, or else when it is first needed.

    `description` is its entry in the capability `openid`.
    """

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self.description: dict[str, Json] = {
            "name": options.name,
            "issuer": options.issuer,
            "auth_path": f"/openid/{options.name}/login",
            "client_id": options.client_id,
            "audience": options.audience,
            "header_type": options.header_type,
            "userinfo_endpoint": "",
        }
        self._calls = Calls()
        self._clock = clock
        self._discovery: Discovery | None = None
        self._keys: tuple[Key, ...] = ()
        self._next_fetch = self._keys_expire = 0.0

    def start(self) -> None:
        """Fetch the description of the provider if it answers: otherwise log an error (P-OID-3)."""
        try:
            self.discover()
        except BackendError as error:
            log.error("The provider %s is not available: %s", self.options.name, error)

    def discover(self) -> Discovery:
        """Return the description of the provider. Raises BackendError if there is none yet and it does not answer."""
        if self._discovery is None:
            url = f"{self.options.issuer}{_DISCOVERY_PATH}"
            document = _json_of(url, self._calls.send(Request(url)))
            self._discovery = _parse_discovery(
                url, {**document, "issuer": document.get("issuer") or self.options.issuer}
            )
            self.description["issuer"] = self._discovery.issuer
            self.description["userinfo_endpoint"] = self._discovery.userinfo_endpoint
        return self._discovery

    def fetch_profile(self, token: str) -> Mapping[str, Json] | None:
        """Return the user-info document of a token, None if the provider does not accept it. Raises BackendError."""
        url = self.discover().userinfo_endpoint
        answer = self._calls.send(Request(url, authorization=f"Bearer {token}"))
        document = _decode(answer) if _is_success(answer) else None
        if not isinstance(document, Mapping):
            log.debug("Unable to fetch user profile from %s (status %d)", url, answer.status)
            return None
        return document

    def trade(self, code: str, redirect_uri: str) -> bytes:
        """Return what the provider answers to a code: tokens, or an error. Raises BackendError."""
        form = (
            ("code", code),
            ("client_id", self.options.client_id),
            ("client_secret", self.options.client_secret),
            ("redirect_uri", redirect_uri),
            ("grant_type", "authorization_code"),
        )
        return self._calls.send(Request(self.discover().token_endpoint, form=form)).body

    def keys(self, *, renew: bool = False) -> tuple[Key, ...]:
        """Return the keys with which the provider signs; *renew* asks for keys that are not among the present ones.

        Raises BackendError if there are none.
        """
        now = self._clock()
        if self._keys and (now < self._next_fetch or (now < self._keys_expire and not renew)):
            return self._keys
        try:
            self._keys = self._fetch_keys()
            self._keys_expire = now + KEYS_MAX_AGE_SECONDS
        except BackendError as error:
            if not self._keys:
                raise
            log.error("Unable to fetch the keys of the provider %s: %s", self.options.name, error)
        self._next_fetch = self._clock() + KEYS_MIN_AGE_SECONDS
        return self._keys

    def _fetch_keys(self) -> tuple[Key, ...]:
        url = self.discover().jwks_uri
        document = _json_of(url, self._calls.send(Request(url)))
        entries = document.get("keys")
        keys: list[Key] = []
        for entry in entries if isinstance(entries, list) else ():
            # RFC 7517, section 5: keys of an unknown kind are ignored.
            with suppress(JoseError, ValueError, TypeError, KeyError):
                keys += [import_key(entry)] if _is_for_signatures(entry) else []
        if not keys:
            raise BackendError(f"{url} contains no key for signatures")
        return tuple(keys)


def _parse_discovery(url: str, document: Mapping[str, Json]) -> Discovery:
    """Return a description. Raises BackendError if it lacks an endpoint."""
    endpoints = {name: value for name in _ENDPOINTS if _is_url(value := document.get(name))}
    missing = [name for name in _ENDPOINTS if name not in endpoints]
    if missing:
        raise BackendError(f"{url} does not contain {', '.join(missing)}")
    names = document.get("id_token_signing_alg_values_supported")
    named = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    asymmetric = tuple(name for name in named if name != "none" and not name.startswith("HS"))
    return Discovery(
        issuer=str(document.get("issuer", "")),
        jwks_uri=str(document.get("jwks_uri", "")),
        algorithms=asymmetric or (_DEFAULT_ALGORITHM,),
        **endpoints,
    )


def _is_url(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _is_for_signatures(key: Json) -> bool:
    return isinstance(key, Mapping) and key.get("use", "sig") == "sig"


def _is_success(answer: Answer) -> bool:
    return 200 <= answer.status < 300


def _decode(answer: Answer) -> Json:
    """Return the JSON of an answer, None if it is not JSON, or no text that a response can contain."""
    try:
        document = json.loads(answer.body)
        # Raises ValueError for NaN and infinity, UnicodeEncodeError for a lone surrogate.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return document


def _json_of(url: str, answer: Answer) -> Mapping[str, Json]:
    """Return the JSON object of an answer. Raises BackendError."""
    document = _decode(answer) if _is_success(answer) else None
    if not isinstance(document, Mapping):
        raise BackendError(f"{url} returned no JSON object (status {answer.status})")
    return document
