"""Content negotiation: does a client accept JSON, and is its body of a type and in a charset that can be read?"""

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
_SPACE: Final = re.compile(r"[ \t]*")


def not_acceptable(accept: str | None) -> ApiError | None:
    """Return the 406 of a client that accepts no JSON (C-ERR-28, C-ERR-29).

    The most specific range that JSON is in decides, of several alike the first. A header that is not an `Accept` of
    RFC 9110 counts as absent: Java's default client sends one.
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
    """Yield the ranges of a header, in small letters, and their weights. Raises ValueError when it is malformed.

    Parameters make a range narrower than plain JSON, but for wildcards, of which they are ignored.
    """
    end = _space(accept, 0)
    while end < len(accept):
        found = _RANGE.match(accept, end)
        if found:
            end = _space(accept, found.end())
            name = found["range"].lower()
            if not found["parameters"] or name.endswith("/*"):
                yield name, float(found["weight"] or 1)
        if end < len(accept) and accept[end] != ",":
            raise ValueError(f"malformed Accept: {accept[end : end + 40]}")
        end = _space(accept, end + 1)


def _space(text: str, start: int) -> int:
    """Return where the white space ends that begins at *start*."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


def media_type(content_type: str | None) -> str:
    """Return the media type of a `Content-Type`, without parameters; compared with case (C-ERR-30)."""
    return (content_type or "").partition(";")[0].strip()


def charset(content_type: str | None) -> str:
    """Return the charset that a `Content-Type` declares, UTF-8 where it declares none."""
    if not content_type or ";" not in content_type:
        return "utf-8"
    return parse_options_header(content_type)[1].get("charset", "").strip("'") or "utf-8"


def unsupported(method: str, content_type: str | None, *, has_body: bool) -> ApiError | None:
    """Return the 415 of a body that cannot be read: its type (C-ERR-30, C-ERR-31), or the charset of JSON."""
    given, types = media_type(content_type), _BODY_TYPES.get(method)
    if types and given and given not in types:
        names = [name for name in types if name != PATCH_TYPE]
        return _refuse(f"Content-Type header should be one of {names}")
    if has_body and (types or given in ("", JSON_TYPE)) and not is_charset(name := charset(content_type)):
        return _refuse(f"The charset {name[:40]!r} is not supported.")
    return None


def _refuse(description: str) -> UnsupportedType:
    return UnsupportedType(Problem("header", "Content-Type", description))
