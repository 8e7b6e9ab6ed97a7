"""From an Outcome or an error to an answer: the same for a single request and for an entry of a batch."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import parse_qsl

from app.errors import ApiError, Clash, Contended, NotAllowed, Programmatic, Unauthenticated, Unavailable
from app.operation import Operation, Outcome, Permissions
from app.parsing import queries
from app.parsing.queries import Query
from app.schemas.attributes import MAX_AGE_SECONDS
from app.service import Service
from app.settings import Settings
from app.transactions.perform import Answer
from backends import BackendError, Busy, IntegrityError
from backends.codec import dumps
from backends.storage import Conflict, Disconnected
from blueprints import request_lines
from blueprints.cors import allowed_origin
from blueprints.urls import origin_of_urls

Headers = dict[str, str]

_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
_NEVER = "no-cache, no-store"
_LAST_SECOND = 253402300799
"""The end of the year 9999: dates of HTTP have four digits for the year (RFC 9110, section 5.6.7)."""
_TO_URL = "https://kinto.readthedocs.io/en/2.4.0/api/resource.html#list-of-available-url-parameters"


@dataclass(slots=True)
class Reply:
    """An answer as HTTP sends it; `errno` is 0 unless it is an error."""

    status: int
    body: str = ""
    headers: Headers = field(default_factory=lambda: {"Content-Type": "application/json"})
    challenges: Sequence[str] = ()
    errno: int = 0


def http_date(timestamp: int) -> str:
    """Return a timestamp in ms as an RFC 1123 date, the fraction cut off (C-PRE-12).

    A timestamp that no such date can tell, which a database may hold, is told as the nearest that one can.
    """
    return formatdate(min(max(timestamp // 1000, 0), _LAST_SECOND), usegmt=True)


def caching(seconds: int) -> Headers:
    """Return the headers that let clients cache for so long; 0: not at all (C-URL-6, C-HDR-17).

    More than `MAX_AGE_SECONDS` counts as that (RFC 9111, section 1.2.2).
    """
    seconds = min(seconds, MAX_AGE_SECONDS)
    headers = {"Cache-Control": f"max-age={seconds}", "Expires": formatdate(time.time() + seconds, usegmt=True)}
    if seconds == 0:
        headers |= {"Cache-Control": f"max-age=0, must-revalidate, {_NEVER}", "Pragma": "no-cache"}
    return headers


def caching_for_nobody(seconds: int) -> Headers:
    """Return those of what nobody in particular may see: a cache must not give it to those who say who they are."""
    return {**caching(seconds), "Vary": "Authorization"}


def answer(service: Service, operation: Operation, given: Answer, path: str, query: str) -> Reply:
    """Return what is answered to an operation. *path*, with the version, and *query* are for `Next-Page`."""
    if isinstance(given, ApiError):
        request_lines.refused(operation, given)
        return refusal(service, given)
    headers = {"ETag": f'"{given.timestamp}"', "Last-Modified": http_date(given.timestamp)}
    alert = deprecated(operation.query)
    if given.fresh:
        return Reply(304, "", headers | alert)
    headers["Content-Type"] = "application/json"
    if operation.reads:
        headers |= _cache_headers(service.settings, operation, given)
    if given.total is not None:
        headers |= {"Total-Objects": str(given.total), "Total-Records": str(given.total)}
    if given.next is not None and operation.query is not None:
        pairs = parse_qsl(query, keep_blank_values=True)
        url = f"{origin_of_urls(service)}{path}"
        headers["Next-Page"] = f"{url}?{queries.next_query(pairs, operation.query.limit, given.next)}"
    return Reply(given.status, _body(operation, given), headers | alert)


def _body(operation: Operation, outcome: Outcome) -> str:
    if operation.method == "HEAD":
        return ""
    if outcome.data is None:
        return f'{{"data":[{",".join(outcome.rows)}]}}'
    if outcome.permissions is None or operation.method == "DELETE":
        return f'{{"data":{outcome.data}}}'
    return f'{{"data":{outcome.data},"permissions":{_shown(outcome.permissions)}}}'


def _shown(permissions: Permissions) -> str:
    return dumps({name: sorted(principals) for name, principals in permissions.items() if principals})


def deprecated(query: Query | None) -> Headers:
    """Return the header that tells who still writes `_to` (C-LIST-26)."""
    if query is None or not query.deprecated_to:
        return {}
    message = "_to is now deprecated, you should use _before instead"
    return {"Alert": alert("soft-eol", message, _TO_URL)}


def alert(code: str, message: str | None, url: str) -> str:
    """Return the value of an `Alert` header."""
    return json.dumps({"code": code, "message": message, "url": url}, separators=(",", ":"))


def _cache_headers(settings: Settings, operation: Operation, outcome: Outcome) -> Headers:
    """Return how long clients may cache what was read: only anonymous ones at all (core contract, 9.4; O-DEP-8)."""
    kind, ids = operation.kind.name, operation.route.ids
    if operation.identity.user_id is not None:
        return {"Cache-Control": _NEVER}
    around = ids if kind == "record" else ()
    seconds = settings.cache_expires_seconds(kind, *around[:2])
    if kind != "record":
        return caching_for_nobody(seconds) if seconds else {"Cache-Control": _NEVER}
    if outcome.cache_expires is not None:
        seconds = max(outcome.cache_expires, -1 if seconds is None else seconds)
    return {"Cache-Control": _NEVER} if seconds is None or seconds < 0 else caching_for_nobody(seconds)


def refusal(service: Service, error: ApiError) -> Reply:
    """Return the answer that an error is (core contract, 3.1 and 3.3)."""
    reply = Reply(error.status, errno=error.errno)
    info = service.settings.error_info_link if isinstance(error, Programmatic) else None
    body = {
        "code": error.status,
        "errno": error.errno,
        "error": error.error,
        "message": error.message,
        "info": info,
        "details": error.details,
    }
    if error.retry or error.retry_after_seconds:
        reply.headers["Retry-After"] = str(error.retry_after_seconds or service.settings.retry_after_seconds)
    if error.timestamp is not None:
        reply.headers |= {"ETag": f'"{error.timestamp}"', "Last-Modified": http_date(error.timestamp)}
    if isinstance(error, Unauthenticated):
        reply.challenges = service.challenges()
    if isinstance(error, NotAllowed) and error.allow:
        reply.headers["Allow"] = ", ".join(error.allow)
    reply.body = dumps({name: value for name, value in body.items() if value is not None})
    return reply


def failure(error: BackendError) -> ApiError:
    """Return what clients are told of a backend that fails."""
    if isinstance(error, Busy):
        return Contended()
    clash = isinstance(error, IntegrityError | Conflict) and not isinstance(error, Disconnected)
    return Clash() if clash else Unavailable()


def fixed(service: Service, origin: str | None, seen: Sequence[str]) -> Headers:
    """Return the headers of every answer (core contract, 9.1, 9.2, 9.5 and 9.6)."""
    settings = service.settings
    headers = {} if settings.eos is not None and ended(settings) else {"X-Content-Type-Options": "nosniff"}
    headers["Content-Security-Policy"] = _POLICY
    if seen:
        headers["Access-Control-Expose-Headers"] = ", ".join(seen)
    allowed = allowed_origin(settings, origin)
    if allowed:
        headers["Access-Control-Allow-Origin"] = allowed
    if "*" not in settings.cors_origins:
        # Without an origin too: a cache would give that answer, which names none, to scripts of every origin.
        headers["Vary"] = "Origin, Authorization"
    if settings.backoff is not None and _by_chance(settings.backoff_percentage):
        headers["Backoff"] = str(settings.backoff)
    if settings.eos is not None:
        headers["Alert"] = eos_alert(settings)
    return headers


def eos_alert(settings: Settings) -> str:
    """Return the `Alert` that tells of the end of service (C-HDR-21, C-HDR-22)."""
    code = "hard-eol" if ended(settings) else "soft-eol"
    return alert(code, settings.eos_message, settings.eos_url or settings.project_docs)


def _by_chance(percentage: float | None) -> bool:
    return percentage is None or random.random() * 100 < percentage


def ended(settings: Settings) -> bool:
    """Say whether the service has ended (C-HDR-22)."""
    if settings.eos is None:
        return False
    eos = settings.eos if settings.eos.tzinfo else settings.eos.replace(tzinfo=UTC)
    return datetime.now(UTC) >= eos


def joined(reply: Reply, more: Mapping[str, str]) -> Headers:
    """Return all headers of a reply as one text each, as an entry of a batch shows them.

    Of the end of service the batch itself tells, once (core contract, 9.6).
    """
    headers = {name: value for name, value in more.items() if name != "Alert"} | reply.headers
    if reply.challenges:
        headers["WWW-Authenticate"] = ", ".join(reply.challenges)
    return headers
