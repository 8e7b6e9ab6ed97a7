"""Read the settings of a provider: `multiauth.policy.<name>.*` (plugins contract, 5.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from blueprints.plugins import PolicySettings, SettingError, text, whole, words
from blueprints.plugins.openid.callbacks import Url, parse_pattern

_ISSUER: Final = re.compile(r"https?://[^\s?#]+")
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""An authentication scheme is a token (RFC 9110, section 11.1)."""
_MAX_STATE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a provider; `name` is that of its policy, `issuer` has no slash at its end.

    `state_length` is in bytes. Without `trusted_callbacks` the default callbacks are trusted.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    audience: str
    header_type: str
    realm: str
    userid_field: str
    verification_ttl_seconds: int
    state_ttl_seconds: int
    state_length: int
    allowed_scopes: tuple[str, ...]
    trusted_callbacks: tuple[Url, ...] | None


def read_options(policy: PolicySettings) -> Options:
    """Read the settings of a provider. Raises SettingError."""
    return Options(
        name=policy.name,
        issuer=policy.option("issuer", _issuer, "") or _missing(policy, "issuer", "the URL of the provider"),
        client_id=policy.option("client_id", _stripped, "") or _missing(policy, "client_id", "the id of this service"),
        client_secret=policy.option("client_secret", text, ""),
        audience=policy.option("audience", _stripped, ""),
        header_type=policy.option("header_type", _scheme, "Bearer"),
        realm=policy.option("realm", text, "Realm"),
        userid_field=policy.option("userid_field", _stripped, "") or "sub",
        verification_ttl_seconds=policy.option("verification_ttl_seconds", whole, 86400),
        state_ttl_seconds=policy.option("state_ttl_seconds", whole, 3600),
        state_length=policy.option("state_length", _state_length, 32),
        allowed_scopes=policy.option("allowed_scopes", words, ("openid", "email", "profile")),
        trusted_callbacks=policy.option("trusted_callback_urls", _patterns, None),
    )


def _missing(policy: PolicySettings, name: str, expected: str) -> str:
    raise SettingError(f"multiauth.policy.{policy.name}.{name}", f"{expected} is expected.")


def _stripped(raw: object) -> str:
    return text(raw).strip()


def _issuer(raw: object) -> str:
    value = _stripped(raw).rstrip("/")
    if value and not _ISSUER.fullmatch(value):
        raise ValueError(f"the URL of the provider is expected, not {value!r}.")
    return value


def _scheme(raw: object) -> str:
    value = _stripped(raw)
    if not _SCHEME.fullmatch(value):
        raise ValueError(f"a scheme like Bearer is expected, not {value!r}.")
    return value


def _state_length(raw: object) -> int:
    value = whole(raw)
    if not 1 <= value <= _MAX_STATE_BYTES:
        raise ValueError(f"a whole number from 1 to {_MAX_STATE_BYTES} is expected, not {raw!r}.")
    return value


def _patterns(raw: object) -> tuple[Url, ...] | None:
    return tuple(map(parse_pattern, words(raw)))
