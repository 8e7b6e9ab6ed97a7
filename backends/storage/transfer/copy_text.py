r"""Encode rows for COPY of PostgreSQL: a line for each row, its values separated by tabs, `\N` for NULL."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

_NULL: Final = r"\N"
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPED: Final = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


def copy_stream(rows: Iterable[Sequence[Any]], arrays: Sequence[bool]) -> io.StringIO:
    """Return the text of rows for COPY; *arrays* tells which of their values are JSON arrays of integers."""
    return io.StringIO("".join([_line(row, arrays) for row in rows]))


def _line(row: Sequence[Any], arrays: Sequence[bool]) -> str:
    values = [_array(value) if is_array else _text(value) for value, is_array in zip(row, arrays, strict=True)]
    return "\t".join(values) + "\n"


def _text(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    if isinstance(value, bool):
        return "t" if value else "f"
    text = str(value)
    return _SPECIAL.sub(lambda match: _ESCAPED[match[0]], text) if _SPECIAL.search(text) else text


def _array(value: str | None) -> str:
    return _NULL if value is None else f"{{{value[1:-1]}}}"
