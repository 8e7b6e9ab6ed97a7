"""Redact passwords, tokens and credentials in log lines and in events for Sentry (D-7).

`redact` finds secrets by their names. `scrub` finds secrets by their form, in texts of libraries and clients.
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
    # Credentials, but not the words "basic authentication".
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
# A part of every secret above, so that one search suffices for most texts.
_SUSPECT: Final = re.compile(
    r"(?i)password|token|code(?:=|%3D)|state(?:=|%3D)|secret|://|authorization|cookie|bearer|basic|eyJ|\$2"
)


def scrub(text: str) -> str:
    """Return a text with everything that looks like a secret replaced."""
    if not _SUSPECT.search(text):
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Json) -> Json:
    """Return a JSON value with secrets replaced at any depth; other values are unchanged."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {name: _member(name, inner) for name, inner in _redact_operation(value).items()}
    if isinstance(value, list | tuple):
        return [redact(inner) for inner in value]
    return value


def redact_query(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query string for log lines (`DECISIONS.md`: query strings)."""
    return {name: HIDDEN if name.lower() in _QUERY_NAMES else value for name, value in pairs.items()}


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers for log lines: without credentials, cookies, and tokens in URLs (O-MON-26)."""
    return {name: _header(name.lower(), value) for name, value in headers.items()}


def _header(name: str, value: str) -> str:
    if name in _MEMBERS or any(part in name for part in _IN_HEADER_NAMES):
        return REDACTED
    if name == "location" and "token" in value:
        # After a login by OpenID the token is in the URL, at a place that the client chooses.
        return re.split(r"[?#]", value, maxsplit=1)[0] + HIDDEN
    return scrub(value)


def _member(name: str, value: Json) -> Json:
    if _is_secret(name):
        return REDACTED
    if name == "headers" and isinstance(value, Mapping):  # those of a member of a batch
        return {header: _header(str(header).lower(), str(text)) for header, text in value.items()}
    return redact(value)


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and name.lower() in _MEMBERS


def _redact_operation(value: Mapping[str, Json]) -> Mapping[str, Json]:
    """Redact the value of a JSON Patch operation on a secret: `{"path": "/data/password", "value": "..."}`."""
    path = value.get("path")
    if "value" in value and isinstance(path, str) and _is_secret(path.rpartition("/")[2]):
        return {**value, "value": REDACTED}
    return value
