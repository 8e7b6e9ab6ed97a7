"""Parse the filters of a query string: `<operator>_<field>=<value>` (core contract, 6.2 to 6.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.parsing.bodies import MAX_DEPTH
from app.parsing.parameters import (
    Fields,
    InvalidParameter,
    not_text,
    only_number,
    only_text,
    read,
    read_timestamp,
    value_error,
)
from backends import Json
from backends.storage import OPERATORS, Filter

MAX_FILTERS: Final = 100
"""The most filters in one query."""

MAX_VALUES: Final = 10_000
"""The most values in all `in_` and `exclude_` filters of one query: each is a bound parameter, and databases limit
the parameters of a statement (SQLite: 32,766)."""

# The longest operator wins; a name with other characters is a field as a whole (C-LIST-23).
_OPERATION: Final = re.compile(rf"({'|'.join(sorted(OPERATORS, key=len, reverse=True))})_([\w.]+)")
_BOUNDS: Final = {"_since": "gt", "_before": "lt", "_to": "lt"}
_COMPARISONS: Final = ("eq", "not", "gt", "min", "lt", "max")

_Reader = Callable[[str, str, Sequence[str], Fields], Json]


def read_filters(name: str, texts: Sequence[str], fields: Fields) -> list[Filter]:
    """Return the filters of the parameter *name* with these values; an empty list if it is not a filter.

    Filters on `last_modified` are read even if the objects have no timestamp, since malformed ones are rejected
    everywhere (C-LIST-28); `app.parsing.queries.parse` ignores the well-formed ones. Raises InvalidParameter.
    """
    if name in _BOUNDS:
        return _timestamps(name, _BOUNDS[name], texts)
    if name.startswith("_"):
        return []
    if "\0" in name:
        raise InvalidParameter(name, "Invalid character 0x00")
    parts = _OPERATION.fullmatch(name)
    operator, field = parts.groups() if parts else ("eq", name)
    if field != "last_modified" or fields.have_timestamps:
        fields.expect_filter(name, field)
    if field in ("id", "last_modified") and operator in ("contains", "contains_any"):
        raise InvalidParameter(name, f"Field '{field}' is not an array")
    if field == "last_modified" and operator in _COMPARISONS:
        return _timestamps(name, operator, texts)
    if field == "last_modified" and operator in ("in", "exclude"):
        raise value_error(name)
    if len(texts) > 1 and field == "last_modified":
        raise value_error(name)
    # No stored object is nested deeper, so a longer path is missing just as the cut one is.
    path = tuple(field.split(".")[: MAX_DEPTH + 1])
    return [Filter(path, operator, _READERS[operator](name, field, texts, fields))]


def too_many_filters(name: str) -> InvalidParameter:
    """Return the error of a query with more than `MAX_FILTERS` filters."""
    return InvalidParameter(name, f"More than {MAX_FILTERS} filters")


def _timestamps(name: str, operator: str, texts: Sequence[str]) -> list[Filter]:
    """Read a filter on `last_modified`, which must not be repeated.

    Errors of parameters without an operator are more specific (C-ERR-34). As in Kinto nothing is before `null`, so that
    a DELETE by a client that has no timestamp deletes nothing; only `_since=null` is no filter (C-LIST-29).
    """
    try:
        timestamp = read_timestamp(name, only_number(name, texts))
    except InvalidParameter as error:
        if name in _BOUNDS or name == "last_modified":
            raise
        raise value_error(name) from error
    if timestamp is None and name not in _BOUNDS:
        raise value_error(name)
    return [] if timestamp is None and name == "_since" else [Filter(("last_modified",), operator, timestamp or 0)]


def _value(name: str, field: str, text: str, fields: Fields) -> Json:
    value = read(name, text)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and field in fields.strings else value


def _equal(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read one value as `_single` does; an id must be a string."""
    if name == "id" and not isinstance(read(name, only_text(name, texts)), str):
        raise not_text(name, texts[0])
    return _single(name, field, texts, fields)


def _single(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read one value; a repeated parameter is the list of its texts (C-LIST-24)."""
    values = [_value(name, field, text, fields) for text in texts]
    return list(texts) if len(texts) > 1 else values[0]


def _parts(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read comma-separated values; those of a repeated parameter are joined (C-LIST-11, C-LIST-24)."""
    parts = [part for text in texts for part in text.split(",") if part]
    if len(parts) > MAX_VALUES:
        raise value_error(name)
    # A number among ids is an error (C-LIST-12), not a string as elsewhere.
    values = [read(name, part) if field == "id" else _value(name, field, part, fields) for part in parts]
    if field == "id" and not all(isinstance(value, str) for value in values):
        raise value_error(name)
    return tuple(values)


def _pattern(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read a search pattern; text without a wildcard is searched anywhere in the field (C-LIST-14, C-LIST-15)."""
    value = _single(name, field, texts, fields)
    if not isinstance(value, str):
        raise value_error(name)
    return value if "*" in value else f"*{value}*"


def _boolean(name: str, _field: str, texts: Sequence[str], _fields: Fields) -> Json:
    return len(texts) > 1 or bool(read(name, texts[0]))


def _array(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    value = _single(name, field, texts, fields)
    return value if isinstance(value, list) else [value]


_READERS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(_COMPARISONS, _single),
    "eq": _equal,
    "in": _parts,
    "exclude": _parts,
    "like": _pattern,
    "has": _boolean,
    "contains": _array,
    "contains_any": _array,
}
