"""Read the values of query parameters: JSON where they are JSON, else the text itself (C-LIST-6)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Never

from app.errors import Problem
from app.parsing.bodies import MAX_DEPTH, deeper_than
from backends import Json

TIMESTAMP_LIMIT: Final = 2**63


class Wrong(ValueError):
    """A parameter has a value that it cannot have. What is `malformed` is told with all that is, the rest alone."""

    def __init__(
        self, name: str | None, description: str, malformed: bool = False, location: str = "querystring"
    ) -> None:
        super().__init__(description)
        self.problem = Problem(location, name, description)
        self.malformed = malformed


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a list may be asked for. `known` (None: any) names them; `target.` means all below `target`.

    `refused` are private fields. Numbers for one of `texts` are taken for text. Where `last_modified` is not known,
    objects have no timestamp: it is ignored, and the URI is the unique key (C-UTIL-31).
    """

    known: frozenset[str] | None
    refused: frozenset[str]
    texts: frozenset[str]

    @property
    def timed(self) -> bool:
        """Say whether the objects have a timestamp."""
        return self.known is None or "last_modified" in self.known

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that may not be asked for (C-UTIL-32)."""
        known = self.known
        if known is None:
            return []
        below = tuple(name for name in known if name.endswith("."))
        return [name for name in names if name not in known and not name.startswith(below)]

    def expect_filter(self, parameter: str, name: str) -> None:
        """Refuse a filter on an unknown (C-UTIL-32) or private field (P-ACC-26)."""
        if self.unknown([name]):
            raise Wrong(parameter, f"Unknown filter field '{parameter}'")
        if name.split(".")[0] in self.refused:
            raise value_error(parameter)

    def expect_sort(self, name: str) -> None:
        """Refuse a sort by such a field."""
        if self.unknown([name]):
            raise Wrong(None, f"Unknown sort field '{name}'")
        if name.split(".")[0] in self.refused:
            raise value_error("_sort")


def value_error(name: str) -> Wrong:
    """Word what is wrong with a value in general (C-ERR-34)."""
    return Wrong(name, f"Invalid value for {name}")


def only_number(name: str, texts: Sequence[str]) -> str:
    """Return the text of a number that may be given once. Raises Wrong."""
    if len(texts) > 1:
        raise Wrong(name, f'"{list(texts)}" is not a number', malformed=True)
    return texts[0]


def only_text(name: str, texts: Sequence[str]) -> str:
    """Return a text that may be given once. Raises Wrong."""
    if len(texts) > 1:
        raise not_text(name, list(texts))
    return texts[0]


def not_text(name: str, value: Json) -> Wrong:
    """Say that text is expected."""
    return Wrong(name, f"{value} is not a string: {{'{name}': ''}}", malformed=True)


def read_json(text: str) -> Json:
    """Return the value of a JSON text, integers of any size exactly.

    Raises RecursionError for what is nested too deeply, ValueError for what is no JSON: also NaN, what no double can
    hold, and lone surrogates, which have no encoding.
    """
    value = _DECODER.decode(text)
    if deeper_than(value, MAX_DEPTH):
        raise RecursionError
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()
    return value


def read(name: str, text: str) -> Json:
    """Return the value of the parameter *name*."""
    try:
        value = read_json(text)
    except RecursionError as error:
        raise value_error(name) from error
    except ValueError:
        value = text
    if any("\0" in each for each in texts_of(value)):
        raise Wrong(name, "Invalid character 0x00")
    return value


def texts_of(value: Json) -> Iterator[str]:
    """Yield every text in a value, names of members too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value:
            yield from texts_of(inner)
        if isinstance(value, dict):
            yield from texts_of(list(value.values()))


def read_number(name: str, text: str) -> int | None:
    """Return a number of at least 0, bare or in quotes, its fraction cut off; None for what counts as absent."""
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if bare in ("", "null"):
        return None
    try:
        value = read_json(bare)
    except (RecursionError, ValueError):
        value = bare
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(name, f'"{bare}" is not a number', malformed=True)
    number = int(value)
    if number < 0:
        raise Wrong(name, f"{number} is less than minimum value 0", malformed=True)
    if number > TIMESTAMP_LIMIT:
        raise Wrong(name, f"{number} is greater than maximum value {TIMESTAMP_LIMIT}", malformed=True)
    return number


def read_timestamp(name: str, text: str) -> int | None:
    """Return a timestamp as clients have it from an ETag, None for `null` (C-LIST-28, C-LIST-29)."""
    number = read_number(name, text)
    if number is None and text != "null":
        raise value_error(name)
    return number


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits[:40])
    return number


# Made once: `json.loads` with options makes a decoder for every text.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
