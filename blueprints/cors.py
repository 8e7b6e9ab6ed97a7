"""Cross-origin requests: which origins may use the service, what their scripts may see (core contract, 9.2, 9.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from app.errors import Invalid, Problem
from app.settings import Settings

ALWAYS_EXPOSED = ("Backoff", "Retry-After", "Alert", "Content-Length", "Content-Type")
OF_OBJECTS = (*ALWAYS_EXPOSED, "Last-Modified", "ETag", "Cache-Control", "Expires", "Pragma")
OF_LISTS = (*OF_OBJECTS, "Next-Page")
OF_TOTALS = (*OF_LISTS, "Total-Objects", "Total-Records")


def exposed(method: str, on_list: bool) -> Sequence[str]:
    """Return the headers of an answer on a list or an object that scripts may read (C-HDR-6)."""
    if method not in ("GET", "HEAD"):
        return ALWAYS_EXPOSED
    if not on_list:
        return OF_OBJECTS
    return OF_LISTS if method == "GET" else OF_TOTALS


def allowed_origin(settings: Settings, origin: str | None) -> str | None:
    """Return the value of `Access-Control-Allow-Origin`, None where there is none (C-HDR-3, C-HDR-4)."""
    if not origin:
        return None
    if "*" in settings.cors_origins:
        return "*"
    return origin if any(_pattern(allowed).fullmatch(origin) for allowed in settings.cors_origins) else None


def refused_origin(settings: Settings, origin: str | None) -> tuple[Problem, ...]:
    """Return the problem of an origin that may not use the service (C-HDR-5)."""
    if not origin or allowed_origin(settings, origin):
        return ()
    return (Problem("header", "Origin", f"{origin} not allowed"),)


def preflight(
    settings: Settings, methods: Iterable[str], origin: str | None, method: str | None, asked: str | None
) -> dict[str, str]:
    """Return the headers that answer a preflight. Raises Invalid (C-HDR-7 to C-HDR-11).

    *methods* are those of the endpoint, *asked* the headers that the script wants to send.
    """
    named = {"Origin": origin, "Access-Control-Request-Method": method}
    lacking = [Problem("header", name, "this header is mandatory") for name, value in named.items() if not value]
    if lacking:
        raise Invalid(*lacking)
    refused = refused_origin(settings, origin)
    if refused:
        raise Invalid(*refused)
    offered = list(methods)
    if method not in offered:
        raise Invalid(Problem("header", "Access-Control-Request-Method", "Method not allowed"))
    known = OF_OBJECTS if "PUT" in offered else OF_TOTALS if "POST" in offered and "GET" in offered else ALWAYS_EXPOSED
    wanted = [name.strip() for name in (asked or "").split(",") if name.strip()]
    headers = {
        "Access-Control-Allow-Methods": ",".join(offered),
        "Access-Control-Allow-Headers": ",".join(dict.fromkeys((*known, *wanted))),
    }
    if settings.cors_max_age_seconds is not None:
        headers["Access-Control-Max-Age"] = str(settings.cors_max_age_seconds)
    return headers


@lru_cache(maxsize=256)
def _pattern(allowed: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, allowed.split("*"))))
