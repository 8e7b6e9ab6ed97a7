"""Read the filters of a query string: `<operator>_<field>=<value>` (core contract, 6.2 to 6.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.bodies import MAX_DEPTH
from app.parameters import Fields, Wrong, read, read_timestamp, value_error
from backends import Json
from backends.storage import OPERATORS, Filter

MAX_FILTERS: Final = 100
MAX_VALUES: Final = 10_000
"""How much one query may ask for. Databases refuse statements that are longer still."""

# The longest operator wins; other characters in the name make all of it a field (C-LIST-23).
_OPERATION: Final = re.compile(rf"({'|'.join(sorted(OPERATORS, key=len, reverse=True))})_([\w.]+)")
_BOUNDS: Final = {"_since": "gt", "_before": "lt", "_to": "lt"}
_COMPARISONS: Final = ("eq", "not", "gt", "min", "lt", "max")

_Reader = Callable[[str, str, Sequence[str], Fields], list[Json]]


def read_filters(name: str, texts: Sequence[str], fields: Fields) -> list[Filter]:
    """Return what the parameter *name* with these values filters by: nothing where it is no filter.

    Raises Wrong.
    """
    if name in _BOUNDS:
        # Of these the last counts, as of all parameters with a meaning of their own.
        return _timestamps(name, _BOUNDS[name], texts[-1:]) if fields.timed else []
    if name.startswith("_"):
        return []
    if "\0" in name:
        raise Wrong(name, "Invalid character 0x00")
    parts = _OPERATION.fullmatch(name)
    operator, field = parts.groups() if parts else ("eq", name)
    if field == "last_modified" and not fields.timed:
        return []
    fields.expect_filter(name, field)
    if field in ("id", "last_modified") and operator in ("contains", "contains_any"):
        raise Wrong(name, f"Field '{field}' is not an array")
    if field == "last_modified" and operator in _COMPARISONS:
        return _timestamps(name, operator, texts)
    if field == "last_modified" and operator in ("in", "exclude"):
        raise value_error(name)
    # Nothing that is stored is nested deeper: a longer path is missing like the shorter one.
    path = tuple(field.split(".")[: MAX_DEPTH + 1])
    return [Filter(path, operator, value) for value in _READERS[operator](name, field, texts, fields)]


def _timestamps(name: str, operator: str, texts: Sequence[str]) -> list[Filter]:
    """Read filters on `last_modified`. Only parameters without operator are told how they are malformed (C-ERR-34)."""
    try:
        timestamps = [read_timestamp(name, text) for text in texts]
    except Wrong as wrong:
        if name in _BOUNDS or name == "last_modified":
            raise
        raise value_error(name) from wrong
    return [Filter(("last_modified",), operator, timestamp) for timestamp in timestamps if timestamp is not None]


def _value(name: str, field: str, text: str, fields: Fields) -> Json:
    value = read(name, text)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text if is_number and field in fields.texts else value


def _equal(name: str, field: str, texts: Sequence[str], fields: Fields) -> list[Json]:
    """Read one value. Given several times, a parameter means the list of its texts (C-LIST-24)."""
    values = [read(name, text) for text in texts]
    if name == "id":
        for text, value in zip(texts, values, strict=True):
            if not isinstance(value, str):
                raise Wrong(name, f"{text} is not a string: {{'{name}': ''}}", malformed=True)
    return [list(texts)] if len(texts) > 1 else _values(name, field, texts, fields)


def _values(name: str, field: str, texts: Sequence[str], fields: Fields) -> list[Json]:
    return [_value(name, field, text, fields) for text in texts]


def _parts(name: str, field: str, texts: Sequence[str], fields: Fields) -> list[Json]:
    """Read values that commas separate, each on its own, those of all occurrences together (C-LIST-11, C-LIST-24)."""
    parts = [part for text in texts for part in text.split(",") if part]
    if len(parts) > MAX_VALUES:
        raise value_error(name)
    # A number among ids is refused (C-LIST-12), not taken for text as elsewhere.
    values = [read(name, part) if field == "id" else _value(name, field, part, fields) for part in parts]
    if field == "id" and not all(isinstance(value, str) for value in values):
        raise value_error(name)
    return [tuple(values)]


def _patterns(name: str, field: str, texts: Sequence[str], fields: Fields) -> list[Json]:
    """Read texts to be searched, inside the field where they have no wildcard (C-LIST-14, C-LIST-15)."""
    values = _values(name, field, texts, fields)
    if not all(isinstance(value, str) for value in values):
        raise value_error(name)
    return [value if "*" in value else f"*{value}*" for value in values]


def _truths(name: str, field: str, texts: Sequence[str], fields: Fields) -> list[Json]:
    return [bool(read(name, text)) for text in texts]


def _arrays(name: str, field: str, texts: Sequence[str], fields: Fields) -> list[Json]:
    values = _values(name, field, texts, fields)
    return [value if isinstance(value, list) else [value] for value in values]


_READERS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(_COMPARISONS, _values),
    "eq": _equal,
    "in": _parts,
    "exclude": _parts,
    "like": _patterns,
    "has": _truths,
    "contains": _arrays,
    "contains_any": _arrays,
}
