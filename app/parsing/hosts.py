"""Validate the host and port of URLs in responses (RFC 3986, section 3.2.2; RFC 9110, section 7.2)."""

import ipaddress
import re
from typing import Final

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_CHARACTERS: Final = 255
# Names of DNS and of container networks: the latter contain `_`, which RFC 3986 does not forbid.
_AUTHORITY: Final = re.compile(
    r"(?P<host>\[(?P<address>[0-9a-f:.]+)\]|(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?)(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII | re.IGNORECASE,
)


def origin(scheme: str, authority: str) -> str:
    """Return `scheme://host:port`, without the port if it is the default of the scheme. Raises ValueError."""
    host, port = split(authority)
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def split(authority: str) -> tuple[str, int | None]:
    """Split `host` or `host:port` into host and port; an empty port is None. Raises ValueError."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or len(match["host"]) > _MAX_CHARACTERS:
        raise ValueError("a host like kinto.example or kinto.example:8080 is expected.")
    if match["address"]:
        ipaddress.IPv6Address(match["address"])
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError("a port from 1 to 65535 is expected.")
    return match["host"], port
