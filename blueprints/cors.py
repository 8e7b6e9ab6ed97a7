"""Decide which origins may use the service and which headers their scripts may read (core contract, 9.2, 9.3).

`exposed_headers` and `exposed_by_error` choose the headers of `Access-Control-Expose-Headers`; the choice is kept in
`g.exposed` of the Flask request, or in `Member.exposed` of a batch, until `common_headers` writes the header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from app.errors import ApiError, Invalid, NotAllowed, Problem
from app.settings import Settings

ALWAYS_EXPOSED = ("Backoff", "Retry-After", "Alert", "Content-Length", "Content-Type")
OBJECT_HEADERS = (*ALWAYS_EXPOSED, "Last-Modified", "ETag", "Cache-Control", "Expires", "Pragma")
LIST_HEADERS = (*OBJECT_HEADERS, "Next-Page")
TOTAL_HEADERS = (*LIST_HEADERS, "Total-Objects", "Total-Records")


def exposed_headers(method: str, *, on_list: bool) -> Sequence[str]:
    """Return the headers that scripts may read in the response of a list or an object (C-HDR-6)."""
    if method not in ("GET", "HEAD"):
        return ALWAYS_EXPOSED
    if not on_list:
        return OBJECT_HEADERS
    return LIST_HEADERS if method == "GET" else TOTAL_HEADERS


def exposed_by_error(error: ApiError, exposed: Sequence[str]) -> Sequence[str]:
    """Return the headers that scripts may read in the response to *error*: none of a 405, otherwise *exposed*."""
    return () if isinstance(error, NotAllowed) and error.allow else exposed


def allowed_origin(settings: Settings, origin: str | None) -> str | None:
    """Return the value of `Access-Control-Allow-Origin`, None without that header (C-HDR-3, C-HDR-4)."""
    if not origin:
        return None
    if "*" in settings.cors_origins:
        return "*"
    return origin if any(_origin_pattern(pattern).fullmatch(origin) for pattern in settings.cors_origins) else None


def origin_problems(settings: Settings, origin: str | None) -> tuple[Problem, ...]:
    """Return the problem of an origin that may not use the service (C-HDR-5)."""
    if not origin or allowed_origin(settings, origin):
        return ()
    return (Problem("header", "Origin", f"{origin} not allowed"),)


def preflight_headers(
    settings: Settings, methods: Sequence[str], origin: str | None, method: str | None, request_headers: str | None
) -> dict[str, str]:
    """Return the headers of the response to a preflight request. Raises Invalid (C-HDR-7 to C-HDR-11).

    *methods* are those of the endpoint, *request_headers* lists the headers that the script will send.
    """
    mandatory = {"Origin": origin, "Access-Control-Request-Method": method}
    problems = [Problem("header", name, "this header is mandatory") for name, value in mandatory.items() if not value]
    problems = problems or [*origin_problems(settings, origin)]
    if problems:
        raise Invalid(*problems)
    if method not in methods:
        raise Invalid(Problem("header", "Access-Control-Request-Method", "Method not allowed"))
    known_headers: Sequence[str] = ALWAYS_EXPOSED
    if "PUT" in methods:
        known_headers = OBJECT_HEADERS
    elif "POST" in methods and "GET" in methods:
        known_headers = TOTAL_HEADERS
    requested = [name.strip() for name in (request_headers or "").split(",") if name.strip()]
    headers = {
        "Access-Control-Allow-Methods": ",".join(methods),
        "Access-Control-Allow-Headers": ",".join(dict.fromkeys((*known_headers, *requested))),
    }
    if settings.cors_max_age_seconds is not None:
        headers["Access-Control-Max-Age"] = str(settings.cors_max_age_seconds)
    return headers


@lru_cache(maxsize=256)
def _origin_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))
