"""Decide to which URLs tokens may be sent (plugins contract, 5.4).

A URL has a scheme, a host, a port and a rest (path, query and fragment). Browsers and this module must agree on these
parts, so a URL that some browsers read in another way is never trusted, whatever the patterns allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

MAX_CHARACTERS: Final = 2048

_LOOKS_LIKE_A_URL: Final = re.compile(
    r"(?:(?:https?|ftp)://(?:[^\s/?#@]+@)?)?"
    r"(?:localhost|[^\s/?#@:\\%\[\].]+(?:\.[^\s/?#@:\\%\[\].]+)+\.?|\[[0-9a-f:.]+\])(?::[0-9]+)?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]+))?(?P<rest>(?:[/?#].*)?)",
    re.ASCII | re.IGNORECASE,
)
_PATTERN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.*-]+|\[[0-9a-f:.*]+\])(?::(?P<port>[0-9*]+))?(?P<rest>(?:[/?#].*)?)",
    re.ASCII | re.IGNORECASE,
)
_PATH: Final = re.compile(r"[^?#]*")
_SEPARATOR: Final = re.compile(r"[/\\]")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL or of a pattern: the scheme and the host in lower case, the port even if it is the default."""

    scheme: str
    host: str
    port: str
    rest: str


def looks_like_url(text: str) -> bool:
    """Return whether a text passes for a URL; that alone does not make it trusted (plugins contract, 5.3)."""
    return len(text) <= MAX_CHARACTERS and _LOOKS_LIKE_A_URL.fullmatch(text) is not None


def parse_pattern(text: str) -> Url:
    """Parse a pattern of trusted URLs, in which `*` stands for any text within its part. Raises ValueError."""
    pattern = _parse(_PATTERN, text)
    if pattern is None:
        raise ValueError(f"patterns like https://*.example.com/admin/* are expected, not {text!r}.")
    return pattern


def is_trusted(callback: str, patterns: Iterable[Url]) -> bool:
    """Return whether a URL matches one of the patterns (P-OID-13)."""
    url = _parse(_URL, callback)
    return url is not None and any(_matches(url, pattern) for pattern in patterns)


def _matches(url: Url, pattern: Url) -> bool:
    return (
        url.scheme == pattern.scheme
        and _matches_part(url.host, pattern.host)
        and _matches_part(url.port, pattern.port)
        and _matches_part(url.rest, pattern.rest)
    )


def _matches_part(text: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def _parse(form: re.Pattern[str], text: str) -> Url | None:
    """Return the parts of a URL, None if it is not of this form or ambiguous."""
    match = form.fullmatch(text)
    if match is None or not text.isprintable() or " " in text or _is_ambiguous(match["rest"]):
        return None
    scheme, rest = match["scheme"].lower(), match["rest"]
    return Url(
        scheme,
        match["host"].lower(),
        match["port"] or _DEFAULT_PORTS[scheme],
        rest if rest.startswith("/") else f"/{rest}",
    )


def _is_ambiguous(rest: str) -> bool:
    """Return whether the path has backslashes or segments that browsers resolve: `.` and `..`, in any encoding."""
    match = _PATH.match(rest)
    path = match[0] if match else ""
    return "\\" in path or any(segment in (".", "..") for segment in _SEPARATOR.split(unquote(path)))
