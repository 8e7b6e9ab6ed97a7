"""Negotiate content: decide whether a client accepts JSON, and whether type and charset of a body are supported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from werkzeug.http import parse_options_header

from app.errors import ApiError, NotAcceptable, Problem, UnsupportedType
from app.parsing.bodies import is_charset

JSON_TYPE: Final = "application/json"
MERGE_TYPE: Final = "application/merge-patch+json"
PATCH_TYPE: Final = "application/json-patch+json"

_BODY_TYPES: Final = {"POST": (JSON_TYPE,), "PUT": (JSON_TYPE,), "PATCH": (JSON_TYPE, MERGE_TYPE, PATCH_TYPE)}

# RFC 9110, sections 5.6.2, 5.6.4, 12.4.2 and 12.5.1: media ranges with parameters, then a weight and extensions.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rf'(?:{_TOKEN}|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*")'
_PARAMETER: Final = rf"[ \t]*;[ \t]*(?![qQ]=){_TOKEN}={_VALUE}"
_WEIGHT: Final = r"[ \t]*;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)"
_EXTENSION: Final = rf"[ \t]*;[ \t]*{_TOKEN}(?:={_VALUE})?"
_RANGE: Final = re.compile(
    rf"(?P<range>{_TOKEN}/{_TOKEN})(?P<parameters>(?:{_PARAMETER})*)(?:{_WEIGHT}(?:{_EXTENSION})*)?"
)
_STRICT: Final = re.compile(r'(?:^|,)\s*handling\s*=\s*"?strict"?\s*(?:$|[,;])', re.IGNORECASE)
_SPACE: Final = re.compile(r"[ \t]*")


def not_acceptable(accept: str | None) -> ApiError | None:
    """Return the error 406 if a client does not accept JSON (C-ERR-28, C-ERR-29).

    The most specific media range that includes JSON decides; the first of several equal ones. An `Accept` that is not
    valid by RFC 9110 counts as absent: Java's default client sends one.
    """
    if accept in (None, "*/*", JSON_TYPE):
        return None
    try:
        weights = dict(reversed([*_ranges(accept or "")]))
    except ValueError:
        return None
    if next((weights[name] for name in (JSON_TYPE, "application/*", "*/*") if name in weights), 0.0):
        return None
    return NotAcceptable(Problem("header", "Accept", f"Accept header should be one of ['{JSON_TYPE}']"))


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yield the media ranges of a header, in lower case, and their weights. Raises ValueError if it is malformed.

    A range with parameters is narrower than plain JSON and is left out; parameters of a wildcard are ignored.
    """
    end = _end_of_space(accept, 0)
    while end < len(accept):
        match = _RANGE.match(accept, end)
        if match:
            end = _end_of_space(accept, match.end())
            name = match["range"].lower()
            if not match["parameters"] or name.endswith("/*"):
                yield name, float(match["weight"] or 1)
        if end < len(accept) and accept[end] != ",":
            raise ValueError(f"malformed Accept: {accept[end : end + 40]}")
        end = _end_of_space(accept, end + 1)


def _end_of_space(text: str, start: int) -> int:
    """Return the end of the white space that begins at *start*."""
    match = _SPACE.match(text, start)
    return match.end() if match else start


def prefers_strict_handling(prefer: str | None) -> bool:
    """Return whether a client prefers an error to lenient handling (RFC 7240, section 4.4)."""
    return prefer is not None and _STRICT.search(prefer) is not None


def media_type(content_type: str | None) -> str:
    """Return the media type of a `Content-Type`, without parameters; its case matters (C-ERR-30)."""
    return (content_type or "").partition(";")[0].strip()


def is_json(body_type: str) -> bool:
    """Return whether a body that a method does not need is read as JSON (C-ERR-27).

    *body_type* is a media type without parameters, or "" if there is none.
    """
    return not body_type or (body_type.startswith("application/") and body_type.endswith("json"))


def charset(content_type: str | None) -> str:
    """Return the charset that a `Content-Type` declares, by default UTF-8."""
    if not content_type or ";" not in content_type:
        return "utf-8"
    return parse_options_header(content_type)[1].get("charset", "").strip("'") or "utf-8"


def unsupported_type(method: str, content_type: str | None, *, has_body: bool) -> ApiError | None:
    """Return the error 415 if the type of a body (C-ERR-30, C-ERR-31) or the charset of its JSON is not supported."""
    body_type, types = media_type(content_type), _BODY_TYPES.get(method)
    if types and body_type and body_type not in types:
        names = [name for name in types if name != PATCH_TYPE]
        return _unsupported_type(f"Content-Type header should be one of {names}")
    if has_body and (types or is_json(body_type)) and not is_charset(name := charset(content_type)):
        return _unsupported_type(f"The charset {name[:40]!r} is not supported.")
    return None


def _unsupported_type(description: str) -> UnsupportedType:
    return UnsupportedType(Problem("header", "Content-Type", description))
