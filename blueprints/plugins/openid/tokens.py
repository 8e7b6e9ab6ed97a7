"""Verify tokens by the user info of their provider, and with an audience by their signatures (plugins contract, 5.2).

A verified token is cached: the key is an HMAC of the token, the value its user-info document. A token that has an entry
is therefore exactly the one that was verified, and its `exp` is that of the provider: the entry ends at that time.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry, extract_compact

from blueprints.plugins import BackendError, Json, Service, compute_once
from blueprints.plugins.openid.provider import Provider

log: Final = logging.getLogger("kinto.plugins.openid")

_MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""Errors of the library, beside its own, for a token that is not base64 or JSON, or has members of other types."""

_MAX_HEADER_CHARACTERS: Final = 16_384
"""The most characters of the header of a JWT, which may contain certificates; the library allows 512."""

LEEWAY_SECONDS: Final = 30
"""The clocks of this service and of a provider may differ by this time."""


class Tokens:
    """The tokens of one provider."""

    def __init__(self, provider: Provider, service: Service) -> None:
        self._provider = provider
        self._options = provider.options
        self._cache = service.cache
        self._secret = service.settings.userid_hmac_secret.encode()

    def profile(self, token: str) -> Mapping[str, Json] | None:
        """Return the user-info document of a token, None if the token is not valid; verified once in a request.

        If the provider does not answer, the token counts as not valid, and an error is logged.
        """
        key = self._cache_key(token)
        return compute_once(key, lambda: self._verify(key, token))

    def _verify(self, key: str, token: str) -> Mapping[str, Json] | None:
        seconds = min(self._options.verification_ttl_seconds, _remaining_seconds(token))
        profile = self._recall(key, seconds)
        if profile is not None:
            return profile
        try:
            if self._options.audience:
                self._expect_signed(token)
            profile = self._provider.fetch_profile(token)
        except JoseError as error:
            log.debug("Invalid JWT access token from %s (%s)", self._options.issuer, error)
            return None
        except BackendError as error:
            log.error("Unable to verify a token with the provider %s: %s", self._options.name, error)
            return None
        if profile is not None:
            self._remember(key, profile, seconds)
        return profile

    def _cache_key(self, token: str) -> str:
        options = self._options
        text = f"{options.issuer}:{options.client_id}:{options.audience}:{token}"
        return f"openid:verify:{hmac.digest(self._secret, text.encode(), 'sha256').hex()}"

    def _recall(self, key: str, seconds: float) -> Mapping[str, Json] | None:
        """Return the cached document of a token, and renew its time to live."""
        if seconds <= 0:
            return None
        profile = None
        try:
            profile = self._cache.get(key)
            if isinstance(profile, Mapping):
                self._cache.expire(key, seconds)
        except BackendError as error:
            log.warning("Unable to read a token from the cache, or to renew it: %s", error)
        return profile if isinstance(profile, Mapping) else None

    def _remember(self, key: str, profile: Mapping[str, Json], seconds: float) -> None:
        try:
            self._cache.set(key, profile, seconds)
        except BackendError as error:
            log.warning("Unable to cache a token: %s", error)

    def _expect_signed(self, token: str) -> None:
        """Check signature, issuer, audience and times of a JWT (P-OID-7). Raises JoseError, BackendError."""
        discovery = self._provider.discover()
        try:
            claims = _claims(token, self._provider.keys(), discovery.algorithms)
        except BadSignatureError:
            claims = _claims(token, self._provider.keys(renew=True), discovery.algorithms)
        jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": discovery.issuer},
            aud={"essential": True, "value": self._options.audience},
            exp={"essential": True},
        ).validate(claims)


def _claims(token: str, keys: Iterable[Key], algorithms: Collection[str]) -> dict[str, Any]:
    """Return the claims of a token. Raises JoseError, BadSignatureError if none of the keys signed the token.

    Several keys can have the id that a token names, keys can have none, and a token can name none: each key that may
    have signed it is tried (RFC 7515, section 4.1.4; RFC 7517, section 4.5).
    """
    # RFC 7515, section 4: header parameters that are not understood are ignored.
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.max_header_length = _MAX_HEADER_CHARACTERS
    try:
        key_id = extract_compact(token.encode(), registry=registry).headers().get("kid")
    except _MALFORMED as error:
        raise JoseError(str(error)) from error
    for key in keys:
        if key_id is None or key.kid in (None, key_id):
            with suppress(JoseError, *_MALFORMED):
                return jwt.decode(token, key, algorithms, registry).claims
    raise BadSignatureError


def _remaining_seconds(token: str) -> float:
    """Return the seconds until the `exp` of a JWT, infinity for a token that contains none."""
    try:
        _, payload, _ = token.split(".")
        expiry = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(expiry) - time.time()
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return float("inf")
