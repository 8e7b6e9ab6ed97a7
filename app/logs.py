"""What the line of a request says, in the words that tools filter on (operations contract, 5.5). Pure."""

from __future__ import annotations

import random
import re
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from app.identity import Identity
from backends import Json
from backends.logs.secrets import shown_query

Fields = dict[str, Json]

_ID_LENGTH: Final = 200
# Version and variant in a UUID of version 4.
_FIXED: Final = 0x4 << 76 | 0x8 << 60
_NOT_FIXED: Final = ~(0xF << 76 | 0xC << 60)
_NOT_IN_AN_ID: Final = re.compile(r"[^\w.:+/=@-]", re.ASCII)


def request_id(given: str | None) -> str:
    """Return the id of a request: the one that was sent, bounded and without odd characters, else a new one."""
    known = _NOT_IN_AN_ID.sub("", given)[:_ID_LENGTH] if given else ""
    if known:
        return known
    # A UUID of version 4 (RFC 9562, section 5.4), without the system call of uuid4: anybody may guess it.
    digits = f"{random.getrandbits(128) & _NOT_FIXED | _FIXED:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def request_fields(
    method: str, path: str, query: str, request_id: str, agent: str | None, languages: str | None
) -> Fields:
    """Return what is known of a request when it comes in; what has no value is left out."""
    fields: Fields = {"path": path, "method": method, "rid": request_id, "errno": 0}
    if agent:
        fields["agent"] = agent
    if languages:
        fields["lang"] = languages
    if query:
        fields["querystring"] = shown_query(dict(parse_qsl(query, keep_blank_values=True)))
    return fields


def identity_fields(identity: Identity) -> Fields:
    """Return who asks: the user id without its policy, and the policy."""
    if identity.user_id is None:
        return {}
    return {"uid": identity.user_id.partition(":")[2], "authn_type": identity.policy}


def response_fields(status: int, started_ns: int, ended_ns: int) -> Fields:
    """Return how a request ended, in local time and to the millisecond."""
    seconds, milliseconds = divmod(ended_ns // 1_000_000, 1000)
    return {
        "time": f"{_local(seconds)}.{milliseconds:03}000",
        "code": status,
        "t": (ended_ns - started_ns) // 1_000_000,
    }


@lru_cache(maxsize=2)
def _local(seconds: int) -> str:
    """Return a local time to the second; many requests end in one."""
    return datetime.fromtimestamp(seconds).isoformat()
