"""Read the filters of a query string: `<operator>_<field>=<value>` (core contract, 6.2 to 6.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.parsing.bodies import MAX_DEPTH
from app.parsing.parameters import Fields, Wrong, not_text, only_number, only_text, read, read_timestamp, value_error
from backends import Json
from backends.storage import OPERATORS, Filter

MAX_FILTERS: Final = 100
"""How many filters one query may have."""

MAX_VALUES: Final = 10_000
"""How many values the `in_` and `exclude_` filters of one query may have together: each is bound on its own, and
databases refuse statements with more (SQLite 32,766)."""

# The longest operator wins; other characters in the name make all of it a field (C-LIST-23).
_OPERATION: Final = re.compile(rf"({'|'.join(sorted(OPERATORS, key=len, reverse=True))})_([\w.]+)")
_BOUNDS: Final = {"_since": "gt", "_before": "lt", "_to": "lt"}
_COMPARISONS: Final = ("eq", "not", "gt", "min", "lt", "max")

_Reader = Callable[[str, str, Sequence[str], Fields], Json]


def read_filters(name: str, texts: Sequence[str], fields: Fields) -> list[Filter]:
    """Return what the parameter *name* with these values filters by: nothing where it is no filter.

    Filters on `last_modified` are read where objects have no timestamp too, since malformed ones are refused there as
    everywhere (C-LIST-28); `app.parsing.queries.parse` ignores the others. Raises Wrong.
    """
    if name in _BOUNDS:
        return _timestamps(name, _BOUNDS[name], texts)
    if name.startswith("_"):
        return []
    if "\0" in name:
        raise Wrong(name, "Invalid character 0x00")
    parts = _OPERATION.fullmatch(name)
    operator, field = parts.groups() if parts else ("eq", name)
    if field != "last_modified" or fields.timed:
        fields.expect_filter(name, field)
    if field in ("id", "last_modified") and operator in ("contains", "contains_any"):
        raise Wrong(name, f"Field '{field}' is not an array")
    if field == "last_modified" and operator in _COMPARISONS:
        return _timestamps(name, operator, texts)
    if field == "last_modified" and operator in ("in", "exclude"):
        raise value_error(name)
    if len(texts) > 1 and field == "last_modified":
        raise value_error(name)
    # Nothing that is stored is nested deeper: a longer path is missing like the shorter one.
    path = tuple(field.split(".")[: MAX_DEPTH + 1])
    return [Filter(path, operator, _READERS[operator](name, field, texts, fields))]


def too_many_filters(name: str) -> Wrong:
    """Say that a query has more filters than it may have."""
    return Wrong(name, f"More than {MAX_FILTERS} filters")


def _timestamps(name: str, operator: str, texts: Sequence[str]) -> list[Filter]:
    """Read a filter on `last_modified`, given once. Errors of parameters without operator say more (C-ERR-34)."""
    try:
        timestamp = read_timestamp(name, only_number(name, texts))
    except Wrong as wrong:
        if name in _BOUNDS or name == "last_modified":
            raise
        raise value_error(name) from wrong
    return [] if timestamp is None else [Filter(("last_modified",), operator, timestamp)]


def _value(name: str, field: str, text: str, fields: Fields) -> Json:
    value = read(name, text)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and field in fields.texts else value


def _equal(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read a value as `_single` does; an id must be text."""
    if name == "id" and not isinstance(read(name, only_text(name, texts)), str):
        raise not_text(name, texts[0])
    return _single(name, field, texts, fields)


def _single(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read one value. Given several times, a parameter means the list of its texts (C-LIST-24)."""
    values = [_value(name, field, text, fields) for text in texts]
    return list(texts) if len(texts) > 1 else values[0]


def _parts(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read values that commas separate, each on its own, those of all occurrences together (C-LIST-11, C-LIST-24)."""
    parts = [part for text in texts for part in text.split(",") if part]
    if len(parts) > MAX_VALUES:
        raise value_error(name)
    # A number among ids is refused (C-LIST-12), not taken for text as elsewhere.
    values = [read(name, part) if field == "id" else _value(name, field, part, fields) for part in parts]
    if field == "id" and not all(isinstance(value, str) for value in values):
        raise value_error(name)
    return tuple(values)


def _pattern(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
    """Read text to be searched, inside the field where it has no wildcard (C-LIST-14, C-LIST-15)."""
    value = _single(name, field, texts, fields)
    if not isinstance(value, str):
        raise value_error(name)
    return value if "*" in value else f"*{value}*"


def _truth(name: str, field: str, texts: Sequence[str], fields: Fields) -> Json:
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
    "has": _truth,
    "contains": _array,
    "contains_any": _array,
}
