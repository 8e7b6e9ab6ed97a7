"""Take out of log lines, and of what Sentry gets, what nobody may read there: passwords, tokens, credentials (D-7).

`redacted` knows the names of things. `scrubbed` knows what secrets look like in a text, for texts that others write.
"""

import re
from collections.abc import Mapping
from typing import Final

from backends import Json

HIDDEN: Final = "***"
REDACTED: Final = "[redacted]"

_QUERY_NAMES: Final = frozenset(
    ("code", "state", "access_token", "id_token", "refresh_token", "token", "password", "client_secret")
)
_MEMBERS: Final = _QUERY_NAMES - {"code", "state"} | {
    "authorization",
    "proxy-authorization",
    "cookie",
    "cookies",
    "set-cookie",
}
"""Members of JSON bodies and names of headers. `code` and `state` are not: errors and ordinary records have them."""
_IN_HEADER_NAMES: Final = ("token", "secret", "password", "api-key", "apikey", "credential")

_NAMES: Final = "|".join(sorted(_QUERY_NAMES))
_SECRETS: Final = (
    # A parameter of a URL, which may itself be quoted in a parameter of another one.
    (
        re.compile(rf"(?i)((?:^|[?&#]|%3F|%26|%23)(?:{_NAMES})(?:=|%3D))(?:(?!%26|%23)[^&#\s\"'<>])+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(://[^\s/:@'\"]*):[^\s/'\"]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*)[^\r\n]+"), rf"\1\2{HIDDEN}"),
    # Credentials; the words "basic authentication" are none.
    (re.compile(r"\b([Bb]earer|[Bb]asic|BEARER|BASIC)\s+(?=\S*[A-Z0-9=])[\w.~+/-]{6,}=*"), rf"\1 {HIDDEN}"),
    # A JSON Web Token, a bcrypt hash.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
    (re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]+"), HIDDEN),
    (
        re.compile(
            r"(?i)\b((?:password|client_secret|(?:access_|id_|refresh_)?token)\\?['\"]?\s*[:=]\s*)"
            r"(?:\\?\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s,;&}\])\"']+)"
        ),
        rf"\1{HIDDEN}",
    ),
)
# What each secret above has, so that most texts are let through by one look.
_SUSPECT: Final = re.compile(
    r"(?i)password|token|code(?:=|%3D)|state(?:=|%3D)|secret|://|authorization|cookie|bearer|basic|eyJ|\$2"
)


def scrubbed(text: str) -> str:
    """Return a text without what looks like a secret."""
    if not _SUSPECT.search(text):
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def redacted(value: Json) -> Json:
    """Return a JSON value without secrets, at any depth; other values stay as they are."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, Mapping):
        return {name: _member(name, each) for name, each in _patched(value).items()}
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    return value


def shown_query(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query string as log lines show them (`DECISIONS.md`: query strings)."""
    return {name: HIDDEN if name.lower() in _QUERY_NAMES else value for name, value in pairs.items()}


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers as log lines show them: no credentials, no cookies, no URL that carries tokens (O-MON-26)."""
    return {name: _header(name.lower(), value) for name, value in headers.items()}


def _header(name: str, value: str) -> str:
    if name in _MEMBERS or any(part in name for part in _IN_HEADER_NAMES):
        return REDACTED
    if name == "location" and "token" in value:
        # After a login by OpenID the token is a part of the address, in whatever way the client wishes.
        return re.split(r"[?#]", value, maxsplit=1)[0] + HIDDEN
    return scrubbed(value)


def _member(name: str, value: Json) -> Json:
    if _secret(name):
        return REDACTED
    if name == "headers" and isinstance(value, Mapping):  # those of a member of a batch
        return {header: _header(str(header).lower(), str(each)) for header, each in value.items()}
    return redacted(value)


def _secret(name: object) -> bool:
    return isinstance(name, str) and name.lower() in _MEMBERS


def _patched(value: Mapping[str, Json]) -> Mapping[str, Json]:
    """Hide the value of a JSON Patch operation on a secret: `{"path": "/data/password", "value": "..."}`."""
    path = value.get("path")
    if "value" in value and isinstance(path, str) and _secret(path.rpartition("/")[2]):
        return {**value, "value": REDACTED}
    return value
