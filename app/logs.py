"""The fields of a request's log line, under the names that log tools filter on (operations contract, 5.5). Pure."""

from __future__ import annotations

import random
import re
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from app.identity import Identity
from backends import Json
from backends.logs.secrets import redact_query

Fields = dict[str, Json]

_MAX_ID_LENGTH: Final = 200
# Version and variant in a UUID of version 4.
_VERSION_BITS: Final = 0x4 << 76 | 0x8 << 60
_RANDOM_BITS: Final = ~(0xF << 76 | 0xC << 60)
_FORBIDDEN_IN_ID: Final = re.compile(r"[^\w.:+/=@-]", re.ASCII)


def request_id(header: str | None) -> str:
    """Return the id of a request: from its header, without unusual characters and at most 200, else a new one."""
    sanitized = _FORBIDDEN_IN_ID.sub("", header)[:_MAX_ID_LENGTH] if header else ""
    if sanitized:
        return sanitized
    # A UUID of version 4 (RFC 9562, section 5.4), without the system call of uuid4: it need not be hard to guess.
    digits = f"{random.getrandbits(128) & _RANDOM_BITS | _VERSION_BITS:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def request_fields(  # noqa: PLR0913  # one argument for each field
    method: str, path: str, query: str, request_id: str, agent: str | None, languages: str | None
) -> Fields:
    """Return the fields of an incoming request; those without a value are left out."""
    fields: Fields = {"path": path, "method": method, "rid": request_id, "errno": 0}
    if agent:
        fields["agent"] = agent
    if languages:
        fields["lang"] = languages
    if query:
        fields["querystring"] = redact_query(dict(parse_qsl(query, keep_blank_values=True)))
    return fields


def identity_fields(identity: Identity) -> Fields:
    """Return the user id without the prefix of its policy, and the policy; nothing for an anonymous identity."""
    if identity.user_id is None:
        return {}
    return {"uid": identity.user_id.partition(":")[2], "authn_type": identity.policy}


def response_fields(status: int, started_ns: int, ended_ns: int) -> Fields:
    """Return the end of a request in local time, its status, and its duration, both times to the millisecond."""
    seconds, milliseconds = divmod(ended_ns // 1_000_000, 1000)
    return {
        "time": f"{_local_time(seconds)}.{milliseconds:03}000",
        "code": status,
        "t": (ended_ns - started_ns) // 1_000_000,
    }


@lru_cache(maxsize=2)
def _local_time(seconds: int) -> str:
    """Return a local time to the second; cached, since many requests end in the same second."""
    return datetime.fromtimestamp(seconds).isoformat()
