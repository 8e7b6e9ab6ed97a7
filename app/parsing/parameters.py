"""Parse the values of query parameters: as JSON if they are JSON, else as strings (C-LIST-6)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Never

from app.errors import Problem
from app.parsing.bodies import MAX_DEPTH, is_deeper_than
from backends import Json

TIMESTAMP_LIMIT: Final = 2**63


class InvalidParameter(ValueError):
    """An invalid query parameter. `malformed` ones are reported together, any other error alone."""

    def __init__(
        self, name: str | None, description: str, *, malformed: bool = False, location: str = "querystring"
    ) -> None:
        super().__init__(description)
        self.problem = Problem(location, name, description)
        self.malformed = malformed


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields that a query may name: `names`, None for any; `target.` stands for all fields below `target`.

    `private` fields can be neither filtered nor sorted by. A number as the value of one of `strings` is a string.
    If `names` lacks `last_modified`, the objects have no timestamp: that field is ignored, and the URI is the unique
    key (C-UTIL-31).
    """

    names: frozenset[str] | None = None
    private: frozenset[str] = frozenset()
    strings: frozenset[str] = frozenset({"id"})

    @property
    def have_timestamps(self) -> bool:
        """Return whether the objects have timestamps."""
        return self.names is None or "last_modified" in self.names

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return the given names that a query may not use (C-UTIL-32)."""
        if self.names is None:
            return []
        prefixes = tuple(name for name in self.names if name.endswith("."))
        return [name for name in names if name not in self.names and not name.startswith(prefixes)]

    def expect_filter(self, parameter: str, name: str) -> None:
        """Raise InvalidParameter for a filter on an unknown (C-UTIL-32) or private field (P-ACC-26)."""
        if self.unknown([name]):
            raise InvalidParameter(parameter, f"Unknown filter field '{parameter}'")
        if name.split(".")[0] in self.private:
            raise value_error(parameter)

    def expect_sort(self, name: str) -> None:
        """Raise InvalidParameter for a sort by an unknown or private field."""
        if self.unknown([name]):
            raise InvalidParameter(None, f"Unknown sort field '{name}'")
        if name.split(".")[0] in self.private:
            raise value_error("_sort")


ANY_FIELDS: Final = Fields()


def value_error(name: str) -> InvalidParameter:
    """Return the general error of a value (C-ERR-34)."""
    return InvalidParameter(name, f"Invalid value for {name}")


def only_number(name: str, texts: Sequence[str]) -> str:
    """Return the text of a number that must not be repeated. Raises InvalidParameter."""
    if len(texts) > 1:
        raise InvalidParameter(name, f'"{list(texts)}" is not a number', malformed=True)
    return texts[0]


def only_text(name: str, texts: Sequence[str]) -> str:
    """Return the text of a parameter that must not be repeated. Raises InvalidParameter."""
    if len(texts) > 1:
        raise not_text(name, list(texts))
    return texts[0]


def not_text(name: str, value: Json) -> InvalidParameter:
    """Return the error of a value that should be a string."""
    return InvalidParameter(name, f"{value} is not a string: {{'{name}': ''}}", malformed=True)


def read_json(text: str) -> Json:
    """Return the value of a JSON text with integers of any size.

    Raises RecursionError if it is nested too deeply, ValueError if it is not JSON: that includes NaN, numbers out of
    the range of a double, and lone surrogates, which cannot be encoded.
    """
    value = _DECODER.decode(text)
    if is_deeper_than(value, MAX_DEPTH):
        raise RecursionError
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()
    return value


def read(name: str, text: str) -> Json:
    """Return the value of the parameter *name*. Raises InvalidParameter."""
    try:
        value = read_json(text)
    except RecursionError as error:
        raise value_error(name) from error
    except ValueError:
        value = text
    if any("\0" in inner for inner in texts_of(value)):
        raise InvalidParameter(name, "Invalid character 0x00")
    return value


def texts_of(value: Json) -> Iterator[str]:
    """Yield every string in a value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value:
            yield from texts_of(inner)
        if isinstance(value, dict):
            yield from texts_of(list(value.values()))


def read_number(name: str, text: str) -> int | None:
    """Return a number of at least 0, bare or in quotes, without its fraction; None for an empty text and `null`.

    Raises InvalidParameter.
    """
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if bare in ("", "null"):
        return None
    try:
        value = read_json(bare)
    except (RecursionError, ValueError):
        value = bare
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidParameter(name, f'"{bare}" is not a number', malformed=True)
    number = int(value)
    if number < 0:
        raise InvalidParameter(name, f"{number} is less than minimum value 0", malformed=True)
    if number > TIMESTAMP_LIMIT:
        raise InvalidParameter(name, f"{number} is greater than maximum value {TIMESTAMP_LIMIT}", malformed=True)
    return number


def read_timestamp(name: str, text: str) -> int | None:
    """Return a timestamp in the form of an ETag or number, None for `null` (C-LIST-28, C-LIST-29)."""
    number = read_number(name, text)
    if number is None and text != "null":
        raise value_error(name)
    return number


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits[:40])
    return number


# One decoder for all texts: `json.loads` with options would make one for every text.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
