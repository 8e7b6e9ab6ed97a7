"""Authenticate by the access token of a provider (plugins contract, 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from blueprints.plugins import BackendError, Json, PolicySettings, Reader, Service
from blueprints.plugins.openid.options import read_options
from blueprints.plugins.openid.provider import Provider
from blueprints.plugins.openid.tokens import Tokens

_TOKEN: Final = re.compile(r"[!-~]+")
_MAX_USER_ID_BYTES: Final = 1024
"""The most bytes of a principal."""


class OpenIDConnectPolicy:
    """The policy of one provider; it also works without the plugin, which adds logins for browsers."""

    def __init__(self, policy: PolicySettings, service: Service) -> None:
        self.name = policy.name
        self.provider = Provider(read_options(policy))
        self._tokens = Tokens(self.provider, service)
        service.add_start_check(self.provider.start)

    def identify(self, authorization: str, read: Reader) -> str | None:  # noqa: ARG002  # the signature of a Policy
        """Return `<policy>:<user>`, None if the header has no valid token of this provider (P-OID-4 to P-OID-6)."""
        profile = self.profile(authorization)
        return None if profile is None else self._user_id(profile)

    def profile(self, authorization: str) -> Mapping[str, Json] | None:
        """Return the user-info document of the token in a header, None without a valid token of this provider."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != self.provider.options.header_type.lower() or not _TOKEN.fullmatch(token):
            return None
        return self._tokens.profile(token)

    def _user_id(self, profile: Mapping[str, Json]) -> str | None:
        """Return the user id in a document, None if the field is missing or cannot be part of a principal."""
        match profile.get(self.provider.options.userid_field):
            case bool():
                return None
            case (str() | int()) as value if value != "":
                user_id = f"{self.name}:{value}"
            case _:
                return None
        is_principal = len(user_id.encode()) <= _MAX_USER_ID_BYTES and "\0" not in user_id
        return user_id if is_principal else None

    def challenge(self) -> str:
        """Return the value of `WWW-Authenticate`."""
        options = self.provider.options
        return f'{options.header_type} realm="{options.realm}"'

    def security_definition(self) -> Mapping[str, Json]:
        """Return the entry of the policy in the OpenAPI document (P-OID-19)."""
        try:
            url = self.provider.discover().authorization_endpoint
        except BackendError:
            url = self.provider.options.issuer
        return {"type": "oauth2", "authorizationUrl": url}
