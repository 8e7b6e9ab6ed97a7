"""Write the log lines of requests, of members of batches and of refused operations (operations contract, 5.5).

The names of fields are those on which log tools filter; fields without a value are left out.
"""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from app.errors import ApiError, Forbidden, Unauthenticated
from app.identity import EVERYONE, Identity
from app.observations import HttpResponse, RequestHead
from app.operation import Operation
from backends import Json
from backends.logs import REQUEST_ID, SUBREQUEST, SUMMARY
from backends.logs.records import RequestRecord
from backends.logs.secrets import redact, redact_headers, redact_query
from backends.tolerance import tolerate

log: Final = logging.getLogger("kinto.logs")
REQUESTS: Final = logging.getLogger(SUMMARY)
"""The logger of the lines of requests; at its own level DEBUG they have headers and bodies."""
_members: Final = logging.getLogger(SUBREQUEST)
_authorization: Final = logging.getLogger("kinto.core.authorization")

Fields = dict[str, Json]
Headers = Iterable[tuple[str, str]]

_MAX_ID_LENGTH: Final = 200
# Version and variant in a UUID of version 4.
_VERSION_BITS: Final = 0x4 << 76 | 0x8 << 60
_RANDOM_BITS: Final = ~(0xF << 76 | 0xC << 60)
_FORBIDDEN_IN_ID: Final = re.compile(r"[^\w.:+/=@-]", re.ASCII)


def make_request_id(header: str | None) -> str:
    """Return the id of a request: from its header, without unusual characters and at most 200, else a new one."""
    request_id = _FORBIDDEN_IN_ID.sub("", header)[:_MAX_ID_LENGTH] if header else ""
    if request_id:
        return request_id
    # A UUID of version 4 (RFC 9562, section 5.4), without the system call of uuid4: it need not be hard to guess.
    digits = f"{random.getrandbits(128) & _RANDOM_BITS | _VERSION_BITS:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def log_response(response: HttpResponse) -> None:
    """Write the log line of a request that is answered (O-MON-20)."""
    if not REQUESTS.isEnabledFor(logging.INFO):
        return
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    fields = {
        **request_fields(response.head, response.identity),
        **response.fields,
        "time": f"{_local_time(seconds)}.{milliseconds:03}000",
        "code": response.status,
        "t": int(response.seconds * 1000),
    }
    REQUESTS.handle(RequestRecord(SUMMARY, "", fields))


@lru_cache(maxsize=2)
def _local_time(seconds: int) -> str:
    """Return a local time to the second; cached, since many requests end in the same second."""
    return datetime.fromtimestamp(seconds).isoformat()


def request_fields(head: RequestHead, identity: Identity) -> Fields:
    """Return the fields of a request before it is answered; those of a path that is not UTF-8 are left out.

    The user id is without the prefix of its policy.
    """
    if head.path is None:
        return {"errno": 0}
    fields: Fields = {"path": head.path, "method": head.method, "rid": REQUEST_ID.get() or "", "errno": 0}
    if head.agent:
        fields["agent"] = head.agent
    if head.languages:
        fields["lang"] = head.languages
    if head.query:
        fields["querystring"] = redact_query(dict(parse_qsl(head.query, keep_blank_values=True)))
    if identity.user_id is not None:
        fields["uid"] = identity.user_id.partition(":")[2]
        fields["authn_type"] = identity.policy
    return fields


def detail_fields(
    request_headers: Headers, request_body: bytes, response_headers: Headers, response_body: bytes
) -> Fields:
    """Return headers and bodies without the secrets in them, as the line of a request shows them (O-MON-26)."""
    response = {"headers": redact_headers(dict(response_headers)), "body": _loggable_body(response_body)}
    return {
        "headers": redact_headers(dict(request_headers)),
        "body": _loggable_body(request_body),
        "response": response,
    }


def _loggable_body(raw: bytes) -> Json:
    """Return a body as a log line shows it; one that is not JSON is left out, because its secrets cannot be found."""
    if not raw:
        return ""
    try:
        # Not orjson, which refuses lone surrogates.
        return redact(json.loads(raw))
    except (ValueError, RecursionError):
        return f"{len(raw)} bytes that are not JSON"


def log_members(members: Iterable[tuple[RequestHead, Identity]]) -> None:
    """Write the log line of each member of a batch, before it is performed (O-MON-21)."""
    if not _members.isEnabledFor(logging.INFO):
        return
    request_id = REQUEST_ID.get() or make_request_id(None)
    for head, identity in members:
        fields = request_fields(head, identity) | {"rid": request_id}
        _members.handle(RequestRecord(SUBREQUEST, SUBREQUEST, fields))


def log_refusal(operation: Operation, error: ApiError) -> None:
    """Write a log line for an operation that its identity may not perform (O-MON-24)."""
    if not isinstance(error, Forbidden | Unauthenticated):
        return
    user_id = operation.identity.user_id or EVERYONE
    uri, permission = operation.route.uri, "read" if operation.reads else "write"
    if operation.method == "POST":
        parent = operation.route.parent
        uri, permission = parent.uri if parent else "", f"{operation.kind.name}:create"
    with tolerate(log, "Unable to write the line of a refused operation"):
        _authorization.info(
            "Permission %r on %r not granted to %r.",
            permission,
            uri,
            user_id,
            extra={"userid": user_id, "uri": uri, "perm": permission},
        )
