"""Basic authentication: accept any name and password; both together are the identity (plugins contract, 2)."""

from __future__ import annotations

import base64
import binascii
import hmac

from app.identity import Reader


def parse_credentials(authorization: str) -> tuple[str, str] | None:
    """Return name and password of a `Basic` header, None for any other (P-BASIC-2, P-BASIC-3)."""
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    return (name, password) if name and colon else None


def digest(key: str, text: str) -> str:
    """Return the HMAC-SHA256 of a text in lower-case hexadecimal."""
    return hmac.digest(key.encode(), text.encode(), "sha256").hex()


class BasicAuth:
    """The policy `basicauth`: the user id is the HMAC of `name:password` (C-PERM-7)."""

    def __init__(self, name: str, secret: str, realm: str) -> None:
        self.name = name
        # A copy with the key costs less than to begin with the key for each request.
        self._hmac = hmac.new(secret.encode(), digestmod="sha256")
        self._realm = realm

    def identify(self, authorization: str, read: Reader) -> str | None:  # noqa: ARG002  # the signature of a Policy
        """Return the user id, None if the header is not basic authentication."""
        credentials = parse_credentials(authorization)
        if credentials is None:
            return None
        code = self._hmac.copy()
        code.update(":".join(credentials).encode())
        return f"{self.name}:{code.hexdigest()}"

    def challenge(self) -> str:
        """Return the value of `WWW-Authenticate`."""
        return f'Basic realm="{self._realm}"'
