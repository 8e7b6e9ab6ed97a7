"""Convert an Outcome or an error to a Reply: the same for a single request and for a member of a batch."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import parse_qsl

from app.errors import ApiError, Clash, Contended, NotAllowed, Programmatic, Unauthenticated, Unavailable
from app.logs import log_refusal
from app.operation import Answer, Operation, Outcome
from app.parsing import queries
from app.parsing.queries import Query
from app.schemas.attributes import MAX_AGE_SECONDS
from app.service import Service
from app.settings import Settings
from backends import BackendError, Busy, IntegrityError
from backends.codec import dumps
from backends.storage import Conflict, Disconnected
from blueprints.cors import allowed_origin
from blueprints.urls import origin_of_urls, prefix

Headers = dict[str, str]

_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
_NO_CACHING = "no-cache, no-store"
_LAST_HTTP_SECOND = 253402300799
"""The end of the year 9999: dates of HTTP have four digits for the year (RFC 9110, section 5.6.7)."""
_DEPRECATION_URL = "https://kinto.readthedocs.io/en/2.4.0/api/resource.html#list-of-available-url-parameters"


@dataclass(slots=True)
class Reply:
    """The content of a response, of a request or of a member of a batch; `errno` is 0 unless it is an error."""

    status: int
    body: str = ""
    headers: Headers = field(default_factory=lambda: {"Content-Type": "application/json"})
    challenges: Sequence[str] = ()
    errno: int = 0


def http_date(timestamp: int) -> str:
    """Return a timestamp in ms as an RFC 1123 date, the fraction cut off (C-PRE-12).

    A timestamp outside the range of such dates, which a database may hold, is returned as the nearest date.
    """
    return _date_of(min(max(timestamp // 1000, 0), _LAST_HTTP_SECOND))


@lru_cache(maxsize=1024)
def _date_of(second: int) -> str:
    """Return the date of a second. Writes share theirs; objects and lists are read more than once."""
    return formatdate(second, usegmt=True)


def caching_headers(seconds: int) -> Headers:
    """Return the headers that let clients cache a response for some seconds, 0 for not at all (C-URL-6, C-HDR-17).

    More than `MAX_AGE_SECONDS` counts as `MAX_AGE_SECONDS` (RFC 9111, section 1.2.2).
    """
    seconds = min(seconds, MAX_AGE_SECONDS)
    headers = {"Cache-Control": f"max-age={seconds}", "Expires": formatdate(time.time() + seconds, usegmt=True)}
    if seconds == 0:
        headers |= {"Cache-Control": f"max-age=0, must-revalidate, {_NO_CACHING}", "Pragma": "no-cache"}
    return headers


def anonymous_caching_headers(seconds: int) -> Headers:
    """Return the caching headers of a response to an anonymous request.

    `Vary` keeps caches from returning it to requests with credentials.
    """
    return {**caching_headers(seconds), "Vary": "Authorization"}


def to_reply(service: Service, operation: Operation, answer: Answer, query: str) -> Reply:
    """Return the reply to an operation. *query* is that of the request, for `Next-Page`."""
    if isinstance(answer, ApiError):
        log_refusal(operation, answer)
        return error_reply(service, answer)
    headers = {"ETag": f'"{answer.timestamp}"', "Last-Modified": http_date(answer.timestamp)}
    alert = deprecation_headers(operation.query) if operation.query else {}
    if answer.fresh:
        return Reply(304, "", headers | alert)
    headers["Content-Type"] = "application/json"
    if operation.reads:
        headers |= _read_caching_headers(service.settings, operation, answer)
    if answer.total is not None:
        headers |= {"Total-Objects": str(answer.total), "Total-Records": str(answer.total)}
    if answer.next is not None and operation.query is not None:
        pairs = parse_qsl(query, keep_blank_values=True)
        url = f"{origin_of_urls(service)}{prefix(service)}{operation.route.uri}"
        headers["Next-Page"] = f"{url}?{queries.next_query(pairs, operation.query.limit, answer.next)}"
    return Reply(answer.status, _body(operation, answer), headers | alert)


def _body(operation: Operation, outcome: Outcome) -> str:
    if operation.method == "HEAD":
        return ""
    if outcome.data is None:
        explain = "" if outcome.explanation is None else f',"explain":{dumps(outcome.explanation)}'
        return f'{{"data":[{",".join(outcome.rows)}]{explain}}}'
    if outcome.permissions is None or operation.method == "DELETE":
        return f'{{"data":{outcome.data}}}'
    permissions = {name: sorted(principals) for name, principals in outcome.permissions.items() if principals}
    return f'{{"data":{outcome.data},"permissions":{dumps(permissions)}}}'


def deprecation_headers(query: Query | None) -> Headers:
    """Return the `Alert` header that warns clients which still use `_to` (C-LIST-26)."""
    if query is None or not query.deprecated_to:
        return {}
    message = "_to is now deprecated, you should use _before instead"
    return {"Alert": alert_value("soft-eol", message, _DEPRECATION_URL)}


def alert_value(code: str, message: str | None, url: str) -> str:
    """Return the value of an `Alert` header."""
    return json.dumps({"code": code, "message": message, "url": url}, separators=(",", ":"))


def _read_caching_headers(settings: Settings, operation: Operation, outcome: Outcome) -> Headers:
    """Return the caching headers of a read: only anonymous clients may cache (core contract, 9.4; O-DEP-8)."""
    kind, ids = operation.kind.name, operation.route.ids
    if operation.identity.user_id is not None:
        return {"Cache-Control": _NO_CACHING}
    ancestor_ids = ids[:2] if kind == "record" else ()
    seconds = settings.cache_expires_seconds(kind, *ancestor_ids)
    if kind != "record":
        return anonymous_caching_headers(seconds) if seconds else {"Cache-Control": _NO_CACHING}
    if outcome.cache_expires is not None:
        seconds = max(outcome.cache_expires, -1 if seconds is None else seconds)
    return {"Cache-Control": _NO_CACHING} if seconds is None or seconds < 0 else anonymous_caching_headers(seconds)


def error_reply(service: Service, error: ApiError) -> Reply:
    """Return the reply to an error (core contract, 3.1 and 3.3)."""
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
        reply.challenges = service.authenticator.challenges()
    if isinstance(error, NotAllowed) and error.allow:
        reply.headers["Allow"] = ", ".join(error.allow)
    reply.body = dumps({name: value for name, value in body.items() if value is not None})
    return reply


def to_api_error(error: BackendError) -> ApiError:
    """Return the error that clients get when a backend fails."""
    if isinstance(error, Busy):
        return Contended()
    clash = isinstance(error, IntegrityError | Conflict) and not isinstance(error, Disconnected)
    return Clash() if clash else Unavailable()


def common_headers(service: Service, origin: str | None, exposed: Sequence[str]) -> Headers:
    """Return the headers of every response (core contract, 9.1, 9.2, 9.5 and 9.6).

    *origin* is the header of the request, *exposed* the headers that scripts of other origins may read.
    """
    settings = service.settings
    headers = {} if settings.eos is not None and has_ended(settings) else {"X-Content-Type-Options": "nosniff"}
    headers["Content-Security-Policy"] = _CONTENT_POLICY
    if exposed:
        headers["Access-Control-Expose-Headers"] = ", ".join(exposed)
    allow_origin = allowed_origin(settings, origin) if origin else None
    if allow_origin:
        headers["Access-Control-Allow-Origin"] = allow_origin
    if "*" not in settings.cors_origins:
        # Also without an origin: a cache would return that response, which allows none, to scripts of every origin.
        headers["Vary"] = "Origin, Authorization"
    if settings.backoff is not None and _draw(settings.backoff_percentage):
        headers["Backoff"] = str(settings.backoff)
    if settings.eos is not None:
        headers["Alert"] = eos_alert(settings)
    return headers


def eos_alert(settings: Settings) -> str:
    """Return the `Alert` value that announces the end of the service (C-HDR-21, C-HDR-22)."""
    code = "hard-eol" if has_ended(settings) else "soft-eol"
    return alert_value(code, settings.eos_message, settings.eos_url or settings.project_docs)


def _draw(percentage: float | None) -> bool:
    """Return True with a probability of *percentage*; None stands for 100."""
    return percentage is None or random.random() * 100 < percentage


def has_ended(settings: Settings) -> bool:
    """Return whether the service has ended (C-HDR-22)."""
    if settings.eos is None:
        return False
    eos = settings.eos if settings.eos.tzinfo else settings.eos.replace(tzinfo=UTC)
    return datetime.now(UTC) >= eos


def member_headers(reply: Reply, common: Mapping[str, str]) -> Headers:
    """Return the headers of a member's reply with the *common* ones, each a single string as in the body of a batch.

    The end of the service is announced once, by the response of the batch itself (core contract, 9.6).
    """
    headers = {name: value for name, value in common.items() if name != "Alert"} | reply.headers
    if reply.challenges:
        headers["WWW-Authenticate"] = ", ".join(reply.challenges)
    return headers
