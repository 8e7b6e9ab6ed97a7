"""What filters and sorts mean (core contract, 6.3 to 6.8), said once more in plain Python to judge the databases by."""

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from backends.storage import MISSING, Filter, Order


def field(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name, MISSING) if isinstance(document, dict) else MISSING
    return document


def rank(value: Any) -> Any:
    """Return a tuple whose order is that of the values of a field; an empty array comes first (C-LIST-39)."""
    return (0,) if value == [] else _rank(value)


def _rank(value: Any) -> Any:
    match value:
        case None:
            return (1,)
        case str():
            return 2, [ord(character) for character in value]
        case bool():
            return 4, value
        case int() | float():
            return 3, Decimal(str(value))
        case list():
            return 5, len(value), [_rank(element) for element in value]
        case dict():
            names = sorted(value, key=lambda name: (len(name.encode()), name))
            return 6, len(value), [(_rank(name), _rank(value[name])) for name in names]
    return (7,)


def like(value: Any, pattern: str) -> bool:
    if not isinstance(value, str):
        return False
    matched = {0}  # how many characters of the text the pattern may have used so far
    for character in pattern.lower():
        if character == "*":
            matched = set(range(min(matched, default=len(value) + 1), len(value) + 1))
        else:
            matched = {end + 1 for end in matched if value[end : end + 1].lower() == character}
    return len(value) in matched


def words(text: str) -> set[str]:
    """Return the words of a text of some Latin, Greek and Chinese letters, without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(letter for letter in decomposed if unicodedata.category(letter) not in ("Mn", "Cf"))
    return {word[:100] for word in re.findall(r"[^\W_]+", letters)}


def has_words(document: Any, paths: tuple[tuple[str, ...], ...], searched: tuple[str, ...]) -> bool:
    """Return whether each of some words is in one of the fields that are texts."""
    texts = [value for path in paths if isinstance(value := field(document, path), str)]
    return set(searched) <= {word for text in texts for word in words(text)}


def holds(document: Any, condition: Filter) -> bool:
    value, operand = field(document, condition.path), condition.value
    here = rank(value)
    tests: dict[str, Callable[[], bool]] = {
        "eq": lambda: here == rank(operand),
        "not": lambda: here != rank(operand),
        "gt": lambda: here > rank(operand),
        "min": lambda: here >= rank(operand),
        "lt": lambda: here < rank(operand),
        "max": lambda: here <= rank(operand),
        "in": lambda: here in [rank(one) for one in operand],
        "exclude": lambda: here not in [rank(one) for one in operand],
        "like": lambda: like(value, operand),
        "has": lambda: (value is not MISSING) == operand,
        "contains": lambda: isinstance(value, list) and all(rank(one) in map(rank, value) for one in operand),
        "contains_any": lambda: isinstance(value, list) and any(rank(one) in map(rank, value) for one in operand),
    }
    return tests[condition.operator]()


def arrange(documents: list[Any], order: tuple[Order, ...]) -> list[Any]:
    """Sort; what is equal by all keys by id, in the direction of the last key."""

    def compare(one: Any, other: Any) -> int:
        for key in (*order, Order(("id",), order[-1].descending)):
            left, right = rank(field(one, key.path)), rank(field(other, key.path))
            if left != right:
                return 1 if (left > right) != key.descending else -1
        return 0

    return sorted(documents, key=cmp_to_key(compare))
